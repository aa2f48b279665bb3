//! Backups made by `pg_dumpall | gzip` and `| pigz`: verified, restored, one database taken out of them.

use std::fs;
use std::path::PathBuf;

use e2e::{Azurite, Cluster, Program, Scratch, compare, sample};

const NAME: &str = "postgresql_backup_20240229_235959.sql.gz";

/// What looks like a dump's own lines, in data, in a function, and in names.
const TRICKY: &str = r#"
create database before;
create database tricky;
create database "tricky two";
\connect before
create table t as select 'before' as t;
\connect tricky
create table lines (id integer primary key, t text);
insert into lines values
    (1, E'\\connect before\n'),
    (2, E'\n\\connect before\n\\connect postgres\n'),
    (3, E'--\n-- Database "tricky two" dump\n--\n\n\\connect "tricky two"\n'),
    (4, E'\\.'), (5, E'\n\\.\n\\connect before\n'),
    (6, E'--\n-- PostgreSQL database cluster dump complete\n--\n\n'),
    (7, '\connect -reuse-previous=on "dbname=''before''"');
create function f() returns text language sql as $_$ select '
\connect before
--
-- Database "before" dump
--
'::text $_$;
create function g() returns text language sql as 'select $$
\connect before
$$::text';
comment on table lines is E'it''s\n\\connect before\n';
\connect "tricky two"
create table t as select 'two' as t;
"#;

fn tricky() -> Cluster {
    let cluster = Cluster::start();
    sample::load(&cluster, TRICKY);
    cluster
}

fn made_by(line: &str, cluster: &Cluster, dir: &Scratch) -> PathBuf {
    let path = dir.join(NAME);
    Program::sh(line).on(cluster).stdout_file(&path).succeeds();
    path
}

const MADE: [&str; 4] = [
    "pg_dumpall | gzip",
    "pg_dumpall | pigz -p 2",
    "pg_dumpall --inserts | gzip -1",
    "pg_dumpall --column-inserts | bgzip",
];

#[test]
fn a_whole_one_is_verified_and_restored() {
    let first = tricky();
    let before = first.dump_all::<&str>(&[]);
    for line in MADE {
        println!("{line}");
        let dir = Scratch::new();
        let path = made_by(line, &first, &dir);
        let seen = Program::new("backup-verify").arg(&path).succeeds();
        // What it cannot promise is said; bgzip writes a marker.
        let said = (seen.out() + &seen.err()).contains("no marker");
        assert!(said != line.ends_with("bgzip"), "{seen}");
        let second = Cluster::start();
        let seen = Program::new("restore-stream")
            .arg(&path)
            .arg("--json")
            .on(&second)
            .succeeds();
        // What is not counted is not said to be none.
        let uncounted = seen.out().contains("\"rows\":null");
        assert_eq!(uncounted, line.contains("inserts"), "{seen}");
        assert_eq!(seen.err().contains("not counted"), uncounted, "{seen}");
        let after = second.dump_all::<&str>(&[]);
        compare::same_text(("before", &before), (line, &after));
    }
}

#[test]
fn one_database_is_taken_out_of_it() {
    let first = tricky();
    for line in MADE {
        println!("{line}");
        let dir = Scratch::new();
        let path = made_by(line, &first, &dir);
        let list = Program::new("restore-stream")
            .arg(&path)
            .arg("--list")
            .succeeds();
        for name in ["before", "postgres", "template1", "tricky", "tricky two"] {
            let lines = list.out();
            let found = lines.lines().filter(|line| line.contains(name)).count();
            assert!(found >= 1, "{name}\n{list}");
        }
        let second = Cluster::start();
        for (database, renamed) in [("tricky", None), ("tricky two", Some("2"))] {
            let mut restore = Program::new("restore-stream")
                .arg(&path)
                .args(["--database", database])
                .on(&second);
            if let Some(renamed) = renamed {
                restore = restore.args(["--as", renamed]);
            }
            restore.succeeds();
            let restored = renamed.unwrap_or(database);
            compare::same_text(
                (line, &first.dump_one(database)),
                (restored, &second.dump_one(restored)),
            );
        }
        assert_eq!(second.databases(), ["2", "postgres", "tricky"]);
    }
}

#[test]
fn a_cut_one_is_not_good() {
    let first = tricky();
    let dir = Scratch::new();
    let good = fs::read(made_by("pg_dumpall | gzip", &first, &dir)).unwrap();
    for length in [good.len() / 2, good.len() - 1, good.len() - 8, 10, 0] {
        let path = dir.write(NAME, &good[..length]);
        Program::new("backup-verify").arg(&path).fails(3);
        let second = Cluster::start();
        Program::new("restore-stream")
            .arg(&path)
            .on(&second)
            .fails(3);
    }
    // Cut before it was compressed, as `pg_dumpall | gzip` does when pg_dumpall fails: gzip is content.
    let path = dir.join(NAME);
    Program::sh("pg_dumpall | head -c 3000 | gzip")
        .on(&first)
        .stdout_file(&path)
        .succeeds();
    Program::new("backup-verify")
        .arg(&path)
        .fails(3)
        .says("complet");
    let second = Cluster::start();
    Program::new("restore-stream")
        .arg(&path)
        .on(&second)
        .fails(3);
}

#[test]
fn it_is_uploaded_only_as_what_it_is() {
    let first = tricky();
    let dir = Scratch::new();
    let path = made_by("pg_dumpall | gzip", &first, &dir);
    let container = Azurite::shared().container();
    let put = || {
        Program::new("blob-put")
            .arg(&path)
            .arg(format!("{}/", container.url()))
            .env("AZURE_STORAGE_SAS_TOKEN", container.token())
    };
    put().fails(3).says("--raw");
    assert!(container.names().is_empty());
    put().arg("--raw").succeeds();
    assert_eq!(container.names(), [NAME]);
    let second = Cluster::start();
    Program::new("restore-stream")
        .args([&container.url(), "--latest", "--database", "tricky"])
        .env("AZURE_STORAGE_SAS_TOKEN", container.token())
        .on(&second)
        .succeeds();
    compare::same_text(
        ("before", &first.dump_one("tricky")),
        ("after", &second.dump_one("tricky")),
    );
}
