//! The database that is being restored is nobody else's, and gets its name whoever visits every database of a server.

use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};

use e2e::{Cluster, Program, Running, Scratch, Seen, backup, wait_for};
use rustix::process::Signal;

/// The role that restores without being a superuser.
const KEEPER: &str = "keeper";

fn restore(backup: &Path, cluster: &Cluster) -> Program {
    Program::new("restore-stream").arg(backup).on(cluster)
}

/// A cluster whose `shop` has changed since its backup was made, and belongs to a role that is no superuser.
struct Shop {
    cluster: Cluster,
    path: PathBuf,
    dir: Scratch,
}

impl Shop {
    fn new() -> Self {
        let cluster = Cluster::start();
        cluster.sql("postgres", &format!("create role {KEEPER} login createdb"));
        cluster.sql("postgres", &format!("create database shop owner {KEEPER}"));
        cluster.sql("shop", "create table t as select 1 as one");
        // What a dump is shows in its first 4 KiB: nothing is begun before they are there.
        cluster.sql(
            "shop",
            "create table filler as select i, md5(i::text) from generate_series(1, 500) i",
        );
        let dir = Scratch::new();
        let path = backup::dump(&cluster, dir.path());
        let shop = Self { cluster, path, dir };
        shop.damage();
        shop
    }

    fn damage(&self) {
        self.cluster.sql("shop", "drop table if exists t");
        self.cluster.sql("shop", "create table damaged as select 1");
        self.cluster.sql(
            "postgres",
            &format!("alter database shop owner to {KEEPER}"),
        );
    }

    fn restore(&self, role: &str, options: &[&str]) -> Program {
        restore(&self.path, &self.cluster)
            .env("PGUSER", role)
            .args(["--database", "shop", "--no-owners"])
            .args(options)
    }

    /// It was restored as this database, which takes connections, and nothing is left.
    fn is_restored_as(&self, name: &str, seen: &Seen) {
        assert_eq!(seen.code(), Some(0), "{seen}");
        assert_eq!(self.cluster.sql(name, "select one from t"), "1", "{seen}");
        self.has_no_remains(seen);
    }

    fn has_no_remains(&self, seen: &Seen) {
        assert_eq!(restoring(&self.cluster), "", "{seen}");
        let closed =
            "select datname from pg_database where not datallowconn and datname <> 'template0'";
        assert_eq!(self.cluster.sql("postgres", closed), "", "{seen}");
    }
}

/// The databases that are being restored, or were.
fn restoring(cluster: &Cluster) -> String {
    let sql = "select string_agg(datname, ' ') from pg_database where datname like '%restoring%'";
    cluster.sql("postgres", sql)
}

/// Visits of every database, one after the other, again and again.
struct Exporter<'a> {
    shop: &'a Shop,
    running: Vec<Running>,
}

impl<'a> Exporter<'a> {
    /// Each visit runs `sql`.
    fn start(shop: &'a Shop, role: &str, sql: &str) -> Self {
        let databases = "select quote_literal(datname) from pg_database where datallowconn and not datistemplate";
        let line = format!(
            "while [ ! -e stop ]; do psql -qXAt -d postgres -c \"{databases}\" | tr -d \"'\" |
               while read -r name; do psql -qXAt -d \"$name\" -c '{sql}' >/dev/null 2>&1; done; done"
        );
        let visitor = || {
            Program::sh(&line)
                .on(&shop.cluster)
                .env("PGUSER", role)
                .env("PGAPPNAME", "exporter")
                .in_dir(shop.dir.path())
                .spawn()
        };
        let running = (0..3).map(|_| visitor()).collect();
        wait_for("an exporter", || {
            (visits(&shop.cluster, "%") > 0).then_some(())
        });
        Self { shop, running }
    }

    fn stop(self) {
        end_visits(self.shop, self.running);
    }
}

/// How many sessions of exporters there are in databases whose names are like this.
fn visits(cluster: &Cluster, names: &str) -> u32 {
    let sql = format!(
        "select count(*) from pg_stat_activity where application_name = 'exporter' and datname like '{names}'"
    );
    cluster.sql("postgres", &sql).parse().unwrap()
}

/// Somebody who connects to a database whose name is like this as soon as there is one, and does not leave; whoever
/// ends the session.
struct Settler<'a> {
    shop: &'a Shop,
    running: Running,
}

impl<'a> Settler<'a> {
    fn start(shop: &'a Shop, names: &str, sql: &str) -> Self {
        Self::start_as(shop, "postgres", names, sql)
    }

    fn start_as(shop: &'a Shop, role: &str, names: &str, sql: &str) -> Self {
        let databases =
            format!("select datname from pg_database where datname like '{names}' limit 1");
        let line = format!(
            "while [ ! -e stop ]; do name=$(psql -qXAt -d postgres -c \"{databases}\")
               [ -z \"$name\" ] || psql -qXAt -d \"$name\" -c '{sql}' >/dev/null 2>&1; done"
        );
        let running = Program::sh(&line)
            .on(&shop.cluster)
            .env("PGUSER", role)
            .env("PGAPPNAME", "exporter")
            .in_dir(shop.dir.path())
            .spawn();
        Self { shop, running }
    }

    fn stop(self) {
        end_visits(self.shop, vec![self.running]);
    }
}

/// Nobody begins another visit, and those that there are end.
fn end_visits(shop: &Shop, running: Vec<Running>) {
    let stop = shop.dir.join("stop");
    fs::write(&stop, "").unwrap();
    let end = "select pg_terminate_backend(pid) from pg_stat_activity where application_name = 'exporter'";
    wait_for("the end of the visits", || {
        shop.cluster.sql("postgres", end);
        (visits(&shop.cluster, "%") == 0).then_some(())
    });
    for running in running {
        running.signal_all(Signal::TERM);
        running.wait();
    }
    fs::remove_file(stop).unwrap();
}

/// A restore from a pipe that has not all of the backup yet.
struct Halted {
    running: Running,
    rest: Vec<u8>,
    pipe: File,
}

impl Halted {
    /// Has the database begun, and not its name.
    fn start(shop: &Shop, role: &str, options: &[&str]) -> Self {
        let path = shop.dir.join("halted");
        Program::other("mkfifo").arg(&path).succeeds();
        // Held open for reading too: it opens at once, and nobody sees its end.
        let mut pipe = File::options().read(true).write(true).open(&path).unwrap();
        let running = Program::new("restore-stream")
            .args(["-", "--database", "shop", "--no-owners"])
            .args(options)
            .on(&shop.cluster)
            .env("PGUSER", role)
            .stdin_file(&path)
            .spawn();
        fs::remove_file(&path).unwrap();
        let mut first = fs::read(&shop.path).unwrap();
        // The end-of-file marker, and some of the index before it.
        let rest = first.split_off(first.len() - 100);
        pipe.write_all(&first).unwrap();
        Self {
            running,
            rest,
            pipe,
        }
    }

    fn go_on(mut self) -> Running {
        self.pipe.write_all(&self.rest).unwrap();
        self.running
    }
}

#[test]
fn who_is_connected_to_every_database_keeps_none_from_its_name() {
    let shop = Shop::new();
    shop.cluster.sql(
        "postgres",
        "create role monitor login; grant pg_monitor to monitor; grant pg_signal_backend to keeper",
    );
    let replace = ["--replace", "--yes", "--drop-old", "--force-disconnect"];
    for (exporter, role) in [
        ("postgres", "postgres"),
        ("monitor", "postgres"),
        ("monitor", KEEPER),
    ] {
        for (options, name) in [(&["--as", "copy"][..], "copy"), (&replace, "shop")] {
            let settler = Settler::start_as(&shop, exporter, "%restoring%", "select pg_sleep(600)");
            let halted = Halted::start(&shop, role, options);
            wait_for("somebody in it", || {
                (visits(&shop.cluster, "%restoring%") == 1).then_some(())
            });
            let seen = halted.go_on().wait();
            settler.stop();
            shop.is_restored_as(name, &seen);
        }
        shop.cluster
            .sql("postgres", "drop database copy with (force)");
        shop.damage();
    }
}

/// A superuser's visits, again and again, and a role that may not end them.
#[test]
fn who_visits_every_database_keeps_none_from_its_name() {
    let shop = Shop::new();
    for sql in ["select pg_sleep(0.3)", "select 1"] {
        let exporter = Exporter::start(&shop, "postgres", sql);
        let seen = shop.restore(KEEPER, &["--as", "copy"]).run();
        let replace = ["--replace", "--yes", "--drop-old", "--force-disconnect"];
        // There may be a visit each time that it is looked before the restore.
        let replaced = wait_for("a restore that is not refused", || {
            let seen = shop.restore(KEEPER, &replace).run();
            let refused = seen.code() == Some(4) && seen.err().contains("may not end");
            (!refused).then_some(seen)
        });
        exporter.stop();
        shop.is_restored_as("copy", &seen);
        shop.is_restored_as("shop", &replaced);
        shop.cluster
            .sql("postgres", "drop database copy with (force)");
        shop.damage();
    }
}

/// Without --force-disconnect: who has come since it began, and leaves again, is waited for.
#[test]
fn who_looks_into_the_old_database_is_waited_for() {
    let shop = Shop::new();
    let halted = Halted::start(&shop, "postgres", &["--replace", "--yes"]);
    wait_for("the restored database", || {
        (!restoring(&shop.cluster).is_empty()).then_some(())
    });
    // Longer than the server waits for somebody to leave.
    let visit = Program::other("psql")
        .args(["-qXAtd", "shop", "-c", "select pg_sleep(8)"])
        .on(&shop.cluster)
        .env("PGAPPNAME", "exporter")
        .spawn();
    wait_for("a visit", || {
        (visits(&shop.cluster, "shop") == 1).then_some(())
    });
    let seen = halted.go_on().wait();
    visit.wait();
    shop.is_restored_as("shop", &seen);
}

/// A superuser's session, and a role that may not end it: hours of loading are not dropped for it.
#[test]
fn who_cannot_be_disconnected_is_waited_for() {
    let shop = Shop::new();
    let settler = Settler::start(&shop, "%restoring%", "select pg_sleep(600)");
    for (options, name) in [
        (&["--as", "copy"][..], "copy"),
        (&["--replace", "--yes", "--drop-old"], "shop"),
    ] {
        let halted = Halted::start(&shop, KEEPER, options);
        wait_for("somebody in it", || {
            (visits(&shop.cluster, "%restoring%") == 1).then_some(())
        });
        let running = halted.go_on();
        wait_for("the restored database, closed", || {
            let closed = "select count(*) from pg_database where datname like '%restoring%' and not datallowconn";
            (shop.cluster.sql("postgres", closed) == "1").then_some(())
        });
        // It is not dropped, and the old one takes connections meanwhile.
        assert_eq!(visits(&shop.cluster, "%restoring%"), 1);
        assert_eq!(shop.cluster.sql("shop", "select 1"), "1");
        let end = "select pg_terminate_backend(pid) from pg_stat_activity where datname like '%restoring%'";
        shop.cluster.sql("postgres", end);
        let seen = running.wait();
        shop.is_restored_as(name, &seen);
    }
    settler.stop();
}

/// What failed is dropped although somebody is in it, and holds a lock on its tables.
#[test]
fn what_failed_is_dropped_whoever_is_in_it() {
    let shop = Shop::new();
    let sql = backup::gunzip(&shop.path);
    let sql = String::from_utf8_lossy(backup::divide(&sql).0).into_owned();
    // It fails when somebody holds the lock.
    let held = "exists (select from pg_locks where relation = 'public.last'::regclass and granted)";
    let failing = format!(
        "\\connect shop\ncreate table public.last as select 1;\n\
         do $$begin while not {held} loop perform pg_sleep(0.02); end loop; end$$;\nnonsense;\n"
    );
    let closing = "-- PostgreSQL database cluster dump complete";
    let wrong = sql.replace(closing, &format!("{failing}{closing}"));
    assert_ne!(wrong, sql);
    let bad = shop.dir.join("bad.sql.gz");
    Program::other("gzip")
        .stdin(wrong)
        .stdout_file(&bad)
        .succeeds();
    let settler = Settler::start(
        &shop,
        "%restoring%",
        "begin; lock table last; select pg_sleep(600)",
    );
    let seen = restore(&bad, &shop.cluster)
        .args(["--database", "shop", "--as", "copy"])
        .run();
    settler.stop();
    assert_eq!(seen.code(), Some(1), "{seen}");
    seen.says("nonsense");
    shop.has_no_remains(&seen);
}

/// Killed while the restored database is closed to be renamed, or stopped there.
#[test]
fn a_run_that_is_killed_at_the_swap_leaves_nothing_unusable() {
    let shop = Shop::new();
    let bin = shop.dir.make("bin");
    let real = shop.cluster.version().bin().join("psql");
    // The psql that is to rename waits, having been told to.
    let script = format!(
        "#!/bin/sh\ncase \"$*\" in *--tuples-only*) ;; *) exec '{real}' \"$@\" ;; esac\nsql=$(cat)\n\
         case $sql in *'RENAME TO'*) touch '{at}'; while [ -e '{at}' ]; do sleep 0.05; done; exit 2 ;; esac\n\
         printf '%s\\n' \"$sql\" | exec '{real}' \"$@\"\n",
        real = real.display(),
        at = shop.dir.join("at-the-swap").display(),
    );
    let own = shop
        .cluster
        .env()
        .into_iter()
        .find(|(name, _)| *name == "PATH")
        .unwrap();
    let path = format!("{}:{}", bin.display(), own.1.display());
    let wrapper = shop.dir.script("psql", &script);
    fs::rename(wrapper, bin.join("psql")).unwrap();
    let settler = Settler::start(&shop, "%restoring%", "select pg_sleep(600)");
    for signal in [Signal::KILL, Signal::TERM] {
        let at = shop.dir.join("at-the-swap");
        let running = shop
            .restore("postgres", &["--replace", "--yes"])
            .env("PATH", &path)
            .spawn();
        wait_for("the swap", || at.exists().then_some(()));
        running.signal(signal);
        let seen = running.wait();
        fs::remove_file(&at).unwrap();
        assert_eq!(
            shop.cluster.sql("shop", "select 1 from damaged"),
            "1",
            "{seen}"
        );
        if signal == Signal::TERM {
            assert_eq!(seen.code(), Some(143), "{seen}");
            shop.has_no_remains(&seen);
            continue;
        }
        wait_for("the end of its sessions", || {
            let sql = "select count(*) from pg_stat_activity where application_name like 'restore-stream%'";
            (shop.cluster.sql("postgres", sql) == "0").then_some(())
        });
        let left = restoring(&shop.cluster);
        let seen = shop.restore("postgres", &["--as", "copy"]).run();
        seen.says(&format!("dropped '{left}'"));
        shop.is_restored_as("copy", &seen);
    }
    settler.stop();
}

/// A database that a run which was killed has left, and the exporter that has settled in it.
#[test]
fn leftovers_are_swept_although_somebody_is_in_them_and_not_before_the_answer() {
    let shop = Shop::new();
    let left = "restoring_20250101_000000_0a1b2c";
    let not_left = [
        "restoring_20250101_000000",
        "restoring_20250101_000000_0A1B2C_1",
    ];
    for name in not_left {
        shop.cluster
            .sql("postgres", &format!("create database \"{name}\""));
    }
    for number in [1, 2] {
        shop.cluster
            .sql("postgres", &format!("create database {left}_{number}"));
    }
    let settler = Settler::start(&shop, "%c_1", "select pg_sleep(600)");
    wait_for("somebody in it", || {
        (visits(&shop.cluster, "%c_1") > 0).then_some(())
    });
    shop.cluster.sql(
        "postgres",
        &format!("alter database {left}_2 allow_connections false"),
    );
    let databases = || shop.cluster.databases();
    let before = databases();

    let line = format!(
        "restore-stream {} --database shop --as copy --no-owners",
        shop.path.display()
    );
    let answered = |answer: &str, code| {
        Program::other("script")
            .args(["-qec", &line, "/dev/null"])
            .on(&shop.cluster)
            .stdin(answer)
            .fails(code)
    };
    let seen = answered("no\n", 4);
    assert!(seen.out().contains("it will be dropped"), "{seen}");
    assert_eq!(databases(), before, "{seen}");

    // Those of a run that lives are not touched, whatever its connection string calls it.
    let living = Program::other("psql")
        .args(["-qXAtc", "select pg_sleep(600)"])
        .on(&shop.cluster)
        .env("PGAPPNAME", "restore-stream 0a1b2c")
        .spawn();
    wait_for("a run that lives", || {
        let sql = "select count(*) from pg_stat_activity where application_name = 'restore-stream 0a1b2c'";
        (shop.cluster.sql("postgres", sql) == "1").then_some(())
    });
    let seen = shop.restore("postgres", &["--as", "first"]).run();
    seen.says("is left alone");
    let names = databases();
    assert!(before.iter().all(|name| names.contains(name)), "{seen}");
    living.signal_all(Signal::KILL);
    living.wait();
    let end = "select pg_terminate_backend(pid) from pg_stat_activity where application_name like 'restore-stream%'";
    wait_for("its end", || {
        (shop.cluster.sql("postgres", end).is_empty()).then_some(())
    });

    let seen = answered("yes\n", 0);
    settler.stop();
    let names = databases();
    for number in [1, 2] {
        assert!(!names.contains(&format!("{left}_{number}")), "{seen}");
    }
    assert!(
        not_left
            .iter()
            .all(|name| names.contains(&(*name).to_owned())),
        "{seen}"
    );
    assert_eq!(shop.cluster.sql("copy", "select one from t"), "1", "{seen}");
}

/// Who is refused, or says no, has changed nothing; for who goes on, the name of what is swept is free.
#[test]
fn a_leftover_stays_until_a_restore_begins_and_its_name_is_free_then() {
    let shop = Shop::new();
    let left = "restoring_20250101_000000_0a1b2c_1";
    shop.cluster
        .sql("postgres", &format!("create database {left}"));
    shop.cluster
        .sql(left, "create table half as select 1 as one");
    let is_untouched = |seen: &Seen| {
        assert_eq!(
            shop.cluster.sql(left, "select one from half"),
            "1",
            "{seen}"
        );
        assert_eq!(
            shop.cluster.sql("shop", "select 1 from damaged"),
            "1",
            "{seen}"
        );
    };
    let seen = shop.restore("postgres", &[]).fails(4);
    seen.says("is there and is not empty");
    is_untouched(&seen);
    for name in ["shop", left] {
        let line = format!(
            "restore-stream {} --database shop --as {name} --no-owners --replace",
            shop.path.display()
        );
        let seen = Program::other("script")
            .args(["-qec", &line, "/dev/null"])
            .on(&shop.cluster)
            .stdin("no\n")
            .fails(4);
        assert!(seen.out().contains("the answer was no"), "{seen}");
        is_untouched(&seen);
    }
    // Without --replace: it takes nobody's place.
    let seen = shop.restore("postgres", &["--as", left]).run();
    seen.says(&format!("dropped '{left}'"));
    assert_eq!(seen.code(), Some(0), "{seen}");
    assert_eq!(shop.cluster.sql(left, "select one from t"), "1", "{seen}");
    assert_eq!(restoring(&shop.cluster), left, "{seen}");
}

/// A run says that it lives by what its sessions call themselves, whatever else names them.
#[test]
fn a_run_is_seen_to_live() {
    let shop = Shop::new();
    let pipe = shop.dir.join("pipe");
    Program::other("mkfifo").arg(&pipe).succeeds();
    let _held = File::options().read(true).write(true).open(&pipe).unwrap();
    let mut running = restore(Path::new("-"), &shop.cluster)
        .args(["--database", "shop", "--as", "copy"])
        .args(["-d", "application_name=mine"])
        .env("PGAPPNAME", "mine too")
        .stdin_file(&pipe)
        .spawn();
    let lives = wait_for("its session", || {
        let sql = "select count(*) from pg_stat_activity where application_name ~ '^restore-stream [0-9a-f]{6}$'";
        let seen = shop.cluster.sql("postgres", sql) == "1";
        (seen || running.ended()).then_some(seen)
    });
    running.signal(Signal::TERM);
    let seen = running.wait();
    assert!(lives, "{seen}");
}
