//! What is damaged, killed or away while a cluster is recovered: never a server that lacks something and does not know it.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::thread;

use e2e::{
    Azurite, Chance, Cluster, Program, Proxy, Scratch, Version, WalStore, scratch, wait_for,
};

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
            let bytes = fs::read(file).unwrap();
            let mut bad = bytes.clone();
            let at = chance.below(bad.len());
            match number % 2 {
                0 => bad[at] ^= 1 << chance.below(8),
                _ => bad.truncate(at),
            }
            fs::write(file, &bad).unwrap();
            let what = format!("{}: byte {at} of {}", file.display(), bytes.len());
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
            fs::write(file, bytes).unwrap();
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
        for _ in 0..4 {
            killed(&restored, &mut chance);
        }
        restored.recover().unwrap();
        assert_eq!(numbers(&restored), until(&all, moment));
    }
}

/// A store that is gone while the base backup is unpacked, and comes back.
#[test]
fn a_store_that_comes_back_is_waited_for() {
    let origin = Origin::new(Version::debian(), WalStore::container(), "");
    origin.base();
    origin.write(1, 5);
    for bytes in [1_000, 300_000, 2_000_000] {
        let proxy = Proxy::to(Azurite::shared().port());
        proxy.gone_after(bytes);
        let url = origin.store.azure().unwrap().url_at(proxy.port());
        let place = Scratch::new();
        let data = place.join("data");
        let args = format!("{url} --data-dir {} --at end --with-wal", data.display());
        let running = Program::sh(&origin.store.line("restore-stream", &args)).spawn();
        wait_for("the store to be gone", || proxy.is_gone().then_some(()));
        // It is asked again while it is away.
        wait_for("more requests", || (proxy.refused() > 2).then_some(()));
        assert!(!data.join("global/pg_control").exists());
        proxy.comes_back();
        let seen = running.wait();
        assert_eq!(seen.code(), Some(0), "{seen}");
        assert!(data.join("global/pg_control").exists());
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
}
