//! PostgreSQL archives its WAL with `blob-put --wal`: every segment is in the store, or still to be archived.

use std::collections::BTreeMap;
use std::fs;

use e2e::proxy::Proxy;
use e2e::{Azurite, Cluster, Program, Version, WalStore, scratch, wait_for};

/// What PostgreSQL noted as ready or done.
fn noted(cluster: &Cluster, how: &str) -> Vec<String> {
    let status = cluster.data().join("pg_wal/archive_status");
    let names = scratch::names(status).into_iter();
    names
        .filter_map(|name| Some(name.strip_suffix(how)?.trim_end_matches('.').to_owned()))
        .collect()
}

fn drained(cluster: &Cluster) {
    wait_for("the archiver", || {
        noted(cluster, "ready").is_empty().then_some(())
    });
}

/// WAL for some segments, whatever their size.
fn write(cluster: &Cluster, segments: usize) {
    for _ in 0..segments {
        cluster.sql(
            "postgres",
            "insert into t select g, md5(g::text) from generate_series(1, 1000) g; select pg_switch_wal()",
        );
    }
}

/// Each file that PostgreSQL takes for archived is in the store, byte for byte.
fn all_done_are_there(cluster: &Cluster, store: &WalStore) -> usize {
    let done = noted(cluster, "done");
    for name in &done {
        let own = fs::read(cluster.data().join("pg_wal").join(name)).unwrap();
        assert!(store.read(name) == own, "{name} is not what was archived");
    }
    done.len()
}

fn archiving(version: Version, initdb: &[&str], settings: &str) -> Cluster {
    let cluster = Cluster::with(version, initdb, settings);
    cluster.sql("postgres", "create table t (a int, b text)");
    cluster
}

#[test]
fn every_version_archives_what_gunzip_gives_back() {
    for (major, initdb) in [
        (14, &[][..]),
        (15, &["--wal-segsize=1"]),
        (16, &["--wal-segsize=64"]),
        (17, &[]),
        (18, &[]),
    ] {
        let store = WalStore::container();
        let cluster = archiving(Version::of(major), initdb, &store.archiving("--ahead 2"));
        write(&cluster, 3);
        // It leaves a .backup beside its segment.
        let _base = cluster.base_backup();
        drained(&cluster);
        let done = all_done_are_there(&cluster, &store);
        assert!(
            done >= 4,
            "PostgreSQL {major}: {done}\n{}",
            cluster.server_log()
        );
        assert!(store.names().iter().any(|name| name.ends_with(".backup")));
        let log = cluster.server_log();
        assert!(!log.contains("blob-put"), "PostgreSQL {major}:\n{log}");
        let failed = cluster.sql("postgres", "select failed_count from pg_stat_archiver");
        assert_eq!(failed, "0", "PostgreSQL {major}:\n{log}");
    }
}

/// blob-put and the server are killed while segments are archived, the store is away for a while, answers are lost.
#[test]
fn nothing_is_lost_whatever_is_killed() {
    for store in WalStore::both() {
        let command = store.line(
            "blob-put",
            &format!("--wal \"$1\" {} --ahead 3", store.url()),
        );
        let scratch = e2e::Scratch::new();
        let mode = scratch.write("mode", "kill");
        let away = command.replace(&store.url(), "http://127.0.0.1:9/a/nowhere --deadline 1s");
        let script = scratch.script(
            "archive",
            &format!(
                "case $(cat {}) in\nkill) exec timeout -s KILL 0.$(shuf -i 10-39 -n 1) {command} ;;\naway) exec {away} ;;\nesac\nexec {command}\n",
                mode.display()
            ),
        );
        let settings = store.archiving("");
        let settings: String = settings
            .lines()
            .filter(|line| !line.starts_with("archive_command"))
            .map(|line| format!("{line}\n"))
            .collect();
        let settings = format!(
            "{settings}archive_command = '{} \"%p\"'\n",
            script.display()
        );
        let mut cluster = archiving(Version::debian(), &["--wal-segsize=1"], &settings);
        for round in 0..3 {
            write(&cluster, 6);
            all_done_are_there(&cluster, &store);
            // SIGQUIT to the postmaster: at once.
            cluster.stop();
            let way = if round == 1 { "away" } else { "kill" };
            fs::write(&mode, way).unwrap();
            cluster.go();
            all_done_are_there(&cluster, &store);
        }
        fs::write(&mode, "calm").unwrap();
        drained(&cluster);
        assert!(all_done_are_there(&cluster, &store) >= 18);
    }
}

/// Answers are lost, then the service is away for as long as PostgreSQL takes to fill segments, and comes back, all under
/// load. What was committed comes back too.
#[test]
fn the_store_is_away_under_load_and_comes_back() {
    let store = WalStore::container();
    let proxy = Proxy::to(Azurite::shared().port());
    let by_proxy = store.azure().unwrap().url_at(proxy.port());
    let settings = store.archiving("--ahead 4 --deadline 1s");
    let settings = settings.replace(&store.url(), &by_proxy);
    let cluster = archiving(Version::debian(), &["--wal-segsize=1"], &settings);
    let pgbench = |args: &[&str]| {
        Program::other("pgbench")
            .args(args)
            .arg("postgres")
            .on(&cluster)
    };
    pgbench(&["-i", "-q"]).succeeds();
    drained(&cluster);
    let base = cluster.base_backup();

    // Each is repeated, and finds what it put itself.
    proxy.lose("sig=", 4);
    let load = pgbench(&["-n", "-c", "2", "-t", "1000"]).spawn();
    wait_for("lost answers", || (proxy.losses_left() == 0).then_some(()));
    proxy.gone_after(0);
    // Whatever pgbench does by then.
    wait_for("a failure and a backlog", || {
        cluster.sql("postgres", "insert into t select g, md5(g::text) from generate_series(1, 1000) g; select pg_switch_wal()");
        let failed = "select failed_count > 0 from pg_stat_archiver";
        let is_behind = noted(&cluster, "ready").len() > 3;
        (is_behind && cluster.sql("postgres", failed) == "t").then_some(())
    });
    proxy.comes_back();
    let load = load.wait();
    assert_eq!(load.code(), Some(0), "{load}");
    // The archiver, which has given up for a minute, hears of it.
    write(&cluster, 1);
    drained(&cluster);
    all_done_are_there(&cluster, &store);

    let all = "select count(*), sum(delta), (select sum(abalance) from pgbench_accounts), (select count(*) from t) from pgbench_history";
    let committed = cluster.sql("postgres", all);
    assert!(committed.starts_with("2000|"), "{committed}");
    let mut restored = cluster.copied(
        &base.join("data"),
        Some("recovery"),
        &store.recovering("--ahead 4"),
    );
    restored.recover().unwrap();
    assert_eq!(restored.sql("postgres", all), committed);
}

#[test]
fn a_clone_that_archives_too_changes_nothing() {
    let store = WalStore::container();
    let mut cluster = archiving(Version::debian(), &[], &store.archiving(""));
    write(&cluster, 1);
    drained(&cluster);
    cluster.stop();
    // A snapshot of its disk, with all its settings.
    let mut clone = cluster.copied(&cluster.data(), None, &store.archiving("--ahead 4"));
    cluster.go();
    write(&cluster, 4);
    drained(&cluster);
    let contents = || -> BTreeMap<String, Vec<u8>> {
        store
            .names()
            .into_iter()
            .map(|name| (name.clone(), store.read(&name)))
            .collect()
    };
    let before = contents();
    clone.go();
    clone.sql("postgres", "insert into t values (0, 'of the clone')");
    write(&clone, 2);
    wait_for("the clone's failure", || {
        clone.server_log().contains("another content").then_some(())
    });
    let after = contents();
    for (name, content) in &before {
        assert!(after.get(name) == Some(content), "{name}");
    }
    all_done_are_there(&cluster, &store);
}

#[test]
fn what_was_not_archived_is_sent_before_the_server_goes() {
    for store in WalStore::both() {
        let mut cluster = archiving(Version::debian(), &[], &store.archiving(""));
        write(&cluster, 1);
        let _base = cluster.base_backup();
        drained(&cluster);
        cluster.sql("postgres", "alter system set archive_command = 'false'");
        cluster.sql("postgres", "select pg_reload_conf()");
        write(&cluster, 3);
        let waiting = noted(&cluster, "ready");
        assert!(waiting.len() >= 3, "{waiting:?}");
        cluster.stop();
        let pg_wal = cluster.data().join("pg_wal/");
        let send = || {
            let line = store.line(
                "blob-put",
                &format!("--wal {} {}", pg_wal.display(), store.url()),
            );
            Program::sh(&line)
        };
        send().succeeds().says("archived");
        for name in &waiting {
            let own = fs::read(pg_wal.join(name)).unwrap();
            assert!(store.read(name) == own, "{name}");
        }
        send().succeeds().says("0 files archived");
        // The server comes back, and asks again for what is there.
        cluster.go();
        let command = store.archiving("--ahead 2");
        let command = command
            .lines()
            .find(|line| line.starts_with("archive_command"))
            .unwrap();
        cluster.sql("postgres", &format!("alter system set {command}"));
        cluster.sql("postgres", "select pg_reload_conf()");
        drained(&cluster);
        all_done_are_there(&cluster, &store);
    }
}
