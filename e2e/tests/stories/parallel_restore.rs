//! One database restored by several sessions is the database that one session restores.

use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use e2e::{Cluster, Program, Scratch, backup, compare, sample};

/// What several sessions could get in each other's way with.
const INTRICATE: &str = include_str!("parallel_restore/intricate.sql");

/// A cluster with the databases that are dumped, another that they are restored into, and the backup.
struct Parts {
    first: Cluster,
    second: Cluster,
    backup: PathBuf,
    _dir: Scratch,
}

fn parts() -> &'static Parts {
    static PARTS: OnceLock<Parts> = OnceLock::new();
    PARTS.get_or_init(|| {
        let first = Cluster::start();
        sample::odd(&first);
        sample::load(&first, INTRICATE);
        let second = Cluster::start();
        let dir = Scratch::new();
        let backup = backup::dump(&first, dir.path());
        Program::new("restore-stream")
            .arg(&backup)
            .arg("--globals-only")
            .on(&second)
            .succeeds();
        Parts {
            first,
            second,
            backup,
            _dir: dir,
        }
    })
}

fn restore(backup: &Path, database: &str, name: &str, jobs: &str) -> Program {
    Program::new("restore-stream").arg(backup).args([
        "--database",
        database,
        "--as",
        name,
        "--jobs",
        jobs,
        "--replace",
        "--yes",
        "--drop-old",
    ])
}

#[test]
fn several_sessions_restore_what_one_restores() {
    let Parts {
        first,
        second,
        backup,
        ..
    } = parts();
    for database in ["everything", "intricate"] {
        let wanted = first.dump_one(database);
        for jobs in ["1", "2", "8"] {
            let name = format!("{database}_by_{jobs}");
            let seen = restore(backup, database, &name, jobs).on(second).succeeds();
            compare::same_text((database, &wanted), (&name, &second.dump_one(&name)));
            println!("{seen}");
        }
    }
}
