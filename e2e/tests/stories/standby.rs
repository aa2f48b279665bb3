//! A standby's backup: tonight's, whole, and as old as what the standby had replayed. The backup says so, and so does
//! whoever looks at it.

use std::path::Path;

use e2e::postgres::REPLICATION;
use e2e::{
    Cluster, Program, Running, Scratch, Seen, Version, WalStore, backup, scratch, tool, wait_for,
};
use serde_json::Value;

use crate::base_backup::{base, recovered};

fn primary() -> Cluster {
    Cluster::with(Version::debian(), &[], REPLICATION)
}

fn dump(standby: &Cluster, store: &Path, options: &[&str]) -> Program {
    backup::pgdump_gz(standby)
        .arg("--dir")
        .arg(store)
        .args(options)
}

/// However full this machine's disk is.
fn verify(store: &Path, options: &[&str]) -> Program {
    Program::new("backup-verify")
        .arg(store)
        .args(["--max-used", "100%"])
        .args(options)
}

fn json(seen: &Seen) -> Value {
    serde_json::from_slice(&seen.stdout).expect("JSON")
}

/// The first object of a backup's index.
fn about(seen: &Seen) -> Value {
    let text = backup::gunzip(json(seen)["path"].as_str().expect("a path"));
    let (_, index) = backup::divide(&text);
    let line = index.lines().nth(1).expect("a line");
    serde_json::from_str(line.trim_start_matches("-- ")).expect("JSON")
}

/// A primary five days (and an hour) ago, and a standby that has all of it now.
#[test]
fn five_days_behind() {
    let mut primary = primary();
    primary.stop();
    primary.set_clock(Some("-121h"));
    primary.go();
    primary.sql("postgres", "create database app");
    primary.sql(
        "app",
        "create table t as select generate_series(1, 1000) as a",
    );
    let mut standby = Cluster::standby_of(&primary, "dr", "");
    primary.sql("app", "insert into t select 0");
    primary.is_followed_by(&standby);
    let dir = Scratch::new();

    // Replication breaks. The dump is whole, and named tonight.
    primary.sql("postgres", "checkpoint");
    primary.is_followed_by(&standby);
    primary.stop();
    standby.receives(false);
    let stale = dir.make("stale");
    let seen = dump(&standby, &stale, &["--json"]).succeeds();
    seen.says("(5 days before) from a standby, which is not connected to its primary");
    let said = json(&seen);
    assert_eq!(said["in_recovery"], true, "{seen}");
    assert_eq!(said["standby"], about(&seen)["standby"]);
    assert_eq!(said["standby"]["receiver_connected"], false);
    assert_eq!(said["standby"]["data_time"], said["standby"]["replay_time"]);

    let metrics = dir.join("backup.prom");
    let metrics = metrics.to_str().unwrap();
    let seen = verify(&stale, &["--metrics", metrics]).fails(3);
    seen.says("are 5 days old");
    seen.says("from a standby that was 5 days behind; at most 36 h are allowed");
    seen.says("hint: look at the standby's replication");
    let metrics = std::fs::read_to_string(metrics).unwrap();
    let value = |name: &str| -> f64 {
        let name = format!("postgresql_backup_{name}{{store=\"{}\"}} ", stale.display());
        let line = metrics.lines().find_map(|line| line.strip_prefix(&name));
        line.unwrap_or_else(|| panic!("{name}\n{metrics}"))
            .parse()
            .unwrap()
    };
    let days = 86_400.0;
    assert!(value("age_seconds") > 4.9 * days, "{metrics}");
    let late =
        value("last_success_timestamp_seconds") - value("last_success_data_timestamp_seconds");
    assert!((4.9 * days..5.1 * days).contains(&late), "{metrics}");
    let verified = verify(&stale, &["--max-age", "6d"]).succeeds();
    let words = ", from a standby with the data of ";
    assert!(verified.out().contains(words), "{verified}");
    for options in [&["--list"][..], &["--latest", "--list"]] {
        let listed = Program::new("restore-stream")
            .arg(&stale)
            .args(options)
            .succeeds();
        let words = ", from a standby with the data of ";
        assert!(listed.out().contains(words), "{listed}");
    }

    // Where that is not wanted, there is no dump at all.
    let none = dir.make("none");
    let refused = dump(&standby, &none, &["--max-lag", "36h"]).fails(4);
    refused.says("the standby is 5 days behind its primary, and at most 36 h are allowed");
    refused.says("hint: it is not connected to its primary");
    assert!(scratch::names(&none).is_empty());

    // A standby that was restarted has replayed nothing, and knows only its last checkpoint.
    standby.sql("postgres", "checkpoint");
    standby.stop();
    standby.go();
    let restarted = dir.make("restarted");
    let seen = dump(&standby, &restarted, &["--json"]).succeeds();
    seen.says("(5 days before) from a standby");
    assert_eq!(json(&seen)["standby"]["replay_time"], Value::Null);
    verify(&restarted, &[]).fails(3).says("are 5 days old");

    // The primary is back, today, and idle: nothing new is committed, and nothing is late.
    primary.set_clock(None);
    primary.go();
    standby.receives(true);
    let idle = dir.make("idle");
    let seen = dump(&standby, &idle, &["--json", "--max-lag", "1h"]).succeeds();
    seen.says(" s before) from a standby, ");
    seen.hides("not connected");
    assert_eq!(json(&seen)["standby"]["receiver_connected"], true);
    let verified = verify(&idle, &[]).succeeds();
    let words =
        "ok       age      0 min; dumped 0 min ago, from a standby; at most 36 h are allowed";
    assert!(verified.out().contains(words), "{verified}");

    // What comes and is not replayed is not in the data.
    standby.sql("postgres", "select pg_wal_replay_pause()");
    wait_for("the pause", || {
        let state = standby.sql("postgres", "select pg_get_wal_replay_pause_state()");
        (state == "paused").then_some(())
    });
    primary.sql("app", "insert into t select 1");
    let received = primary.sql("postgres", "select pg_current_wal_flush_lsn()");
    wait_for("the WAL", || {
        let question = format!("select latest_end_lsn >= '{received}' from pg_stat_wal_receiver");
        (standby.sql("postgres", &question) == "t").then_some(())
    });
    dump(&standby, &none, &["--max-lag", "36h"])
        .fails(4)
        .says("hint: it is connected, and replays too late");
    standby.sql("postgres", "select pg_wal_replay_resume()");
    primary.is_followed_by(&standby);
    dump(&standby, &none, &["--max-lag", "1h"]).succeeds();

    // A primary has no lag, and says that it is one.
    let of_primary = dump(
        &primary,
        &dir.make("primary"),
        &["--json", "--max-lag", "0s"],
    );
    let seen = of_primary.succeeds();
    assert_eq!(json(&seen)["in_recovery"], false);
    assert_eq!(json(&seen).get("standby"), None);
    seen.hides("standby");
}

/// Holds a table locked until it is dropped.
fn lock(primary: &Cluster, table: &str) -> Running {
    let sql = format!("begin; lock table {table};");
    let running = Program::sh("{ echo \"$0\"; sleep 1000; } | psql -Xq")
        .arg(&sql)
        .on(primary)
        .env("PGDATABASE", "app")
        .spawn();
    let question = format!(
        "select count(*) from pg_locks where relation = '{table}'::regclass and mode = 'AccessExclusiveLock' and granted"
    );
    wait_for("the lock", || {
        (primary.sql("app", &question) == "1").then_some(())
    });
    running
}

#[test]
fn what_interrupts_a_dump() {
    let primary = primary();
    primary.sql("postgres", "create database app");
    let tables =
        "create table first as select generate_series(1, 100000) as a, repeat('x', 100) as b;
        create table second (a int);";
    primary.sql("app", tables);
    let settings = "max_standby_streaming_delay = 0\nhot_standby_feedback = off";
    let standby = Cluster::standby_of(&primary, "dr", settings);
    primary.is_followed_by(&standby);
    let dir = Scratch::new();
    let store = dir.make("store");

    // The dump holds one table and waits for the next one; then the primary empties the first.
    let locked = lock(&primary, "second");
    primary.sql("postgres", "select pg_switch_wal()");
    primary.is_followed_by(&standby);
    let dumping = dump(&standby, &store, &[]).spawn();
    wait_for("pg_dump", || {
        let question = "select count(*) from pg_stat_activity where application_name = 'pg_dump' and wait_event_type = 'Lock'";
        (standby.sql("app", question) == "1").then_some(())
    });
    primary.sql("app", "truncate first");
    let seen = dumping.wait();
    assert_eq!(seen.code(), Some(1), "{seen}");
    seen.says("cannot dump database \"app\"");
    seen.says("hint: replay on the standby cancelled the dump: set hot_standby_feedback = on");
    seen.says("max_standby_streaming_delay");
    assert!(scratch::names(&store).is_empty());
    drop(locked);

    // Another failure is not replay's.
    let seen = dump(&standby, &store, &[])
        .env("PGOPTIONS", "-c statement_timeout=1")
        .run();
    assert_ne!(seen.code(), Some(0), "{seen}");
    seen.hides("replay on the standby");

    // It is in the middle of a table when the standby is promoted and its sessions are ended.
    primary.sql(
        "app",
        "insert into first select generate_series(1, 100000), repeat('x', 100)",
    );
    primary.is_followed_by(&standby);
    let (begun, go) = (dir.join("begun"), dir.join("go"));
    dir.make("bin");
    let script = format!(
        "[ \"$1\" != --version ] || exec {2} --version
        exec bash -c 'set -o pipefail; \"$0\" \"$@\" | {{ dd bs=1 count=1 status=none; touch {0}; until [ -e {1} ]; do sleep 0.05; done; cat; }}' {2} \"$@\"",
        begun.display(),
        go.display(),
        standby.version().bin().join("pg_dump").display()
    );
    dir.script("bin/pg_dump", &script);
    let path = [
        dir.join("bin"),
        tool::programs(),
        standby.version().bin().into(),
    ];
    let dumping = dump(&standby, &store, &["--exclude-database", "template1"])
        .args(["--exclude-database", "postgres"])
        .env("PATH", tool::path_with(&path))
        .spawn();
    wait_for("the dump", || begun.exists().then_some(()));
    assert_eq!(standby.sql("postgres", "select pg_promote()"), "t");
    let ended = standby.sql(
        "postgres",
        "select count(pg_terminate_backend(pid)) from pg_stat_activity where application_name = 'pg_dump'",
    );
    assert_eq!(ended, "1");
    dir.write("go", "");
    let seen = dumping.wait();
    assert_eq!(seen.code(), Some(1), "{seen}");
    seen.says("hint: the standby was promoted during the backup, and is a primary now");
    assert!(scratch::names(&store).is_empty());

    // Again, as the hint says.
    let seen = dump(&standby, &store, &["--json"]).succeeds();
    assert_eq!(json(&seen)["in_recovery"], false);
}

/// A primary that archives its WAL into a store, and its standby.
fn archiving(store: &WalStore, clock: Option<&'static str>) -> (Cluster, Cluster) {
    let settings = format!("{REPLICATION}{}", store.archiving(""));
    let mut primary = Cluster::with(Version::debian(), &[], &settings);
    primary.stop();
    primary.set_clock(clock);
    primary.go();
    primary.sql(
        "postgres",
        "create table t as select generate_series(1, 1000) as a",
    );
    let standby = Cluster::standby_of(&primary, "dr", "");
    primary.is_followed_by(&standby);
    (primary, standby)
}

/// The last moment that a store leads back to, as backup-verify says.
fn reachable(store: &WalStore) -> String {
    let seen = verify(Path::new(&store.url()), &["--json"]).run();
    let checks = json(&seen)["checks"].clone();
    let mut checks = checks.as_array().expect("checks").iter();
    let wal = checks.find(|it| it["check"] == "wal").expect("the WAL");
    let until = wal["reachable"][0]["until"].as_str();
    until.unwrap_or_else(|| panic!("{seen}")).to_owned()
}

#[test]
fn a_base_backup_five_days_behind() {
    let store = WalStore::directory();
    // What it last hears of its primary is five days old.
    let (mut primary, standby) = archiving(&store, Some("-121h"));
    let url = store.url();
    let place = Path::new(&url);

    let refused = base(&standby).args(["--dir", &url, "--max-lag", "36h"]);
    let refused = refused.fails(4);
    refused.says("the standby is 5 days behind its primary, and at most 36 h are allowed");
    assert!(backup::names(place).is_empty());
    let seen = base(&standby).args(["--dir", &url, "--json"]).succeeds();
    seen.says("(5 days before) from a standby, ");
    let path = json(&seen)["path"].as_str().expect("a path").to_owned();
    let said = json(&seen);
    assert_eq!(said["in_recovery"], true, "{seen}");
    assert_eq!(said["standby"]["receiver_connected"], true, "{seen}");
    let lsn = said["standby"]["replay_lsn"].as_str().expect("a place");
    assert!(lsn.contains('/'), "{seen}");

    // The WAL that it needs is archived, and then nothing more comes.
    primary.sql("postgres", "insert into t select 0");
    let last = primary.sql("postgres", "select pg_walfile_name(pg_switch_wal())");
    wait_for("the archive", || {
        store.names().contains(&last).then_some(())
    });
    primary.stop();
    // Its server has another clock than the store's disk.
    Program::sh("find \"$0\" -type f -exec touch -d '121 hours ago' {} +")
        .arg(place.join("wal"))
        .succeeds();

    let seen = verify(place, &[]).succeeds();
    let words =
        "ok       base     5 days; taken 0 min ago, from a standby; at most 9 days are allowed";
    assert!(seen.out().contains(words), "{seen}");
    let metrics = store_metrics(place);
    let seen = verify(place, &["--max-base-age", "36h", "--metrics", &metrics]).fails(3);
    seen.says("the data in the newest base backup");
    seen.says("from a standby that was 5 days behind; at most 36 h are allowed");
    seen.says("hint: look at the standby's replication");
    let text = std::fs::read_to_string(&metrics).unwrap();
    let name = format!("postgresql_backup_base_timestamp_seconds{{store=\"{url}\"}} ");
    let line = text.lines().find_map(|line| line.strip_prefix(&name));
    let taken: f64 = line.unwrap_or_else(|| panic!("{text}")).parse().unwrap();
    let days = (chrono::Utc::now().timestamp() as f64 - taken) / 86_400.0;
    assert!((4.9..5.2).contains(&days), "{text}");
    // It leads back to no moment after its data.
    let until = chrono::DateTime::parse_from_rfc3339(&reachable(&store)).unwrap();
    let age = chrono::Utc::now() - until.to_utc();
    assert!(age > chrono::TimeDelta::hours(119), "{until}");

    // It is a good one all the same.
    let system = scratch::names(place.join("wal"));
    let archive = place.join("wal").join(&system[0]);
    let restored = recovered(Version::debian(), &archive, |data| {
        Program::other("tar")
            .args(["-xzf", &path, "-C"])
            .arg(data)
            .succeeds();
        std::fs::remove_file(data.join("standby.signal")).expect("what a standby has");
    });
    assert_eq!(restored.sql("postgres", "select count(*) from t"), "1001");
}

/// A file for metrics, beside the store.
fn store_metrics(store: &Path) -> String {
    let file = store.parent().expect("a directory").join("backup.prom");
    file.display().to_string()
}

#[test]
fn a_promotion_cuts_a_base_backup() {
    let store = WalStore::directory();
    let (_primary, standby) = archiving(&store, None);
    let running = base(&standby)
        .args(["--dir", &store.url(), "--max-rate", "1M"])
        .spawn();
    // It takes what it may, and the server waits.
    wait_for("the backup", || {
        let question = "select count(*) from pg_stat_progress_basebackup where backup_streamed > 0";
        (standby.sql("postgres", question) == "1").then_some(())
    });
    assert_eq!(standby.sql("postgres", "select pg_promote()"), "t");
    let seen = running.wait();
    assert_eq!(seen.code(), Some(1), "{seen}");
    seen.says("hint: the standby was promoted during the backup, and is a primary now");
    assert!(backup::names(Path::new(&store.url())).is_empty());
}
