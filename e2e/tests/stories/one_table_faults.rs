//! One table: on every version of PostgreSQL, and whatever happens to `--into-table` on the way. It is one transaction:
//! the new table is there whole, or not at all.

use std::fs;
use std::path::{Path, PathBuf};

use e2e::{
    Azurite, Chance, Cluster, Program, Proxy, Running, Scratch, Version, backup, sample, wait_for,
};
use rustix::process::Signal;

/// Each kind of step can be held up, by the setting `e2e.pause_at` of the role that restores: an event trigger holds up
/// CREATE TABLE, a check the rows, and a deferred trigger COMMIT.
const PAUSING: &str = r#"
create database shop;
\connect shop
create function pause(place text) returns boolean language plpgsql as $$
begin
    if current_setting('e2e.pause_at', true) = place then perform pg_catalog.pg_sleep(600); end if;
    return true;
end $$;
create table users (id integer, name text, check (public.pause('rows')));
insert into users select i, md5(i::text) || md5((i * 7)::text) from generate_series(1, 40000) i;
create table created (tag text);
create function commits() returns trigger language plpgsql as $$ begin perform public.pause('commit'); return null; end $$;
create constraint trigger at_commit after insert on created deferrable initially deferred
    for each row execute function commits();
create function creates() returns event_trigger language plpgsql as $$
begin
    perform public.pause('create');
    insert into public.created values (tg_tag);
end $$;
create event trigger creates on ddl_command_end when tag in ('CREATE TABLE') execute function creates();
"#;

const STEPS: [&str; 3] = ["create", "rows", "commit"];

/// The sessions of restores.
const OURS: &str = "application_name like 'restore-stream%'";

struct Ground {
    cluster: Cluster,
    dir: Scratch,
    path: PathBuf,
    before: Vec<u8>,
}

impl Ground {
    fn new() -> Self {
        let cluster = Cluster::start();
        sample::load(&cluster, PAUSING);
        let dir = Scratch::new();
        let path = backup::dump(&cluster, dir.path());
        let before = cluster.dump_one("shop");
        Self {
            cluster,
            dir,
            path,
            before,
        }
    }

    fn restore(&self, from: impl AsRef<Path>) -> Program {
        Program::new("restore-stream")
            .arg(from.as_ref())
            .args(["--database", "shop", "--table", "users"])
            .args(["--into-table", "again"])
            .on(&self.cluster)
    }

    fn pause_at(&self, step: &str) {
        let set = format!("alter role postgres set e2e.pause_at = '{step}'");
        self.cluster.sql("postgres", &set);
    }

    /// Restores up to a step.
    fn paused(&self, step: &str) -> Running {
        self.pause_at(step);
        let running = self.restore(&self.path).spawn();
        let pauses = format!(
            "select count(*) from pg_stat_activity where wait_event = 'PgSleep' and {OURS}"
        );
        wait_for("the pause", || {
            (self.cluster.sql("postgres", &pauses) != "0").then_some(())
        });
        running
    }

    /// Ends its sessions on the server.
    fn end_sessions(&self) {
        let end = format!("select pg_terminate_backend(pid) from pg_stat_activity where {OURS}");
        self.cluster.sql("postgres", &end);
    }

    /// No session is left, and the database is what it was.
    #[track_caller]
    fn is_intact(&self, what: &str) {
        let ours = format!("select count(*) from pg_stat_activity where {OURS}");
        wait_for("the end of all sessions", || {
            (self.cluster.sql("postgres", &ours) == "0").then_some(())
        });
        assert!(self.cluster.dump_one("shop") == self.before, "{what}");
    }
}

#[test]
fn stopped_at_any_step_it_leaves_nothing() {
    let mut ground = Ground::new();
    for step in STEPS {
        // By a signal: it waits until the server has taken all of it back.
        let running = ground.paused(step);
        running.signal(Signal::TERM);
        let seen = running.wait();
        assert_eq!(seen.code(), Some(143), "{step}\n{seen}");
        ground.is_intact(step);

        // psql alone.
        let running = ground.paused(step);
        for child in running.children() {
            rustix::process::kill_process(child, Signal::KILL).unwrap();
        }
        let seen = running.wait();
        assert_eq!(seen.code(), Some(1), "{step}\n{seen}");
        ground.is_intact(step);

        // The session on the server.
        let running = ground.paused(step);
        ground.end_sessions();
        let seen = running.wait();
        assert_eq!(seen.code(), Some(1), "{step}\n{seen}");
        ground.is_intact(step);

        // The program itself: nobody waits for the server, which stops when it misses its client.
        let running = ground.paused(step);
        running.signal(Signal::KILL);
        assert_eq!(running.wait().code(), None);
        ground.end_sessions();
        ground.is_intact(step);

        // The server.
        let running = ground.paused(step);
        ground.cluster.stop();
        let seen = running.wait();
        assert_eq!(seen.code(), Some(1), "{step}\n{seen}");
        ground.cluster.go();
        ground.is_intact(step);
    }
    // What is lost with the answer to COMMIT may be there.
    let running = ground.paused("commit");
    ground.cluster.stop();
    running
        .wait()
        .says("see whether \"public\".\"again\" is there");
    ground.cluster.go();
    ground.pause_at("nowhere");
    ground.restore(&ground.path).succeeds();
    let count = ground.cluster.sql("shop", "select count(*) from again");
    assert_eq!(count, "40000");
}

#[test]
fn a_statement_that_fails_at_any_step_leaves_nothing() {
    let ground = Ground::new();
    let fail = |place: &str| {
        let sql = format!(
            "create or replace function pause(place text) returns boolean language plpgsql as $$
             begin if place = '{place}' then raise exception 'no %', place; end if; return true; end $$"
        );
        ground.cluster.sql("shop", &sql);
    };
    for step in STEPS {
        fail(step);
        let seen = ground.restore(&ground.path).fails(1);
        seen.says(&format!("no {step}"));
        fail("nowhere");
        let there = "select count(*) from pg_class where relname = 'again'";
        assert_eq!(ground.cluster.sql("shop", there), "0", "{step}");
        assert_eq!(
            ground.cluster.sql("shop", "select count(*) from created"),
            "0"
        );
    }
}

#[test]
fn cut_and_changed_anywhere_it_leaves_nothing() {
    let ground = Ground::new();
    let bytes = fs::read(&ground.path).unwrap();
    let mut chance = Chance::new();
    // A file that ends early has no index.
    for _ in 0..3 {
        let cut = &bytes[..chance.below(bytes.len())];
        let seen = ground.restore(ground.dir.write("cut.sql.gz", cut)).run();
        assert!(
            matches!(seen.code(), Some(1 | 3)),
            "{} bytes\n{seen}",
            cut.len()
        );
    }
    ground.is_intact("a cut file");

    // A store that is gone at every kind of its requests.
    let azurite = Azurite::shared();
    let container = azurite.container();
    let name = ground.path.file_name().unwrap().to_string_lossy();
    container.write(&name, &bytes);
    let through = |proxy: &Proxy| {
        ground
            .restore(format!("{}/{name}", container.url_at(proxy.port())))
            .args(["--deadline", "1s"])
            .env("AZURE_STORAGE_SAS_TOKEN", container.token())
    };
    let proxy = Proxy::to(azurite.port());
    // It reads on where it was.
    proxy.cut("GET", 1, 1000);
    through(&proxy).succeeds();
    assert_eq!(proxy.cuts_left(), 0);
    ground
        .cluster
        .sql("shop", "drop table again; truncate created");
    let reads: Vec<u64> = proxy.requests().iter().map(|it| it.asked).collect();
    let mut before = 0;
    for read in reads {
        let proxy = Proxy::to(azurite.port());
        proxy.gone_after(before + read / 2);
        before += read;
        let seen = through(&proxy).run();
        if proxy.is_gone() {
            assert_eq!(seen.code(), Some(1), "after {before} bytes\n{seen}");
            ground.is_intact("a store that is gone");
        } else {
            // Its end was left over.
            assert_eq!(seen.code(), Some(0), "{seen}");
            ground
                .cluster
                .sql("shop", "drop table again; truncate created");
        }
    }
}

/// What a table may have on one version and not on another, and names that could be taken for something else.
const ODD: &str = r#"
create database odd;
\connect odd
create schema "Über.uns";
create table "Über.uns"."a ""b"" 😀" (
    id integer generated always as identity primary key,
    "from" text collate "C" default 'x;y',
    twice integer generated always as (2 * length("from")) stored,
    at timestamptz default now(),
    check ("from" <> ');')
);
insert into "Über.uns"."a ""b"" 😀" ("from") select E'a\tb\\N\n\\.' || i from generate_series(1, 300) i;
create table parts (id integer not null, what text) partition by list (id);
create table part_one partition of parts for values in (1);
create table part_rest partition of parts default;
insert into parts select i % 4, repeat('y', i % 50) from generate_series(1, 400) i;
create unlogged table other (id integer);
insert into other values (1);
"#;

#[test]
fn on_every_version() {
    for version in Version::installed() {
        println!("{version}");
        let cluster = Cluster::of(version);
        sample::load(&cluster, ODD);
        let dir = Scratch::new();
        let path = backup::dump(&cluster, dir.path());
        let restore = |options: &[&str]| {
            Program::new("restore-stream")
                .arg(&path)
                .args(["--database", "odd"])
                .args(options)
                .on(&cluster)
                .succeeds()
        };
        let name = "\"Über.uns\".\"a \"\"b\"\" 😀\"";
        let rows = |database: &str, table: &str| {
            let sql = format!(
                "select md5(string_agg(it::text, ',' order by it::text)), count(*) from {table} as it"
            );
            cluster.sql(database, &sql)
        };
        restore(&["--as", "part", "--table", name, "--table", "parts"]);
        assert_eq!(rows("part", name), rows("odd", name));
        assert_eq!(rows("part", "parts"), rows("odd", "parts"));
        assert_eq!(cluster.sql("part", "select count(*) from other"), "0");
        let schema = |database: &str| {
            let args = ["--schema-only", "--restrict-key=x", "--dbname", database];
            let pg_dump = Program::other(cluster.version().bin().join("pg_dump"));
            pg_dump.on(&cluster).args(args).succeeds().out()
        };
        let before = schema("odd");
        assert_eq!(schema("part"), before);

        restore(&["--table", name, "--into-table", "\"new; one\""]);
        restore(&["--table", "parts", "--into-table", "all_parts"]);
        let new = "\"Über.uns\".\"new; one\"";
        assert_eq!(rows("odd", new), rows("odd", name));
        assert_eq!(rows("odd", "all_parts"), rows("odd", "parts"));
        cluster.sql("odd", &format!("drop table {new}, all_parts"));
        assert_eq!(schema("odd"), before);
    }
}
