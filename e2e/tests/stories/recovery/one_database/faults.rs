//! What fails while one database is brought back: the living server is as it was, and nothing is left beside it.

use std::fs;
use std::path::{Path, PathBuf};

use e2e::{Chance, Cluster, Version, Volume, WalStore, scratch, wait_for};
use rustix::process::{Pid, Signal, kill_process};

use super::super::faults::{Away, Spoiled};
use super::super::{commits_in, write_in};
use super::{Living, SHOP};

#[test]
fn a_failure_leaves_nothing_and_a_killed_run_is_swept() {
    let living = Living::new(Version::debian(), WalStore::directory());
    let at = "--at end --as back";
    // Killed while its server is there.
    let work = living.place.join("work");
    let is_there = || {
        let mut entries = fs::read_dir(&work).unwrap().flatten();
        entries.any(|it| it.path().join("data/postmaster.pid").exists())
    };
    for (signal, code) in [(Signal::TERM, Some(143)), (Signal::KILL, None)] {
        let mut running = living.restore(at).spawn();
        wait_for("the private server", || {
            (is_there() || running.ended()).then_some(())
        });
        running.signal(signal);
        let seen = running.wait();
        assert_eq!(seen.code(), code, "{seen}");
        assert_eq!(
            scratch::names(&work).is_empty(),
            signal == Signal::TERM,
            "{seen}"
        );
        assert_eq!(living.origin.cluster.databases(), [SHOP, "postgres"]);
    }
    living
        .restore(at)
        .succeeds()
        .says("which a run that was killed has left");
    living.is_tidy();
    assert_eq!(living.numbers("back").len(), 20);
}

#[test]
fn a_server_that_is_killed_while_it_replays() {
    let living = Living::new(Version::debian(), WalStore::directory());
    let slow = living.slow_server(&living.place.join("never"));
    let work = living.place.join("work");
    let args = format!("--at end --as back --pg-bindir '{}'", slow.display());
    living.untouched(|| {
        let mut running = living.restore(&args).spawn();
        let server = wait_for("the private server", || {
            let mut entries = fs::read_dir(&work).unwrap().flatten();
            let pid_file = entries
                .find_map(|it| fs::read_to_string(it.path().join("data/postmaster.pid")).ok());
            assert!(!running.ended());
            Pid::from_raw(pid_file?.lines().next()?.parse().ok()?)
        });
        kill_process(server, Signal::KILL).unwrap();
        let seen = running.wait();
        assert_eq!(seen.code(), Some(1), "{seen}");
        seen.says("cannot recover to the end of the archived WAL: ")
            .says("was killed by SIGKILL");
    });
}

#[test]
fn a_flip_or_a_cut_anywhere_is_not_restored() {
    let mut chance = Chance::new();
    let living = Living::new(Version::of(17), WalStore::directory());
    write_in(SHOP, &living.origin.cluster, 21, 30);
    write_in(SHOP, &living.origin.cluster, 31, 40);
    let store = PathBuf::from(living.origin.store.url());
    let segments = living.origin.store.names().into_iter();
    // The base backup's own first segment and all after it.
    let mut files: Vec<PathBuf> = segments
        .filter(|it| it.len() == 24)
        .map(|it| living.origin.store.path(&it))
        .collect();
    let base = scratch::names(&store);
    let base = base.iter().find(|it| it.ends_with(".tar.gz")).unwrap();
    files.push(store.join(base));
    for number in 0..6 {
        let file = match number {
            0 | 1 => files.last().unwrap(),
            _ => chance.of(&files),
        };
        let spoiled = Spoiled::new(file, number % 2 == 1, &mut chance);
        let what = &spoiled.what;
        let cluster = &living.origin.cluster;
        let before = cluster.databases();
        let seen = living.restore("--at end --as back").run();
        living.is_tidy();
        match seen.code() {
            // It was of no use to it.
            Some(0) => {
                assert_eq!(living.numbers("back").len(), 40, "{what}\n{seen}");
                cluster.sql("postgres", "drop database back");
            }
            Some(1 | 3) => {}
            _ => panic!("{what}\n{seen}"),
        }
        assert_eq!(cluster.databases(), before, "{what}\n{seen}");
    }
}

#[test]
fn a_disk_that_is_full_and_a_server_that_fails() {
    let living = Living::new(Version::debian(), WalStore::directory());
    let at = "--at end --as back";
    for (options, code, words) in [
        ("20m", 4, " free, and the cluster takes "),
        ("500m,nr_inodes=300", 1, "No space left on device"),
    ] {
        let disk = Volume::mount(living.place.join(options), options);
        living.untouched(|| {
            living.restore_in(disk.path(), at).fails(code).says(words);
        });
        assert!(scratch::names(disk.path()).is_empty());
    }
    // A server that ends while it recovers.
    let bin = living.origin.cluster.version().bin();
    let real = bin.join("postgres");
    let fake = living.programs_with(
        "postgres",
        &format!(
            "[ \"$1\" = --version ] && exec {} --version\necho 'LOG:  replaying' >&2\necho 'FATAL:  the replay broke' >&2\nexit 1",
            real.display()
        ),
    );
    living
        .refused(1, &format!("{at} --pg-bindir '{}'", fake.display()))
        .says("cannot recover to the end of the archived WAL: ")
        .says("FATAL:  the replay broke");
    // One that is killed when it has recovered.
    let killing = living.programs_with(
        "pg_dump",
        &format!(
            "[ \"$1\" = --version ] || kill -KILL $(head -qn 1 '{}'/*/data/postmaster.pid)\nexec {} \"$@\"",
            living.place.join("work").display(),
            bin.join("pg_dump").display()
        ),
    );
    living
        .refused(1, &format!("{at} --pg-bindir '{}'", killing.display()))
        .says("cannot dump 'it's a \"Shop\"");
    // Another version.
    let other = Version::of(18);
    living
        .refused(4, &format!("{at} --pg-bindir '{}'", other.bin().display()))
        .says("no other major version starts on it");
    // A tablespace lies outside of the data directory: where the living server has it.
    let cluster = &living.origin.cluster;
    let place = cluster.server_dir("space");
    cluster.sql(
        "postgres",
        &format!("create tablespace space location '{}'", place.display()),
    );
    write_in(SHOP, cluster, 21, 22);
    living.refused(4, at).says(&format!(
        "the WAL creates a tablespace in '{}'",
        place.display()
    ));
    // Before that it can be done.
    let all = commits_in(SHOP, cluster);
    living
        .restore(&format!("--at '{}Z' --as back", all[10].1))
        .succeeds();
    assert_eq!(living.numbers("back").len(), 11);
}

#[test]
fn a_store_that_goes_away_and_a_disk_that_fills() {
    let living = Living::new(Version::debian(), WalStore::container());
    let cluster = &living.origin.cluster;
    write_in(SHOP, cluster, 21, 30);
    write_in(SHOP, cluster, 31, 40);
    let container = living.origin.store.azure().unwrap();
    let work = living.place.join("work");
    for away in Away::places(&living.origin.store) {
        let meanwhile = |work: &Path, happens: &dyn Fn()| {
            let (proxy, url) = away.proxy(container);
            let running = living
                .restore_from(&url, work, "--at end --as back")
                .spawn();
            wait_for("the store to be gone", || proxy.is_gone().then_some(()));
            wait_for("more requests", || (proxy.refused() > 2).then_some(()));
            let begun = scratch::names(work);
            assert_eq!(begun.len(), 1, "{begun:?}");
            // No server starts on what is not whole.
            let data = work.join(&begun[0]).join("data");
            assert!(!data.join("global/pg_control").exists());
            happens();
            proxy.comes_back();
            running.wait()
        };
        let seen = meanwhile(&work, &|| ());
        assert_eq!(seen.code(), Some(0), "{seen}");
        living.is_tidy();
        assert_eq!(living.numbers("back"), living.numbers(SHOP));
        cluster.sql("postgres", "drop database back");

        let (proxy, url) = away.proxy(container);
        living.untouched(|| {
            let run = living.restore_from(&url, &work, "--at end --as back --deadline 1s");
            run.fails(1)
                .says(": the connection was cut (tried ")
                .says("run it again later");
        });
        assert!(proxy.is_gone());

        let disk = Volume::mount(living.place.join("disk"), "200m");
        let seen = living.untouched(|| meanwhile(disk.path(), &|| disk.fill()));
        assert_eq!(seen.code(), Some(1), "{seen}");
        seen.says(&format!("cannot write '{}/", disk.path().display()))
            .says("No space left on device")
            .says("make room, or take a larger volume; --work-dir names another directory");
        assert_eq!(scratch::names(disk.path()), ["filler"]);
    }
}

/// Makes databases by copying a directory, of which the WAL says no more than that: replay takes far more room than it.
pub(crate) fn copy_databases(cluster: &Cluster, count: usize) {
    for number in 0..count {
        cluster.sql(
            "postgres",
            &format!("create database copy{number} strategy file_copy"),
        );
    }
}

#[test]
fn a_disk_that_fills_while_the_server_works() {
    let living = Living::new(Version::debian(), WalStore::directory());
    let cluster = &living.origin.cluster;
    let at = "--at end --as back";
    // While it is dumped.
    let disk = Volume::mount(living.place.join("disk"), "200m");
    let filler = disk.path().join("filler");
    let bin = cluster.version().bin();
    let filling = living.programs_with(
        "pg_dump",
        &format!(
            "[ \"$1\" = --version ] || head -c 1G /dev/zero 2>/dev/null > '{}'\nexec {} \"$@\"",
            filler.display(),
            bin.join("pg_dump").display()
        ),
    );
    let at_dump = format!("{at} --pg-bindir '{}'", filling.display());
    living.untouched(|| {
        let run = living.restore_in(disk.path(), &at_dump);
        run.fails(1)
            .says(&format!("cannot write '{}/", disk.path().display()))
            .says("No space left on device; hint: make room")
            .says("hint: --work-dir names another directory");
    });
    assert_eq!(scratch::names(disk.path()), ["filler"]);
    drop(disk);

    // While it replays.
    copy_databases(cluster, 12);
    write_in(SHOP, cluster, 21, 22);
    let disk = Volume::mount(living.place.join("disk"), "80m");
    living.untouched(|| {
        let run = living.restore_in(disk.path(), at);
        let full = format!("archived WAL: the disk of '{}/", disk.path().display());
        run.fails(1)
            .says("a private server of PostgreSQL ")
            .says(&full)
            .says("make room, or take a larger volume; --work-dir names another directory")
            .hides("all of the base backup is read");
    });
    assert_eq!(scratch::names(disk.path()), [""; 0]);
}
