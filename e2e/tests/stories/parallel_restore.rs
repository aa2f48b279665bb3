//! One database restored by several sessions is the database that one session restores; and whatever happens to it on the
//! way, it is all or nothing.

use std::fs;
use std::path::{Path, PathBuf};

use e2e::{
    Chance, Cluster, Program, Running, Scratch, Seen, Version, backup, compare, sample, wait_for,
};
use rustix::process::Signal;
use serde_json::Value;

/// What several sessions could get in each other's way with. The tablespace is made before.
const INTRICATE: &str = include_str!("parallel_restore/intricate.sql");

/// Work of each kind that can be held up: by the setting `e2e.pause_at` of the role that restores.
const PAUSING: &str = r#"
create database pausing;
\connect pausing
create function pause(place text, n integer) returns integer language plpgsql immutable as $$
begin
    if current_setting('e2e.pause_at', true) = place then perform pg_catalog.pg_sleep(600); end if;
    return n;
end $$;
create table many (id integer primary key, t text);
insert into many select i, repeat('x', 100) from generate_series(1, 5000) i;
create table early (id integer, check (public.pause('rows', id) > 0));
insert into early values (1);
create table indexed (id integer);
insert into indexed values (1), (2);
create index slow on indexed (public.pause('index', id));
create table excluding (id integer, exclude using btree ((public.pause('constraint', id)) with =));
insert into excluding values (1);
create table refers (id integer references many);
insert into refers select i from generate_series(1, 100) i;
create materialized view seen as select public.pause('view', 1);
"#;

/// Where it can pause.
const PLACES: [&str; 4] = ["rows", "index", "constraint", "view"];

/// The sessions of restores.
const OURS: &str = "application_name like 'restore-stream%'";

fn intricate(cluster: &Cluster) {
    make_tablespace(cluster);
    sample::load(cluster, INTRICATE);
}

fn make_tablespace(cluster: &Cluster) {
    let place = cluster.server_dir("fast");
    let sql = format!("create tablespace fast location '{}'", place.display());
    cluster.sql("postgres", &sql);
}

fn restore(backup: &Path, database: &str, name: &str, jobs: &str) -> Program {
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
    for version in Version::installed() {
        println!("{version}");
        let cluster = Cluster::of(version);
        intricate(&cluster);
        let dir = Scratch::new();
        let path = backup::dump(&cluster, dir.path());
        let seen = beside(&cluster, &path, "intricate", &["3"]);
        assert_eq!(sessions(&seen).1, 0, "{seen}");
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

#[test]
fn hundreds_of_tables() {
    let cluster = Cluster::start();
    cluster.sql("postgres", "create database many");
    let make = "do $$ begin for i in 1..300 loop
        execute format('create table t%s (id integer primary key, t text unique)', i);
        execute format('insert into t%s select i, i from generate_series(1, %s) i', i, 1 + i % 5);
        execute format('create index on t%s (t)', i);
        execute format('comment on index t%s_t_idx is %L', i, 'of ' || i);
    end loop; end $$";
    cluster.sql("many", make);
    let dir = Scratch::new();
    let path = backup::dump(&cluster, dir.path());
    let seen = beside(&cluster, &path, "many", &["2"]);
    assert_eq!(sessions(&seen), (2, 0));
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
    restore(&path, "big", "copy", "2").on(&cluster).succeeds();
    let frozen = |table: &str| {
        let sql = format!(
            "select all_frozen = pg_relation_size('{table}') / 8192
             from pg_visibility_map_summary('{table}')"
        );
        cluster.sql("copy", &sql)
    };
    assert_eq!((frozen("t"), frozen("small")), ("t".into(), "f".into()));
    assert_eq!(cluster.sql("copy", "select count(*) from t"), "20000");
}

/// A backup of what a script writes.
fn made_by(cluster: &Cluster, script: &str, dir: &Scratch) -> PathBuf {
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

/// Restores it by two sessions in the place of what is there.
fn replace(path: &Path) -> Program {
    restore(path, "pausing", "copy", "2").args(["--replace", "--drop-old", "--yes"])
}

/// Does so up to the pause in one of the sessions.
fn paused(cluster: &Cluster, path: &Path, place: &str) -> Running {
    let set = format!("alter role postgres set e2e.pause_at = '{place}'");
    cluster.sql("postgres", &set);
    let running = replace(path).on(cluster).spawn();
    let pauses =
        format!("select count(*) from pg_stat_activity where wait_event = 'PgSleep' and {OURS}");
    wait_for("the pause", || {
        (cluster.sql("postgres", &pauses) != "0").then_some(())
    });
    running
}

/// No session of a restore is left, and no other database than these.
fn nothing_is_left(cluster: &Cluster, names: &[&str]) {
    let ours = format!("select count(*) from pg_stat_activity where {OURS}");
    wait_for("the end of all sessions", || {
        (cluster.sql("postgres", &ours) == "0").then_some(())
    });
    assert_eq!(cluster.databases(), names);
}

fn pausing() -> (Cluster, Scratch, PathBuf) {
    let cluster = Cluster::start();
    sample::load(&cluster, PAUSING);
    let dir = Scratch::new();
    let path = backup::dump(&cluster, dir.path());
    (cluster, dir, path)
}

#[test]
fn killed_in_any_kind_of_work_it_leaves_nothing() {
    let (mut cluster, _dir, path) = pausing();
    cluster.sql("postgres", "create database copy");
    cluster.sql("copy", "create table old as select 1 as one");
    let names = ["copy", "pausing", "postgres"];
    let end = |condition: &str| {
        format!("select pg_terminate_backend(pid) from pg_stat_activity where {condition}")
    };
    for place in PLACES {
        // By a signal.
        let running = paused(&cluster, &path, place);
        running.signal(Signal::TERM);
        let seen = running.wait();
        assert_eq!(seen.code(), Some(143), "{place}\n{seen}");
        nothing_is_left(&cluster, &names);
        assert_eq!(cluster.sql("copy", "select one from old"), "1");

        // One session on the server.
        let running = paused(&cluster, &path, place);
        cluster.sql(
            "postgres",
            &end(&format!("wait_event = 'PgSleep' and {OURS}")),
        );
        let seen = running.wait();
        assert_eq!(seen.code(), Some(1), "{place}\n{seen}");
        nothing_is_left(&cluster, &names);
        assert_eq!(cluster.sql("copy", "select one from old"), "1");
    }
    // The program itself: the next restore sweeps.
    let running = paused(&cluster, &path, "index");
    running.signal(Signal::KILL);
    assert_eq!(running.wait().code(), None);
    cluster.sql("postgres", "alter role postgres reset e2e.pause_at");
    cluster.sql("postgres", &end(OURS));
    replace(&path).on(&cluster).succeeds();
    nothing_is_left(&cluster, &names);
    compare::same_databases((&cluster, "pausing"), (&cluster, "copy"));

    // The server.
    let running = paused(&cluster, &path, "rows");
    cluster.stop();
    let seen = running.wait();
    assert_eq!(seen.code(), Some(1), "{seen}");
    cluster.go();
    cluster.sql("postgres", "alter role postgres reset e2e.pause_at");
    replace(&path).on(&cluster).succeeds();
    nothing_is_left(&cluster, &names);
    compare::same_databases((&cluster, "pausing"), (&cluster, "copy"));
}

#[test]
fn a_statement_that_fails_is_named_and_nothing_is_left() {
    let cluster = Cluster::start();
    cluster.sql("postgres", "create database shop");
    cluster.sql(
        "shop",
        "create table a (id integer); insert into a select generate_series(1, 1000);
         create table b (id integer); insert into b select generate_series(1, 1000);
         create index once on b ((id / 2))",
    );
    let dir = Scratch::new();
    let path = made_by(
        &cluster,
        "pg_dumpall | sed -e 's/^CREATE INDEX once/CREATE UNIQUE INDEX once/'",
        &dir,
    );
    let seen = restore(&path, "shop", "copy", "3")
        .arg("--json")
        .on(&cluster)
        .fails(1);
    seen.says("CREATE UNIQUE INDEX once ON public.b");
    let said: Value = serde_json::from_str(&seen.out()).unwrap();
    assert_eq!(said["failure"]["sqlstate"], "23505");
    nothing_is_left(&cluster, &["postgres", "shop"]);
    // One session, which goes on.
    restore(&path, "shop", "copy", "3")
        .args(["--on-error", "continue"])
        .on(&cluster)
        .fails(1)
        .says("one session restores it")
        .says("1 of ");
}

#[test]
fn a_changed_byte_anywhere_is_found() {
    let (cluster, dir, path) = pausing();
    let bytes = fs::read(&path).unwrap();
    let text = backup::gunzip(&path);
    let (_, index) = backup::divide(&text);
    let sections = backup::sections(index);
    let section = sections.iter().find(|it| it.name == "pausing").unwrap();
    let [offset, length] = [section.offset, section.length].map(|it| usize::try_from(it).unwrap());
    let mut chance = Chance::new();
    for _ in 0..12 {
        let at = offset + chance.below(length);
        let mut changed = bytes.clone();
        changed[at] ^= 1 << chance.below(8);
        let bad = dir.write("changed.sql.gz", &changed);
        let seen = restore(&bad, "pausing", "copy", "2").on(&cluster).run();
        assert_eq!(seen.code(), Some(3), "byte {at}\n{seen}");
        nothing_is_left(&cluster, &["pausing", "postgres"]);
    }
}

#[test]
fn the_restore_test_takes_several_sessions() {
    let (cluster, _dir, path) = pausing();
    Program::new("backup-verify")
        .arg(&path)
        .args(["--restore-test", "--jobs", "2"])
        .on(&cluster)
        .succeeds();
}
