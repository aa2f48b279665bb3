//! What is damaged, killed or away while a cluster is recovered: never a server that lacks something and does not know it.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::thread;

use e2e::azurite::Container;
use e2e::{
    Azurite, Chance, Cluster, Program, Proxy, Scratch, Version, Volume, WalStore, scratch, wait_for,
};

use serde_json::Value;

use super::{Origin, numbers, until};

/// The files of a store's archive, or its base backups.
fn stored(store: &Path, ending: &str) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(store).unwrap().flatten() {
        match entry.file_type().unwrap().is_dir() {
            true => found.extend(stored(&entry.path(), ending)),
            false => found.push(entry.path()),
        }
    }
    found.retain(|path| path.to_string_lossy().ends_with(ending));
    found.sort();
    found
}

/// A file with a bit that is not its own, or without its end, as long as this lives.
pub(super) struct Spoiled<'a> {
    file: &'a Path,
    bytes: Vec<u8>,
    /// What is wrong with it.
    pub(super) what: String,
}

impl<'a> Spoiled<'a> {
    pub(super) fn new(file: &'a Path, cut: bool, chance: &mut Chance) -> Self {
        let bytes = fs::read(file).unwrap();
        let mut bad = bytes.clone();
        let at = chance.below(bad.len());
        match cut {
            false => bad[at] ^= 1 << chance.below(8),
            true => bad.truncate(at),
        }
        fs::write(file, &bad).unwrap();
        let how = if cut { "cut at" } else { "flipped" };
        let what = format!("{}: {how} byte {at} of {}", file.display(), bytes.len());
        Self { file, bytes, what }
    }
}

impl Drop for Spoiled<'_> {
    fn drop(&mut self) {
        let _ = fs::write(self.file, &self.bytes);
    }
}

#[test]
fn a_flip_or_a_cut_anywhere_never_ends_as_a_success() {
    let mut chance = Chance::new();
    for (major, settings) in [(14, ""), (18, "wal_level = logical\n")] {
        let origin = Origin::new(Version::of(major), WalStore::directory(), settings);
        origin.base();
        origin.write(1, 10);
        origin.write(11, 20);
        let store = PathBuf::from(origin.store.url());
        // The base backup's own first segment and all after it, and the base backup.
        let mut files = stored(&store.join("wal"), ".gz");
        files.retain(|path| !path.to_string_lossy().contains(".backup"));
        let files = [files, stored(&store, ".tar.gz")].concat();
        for number in 0..6 {
            let file = chance.of(&files);
            let spoiled = Spoiled::new(file, number % 2 == 1, &mut chance);
            let what = &spoiled.what;
            let with_wal = *chance.of(&["", " --with-wal"]);
            let mut seen = None;
            let mut restored = origin.cluster.filled(|data| {
                seen = Some(origin.restore(&format!("--at end{with_wal}"), data).run());
            });
            let seen = seen.unwrap();
            match seen.code() {
                Some(0) => {
                    // The server finds it, or it was of no use to it.
                    if restored.recover().is_ok() {
                        assert_eq!(numbers(&restored).len(), 20, "{what}{with_wal}\n{seen}");
                    }
                }
                code => {
                    assert!(
                        code == Some(3) || code == Some(1),
                        "{what}{with_wal}\n{seen}"
                    );
                    assert!(scratch::names(restored.data()).is_empty(), "{what}\n{seen}");
                }
            }
        }
    }
}

/// Starts the server, and kills it, and what it has started, after a while.
fn killed(cluster: &Cluster, chance: &mut Chance) {
    let line = format!(
        "exec setsid postgres -D {} -c unix_socket_directories={}",
        cluster.data().display(),
        cluster.socket().display()
    );
    let mut command = cluster.as_owner(&line);
    let log = fs::File::create(cluster.scratch().join("killed")).unwrap();
    let mut child = command
        .stdout(Stdio::null())
        .stderr(log)
        .stdin(Stdio::null())
        .spawn()
        .unwrap();
    thread::sleep(chance.moment(std::time::Duration::from_millis(400)));
    let data = cluster.data();
    let mine = || -> Vec<String> {
        let processes = fs::read_dir("/proc").unwrap().flatten();
        let names = processes.filter_map(|entry| entry.file_name().into_string().ok());
        names
            .filter(|pid| fs::read_link(format!("/proc/{pid}/cwd")).is_ok_and(|it| it == data))
            .collect()
    };
    wait_for("the server's processes to go", || {
        for pid in mine() {
            let pid = pid.parse().ok().and_then(rustix::process::Pid::from_raw);
            // It may have gone by itself.
            let _ = rustix::process::kill_process(pid?, rustix::process::Signal::KILL);
        }
        let _ = child.kill();
        let _ = child.try_wait();
        mine().is_empty().then_some(())
    });
    let _ = child.wait();
}

#[test]
fn a_server_that_is_killed_while_it_replays_goes_on() {
    let mut chance = Chance::new();
    let origin = Origin::new(Version::of(18), WalStore::directory(), "");
    origin.base();
    for first in [1, 101, 201] {
        origin.write(first, first + 99);
    }
    let all = origin.commits();
    let moment = &all[270].1;
    for with_wal in ["", " --with-wal"] {
        let mut restored = origin.restored(&format!("--at '{moment}Z'{with_wal}"));
        let signal = restored.data().join("recovery.signal");
        for _ in 0..5 {
            killed(&restored, &mut chance);
            // From then on until its checkpoint the server has no target any more: only what is not there is not replayed.
            if with_wal.is_empty() && !signal.exists() {
                restored = origin.restored(&format!("--at '{moment}Z'{with_wal}"));
            }
        }
        restored.recover().unwrap();
        assert_eq!(numbers(&restored), until(&all, moment), "{with_wal}");
    }
    // Killed just when its target is gone.
    let mut restored = origin.restored(&format!("--at '{moment}Z' --with-wal"));
    fs::remove_file(restored.data().join("recovery.signal")).unwrap();
    fs::remove_file(restored.data().join("backup_label")).unwrap();
    restored.go();
    assert_eq!(numbers(&restored), until(&all, moment));
}

/// Where in its reading a run finds its store gone.
pub(super) enum Away {
    /// In the base backup, after so many bytes.
    Base(u64),
    /// At this segment.
    Segment(String),
}

impl Away {
    /// Some in the base backup, and one among the segments. The end of the WAL is looked for in the last segment before
    /// all is fetched; the one before it is only fetched.
    pub(super) fn places(store: &WalStore) -> [Self; 3] {
        let names = store.names().into_iter();
        let segments: Vec<String> = names.filter(|it| it.len() == 24).collect();
        let middle = format!("/{}.gz", segments[segments.len() - 2]);
        [
            Self::Base(300_000),
            Self::Base(2_000_000),
            Self::Segment(middle),
        ]
    }

    /// The container's URL behind a proxy that does this.
    pub(super) fn proxy(&self, container: &Container) -> (Proxy, String) {
        let proxy = Proxy::to(Azurite::shared().port());
        match self {
            Self::Base(bytes) => proxy.gone_after(*bytes),
            Self::Segment(name) => proxy.gone_at(name),
        }
        let url = container.url_at(proxy.port());
        (proxy, url)
    }
}

/// A store that is gone while the base backup is unpacked or the WAL is fetched, and comes back, or does not; or comes back
/// when the disk is full.
#[test]
fn a_store_that_goes_away_and_a_disk_that_fills() {
    let origin = Origin::new(Version::debian(), WalStore::container(), "");
    origin.base();
    origin.write(1, 5);
    origin.write(6, 10);
    let container = origin.store.azure().unwrap();
    let restore = |url: &str, data: &Path, more: &str| {
        let data = data.display();
        let args = format!("{url} --data-dir '{data}' --at end --with-wal {more}");
        let line = format!("exec {}", origin.store.line("restore-stream", &args));
        Program::sh(&line).on(&origin.cluster)
    };
    for away in Away::places(&origin.store) {
        let meanwhile = |data: &Path, happens: &dyn Fn()| {
            let (proxy, url) = away.proxy(container);
            let running = restore(&url, data, "").spawn();
            wait_for("the store to be gone", || proxy.is_gone().then_some(()));
            // It is asked again while it is away.
            wait_for("more requests", || (proxy.refused() > 2).then_some(()));
            assert!(!data.join("global/pg_control").exists());
            happens();
            proxy.comes_back();
            running.wait()
        };
        let mut restored = origin.cluster.filled(|data| {
            let seen = meanwhile(data, &|| ());
            assert_eq!(seen.code(), Some(0), "{seen}");
        });
        restored.recover().unwrap();
        assert_eq!(numbers(&restored), (1..=10).collect::<Vec<_>>());

        let place = Scratch::new();
        let data = place.join("data");
        let (proxy, url) = away.proxy(container);
        restore(&url, &data, "--deadline 1s")
            .fails(1)
            .says(": the connection was cut (tried ")
            .says("run it again later");
        assert!(proxy.is_gone());
        assert!(!data.exists());

        let disk = Volume::mount(place.join("disk"), "200m");
        let data = disk.path().join("data");
        let seen = meanwhile(&data, &|| disk.fill());
        assert_eq!(seen.code(), Some(1), "{seen}");
        seen.says(&format!("cannot write '{}/", data.display()))
            .says("No space left on device")
            .says("hint: make room");
        assert_eq!(scratch::names(disk.path()), ["filler"]);
    }
}

/// Two clusters in one store: which one is not guessed.
#[test]
fn one_of_two_clusters_is_named() {
    let one = Origin::new(Version::debian(), WalStore::directory(), "");
    one.base();
    one.write(1, 3);
    let other = Cluster::with(
        Version::debian(),
        &["--wal-segsize=1"],
        &one.store.archiving("--ahead 4"),
    );
    super::base(&other, &one.store);
    one.refused(2, "--at end").says("--system");
    let system = one.cluster.control("Database system identifier");
    let restored = one.recovered(&format!("--at end --system {system}"));
    assert_eq!(numbers(&restored), [1, 2, 3]);
    one.refused(3, "--at end --system 7");

    // For a script, on failure too.
    let place = Scratch::new();
    let data = place.join("data");
    let args = format!("--at end --json --system {system}");
    let seen = one.restore(&args, &data).succeeds();
    let said: Value = serde_json::from_str(&seen.out()).unwrap();
    assert_eq!(said["ok"], true, "{said}");
    assert_eq!(said["data_dir"], data.display().to_string());
    assert_eq!(said["timeline"], 1);
    assert_eq!(said["archives"], false);
    let base = said["base_backup"].as_str().unwrap();
    assert!(base.starts_with("postgresql_base_"), "{said}");
    assert!(said["start"].as_str().unwrap().contains("pg_ctl"), "{said}");
    assert!(said["bytes"].as_u64() > Some(1 << 20), "{said}");
    let seen = one.refused(3, "--at '2020-01-01 00:00Z' --json");
    let said: Value = serde_json::from_str(&seen.out()).unwrap();
    assert_eq!(said["exit"], 3, "{said}");
    assert_eq!(said["ok"], false, "{said}");
    assert!(
        said["error"].as_str().unwrap().contains("no base backup"),
        "{said}"
    );
}
