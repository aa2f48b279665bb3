//! Between versions of PostgreSQL.

use std::path::Path;

use e2e::{Cluster, Program, Scratch, Version, backup, compare, sample};

fn restore(backup: &Path, cluster: &Cluster) -> Program {
    Program::new("restore-stream").arg(backup).on(cluster)
}

#[test]
fn a_backup_of_a_newer_server_is_refused() {
    let dir = Scratch::new();
    let versions = Version::installed();
    let (oldest, newest) = (versions.first().unwrap(), versions.last().unwrap());
    assert!(oldest.major() < newest.major(), "{versions:?}");
    let first = Cluster::of(newest.clone());
    first.sql("postgres", "create database shop");
    first.sql("shop", "create table t as select 1 as one");
    let path = backup::dump(&first, dir.path());
    let second = Cluster::of(oldest.clone());
    restore(&path, &second).fails(4).says("--older-server");
    let foreign = dir.join("foreign.sql.gz");
    Program::sh("pg_dumpall | gzip")
        .on(&first)
        .stdout_file(&foreign)
        .succeeds();
    restore(&foreign, &second).fails(4).says("--older-server");
    assert_eq!(second.databases(), ["postgres"]);
    let seen = restore(&path, &second).arg("--older-server").run();
    // It may or may not succeed; it never leaves half of it.
    match seen.code() {
        Some(0) => assert_eq!(second.sql("shop", "select one from t"), "1"),
        code => {
            assert_eq!(code, Some(1), "{seen}");
            assert_eq!(second.databases(), ["postgres"], "{seen}");
        }
    }
}

/// With the programs of another version than the server's.
fn with_client(program: Program, cluster: &Cluster, major: u32) -> Program {
    let env = cluster.env();
    let own = env.iter().find(|(name, _)| *name == "PATH").unwrap();
    let bin = Version::of(major).bin().display().to_string();
    program.env("PATH", format!("{bin}:{}", own.1.display()))
}

/// Each version's backup goes into the same version and into the newest one, through its own psql and others'.
#[test]
fn every_version_into_itself_and_into_the_newest() {
    let versions = Version::installed();
    let newest = versions.last().unwrap();
    let again = ["--database", "shop", "--replace", "--yes", "--drop-old"];
    for version in &versions {
        println!("{version}");
        let first = Cluster::of(version.clone());
        sample::company(&first);
        let dir = Scratch::new();
        let path = backup::dump(&first, dir.path());
        let newest_client = dir.join("by the newest client.sql.gz");
        with_client(Program::new("pgdump-gz").on(&first), &first, newest.major())
            .stdout_file(&newest_client)
            .succeeds();
        let second = Cluster::of(version.clone());
        restore(&path, &second).succeeds();
        compare::same_clusters(&first, &second);
        let shop = first.dump_one("shop");
        for (backup, client) in [(&path, newest.major()), (&newest_client, 15)] {
            let restore = restore(backup, &second).args(again);
            with_client(restore, &second, client).succeeds();
            compare::same_text(("the shop", &shop), ("restored", &second.dump_one("shop")));
        }
        if version != newest {
            let third = Cluster::of(newest.clone());
            restore(&path, &third).succeeds();
            let shop = third.dump_one("shop");
            let count = "select count(*) from users";
            assert_eq!(
                third.sql("jupyterhub", count),
                first.sql("jupyterhub", count)
            );
            with_client(restore(&path, &third).args(again), &third, 15).succeeds();
            compare::same_text(("the shop", &shop), ("restored", &third.dump_one("shop")));
        }
    }
}
