//! Whatever happens to a restore by several sessions on its way, it is all or nothing.

use std::fs;
use std::path::{Path, PathBuf};

use e2e::{
    Azurite, Chance, Cluster, Program, Proxy, Running, Scratch, backup, compare, sample, wait_for,
};
use rustix::process::Signal;
use serde_json::Value;

use crate::parallel_restore::{made_by, restore};

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
create function compare(a integer, b integer) returns integer language plpgsql immutable as $$
begin
    perform public.pause('foreign key', 1);
    return pg_catalog.btint4cmp(a, b);
end $$;
create function same(a integer, b integer) returns boolean language sql immutable as 'select public.compare($1, $2) = 0';
create operator === (leftarg = integer, rightarg = integer, function = same, commutator = ===);
create operator class slow for type integer using btree as
    operator 1 <, operator 2 <=, operator 3 ===, operator 4 >=, operator 5 >, function 1 compare(integer, integer);
-- One row: it is compared with nothing before the foreign key asks for it.
create table target (id integer);
insert into target values (1);
create unique index on target (id slow);
create table points (id integer references target (id));
insert into points values (1);
create materialized view seen as select public.pause('view', 1);
"#;

/// Where it can pause.
const PLACES: [&str; 5] = ["rows", "index", "constraint", "foreign key", "view"];

/// The sessions of restores.
const OURS: &str = "application_name like 'restore-stream%'";

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

        // The server. What is left is dropped by the next restore.
        let running = paused(&cluster, &path, place);
        cluster.stop();
        let seen = running.wait();
        assert_eq!(seen.code(), Some(1), "{place}\n{seen}");
        cluster.go();
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
}

#[test]
fn a_store_that_is_gone_leaves_nothing() {
    let (cluster, _dir, path) = pausing();
    cluster.sql("postgres", "create database copy");
    cluster.sql("copy", "create table old as select 1 as one");
    let azurite = Azurite::shared();
    let container = azurite.container();
    let name = path.file_name().unwrap().to_string_lossy();
    container.write(&name, &fs::read(&path).unwrap());
    let restore = |proxy: &Proxy| {
        let url = format!("{}/{name}", container.url_at(proxy.port()));
        replace(Path::new(&url))
            .args(["--deadline", "1s"])
            .env("AZURE_STORAGE_SAS_TOKEN", container.token())
            .on(&cluster)
    };
    // All that is read of it, and that it is read on where a connection was cut.
    let proxy = Proxy::to(azurite.port());
    proxy.cut("GET", 2, 500);
    restore(&proxy).succeeds();
    assert_eq!(proxy.cuts_left(), 0);
    cluster.sql("copy", "create table old as select 1 as one");
    let all: u64 = proxy.requests().iter().map(|it| it.asked).sum();
    let mut chance = Chance::new();
    let mut gone = 0;
    for _ in 0..8 {
        let proxy = Proxy::to(azurite.port());
        proxy.gone_after(chance.below(usize::try_from(all).unwrap()) as u64);
        let seen = restore(&proxy).run();
        if !proxy.is_gone() {
            // What a connection that was cut had asked for was asked for twice: less was enough.
            assert_eq!(seen.code(), Some(0), "{seen}");
            cluster.sql("copy", "create table old as select 1 as one");
            continue;
        }
        gone += 1;
        assert_eq!(seen.code(), Some(1), "{seen}");
        nothing_is_left(&cluster, &["copy", "pausing", "postgres"]);
        assert_eq!(cluster.sql("copy", "select one from old"), "1");
    }
    assert!(gone > 0);
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
