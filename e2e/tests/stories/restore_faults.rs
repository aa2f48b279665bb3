//! Whatever is cut, changed, killed or stopped while `restore-stream --replace` runs: it never says that
//! it succeeded, and the database that was there is as it was.

use std::fs::{self, File};
use std::io::Write;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use e2e::volume::as_root;
use e2e::{
    Azurite, Chance, Cluster, Moments, Program, Proxy, Scratch, Seen, Volume, backup, sample,
    wait_for,
};
use rustix::process::{Pid, Signal};
use serde_json::Value;

const NAME: &str = "postgresql_backup_20250101_000000.sql.gz";

/// Every kind of statement that a dump has and that can be cut in its middle.
const SHOP: &str = r#"
create role keeper;
create database shop owner keeper;
create database other;
comment on database shop is 'orders; and
-- Database "other" dump';
alter database shop set work_mem = '5MB';
grant connect on database shop to keeper;
\connect shop
create extension pg_trgm;
create type mood as enum ('sad', 'so; so', 'happy');
create table orders (id integer primary key, what text not null, mood mood default 'sad');
insert into orders select i, 'order ' || i || E'\n\\.\n', 'happy' from generate_series(1, 3000) i;
create table lines (id integer references orders, note text);
insert into lines select i % 3000 + 1, repeat('x', 40) from generate_series(1, 4000) i;
create index on lines (note);
create view happy as select * from orders where mood = 'happy';
create function plain() returns text language sql as $_$ select 'a;
b'::text; $_$;
create function atomic() returns bigint language sql begin atomic select 1; select count(*) from orders; end;
select lo_from_bytea(4711, 'a large object');
create sequence counter;
select nextval('counter');
create materialized view matters as select count(*) from orders;
\connect other
create table t as select 1 as one;
"#;

/// The cluster that the backups are of.
fn first() -> Cluster {
    let cluster = Cluster::start();
    sample::load(&cluster, SHOP);
    cluster
}

/// A cluster with another `shop`, which must not be harmed.
struct Victim {
    cluster: Cluster,
    before: Vec<u8>,
}

impl Victim {
    fn new() -> Self {
        let cluster = Cluster::start();
        cluster.sql("postgres", "create role keeper");
        cluster.sql("postgres", "create database shop");
        cluster.sql("shop", "create table precious as select 'old' as precious");
        let before = cluster.dump_one("shop");
        Self { cluster, before }
    }

    fn restore(&self, backup: &Path) -> Program {
        Program::new("restore-stream")
            .arg(backup)
            .args(["--database", "shop", "--replace", "--yes"])
            .on(&self.cluster)
    }

    /// As it was, and nothing beside it.
    #[track_caller]
    fn is_intact(&self, seen: &Seen) {
        assert_eq!(self.cluster.databases(), ["postgres", "shop"], "{seen}");
        assert!(self.cluster.dump_one("shop") == self.before, "{seen}");
    }

    /// It has become the restored one, and the old one is kept: puts the old one back.
    #[track_caller]
    fn was_replaced(&self, seen: &Seen) {
        let names = self.cluster.databases();
        let kept = names.iter().find(|name| name.starts_with("shop_replaced_"));
        let kept = kept.unwrap_or_else(|| panic!("{names:?}\n{seen}"));
        let orders = self.cluster.sql(
            "shop",
            "select count(*) from orders, pg_index where indexrelid = 'orders_pkey'::regclass",
        );
        assert_eq!(orders, "3000", "{seen}");
        self.cluster.sql("postgres", "drop database shop");
        let back = format!("alter database {} rename to shop", sample::identifier(kept));
        self.cluster.sql("postgres", &back);
        self.is_intact(seen);
    }
}

fn gzipped(dir: &Scratch, sql: &[u8]) -> PathBuf {
    let path = dir.join(NAME);
    Program::other("gzip")
        .arg("-c1")
        .stdin(sql)
        .stdout_file(&path)
        .succeeds();
    path
}

fn find(text: &[u8], words: &str) -> usize {
    text.windows(words.len())
        .position(|window| window == words.as_bytes())
        .unwrap_or_else(|| panic!("no {words:?} in the dump"))
}

/// The SQL was cut before it was compressed, as `pg_dumpall | gzip` does when pg_dumpall fails: no
/// checksum tells.
#[test]
fn a_dump_that_was_cut_before_it_was_compressed() {
    let sql = first().dump_all::<&str>(&[]);
    let victim = Victim::new();
    let dir = Scratch::new();
    victim.was_replaced(&victim.restore(&gzipped(&dir, &sql)).succeeds());
    let after = |words: &str| find(&sql, words) + words.len();
    let mut cuts = vec![
        after("FROM stdin;\n"),
        after("FROM stdin;\n1\torder 1\\n\\\\.\\n\thappy\n"),
        after("FROM stdin;\n1\torder 1"),
        after("\n100\torder 100\\n\\\\.\\n\thappy\n"),
        after("CREATE FUNCTION public.plain()"),
        after("select 'a;\n"),
        after("BEGIN ATOMIC\n SELECT 1;\n"),
        after("CREATE DATABASE shop"),
        after("\\connect shop\n"),
        after("\\connect sh"),
        after("COMMENT ON DATABASE shop IS 'orders; and\n"),
        after("CREATE TYPE public.mood AS ENUM ("),
        after("CREATE VIEW public.happy AS\n"),
        after("lo_create('4711');\n"),
        find(&sql, "CREATE INDEX"),
        find(&sql, "ALTER TABLE ONLY public.orders\n    ADD CONSTRAINT"),
        find(&sql, "REFRESH MATERIALIZED VIEW"),
        find(&sql, "--\n-- PostgreSQL database cluster dump complete"),
        find(&sql, " complete\n--\n\n\\unrestrict"),
        // Between databases: all of `shop` is there, but the dump did not end.
        sql.windows(17)
            .rposition(|window| window == b"\\unrestrict e2e\n\n")
            .unwrap(),
    ];
    let mut chance = Chance::new();
    cuts.extend((0..12).map(|_| chance.below(sql.len() - 1)));
    for cut in cuts {
        let seen = victim.restore(&gzipped(&dir, &sql[..cut])).run();
        let shown = String::from_utf8_lossy(&sql[cut.saturating_sub(60)..cut]);
        assert_eq!(seen.code(), Some(3), "cut after {shown:?}\n{seen}");
        victim.is_intact(&seen);
    }
}

#[test]
fn a_backup_that_is_cut_or_changed() {
    let dir = Scratch::new();
    let good = fs::read(backup::dump(&first(), dir.path())).unwrap();
    let victim = Victim::new();
    let damaged = Scratch::new();
    let mut chance = Chance::new();
    for round in 0..24 {
        let mut bytes = good.clone();
        let place = chance.below(good.len());
        match round % 2 {
            0 => bytes[place] ^= 1 << chance.below(8),
            _ => bytes.truncate(place),
        }
        let path = damaged.write(NAME, &bytes);
        let seen = match round % 3 {
            // From a pipe, where nothing can be looked at first.
            0 => victim.restore(Path::new("-")).stdin_file(&path).run(),
            _ => victim.restore(&path).run(),
        };
        // A part that is not read may be damaged: of a file, only that database's part is.
        if seen.code() == Some(0) && round % 3 != 0 {
            victim.was_replaced(&seen);
            continue;
        }
        assert_eq!(seen.code(), Some(3), "round {round}, byte {place}\n{seen}");
        victim.is_intact(&seen);
    }
}

/// A changed byte in another program's backup is seen at its end only.
#[test]
fn another_program_s_backup_that_is_changed() {
    let dir = Scratch::new();
    let sql = first().dump_all::<&str>(&[]);
    let good = fs::read(gzipped(&dir, &sql)).unwrap();
    let victim = Victim::new();
    let mut chance = Chance::new();
    for _ in 0..10 {
        let mut bytes = good.clone();
        // Not in the header, most of which means nothing.
        let place = 10 + chance.below(good.len() - 10);
        bytes[place] ^= 1 << chance.below(8);
        let path = dir.write(NAME, &bytes);
        let plain = Program::other("gzip").arg("-dc").arg(&path).run();
        if plain.code() == Some(0) && plain.stdout == sql {
            // A bit that means nothing.
            continue;
        }
        let seen = victim.restore(&path).run();
        assert!(matches!(seen.code(), Some(1 | 3)), "byte {place}\n{seen}");
        victim.is_intact(&seen);
    }
}

/// A larger backup, whose restore can be interrupted.
fn large(dir: &Scratch) -> PathBuf {
    let cluster = first();
    sample::bulk(&cluster, "shop", "bulk", 12);
    backup::dump(&cluster, dir.path())
}

/// Moments of a restore.
fn moments(victim: &Victim, path: &Path) -> Moments {
    Moments::of(|| {
        let seen = victim.restore(path).succeeds();
        victim.was_replaced(&seen);
    })
}

#[test]
fn psql_is_killed() {
    let dir = Scratch::new();
    let path = large(&dir);
    let victim = Victim::new();
    let mut chance = Chance::new();
    let mut moments = moments(&victim, &path);
    let mut hit = 0;
    for _ in 0..8 {
        let mut running = victim.restore(&path).spawn();
        moments.reach(&mut chance, &mut running);
        for child in running.children() {
            let _ = rustix::process::kill_process(child, Signal::KILL);
        }
        let seen = running.wait();
        match seen.code() {
            Some(0) => victim.was_replaced(&seen),
            code => {
                hit += 1;
                assert_eq!(code, Some(1), "{seen}");
                victim.is_intact(&seen);
            }
        }
    }
    assert!(hit > 0, "psql was never hit");
}

#[test]
fn it_is_stopped_by_a_signal() {
    let dir = Scratch::new();
    let path = large(&dir);
    let victim = Victim::new();
    let mut chance = Chance::new();
    let mut moments = moments(&victim, &path);
    for round in 0..8 {
        let (signal, code) = match round % 2 {
            0 => (Signal::TERM, 143),
            _ => (Signal::INT, 130),
        };
        let mut running = victim.restore(&path).spawn();
        moments.reach(&mut chance, &mut running);
        let heeded = running.heeds(signal);
        running.signal(signal);
        let seen = running.wait();
        if seen.code() == Some(0) {
            victim.was_replaced(&seen);
            continue;
        }
        let ended_by_it = !heeded && seen.signal() == Some(signal.as_raw());
        assert!(seen.code() == Some(code) || ended_by_it, "{seen}");
        let names = victim.cluster.databases();
        match names.iter().any(|name| name.starts_with("shop_replaced_")) {
            // The names were changed in the moment when the signal came.
            true => victim.was_replaced(&seen),
            false => victim.is_intact(&seen),
        }
    }
}

/// The connections to databases that are being restored.
fn sessions(cluster: &Cluster) -> String {
    cluster.sql(
        "postgres",
        "select count(*) from pg_stat_activity where application_name like 'restore-stream %'",
    )
}

/// Whether a process has its standard input, a pipe, open once more: then it has no end while the process lives.
fn holds_its_input(process: Pid) -> bool {
    let files = format!("/proc/{}/fd", process.as_raw_nonzero());
    let Ok(input) = fs::read_link(format!("{files}/0")) else {
        return false;
    };
    let open = fs::read_dir(files).into_iter().flatten().flatten();
    let same = open.filter(|file| fs::read_link(file.path()).is_ok_and(|it| it == input));
    input.to_string_lossy().starts_with("pipe:") && same.count() > 1
}

/// A COPY that sees the end of its input commits what came so far: killed without warning, it must not.
#[test]
fn it_is_killed_in_the_middle_of_a_copy() {
    let dir = Scratch::new();
    let cluster = first();
    sample::bulk(&cluster, "shop", "bulk", 12);
    let text = cluster.dump_all::<&str>(&[]);
    let whole = fs::read(gzipped(&dir, &text)).unwrap();
    let victim = Victim::new();
    let pipe = dir.join("pipe");
    Program::other("mkfifo").arg(&pipe).succeeds();
    // Held open for reading too: it opens at once, and nobody sees its end.
    let mut feed = File::options().read(true).write(true).open(&pipe).unwrap();
    let running = victim.restore(Path::new("-")).stdin_file(&pipe).spawn();
    let half = &whole[..whole.len() / 2];
    feed.write_all(half).unwrap();
    // It waits for more, in the rows of the large table.
    wait_for("rows of the large table", || {
        let copying = victim.cluster.sql(
            "postgres",
            "select tuples_processed from pg_stat_progress_copy where type = 'PIPE'",
        );
        copying
            .parse()
            .is_ok_and(|rows: u64| rows > 1000)
            .then_some(())
    });
    let children = running.children();
    assert!(
        children.iter().any(|psql| holds_its_input(*psql)),
        "psql would see the end of its input"
    );
    running.signal(Signal::KILL);
    let seen = running.wait();
    assert_eq!(seen.signal(), Some(9), "{seen}");
    wait_for("the end of its sessions", || {
        (sessions(&victim.cluster) == "0").then_some(())
    });
    let left = victim.cluster.databases();
    let left: Vec<&String> = left
        .iter()
        .filter(|name| name.starts_with("restoring_"))
        .collect();
    assert_eq!(left.len(), 1, "{left:?}");
    assert_eq!(
        victim.cluster.sql(left[0], "select count(*) from bulk"),
        "0"
    );
    assert!(victim.cluster.dump_one("shop") == victim.before);
    // What it left is cleared away by the next one.
    let whole = dir.write(NAME, &whole);
    let seen = victim.restore(&whole).succeeds();
    seen.says("which a restore that was killed has left");
    victim.was_replaced(&seen);
}

#[test]
fn the_server_is_stopped() {
    let dir = Scratch::new();
    let path = large(&dir);
    let mut victim = Victim::new();
    let mut chance = Chance::new();
    let mut moments = moments(&victim, &path);
    for _ in 0..3 {
        // What this cluster's own fsync and synchronous_commit = off would lose is not what this is about.
        victim.cluster.sql("postgres", "checkpoint");
        let mut running = victim.restore(&path).spawn();
        moments.reach(&mut chance, &mut running);
        victim.cluster.stop();
        let seen = running.wait();
        victim.cluster.go();
        let names = victim.cluster.databases();
        if names.iter().any(|name| name.starts_with("shop_replaced_")) {
            victim.was_replaced(&seen);
            continue;
        }
        assert_eq!(seen.code(), Some(1), "{seen}");
        assert!(victim.cluster.dump_one("shop") == victim.before, "{seen}");
        // What could not be dropped then is dropped by the next one.
        let seen = victim.restore(&path).succeeds();
        victim.was_replaced(&seen);
    }
}

#[test]
fn the_connection_to_the_store_is_cut() {
    let dir = Scratch::new();
    let path = large(&dir);
    let azurite = Azurite::shared();
    let container = azurite.container();
    container.write(NAME, &fs::read(&path).unwrap());
    let victim = Victim::new();
    let proxy = Proxy::to(azurite.port());
    let url = format!("{}/{NAME}", container.url_at(proxy.port()));
    // It reads on where it was.
    proxy.cut("GET", 3, 100_000);
    let seen = victim
        .restore(Path::new(&url))
        .env("AZURE_STORAGE_SAS_TOKEN", container.token())
        .succeeds();
    assert_eq!(proxy.cuts_left(), 0);
    victim.was_replaced(&seen);
}

#[test]
fn the_store_is_gone_for_good() {
    let dir = Scratch::new();
    let path = large(&dir);
    let azurite = Azurite::shared();
    let container = azurite.container();
    container.write(NAME, &fs::read(&path).unwrap());
    let victim = Victim::new();
    let size = path.metadata().unwrap().len();
    for (target, share) in [(NAME, 2), ("", 3)] {
        let proxy = Proxy::to(azurite.port());
        proxy.gone_after(size / share);
        let url = format!("{}/{target}", container.url_at(proxy.port()));
        let latest: &[&str] = if target.is_empty() {
            &["--latest"]
        } else {
            &[]
        };
        let seen = victim
            .restore(Path::new(&url))
            .args(latest)
            .args(["--deadline", "1s", "--json"])
            .env("AZURE_STORAGE_SAS_TOKEN", container.token())
            .fails(1);
        assert!(proxy.is_gone());
        seen.says("cannot read");
        victim.is_intact(&seen);
        assert_eq!(sessions(&victim.cluster), "0", "{seen}");
        assert_eq!(report(&seen)["exit"], 1, "{seen}");
    }
}

/// What it tells a script.
fn report(seen: &Seen) -> Value {
    serde_json::from_str(&seen.out()).unwrap_or_else(|error| panic!("{error}\n{seen}"))
}

/// Lets the server's new sessions write files of 24 MiB at most: more than a segment of WAL has.
fn limit_files(cluster: &Cluster) {
    let file = cluster.scratch().join("data/postmaster.pid");
    let owner = file.metadata().unwrap();
    let text = fs::read_to_string(&file).unwrap();
    let pid = text.lines().next().unwrap();
    let limit = ["prlimit", "--pid", pid, "--fsize=25165824"];
    if rustix::process::geteuid().is_root() {
        let (user, group) = (owner.uid().to_string(), owner.gid().to_string());
        let as_owner = ["--reuid", &user, "--regid", &group, "--clear-groups"];
        Program::other("setpriv")
            .args(as_owner)
            .args(limit)
            .succeeds();
    } else {
        Program::other(limit[0]).args(&limit[1..]).succeeds();
    }
}

/// The server cannot write any more: to it, a limit on the size of a file is a full disk.
#[test]
fn the_server_s_disk_is_full() {
    let dir = Scratch::new();
    let cluster = first();
    sample::bulk(&cluster, "shop", "bulk", 40);
    let path = backup::dump(&cluster, dir.path());
    drop(cluster);
    let victim = Victim::new();
    limit_files(&victim.cluster);
    let seen = victim.restore(&path).fails(1);
    seen.says("could not extend file");
    victim.is_intact(&seen);
}

/// Puts a cluster's data on a disk of their own, its WAL apart.
fn on_a_small_disk(cluster: &mut Cluster, size: &str) -> Volume {
    let path = cluster.scratch().join("data");
    let kept = cluster.scratch().join("data before");
    // It is stopped at once, and what was committed lately may be in memory only.
    cluster.sql("postgres", "checkpoint");
    cluster.stop();
    fs::rename(&path, &kept).unwrap();
    let disk = Volume::mount(path, size);
    let (from, to) = (kept.display(), disk.path().display());
    let line = format!(
        "mv '{from}/pg_wal' '{from} wal' && cp -a '{from}/.' '{to}' && ln -s '{from} wal' '{to}/pg_wal'"
    );
    as_root("sh", &["-c", &line]).succeeds();
    cluster.go();
    disk
}

/// DROP DATABASE makes a checkpoint, which ends in a panic when no byte can be written: what was begun must not bring
/// the server down with all its other databases.
#[test]
fn a_full_disk_does_not_bring_the_server_down() {
    let dir = Scratch::new();
    let cluster = first();
    sample::bulk(&cluster, "shop", "bulk", 40);
    let path = backup::dump(&cluster, dir.path());
    drop(cluster);
    let mut victim = Victim::new();
    let _disk = on_a_small_disk(&mut victim.cluster, "70m");
    let seen = victim.restore(&path).arg("--json").fails(1);
    let error = report(&seen)["error"].to_string();
    assert!(error.contains("could not extend file"), "{seen}");
    victim.is_intact(&seen);
    victim.cluster.sql("postgres", "checkpoint");
    let log = victim.cluster.server_log();
    assert!(!log.contains("PANIC"), "{log}");
}
