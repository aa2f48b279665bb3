//! One database restored by several sessions is the database that one session restores.

use std::path::{Path, PathBuf};

use e2e::{Chance, Cluster, Program, Scratch, Seen, Version, backup, compare, sample};
use serde_json::Value;

/// What several sessions could get in each other's way with. The tablespace is made before.
const INTRICATE: &str = include_str!("parallel_restore/intricate.sql");

fn intricate(cluster: &Cluster) {
    make_tablespace(cluster);
    sample::load(cluster, INTRICATE);
}

fn make_tablespace(cluster: &Cluster) {
    let place = cluster.server_dir("fast");
    let sql = format!("create tablespace fast location '{}'", place.display());
    cluster.sql("postgres", &sql);
}

pub(crate) fn restore(backup: &Path, database: &str, name: &str, jobs: &str) -> Program {
    Program::new("restore-stream").arg(backup).args([
        "--database",
        database,
        "--as",
        name,
        "--jobs",
        jobs,
    ])
}

/// How many sessions restored it, and how many of its statements were not recognised.
fn sessions(seen: &Seen) -> (u64, u64) {
    let said: Value = serde_json::from_str(&seen.out()).unwrap();
    let database = &said["databases"][0];
    let number = |key: &str| database[key].as_u64().unwrap();
    (number("sessions"), number("unrecognised"))
}

/// Restores a database beside itself, and compares the two.
fn beside(cluster: &Cluster, backup: &Path, database: &str, options: &[&str]) -> Seen {
    let wanted = cluster.dump_one(database);
    let seen = restore(backup, database, "copy", options[0])
        .args(&options[1..])
        .arg("--json")
        .on(cluster)
        .succeeds();
    let shown = format!("{database} with --jobs {options:?}");
    let found = cluster.dump_one("copy");
    compare::same_text((database, &wanted), (&shown, &found));
    cluster.sql("postgres", "drop database copy");
    seen
}

#[test]
fn several_sessions_restore_what_one_restores() {
    let cluster = Cluster::start();
    sample::odd(&cluster);
    intricate(&cluster);
    let dir = Scratch::new();
    let path = backup::dump(&cluster, dir.path());
    let mut chance = Chance::new();
    for database in ["everything", "intricate"] {
        let alone = beside(&cluster, &path, database, &["1"]);
        assert_eq!(sessions(&alone), (1, 0));
        for jobs in ["2", "8"] {
            let seen = beside(&cluster, &path, database, &[jobs]);
            let (count, unrecognised) = sessions(&seen);
            assert!(count > 1 && unrecognised == 0, "{seen}");
        }
        // In any order in which they may come.
        for _ in 0..4 {
            let order = chance.below(1 << 30).to_string();
            beside(&cluster, &path, database, &["3", "--unit-order", &order]);
        }
    }
    // All databases, into another cluster.
    let other = Cluster::start();
    make_tablespace(&other);
    Program::new("restore-stream")
        .arg(&path)
        .args(["--jobs", "3"])
        .on(&other)
        .succeeds();
    let all = |cluster: &Cluster| cluster.dump_all(&["--no-tablespaces"]);
    compare::same_text(("the first", &all(&cluster)), ("the second", &all(&other)));
}

#[test]
fn all_versions_and_rows_through_the_root() {
    let mut chance = Chance::new();
    for version in Version::installed() {
        println!("{version}");
        let cluster = Cluster::of(version);
        intricate(&cluster);
        let dir = Scratch::new();
        let path = backup::dump(&cluster, dir.path());
        for jobs in ["1", "2", "8"] {
            let order = chance.below(1 << 30).to_string();
            let seen = beside(
                &cluster,
                &path,
                "intricate",
                &[jobs, "--unit-order", &order],
            );
            assert_eq!(sessions(&seen).1, 0, "{seen}");
        }
        // pg_dumpall as a command: its output has an index and maps too.
        let by_root = dir.join("root.sql.gz");
        Program::new("pgdump-gz")
            .on(&cluster)
            .args(["--", "pg_dumpall", "--load-via-partition-root"])
            .stdout_file(&by_root)
            .succeeds();
        beside(&cluster, &by_root, "intricate", &["3"]);
    }
}

/// Two sessions make what one makes of a database, and nothing holds them up.
fn made_by_two_sessions(cluster: &Cluster, make: &str) {
    cluster.sql("postgres", "create database many");
    cluster.sql("many", make);
    let dir = Scratch::new();
    let path = backup::dump(cluster, dir.path());
    let seen = beside(cluster, &path, "many", &["2"]);
    assert_eq!(sessions(&seen), (2, 0));
}

#[test]
fn hundreds_of_tables_with_indexes() {
    let cluster = Cluster::start();
    let make = "do $$ begin for i in 1..300 loop
        execute format('create table t%s (id integer primary key, t text unique)', i);
        execute format('insert into t%s select i, i from generate_series(1, %s) i', i, 1 + i % 5);
        execute format('create index on t%s (t)', i);
        execute format('comment on index t%s_t_idx is %L', i, 'of ' || i);
    end loop; end $$";
    made_by_two_sessions(&cluster, make);
}

#[test]
fn twenty_thousand_tables() {
    let locks = "max_locks_per_transaction = 1000";
    let cluster = Cluster::with(Version::debian(), &[], locks);
    let make = "do $$ begin for i in 1..20000 loop
        execute format('create table t%s (i integer)', i);
        execute format('insert into t%s values (%s)', i, i);
    end loop; end $$";
    made_by_two_sessions(&cluster, make);
}

#[test]
fn frozen_rows_leave_nothing_to_a_vacuum() {
    let cluster = Cluster::start();
    cluster.sql("postgres", "create database big");
    cluster.sql(
        "big",
        "create extension pg_visibility;
         create table t as select i, md5(i::text) as t from generate_series(1, 20000) i;
         create table small as select 1 as one",
    );
    let dir = Scratch::new();
    let path = backup::dump(&cluster, dir.path());
    let frozen = |table: &str| {
        let sql = format!(
            "select all_frozen = pg_relation_size('{table}') / 8192
             from pg_visibility_map_summary('{table}')"
        );
        cluster.sql("copy", &sql)
    };
    for jobs in ["1", "2"] {
        restore(&path, "big", "copy", jobs).on(&cluster).succeeds();
        assert_eq!((frozen("t"), frozen("small")), ("t".into(), "f".into()));
        assert_eq!(cluster.sql("copy", "select count(*) from t"), "20000");
        cluster.sql("postgres", "drop database copy");
    }
}

/// A backup of what a script writes.
pub(crate) fn made_by(cluster: &Cluster, script: &str, dir: &Scratch) -> PathBuf {
    let path = dir.join("made.sql.gz");
    Program::new("pgdump-gz")
        .on(cluster)
        .args(["--", "sh", "-c", script])
        .stdout_file(&path)
        .succeeds();
    path
}

#[test]
fn what_is_not_recognised_keeps_its_place() {
    let cluster = Cluster::start();
    cluster.sql("postgres", "create database odd");
    cluster.sql(
        "odd",
        "create table a (id integer primary key); create table b (id integer);
         insert into a select generate_series(1, 100); insert into b select generate_series(1, 100)",
    );
    let dir = Scratch::new();
    for (place, count) in [("CREATE TABLE public.b ", 1), ("-- Name: a a_pkey", 2)] {
        let script = format!("pg_dumpall | sed -e 's/^{place}/SELECT 1;\\n&/'");
        let path = made_by(&cluster, &script, &dir);
        let seen = restore(&path, "odd", "copy", "2")
            .arg("--json")
            .on(&cluster)
            .succeeds();
        let (sessions, unrecognised) = sessions(&seen);
        assert!(sessions <= count && unrecognised == 1, "{seen}");
        seen.says("not recognised as pg_dump's");
        compare::same_databases((&cluster, "odd"), (&cluster, "copy"));
        cluster.sql("postgres", "drop database copy");
    }
}
