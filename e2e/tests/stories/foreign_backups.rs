//! Backups made by `pg_dumpall | gzip` and `| pigz`: verified, restored, one database taken out of them.

use std::fs;
use std::path::{Path, PathBuf};

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
            compare::same_databases((&first, database), (&second, restored));
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
    compare::same_databases((&first, "tricky"), (&second, "tricky"));
}

/// Roles and two databases, which are of one of them.
const TWO: &str = r"
create role app;
create database one owner app;
create database two;
\connect one
create table t as select i, 'row ' || i as what from generate_series(1, 3000) i;
alter table t owner to app;
\connect two
create table lines (line text);
insert into lines values ('--'), ('-- PostgreSQL database dump'), ('--'), (''), ('-- Dumped from database version 15.1'), ('it''s');
";

/// Dumps in one file: as newer and older clients make them, compressed together and each by itself.
const TOGETHER: [&str; 6] = [
    "(pg_dumpall --globals-only; pg_dump -C one; pg_dump -C two) | gzip",
    "(pg_dumpall --globals-only | gzip; pg_dump -C one | gzip; pg_dump -C two | pigz)",
    "(pg_dumpall --globals-only | bgzip; pg_dump -C one | gzip; pg_dump -C two | bgzip; head -c 10240 /dev/zero)",
    "(pg_dumpall --globals-only | pgdump-gz -- cat; pg_dump -C one | bgzip; pg_dump -C two | bgzip)",
    "(pg_dumpall --globals-only; pg_dump -C one; pg_dump --inserts -C two) | sed '/^.\\(un\\)\\{0,1\\}restrict /d' | gzip",
    "(pg_dumpall --globals-only; pg_dump -C -s one; pg_dump -a one; pg_dump -C two) | sed 's/$/\\r/' | gzip",
];

fn two() -> Cluster {
    let cluster = Cluster::start();
    sample::load(&cluster, TWO);
    cluster
}

#[test]
fn dumps_in_one_file_are_restored_each_into_its_database() {
    let first = two();
    for line in TOGETHER {
        println!("{line}");
        let dir = Scratch::new();
        // One that has an index of ours in it is no file of others.
        if line.contains("pgdump-gz") {
            let path = made_by(line, &first, &dir);
            Program::new("backup-verify")
                .arg(&path)
                .fails(3)
                .says("bytes after the end-of-file marker");
            continue;
        }
        let path = made_by(line, &first, &dir);
        Program::new("backup-verify").arg(&path).succeeds();
        let list = Program::new("restore-stream")
            .arg(&path)
            .arg("--list")
            .succeeds();
        let names: Vec<String> = list
            .out()
            .lines()
            .map(|it| it[it.len() - 3..].to_owned())
            .collect();
        assert_eq!(names, ["one", "two"], "{list}");
        let second = Cluster::start();
        let restore = || Program::new("restore-stream").arg(&path).on(&second);
        restore().succeeds();
        restore()
            .args(["--database", "two", "--as", "copy"])
            .succeeds();
        let crlf = line.contains("\\r");
        for (from, to) in [("one", "one"), ("two", "two"), ("two", "copy")] {
            if !crlf {
                compare::same_databases((&first, from), (&second, to));
            }
        }
        let owner = "select pg_get_userbyid(datdba) from pg_database where datname = 'one'";
        assert_eq!(second.sql("postgres", owner), "app");
        let part = restore()
            .args(["--database", "two", "--", "cat"])
            .succeeds();
        assert!(
            part.out().contains("CREATE DATABASE two")
                && !part.out().contains("CREATE DATABASE one")
        );
        let list = "select string_agg(datname, ' ' order by datname) from pg_database where not datistemplate";
        assert_eq!(second.sql("postgres", list), "copy one postgres two");
    }
}

#[test]
fn one_of_them_that_was_cut_is_good_nowhere() {
    let first = two();
    let second = Cluster::start();
    second.sql("postgres", "create role app");
    let dir = Scratch::new();
    let old = "sed '/^.\\(un\\)\\{0,1\\}restrict /d'";
    for filter in ["cat", old] {
        for cut in ["head -n 45", "head -c 20000", "head -c -30", "head -n 12"] {
            let line = format!(
                "(pg_dumpall --globals-only; pg_dump -C one | {cut}; pg_dump -C two) | {filter}"
            );
            println!("{line}");
            let path = made_by(&format!("{line} | gzip"), &first, &dir);
            Program::new("backup-verify")
                .arg(&path)
                .fails(3)
                .says("closing line");
            for args in [&["--list"][..], &["--database", "two"], &[], &["--", "cat"]] {
                let seen = Program::new("restore-stream")
                    .arg(&path)
                    .args(args)
                    .on(&second)
                    .run();
                assert_eq!(seen.code(), Some(3), "{args:?}\n{seen}");
            }
            Program::new("restore-stream")
                .arg(&path)
                .arg("--verify-first")
                .on(&second)
                .fails(3);
            let store = dir.make("store");
            published(&store, &line)
                .on(&first)
                .fails(1)
                .says("closing line");
        }
    }
    assert_eq!(second.databases(), ["postgres"]);
}

/// What a line of `sh` writes, published in a store.
fn published(store: &Path, line: &str) -> Program {
    Program::new("pgdump-gz")
        .arg("--dir")
        .arg(store)
        .args(["--", "sh", "-c", line])
}

#[test]
fn dumps_in_one_file_are_published_as_they_came() {
    let first = two();
    let dir = Scratch::new();
    let store = dir.make("store");
    let line = "pg_dumpall --globals-only; pg_dump -C one; pg_dump -C two";
    published(&store, line)
        .on(&first)
        .succeeds()
        .says("without an index");
    let list = Program::new("restore-stream")
        .arg(&store)
        .arg("--list")
        .succeeds();
    assert!(list.out().contains("  whole"), "{list}");
    let container = Azurite::shared().container();
    let name = e2e::scratch::names(&store)
        .into_iter()
        .find(|it| it.ends_with(".gz"));
    Program::new("blob-put")
        .arg(store.join(name.expect("a backup")))
        .arg(format!("{}/", container.url()))
        .env("AZURE_STORAGE_SAS_TOKEN", container.token())
        .succeeds();
    let second = Cluster::start();
    Program::new("restore-stream")
        .args([&container.url(), "--latest", "--verify-first"])
        .env("AZURE_STORAGE_SAS_TOKEN", container.token())
        .on(&second)
        .succeeds();
    compare::same_databases((&first, "one"), (&second, "one"));
}

#[test]
fn a_dump_that_names_no_database_goes_where_psql_puts_it() {
    let first = two();
    let dir = Scratch::new();
    let second = Cluster::start();
    second.sql("postgres", "create role app");
    let restore = |path: &PathBuf| Program::new("restore-stream").arg(path).on(&second);
    // Schema and data of one database, without its name.
    let path = made_by("(pg_dump -s one; pg_dump -a one) | gzip", &first, &dir);
    restore(&path).fails(2).says("--database NAME");
    restore(&path)
        .args(["--database", "x"])
        .succeeds()
        .says("another dump follows");
    compare::same_databases((&first, "one"), (&second, "x"));
    // Behind one that names its own.
    let path = made_by(
        "(pg_dump -C -s one; pg_dump -a one; pg_dump -C two) | gzip",
        &first,
        &dir,
    );
    restore(&path).succeeds().says("another dump follows");
    compare::same_databases((&first, "one"), (&second, "one"));
    // The same database twice, with another between.
    let path = made_by(
        "(pg_dump -C one; pg_dump -C two; pg_dump -C one) | gzip",
        &first,
        &dir,
    );
    let third = Cluster::start();
    third.sql("postgres", "create role app");
    Program::new("restore-stream")
        .arg(&path)
        .on(&third)
        .fails(3)
        .says("twice");
    assert_eq!(third.databases(), ["postgres"]);
    // Two clusters: what the first has created is there for the second.
    let path = made_by(
        "(pg_dumpall -g | gzip; pg_dumpall -g | gzip; pg_dump -C one | gzip)",
        &first,
        &dir,
    );
    let fourth = Cluster::start();
    Program::new("restore-stream")
        .arg(&path)
        .on(&fourth)
        .succeeds()
        .says("left out: role 'app'");
    compare::same_databases((&first, "one"), (&fourth, "one"));
}

#[test]
fn what_was_put_together_of_ours_is_nowhere_whole() {
    let first = two();
    let dir = Scratch::new();
    let store = dir.make("store");
    for line in [
        "cat a a",
        "cat a b",
        "cat a c",
        "cat b a",
        "cat c a",
        "(cat a; head -c 512 /dev/zero)",
    ] {
        println!("{line}");
        let make = "pgdump-gz > a; pg_dump -C one | gzip > b; pg_dump -C one | bgzip > c;";
        let path = store.join(NAME);
        Program::sh(&format!("{make} {line}"))
            .on(&first)
            .in_dir(dir.path())
            .stdout_file(&path)
            .succeeds();
        Program::new("backup-verify")
            .arg(&path)
            .fails(3)
            .says("is not good");
        let second = Cluster::start();
        second.sql("postgres", "create role app");
        for args in [
            &["--list"][..],
            &["--database", "one", "--as", "x"],
            &[],
            &["--", "cat"],
        ] {
            let seen = Program::new("restore-stream")
                .arg(&path)
                .args(args)
                .on(&second)
                .run();
            assert_eq!(seen.code(), Some(3), "{args:?}\n{seen}");
        }
        Program::new("blob-put")
            .arg(&path)
            .arg(dir.make("other"))
            .fails(3)
            .says("nothing was published");
        assert_eq!(second.databases(), ["postgres"]);
    }
}
