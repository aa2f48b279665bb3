//! What blob-prune leaves of base backups and WAL leads back to every moment that it says, and backup-verify finds
//! whatever is missing.

use std::fs;
use std::path::{Path, PathBuf};

use e2e::{Azurite, Cluster, Program, Scratch, Version, WalStore, compare, wait_for};
use serde_json::Value;

use crate::base_backup::{base, recovered, set};

/// A cluster that archives its WAL into a store with `blob-put --wal`.
struct Archiving {
    cluster: Cluster,
    _place: WalStore,
    store: PathBuf,
    archive: PathBuf,
}

impl Archiving {
    fn start() -> Self {
        let place = WalStore::directory();
        let cluster = Cluster::with(
            Version::debian(),
            &["--wal-segsize=1"],
            &place.archiving(""),
        );
        let store = PathBuf::from(place.url());
        let system = cluster.sql(
            "postgres",
            "select system_identifier from pg_control_system()",
        );
        let archive = store.join("wal").join(system);
        Self {
            cluster,
            _place: place,
            store,
            archive,
        }
    }

    fn base(&self) -> String {
        let seen = base(&self.cluster).arg("--dir").arg(&self.store).succeeds();
        Path::new(&seen.out())
            .file_name()
            .unwrap()
            .to_str()
            .unwrap()
            .to_owned()
    }

    /// Writes some segments, and waits until they are archived.
    fn write(&self, table: &str) {
        let sql = format!(
            "create table {table} as select i, repeat('x', 500) from generate_series(1, 5000) i"
        );
        self.cluster.sql("postgres", &sql);
        // What is written later, as an idle server does, is not archived.
        let switch = "select pg_walfile_name(pg_switch_wal())";
        let last = self.cluster.sql("postgres", switch);
        wait_for("the archive", || {
            self.archive
                .join(format!("{last}.gz"))
                .exists()
                .then_some(())
        });
    }

    /// The archived segments, oldest first.
    fn segments(&self) -> Vec<String> {
        let mut names: Vec<String> = fs::read_dir(&self.archive)
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .filter(|name| name.len() == 27 && name.ends_with(".gz"))
            .collect();
        names.sort();
        names
    }

    fn verify(&self) -> Program {
        Program::new("backup-verify")
            .arg(&self.store)
            .args(["--wal-only", "--max-lag", "1d"])
    }

    fn prune(&self, args: &[&str]) -> Program {
        Program::new("blob-prune").arg(&self.store).args(args)
    }
}

/// The first and the last segment that a base backup needs, by its index.
fn needs(store: &Path, name: &str) -> Value {
    let listed = Program::new("restore-stream")
        .arg(store.join(name))
        .args(["--list", "--json"])
        .succeeds();
    serde_json::from_str(&listed.out()).unwrap()
}

#[test]
fn what_is_left_leads_back_to_every_moment() {
    let site = Archiving::start();
    let first = site.base();
    site.write("one");
    let second = site.base();
    site.write("two");
    let third = site.base();
    site.write("three");
    let before = site.segments();

    // Nothing is old yet.
    let seen = site.prune(&["--keep-days", "7", "--dry-run"]).succeeds();
    assert!(seen.out().contains("reachable"), "{seen}");
    assert!(!seen.out().contains("would delete  postgresql"), "{seen}");

    // Two weeks later the last two are kept.
    let later = "2099-01-01";
    let policy = [
        "--keep-days",
        "7",
        "--keep-min",
        "2",
        "--even-if-stale",
        "--now",
        later,
    ];
    let plan = site.prune(&policy).args(["--dry-run", "--json"]).succeeds();
    assert_eq!(site.segments(), before);
    let plan: Value = serde_json::from_str(&plan.out()).unwrap();
    let gone = plan["wal"][0]["delete"].as_u64().unwrap();
    assert!(gone > 2, "{plan}");
    let from = |when: &str| plan["wal"][0][when][0]["from"].as_str().unwrap().to_owned();
    assert!(from("reachable_before") < from("reachable_after"), "{plan}");

    // A listing that is cut deletes nothing.
    let seen = site.prune(&policy).succeeds();
    assert!(seen.out().contains(&first), "{seen}");
    assert!(!site.store.join(&first).exists());
    let left = site.segments();
    let start = needs(&site.store, &second)["start_lsn"]
        .as_str()
        .unwrap()
        .to_owned();
    let wanted = format!("select pg_walfile_name('{start}')");
    let wanted = site.cluster.sql("postgres", &wanted);
    assert_eq!(left[0], format!("{wanted}.gz"));
    assert!(before.ends_with(&left), "{before:?} {left:?}");
    // Once more there is nothing to do.
    let seen = site.prune(&policy).succeeds();
    assert!(!seen.out().contains("deleted "), "{seen}");

    let dump = site.cluster.dump_all::<&str>(&[]);
    for name in [&second, &third] {
        let path = site.store.join(name);
        let restored = recovered(Version::debian(), &site.archive, |data| {
            Program::other("tar")
                .arg("-xzf")
                .arg(&path)
                .arg("-C")
                .arg(data)
                .succeeds();
        });
        compare::same_text(
            ("before", &dump),
            ("after", &restored.dump_all::<&str>(&[])),
        );
    }

    // The same in a container, where the archive of another cluster is left alone.
    let container = Azurite::shared().container();
    let foreign = "wal/1/000000010000000000000001.gz";
    container.write(foreign, b"of another cluster");
    for name in [&second, &third] {
        container.write(name, &fs::read(site.store.join(name)).unwrap());
    }
    let system = site.archive.file_name().unwrap().to_str().unwrap();
    for name in &left {
        let bytes = fs::read(site.archive.join(name)).unwrap();
        container.write(&format!("wal/{system}/{name}"), &bytes);
    }
    let run = |program: &str, args: &[&str]| {
        Program::new(program)
            .arg(container.url())
            .args(args)
            .env("AZURE_STORAGE_SAS_TOKEN", container.token())
    };
    run("backup-verify", &["--wal-only"]).succeeds();
    let policy = [
        "--keep-days",
        "7",
        "--keep-min",
        "1",
        "--even-if-stale",
        "--now",
        later,
    ];
    let seen = run("blob-prune", &policy).succeeds();
    assert!(seen.out().contains(&second), "{seen}");
    assert!(
        seen.out().contains("there is no base backup of it here"),
        "{seen}"
    );
    let names = container.names();
    assert!(
        names.contains(&third) && !names.contains(&second),
        "{names:?}"
    );
    assert!(names.iter().any(|name| name == foreign), "{names:?}");
    assert!(names.len() < left.len(), "{names:?}");
    run("backup-verify", &["--wal-only"]).succeeds();
}

#[test]
fn every_hole_is_found() {
    let site = Archiving::start();
    let older = site.base();
    site.write("one");
    let newest = site.base();
    site.write("two");
    let seen = site
        .verify()
        .args(["-d", "postgres"])
        .on(&site.cluster)
        .succeeds();
    assert!(
        seen.out().contains("can be reached; 2 base backups"),
        "{seen}"
    );
    assert!(seen.out().contains("the archive ends at"), "{seen}");
    Program::new("backup-verify")
        .arg(&site.store)
        .args(["--all", "--quota", "1T"])
        .succeeds();

    let start = needs(&site.store, &newest)["start_lsn"]
        .as_str()
        .unwrap()
        .to_owned();
    let start = site
        .cluster
        .sql("postgres", &format!("select pg_walfile_name('{start}')"));
    let oldest = needs(&site.store, &older)["start_lsn"]
        .as_str()
        .unwrap()
        .to_owned();
    let oldest = site
        .cluster
        .sql("postgres", &format!("select pg_walfile_name('{oldest}')"));
    let segments = site.segments();
    let (last, inner) = segments.split_last().unwrap();
    for name in inner {
        let (path, away) = (site.archive.join(name), site.store.join("away"));
        fs::rename(&path, &away).unwrap();
        let name = name.trim_end_matches(".gz");
        if name >= start.as_str() {
            site.verify().fails(3).says(name);
        } else if name >= oldest.as_str() {
            site.verify().succeeds().says(name);
        } else {
            site.verify().succeeds().hides(name);
        }
        fs::rename(&away, &path).unwrap();
    }
    // One bit of a segment.
    let path = site.archive.join(last);
    let good = fs::read(&path).unwrap();
    let mut bad = good.clone();
    bad[100] ^= 1;
    fs::write(&path, bad).unwrap();
    Program::new("backup-verify")
        .arg(&site.store)
        .args(["--all", "--quota", "1T"])
        .fails(3)
        .says(last.trim_end_matches(".gz"));
    fs::write(&path, &good).unwrap();

    // A promoted standby, while the old primary goes on.
    let pack = |name: &str, text: &[u8]| {
        let packed = Program::sh("pgdump-gz -- cat").stdin(text).succeeds();
        fs::write(site.archive.join(name), packed.stdout).unwrap();
    };
    let segment = |number: usize| segments[segments.len() - number].replace("00000001", "00000002");
    let at = site.cluster.sql(
        "postgres",
        "select pg_current_wal_lsn() - 3 * 1024 * 1024 + 100",
    );
    let second = site
        .cluster
        .sql("postgres", &format!("select pg_walfile_name('{at}')"));
    let second = second.replacen("00000001", "00000002", 1) + ".gz";
    assert!(segment(1) > second);
    fs::write(site.archive.join(&second), &good).unwrap();
    site.verify().fails(3).says("00000002.history is missing");
    pack(
        "00000002.history.gz",
        format!("1\t{at}\tno recovery target specified\n").as_bytes(),
    );
    site.write("three");
    site.verify().fails(3).says("two primaries at once");
    for name in [second.as_str(), "00000002.history.gz"] {
        fs::remove_file(site.archive.join(name)).unwrap();
    }
    site.verify().succeeds();

    // The archive cannot be written to any more.
    set(&site.cluster, "archive_command = 'false'");
    site.cluster.sql("postgres", "select pg_reload_conf()");
    let sql = "create table behind as select i, repeat('x', 500) from generate_series(1, 5000) i";
    site.cluster.sql("postgres", sql);
    let failed = "select last_failed_wal from pg_stat_archiver";
    wait_for("a failure", || {
        (!site.cluster.sql("postgres", failed).is_empty()).then_some(())
    });
    let metrics = Scratch::new();
    let seen = Program::new("backup-verify")
        .arg(&site.store)
        .args([
            "--wal-only",
            "-d",
            "postgres",
            "--max-lag",
            "0s",
            "--metrics",
        ])
        .arg(metrics.join("x.prom"))
        .on(&site.cluster)
        .fails(3);
    seen.says("its archiver failed last").says("behind");
    let text = fs::read_to_string(metrics.join("x.prom")).unwrap();
    for metric in [
        "wal_lag_seconds",
        "wal_lag_bytes",
        "wal_missing_segments",
        "recoverable_until_timestamp_seconds",
    ] {
        assert!(
            text.contains(&format!("postgresql_backup_{metric}{{store=")),
            "{metric} in {text}"
        );
    }
}
