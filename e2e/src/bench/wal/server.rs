//! What is measured on a server that archives: base backups, recovery, the load that it bears, and what would be lost.

use std::fs;
use std::thread;
use std::time::{Duration, Instant};

use super::super::archiving::{archive_by, backlog, drained, run};
use super::super::measure::Measured;
use super::super::race::{Figure, Quantity, Race, Run};
use super::super::sink::CONTAINER;
use super::stores::Service;
use crate::sas::Sas;
use crate::{Cluster, Scratch, Version, WalStore};

/// The scale of pgbench: some hundred megabytes.
const SCALE: &str = "20";
/// Its scale for base backups, so that what is done once each is little beside them.
const LARGER: &str = "50";
/// The transactions of each of its clients: about three minutes on a small machine.
const TRANSACTIONS: &str = "100000";
/// `archive_timeout`, in seconds.
const TIMEOUT: f64 = 10.0;

fn archiving(store: &WalStore, options: &str, scale: &str) -> Cluster {
    let cluster = Cluster::with(Version::debian(), &[], &store.archiving(options));
    run(cluster
        .command("pgbench")
        .args(["-i", "-q", "-s", scale, "postgres"]));
    cluster
}

fn wall(seconds: f64) -> Measured {
    Measured {
        wall: seconds,
        ..Measured::default()
    }
}

pub(super) fn base() -> Race {
    // It lives as long as the benchmark, as its store does.
    let store = Box::leak(Box::new(WalStore::directory()));
    let cluster = Box::leak(Box::new(archiving(store, "", LARGER)));
    let ours = "pgdump-gz --base --checkpoint fast > out".to_owned();
    let limit = "pg_basebackup -D - -Ft -X none -c fast > /dev/null".to_owned();
    let piped = "pg_basebackup -D - -Ft -X none -c fast | cat > /dev/null".to_owned();
    let gzip = "pg_basebackup -D - -Ft -X none -c fast -z > out".to_owned();
    let socket = cluster.socket().display().to_string();
    Race {
        title: "WAL: a base backup, all CPUs",
        figures: vec![Figure::ratio(Quantity::Wall, &ours, &limit, 1.10)],
        lines: vec![limit, ours, piped, gzip],
        env: vec![("PGHOST", socket)],
        ..Race::default()
    }
}

/// Recovery of some hundred megabytes of WAL from a directory, by restore-stream and by cp.
pub(super) fn recovery() -> Race {
    let store = WalStore::directory();
    let cluster = archiving(&store, "--ahead 8", SCALE);
    let base = cluster.base_backup();
    run(cluster
        .command("pgbench")
        .args(["-n", "-c", "2", "-t", "20000", "postgres"]));
    cluster.sql("postgres", "select pg_switch_wal()");
    drained(&cluster);
    // As cp wants it.
    let plain = cluster.server_dir("plain");
    for name in store.names() {
        fs::write(plain.join(&name), store.read(&name)).expect("a segment");
    }
    let ours = "restore-stream --ahead 4".to_owned();
    let cp = "cp".to_owned();
    let recover = move |line: usize| {
        let mut settings = match line {
            0 => store.recovering("--ahead 4"),
            _ => format!(
                "archive_mode = off\nrestore_command = 'cp {}/%f %p'\n",
                plain.display()
            ),
        };
        // PostgreSQL flushes what cp does not.
        settings += "fsync = on\n";
        let mut restored = cluster.copied(&base.join("data"), Some("recovery"), &settings);
        let started = Instant::now();
        restored.recover().expect("a recovery");
        wall(started.elapsed().as_secs_f64())
    };
    Race {
        title: "WAL: recovery from a local directory",
        figures: vec![Figure::ratio(Quantity::Wall, &ours, &cp, 1.2)],
        lines: vec![ours, cp],
        by: Some(Run::new(recover)),
        ..Race::default()
    }
}

/// The same transactions with and without archiving; the backlog has to drain.
pub(super) fn load() -> Race {
    let service = Service::start();
    // The token stays out of the setting: PostgreSQL takes a % in it for a parameter.
    let home = Box::leak(Box::new(Scratch::new()));
    let token = home.write("token", Sas::new(CONTAINER).sign());
    let command = format!(
        "env SSL_CERT_FILE={} AZURE_STORAGE_SAS_TOKEN_FILE={} {}/blob-put --wal --ahead 8 \"%p\" {}/",
        service.certificate.authority.display(),
        token.display(),
        WalStore::programs().display(),
        Service::url(service.sink.port()),
    );
    // It learns to archive before it starts; where to, is said for each run.
    let cluster = archiving(&WalStore::directory(), "", SCALE);
    let with = "pgbench, archiving with --ahead 8".to_owned();
    let without = "pgbench, archive_command = '/bin/true'".to_owned();
    let bench = move |line: usize| {
        archive_by(&cluster, if line == 0 { &command } else { "/bin/true" });
        drained(&cluster);
        let started = Instant::now();
        run(cluster
            .command("pgbench")
            .args(["-n", "-c", "4", "-t", TRANSACTIONS, "postgres"]));
        let seconds = started.elapsed().as_secs_f64();
        println!("backlog at the end: {} segments", backlog(&cluster));
        drained(&cluster);
        wall(seconds)
    };
    Race {
        title: "WAL: pgbench at full speed, the store on the same CPUs",
        figures: vec![Figure::ratio(Quantity::Wall, &with, &without, 1.0 / 0.95)],
        lines: vec![with, without],
        by: Some(Run::new(bench)),
        rounds: Some(1),
        ..Race::default()
    }
}

/// How old the last commit is that the store could bring back, asked for a minute: the 99th percentile.
pub(super) fn loss() -> Race {
    let line = "age of the last commit in the store, p99 (wall)".to_owned();
    let measured = |_: usize| {
        let store = WalStore::directory();
        let settings = store.archiving("--ahead 8") + &format!("archive_timeout = {TIMEOUT}\n");
        let cluster = Cluster::with(Version::debian(), &[], &settings);
        cluster.sql("postgres", "create table commits (at timestamptz)");
        // A checkpointer that has just started looks at archive_timeout for the first time after checkpoint_timeout, or
        // when it is woken (checkpointer.c).
        cluster.sql("postgres", "checkpoint");
        wall(p99(&cluster, &store))
    };
    Race {
        title: "WAL: what a lost server would have lost",
        figures: vec![Figure::bound(Quantity::Wall, &line, TIMEOUT + 5.0)],
        lines: vec![line],
        by: Some(Run::new(measured)),
        rounds: Some(1),
        ..Race::default()
    }
}

fn p99(cluster: &Cluster, store: &WalStore) -> f64 {
    const MINUTE: Duration = Duration::from_secs(60);
    // When a commit was made, and the segment that the WAL had reached then.
    let mut commits: Vec<(f64, String)> = Vec::new();
    let mut ages = Vec::new();
    let started = Instant::now();
    while started.elapsed() < MINUTE {
        cluster.sql("postgres", "insert into commits values (now())");
        let made = started.elapsed().as_secs_f64();
        let reached = "select pg_walfile_name(pg_current_wal_insert_lsn())";
        commits.push((made, cluster.sql("postgres", reached)));
        let names = store.names();
        let archived = names.iter().rfind(|name| name.len() == 24);
        let archived = archived.cloned().unwrap_or_default();
        let there = commits.iter().rev().find(|(_, name)| *name <= archived);
        // Not before the first one is there.
        if let Some((made, _)) = there {
            ages.push(started.elapsed().as_secs_f64() - made);
        }
        thread::sleep(Duration::from_millis(100));
    }
    ages.sort_by(f64::total_cmp);
    let at = (ages.len() * 99).div_ceil(100);
    at.checked_sub(1).map_or(f64::NAN, |at| ages[at])
}
