//! PostgreSQL recovers with `restore-stream --wal`: to the last commit that was archived, or it stops with an error.

use e2e::{Cluster, Scratch, Version, WalStore, proxy, scratch, wait_for};

/// A server with a base backup and WAL after it, all archived.
struct Origin {
    cluster: Cluster,
    base: Scratch,
}

impl Origin {
    fn new(version: Version, initdb: &[&str], store: &WalStore) -> Self {
        let cluster = Cluster::with(version, initdb, &store.archiving("--ahead 4"));
        cluster.sql("postgres", "create table t (a int)");
        let base = cluster.base_backup();
        let origin = Self { cluster, base };
        origin.write(1, 4);
        origin
    }

    /// A row and a segment for each number.
    fn write(&self, first: usize, last: usize) {
        write(&self.cluster, first, last);
    }

    fn restored(&self, settings: &str) -> Cluster {
        self.cluster
            .copied(&self.base.join("data"), Some("recovery"), settings)
    }
}

fn write(cluster: &Cluster, first: usize, last: usize) {
    for number in first..=last {
        cluster.sql(
            "postgres",
            &format!("insert into t values ({number}); select pg_switch_wal()"),
        );
    }
    wait_for("the archiver", || {
        let status = scratch::names(cluster.data().join("pg_wal/archive_status"));
        (!status.iter().any(|name| name.ends_with(".ready"))).then_some(())
    });
}

fn rows(cluster: &Cluster) -> String {
    cluster.sql(
        "postgres",
        "select string_agg(a::text, ' ' order by a) from t",
    )
}

/// It stopped, and is not promoted: nobody takes half of the WAL for all of it.
fn is_not_promoted(cluster: &Cluster, log: &str) {
    assert!(log.contains("FATAL"), "{log}");
    assert_eq!(cluster.timeline(), 1, "{log}");
    assert!(cluster.data().join("recovery.signal").exists(), "{log}");
}

#[test]
fn all_that_was_archived_comes_back() {
    for (store, major) in WalStore::both().into_iter().zip([15, 18]) {
        let origin = Origin::new(Version::of(major), &[], &store);
        for options in ["", "--ahead 3"] {
            let mut restored = origin.restored(&store.recovering(options));
            restored.recover().unwrap();
            assert_eq!(rows(&restored), "1 2 3 4");
            leaves_nothing(&restored);
        }
        // It stops in the middle of what was fetched ahead.
        let target = "recovery_target_xid = '0'\nrecovery_target_action = promote\n";
        let xid = origin
            .cluster
            .sql("postgres", "select xmin from t where a = 2");
        let settings = store.recovering("--ahead 4") + &target.replace('0', &xid);
        let mut restored = origin.restored(&settings);
        restored.recover().unwrap();
        assert_eq!(rows(&restored), "1 2");
        leaves_nothing(&restored);
    }
}

fn leaves_nothing(restored: &Cluster) {
    let left = scratch::names(restored.data().join("pg_wal"));
    let ours = |name: &&String| name.contains("restore-stream");
    assert_eq!(left.iter().find(ours), None, "{left:?}");
}

#[test]
fn a_hole_ends_in_an_error() {
    let store = WalStore::container();
    let origin = Origin::new(Version::debian(), &["--wal-segsize=1"], &store);
    let segments: Vec<String> = store
        .names()
        .into_iter()
        .filter(|name| name.len() == 24)
        .collect();
    let lost = &segments[segments.len() - 2];
    store.lose(lost);
    for options in ["--deadline 1s", "--ahead 3 --deadline 1s"] {
        let mut restored = origin.restored(&store.recovering(options));
        let log = restored.recover().unwrap_err();
        assert!(
            log.contains(lost.as_str()) && log.contains("is a hole"),
            "{log}"
        );
        is_not_promoted(&restored, &log);
    }
    // Who wants what is before it says so.
    let mut restored = origin.restored(&store.recovering("--standby"));
    restored.recover().unwrap();
    assert_eq!(rows(&restored), "1 2");
}

#[test]
fn no_failure_is_taken_for_the_end() {
    let store = WalStore::container();
    let origin = Origin::new(Version::debian(), &["--wal-segsize=1"], &store);
    let container = store.azure().unwrap();
    let settings = store.recovering("--deadline 1s");
    let url = store.url();
    let wrong = Scratch::new();
    let token = wrong.write("token", container.sas().badly_signed().sign());
    let weak = wrong.write("weak", container.sas().permissions("r").sign());
    let own_token = settings
        .split("TOKEN_FILE=")
        .nth(1)
        .unwrap()
        .split(' ')
        .next()
        .unwrap();
    let program = settings
        .split(' ')
        .find(|word| word.ends_with("/restore-stream"))
        .unwrap();
    for (what, settings) in [
        (
            "nobody listens",
            settings.replace(&url, &container.url_at(proxy::closed_port())),
        ),
        (
            "no such container",
            settings.replace(&url, &format!("{url}-absent")),
        ),
        (
            "wrong prefix",
            settings.replace(&url, &format!("{url}/prefix")),
        ),
        (
            "wrong token",
            settings.replace(own_token, &token.display().to_string()),
        ),
        ("no token", settings.replace(own_token, "/nonexistent")),
        (
            "no such program",
            settings.replace(program, "/nonexistent/restore-stream"),
        ),
        (
            "wrong option",
            settings.replace("--deadline", "--deadlines"),
        ),
        // It finds all segments, and cannot prove that there are no more.
        (
            "no listing",
            settings.replace(own_token, &weak.display().to_string()),
        ),
    ] {
        let mut restored = origin.restored(&settings);
        let log = restored.recover().map(|()| what.to_owned()).unwrap_err();
        is_not_promoted(&restored, &log);
    }
    // Out of memory.
    let limited = settings.replace(
        "restore_command = '",
        "restore_command = 'ulimit -v 13000; ",
    );
    let mut restored = origin.restored(&limited);
    let log = restored.recover().unwrap_err();
    is_not_promoted(&restored, &log);
    let mut restored = origin.restored(&settings);
    restored.recover().unwrap();
    assert_eq!(rows(&restored), "1 2 3 4");
}

/// Promoted three times, without a segment between: all of it is on the way to the last timeline.
#[test]
fn a_recovery_follows_every_switch_of_timelines() {
    let store = WalStore::container();
    let origin = Origin::new(Version::debian(), &["--wal-segsize=1"], &store);
    let archiving = store.archiving("--ahead 4");
    let mut cluster = origin.restored(&format!("{}{archiving}", store.recovering("")));
    cluster.recover().unwrap();
    assert_eq!(cluster.timeline(), 2);
    for timeline in 3..=4 {
        cluster.sql(
            "postgres",
            &format!("set synchronous_commit = on; insert into t values ({timeline}0)"),
        );
        cluster.stop();
        cluster = cluster.copied(
            &cluster.data(),
            Some("recovery"),
            &format!("{}{archiving}", store.recovering("")),
        );
        cluster.recover().unwrap();
        assert_eq!(cluster.timeline(), timeline);
    }
    write(&cluster, 5, 6);
    let names = store.names();
    for timeline in 2..=4 {
        assert!(
            names.contains(&format!("0000000{timeline}.history")),
            "{names:?}"
        );
    }
    let wanted = rows(&cluster);
    assert_eq!(wanted, "1 2 3 4 5 6 30 40");
    for options in ["", "--ahead 2"] {
        let mut restored = origin.restored(&store.recovering(options));
        restored.recover().unwrap();
        assert_eq!(rows(&restored), wanted);
    }
    // Without a history of a timeline that there is WAL of, the way there is lost.
    store.lose("00000002.history");
    let mut restored = origin.restored(&store.recovering("--deadline 1s"));
    let log = restored.recover().unwrap_err();
    assert!(log.contains("00000002.history"), "{log}");
    is_not_promoted(&restored, &log);
}

/// The store is also what a standby reads when it is behind; it asks again, and is promoted when it is told to.
#[test]
fn a_standby_follows_and_is_promoted() {
    let store = WalStore::container();
    let origin = Origin::new(Version::debian(), &["--wal-segsize=1"], &store);
    let settings = format!(
        "{}wal_retrieve_retry_interval = 200ms\nhot_standby = on\n",
        store.recovering("--standby --ahead 2")
    );
    let mut standby = origin
        .cluster
        .copied(&origin.base.join("data"), Some("standby"), &settings);
    standby.go();
    wait_for("the standby", || {
        (rows(&standby) == "1 2 3 4").then_some(())
    });
    origin.write(5, 7);
    wait_for("the standby", || {
        (rows(&standby) == "1 2 3 4 5 6 7").then_some(())
    });
    standby.sql("postgres", "select pg_promote()");
    assert_eq!(standby.sql("postgres", "select pg_is_in_recovery()"), "f");
}
