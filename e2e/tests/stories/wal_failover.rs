//! The archive while servers change: a standby takes over, two are promoted at once, a prune meets a base backup that is
//! being made.

use e2e::postgres::REPLICATION;
use e2e::{Cluster, Program, Scratch, Seen, Version, WalStore, compare, scratch, wait_for};
use rustix::fs::{CWD, FileType, Mode, mknodat};

/// A cluster whose WAL and base backups go into a container.
struct Site {
    cluster: Cluster,
    store: WalStore,
}

impl Site {
    fn new() -> Self {
        let store = WalStore::container();
        let settings = store.archiving("--ahead 2") + REPLICATION;
        let cluster = Cluster::with(Version::debian(), &["--wal-segsize=1"], &settings);
        cluster.sql("postgres", "create table t (a int, b text)");
        Self { cluster, store }
    }

    /// A shell line with our programs, beside a server.
    fn line(&self, line: &str, cluster: &Cluster) -> Program {
        let line = line.replace("STORE", &self.store.url());
        Program::sh(&line)
            .env("AZURE_STORAGE_SAS_TOKEN", self.token())
            .on(cluster)
    }

    fn token(&self) -> String {
        self.store.azure().expect("a container").token()
    }

    /// Makes a base backup, and gives its name.
    fn base(&self, cluster: &Cluster) -> String {
        let made = "pgdump-gz --base --checkpoint fast | blob-put - STORE/";
        name(&self.line(made, cluster).succeeds())
    }

    fn prune(&self) -> Program {
        let policy = "blob-prune STORE --keep-days 7 --keep-min 1 --even-if-stale --now 2099-01-01";
        self.line(policy, &self.cluster)
    }

    fn verify(&self, cluster: &Cluster) -> Program {
        let line = "backup-verify STORE --wal-only -d dbname=postgres --max-lag 1d";
        self.line(line, cluster)
    }

    /// A cluster of a base backup of the store and the WAL after it.
    fn recovered(&self, base: &str) -> Cluster {
        let home = Scratch::new();
        let data = home.make("data");
        let packed = self.store.azure().expect("a container").read(base);
        Program::other("tar")
            .args(["-xz", "-C"])
            .arg(&data)
            .stdin(packed)
            .succeeds();
        let settings = self.store.recovering("--ahead 2") + REPLICATION;
        let mut restored = self.cluster.copied(&data, Some("recovery"), &settings);
        restored.recover().unwrap();
        restored
    }
}

/// What blob-put says that it made: the name, the size, the SHA-256.
fn name(put: &Seen) -> String {
    let out = put.out();
    let name = out.split('\t').next().expect("a name");
    name.rsplit('/').next().expect("a name").to_owned()
}

/// Rows in a segment of their own, archived.
fn write(cluster: &Cluster, rows: &str) {
    let sql = format!("insert into t select g, '{rows}' from generate_series(1, 2000) g");
    cluster.sql("postgres", &sql);
    cluster.sql("postgres", "select pg_switch_wal()");
    wait_for("the archiver", || {
        let status = scratch::names(cluster.data().join("pg_wal/archive_status"));
        (!status.iter().any(|name| name.ends_with(".ready"))).then_some(())
    });
}

/// It says so on standard output.
fn tells(seen: &Seen, words: &str) {
    assert!(seen.out().contains(words), "{words}: {seen}");
}

fn is_promoted(cluster: &Cluster) {
    cluster.sql("postgres", "select pg_promote()");
    wait_for("the promotion", || {
        (cluster.sql("postgres", "select pg_is_in_recovery()") == "f").then_some(())
    });
}

fn same(one: &Cluster, other: &Cluster) {
    let (one, other) = (one.dump_one("postgres"), other.dump_one("postgres"));
    compare::same_text(("there", &one), ("here", &other));
}

#[test]
fn a_failover_is_followed() {
    let mut site = Site::new();
    let before = site.base(&site.cluster);
    write(&site.cluster, "before");
    let standby = Cluster::standby_of(&site.cluster, "dr", "");
    site.cluster
        .sql("postgres", "insert into t values (0, 'not archived')");
    site.cluster.is_followed_by(&standby);
    site.cluster.stop();
    // As docs/wal.md says, before it is promoted.
    let pg_wal = standby.data().join("pg_wal/").display().to_string();
    let resend = format!("blob-put --wal {pg_wal} STORE/");
    site.line(&resend, &standby).succeeds();
    is_promoted(&standby);
    write(&standby, "after");
    tells(&site.verify(&standby).succeeds(), "can be reached");

    // From the old base backup through the switch.
    same(&standby, &site.recovered(&before));

    let after = site.base(&standby);
    write(&standby, "long after");
    tells(&site.verify(&standby).succeeds(), "2 base backups");
    let first = |names: &[String], timeline: &str| {
        let is_segment = |name: &&String| name.len() == 24 && name.starts_with(timeline);
        names.iter().find(is_segment).cloned()
    };
    assert!(first(&site.store.names(), "00000001").is_some());
    tells(&site.prune().succeeds(), &before);
    let names = site.store.names();
    assert_eq!(first(&names, "00000001"), None, "{names:?}");
    assert!(names.contains(&"00000002.history".to_owned()), "{names:?}");
    tells(&site.verify(&standby).succeeds(), "can be reached");
    same(&standby, &site.recovered(&after));
}

#[test]
fn two_promotions_to_one_timeline_do_not_mix() {
    let mut site = Site::new();
    let base = site.base(&site.cluster);
    write(&site.cluster, "before");
    let one = Cluster::standby_of(&site.cluster, "one", "");
    let two = Cluster::standby_of(&site.cluster, "two", "");
    for standby in [&one, &two] {
        site.cluster.is_followed_by(standby);
    }
    site.cluster.stop();
    is_promoted(&one);
    write(&one, "of one");
    let mut names = site.store.names();
    names.retain(|name| !name.starts_with("postgresql"));
    let contents = || -> Vec<Vec<u8>> { names.iter().map(|name| site.store.read(name)).collect() };
    let before = contents();

    is_promoted(&two);
    two.sql("postgres", "insert into t values (2, 'of two')");
    two.sql("postgres", "select pg_switch_wal()");
    wait_for("the refusal", || {
        let log = two.server_log();
        (log.contains("another content") || log.contains("contradicts")).then_some(())
    });
    assert!(contents() == before, "what was there first stays");
    write(&one, "more of one");
    same(&one, &site.recovered(&base));
}

#[test]
fn a_prune_while_a_base_backup_runs_leaves_its_wal() {
    let site = Site::new();
    let first = site.base(&site.cluster);
    write(&site.cluster, "one");
    let second = site.base(&site.cluster);
    write(&site.cluster, "two");

    // It stands still in its middle until somebody writes to the pipe.
    let home = Scratch::new();
    let go = home.join("go");
    mknodat(CWD, &go, FileType::Fifo, Mode::RUSR | Mode::WUSR, 0).unwrap();
    let held = format!(
        "pgdump-gz --base --checkpoint fast | {{ head -c 100000; cat {} >&2; cat; }} | blob-put - STORE/",
        go.display()
    );
    let third = site.line(&held, &site.cluster).spawn();
    wait_for("a base backup", || {
        let running =
            "select count(*) from pg_stat_progress_basebackup where phase like 'streaming%'";
        (site.cluster.sql("postgres", running) == "1").then_some(())
    });
    write(&site.cluster, "meanwhile");
    let pruned = site.prune().succeeds();
    tells(&pruned, &first);
    assert!(
        !pruned.out().contains(&format!("deleted {second}")),
        "{pruned}"
    );
    std::fs::write(&go, "").unwrap();
    let made = third.wait();
    assert_eq!(made.code(), Some(0), "{made}");
    let third = name(&made);
    write(&site.cluster, "three");

    tells(&site.verify(&site.cluster).succeeds(), "2 base backups");
    for base in [&second, &third] {
        same(&site.cluster, &site.recovered(base));
    }
}
