//! `restore-stream --at` brings a whole cluster back to any moment: what was committed until then is there, and no more.

mod commits;
mod crossing;
mod faults;
pub(crate) mod one_database;
mod origin;
mod runbook;
mod tablespaces;

use std::fs;
use std::path::Path;
use std::time::Duration;

use e2e::postgres::REPLICATION;
use e2e::{
    Azurite, Chance, Cluster, Moments, Program, Proxy, Scratch, Version, Volume, WalStore, scratch,
    wait_for,
};
use rustix::process::Signal;

use commits::{commits, commits_in, later, numbers, numbers_in, some_moment, span, until};
pub(crate) use origin::{Origin, base, write};
use origin::{archived, write_in};

#[test]
fn every_moment_comes_back() {
    let mut chance = Chance::new();
    let count: usize = std::env::var("E2E_MOMENTS").map_or(3, |it| it.parse().unwrap());
    for (store, major) in WalStore::both().into_iter().zip([15, 18]) {
        let origin = Origin::new(Version::of(major), store, "");
        origin.base();
        origin.write(1, 60);
        origin.base();
        origin.write(61, 120);
        let all = origin.commits();
        for _ in 0..count {
            let moment = some_moment(&mut chance, &all);
            let restored = origin.recovered(&format!("--at '{moment}Z'"));
            assert_eq!(numbers(&restored), until(&all, &moment), "{moment}");
            assert_eq!(restored.timeline(), 2);
        }
        // In the middle of the longest idle time.
        let pauses = all.windows(2).map(|pair| (&pair[0], &pair[1]));
        let (one, next) = pauses.max_by_key(|(one, next)| span(one, next)).unwrap();
        assert!(span(one, next) > 100_000, "the base backup's time is idle");
        let moment = later(&one.1, span(one, next) / 2);
        let restored = origin.recovered(&format!("--at '{moment}Z'"));
        assert_eq!(numbers(&restored).last(), Some(&one.0), "{moment}");
        // Between the two that are closest.
        let pauses = all.windows(2).map(|pair| (&pair[0], &pair[1]));
        let (one, next) = pauses.min_by_key(|(one, next)| span(one, next)).unwrap();
        println!("{} microseconds", span(one, next));
        let restored = origin.recovered(&format!("--at '{}Z' --with-wal", one.1));
        assert_eq!(numbers(&restored), until(&all, &one.1));
        let checksums = restored.sql("postgres", "show data_checksums");
        assert_eq!(checksums, if major == 18 { "on" } else { "off" });
        // The commit itself, and up to it.
        let (number, time) = &all[80];
        let restored = origin.recovered(&format!("--at '{time}Z' --exclusive"));
        assert_eq!(numbers(&restored).last(), Some(&(number - 1)));

        // What it has left running writes nothing into the store.
        let before = origin.store.names();
        restored.sql(
            "postgres",
            "insert into commits values (0); select pg_switch_wal(); checkpoint",
        );
        assert_eq!(restored.sql("postgres", "show archive_mode"), "off");
        drop(restored);
        assert_eq!(origin.store.names(), before);

        // After the last transaction nobody knows, and before the first base backup nothing is there.
        let (_, last) = all.last().unwrap();
        origin
            .refused(3, &format!("--at '{last}Z'"))
            .says(&format!("ends with the transaction of {last} UTC"))
            .says("these moments can be reached: from ");
        origin
            .refused(3, "--at '2020-01-01 00:00Z'")
            .says("no base backup was whole before 2020-01-01 00:00:00 UTC")
            .says("these moments can be reached: from ");
        let restored = origin.recovered("--at end");
        assert_eq!(numbers(&restored).len(), 120);
        if major != Version::debian().major() {
            let place = Scratch::new();
            let data = place.join("data");
            origin
                .restore_anywhere("--at end", &data)
                .fails(4)
                .says(&format!("is of PostgreSQL {major}, and the server here is"));
            assert!(!data.exists());
            origin
                .restore_anywhere("--at end --with-wal", &data)
                .succeeds();
        }
    }
}

#[test]
fn any_target_can_be_named() {
    let origin = Origin::new(Version::of(14), WalStore::directory(), "");
    origin.base();
    origin.write(1, 3);
    let ask = |sql: &str| origin.cluster.sql("postgres", sql);
    let xid = ask("select xmin from commits where i = 2");
    ask("select pg_create_restore_point('before: \"it''s\" gr\u{f6}\u{df}er')");
    let lsn = ask("insert into commits values (4); select pg_current_wal_insert_lsn()");
    origin.write(5, 6);
    for (target, wanted) in [
        (format!("xid:{xid}"), 2),
        (format!("xid:{xid} --exclusive"), 1),
        (
            "\"name:before: \\\"it's\\\" gr\u{f6}\u{df}er\"".to_owned(),
            3,
        ),
        (format!("lsn:{lsn}"), 4),
    ] {
        let restored = origin.recovered(&format!("--target {target}"));
        assert_eq!(numbers(&restored).len(), wanted, "{target}");
    }
    for target in ["name:nothing", "xid:4000000000", "lsn:F/0"] {
        origin
            .refused(3, &format!("--target {target}"))
            .says("can be reached");
    }
    // It waits to be looked at; it stops.
    let mut restored = origin.restored(&format!("--target xid:{xid} --target-action shutdown"));
    let log = restored.recover().unwrap_err();
    assert!(
        log.contains("recovery stopping after commit")
            || log.contains("recovery stopping after WAL"),
        "{log}"
    );
    let mut restored = origin.restored(&format!("--target xid:{xid} --target-action pause"));
    restored.go();
    wait_for("the pause", || {
        (restored.sql("postgres", "select pg_get_wal_replay_pause_state()") == "paused")
            .then_some(())
    });
    assert_eq!(numbers(&restored), [1, 2]);
}

#[test]
fn the_timeline_is_the_one_that_is_lived_on_or_the_one_that_is_named() {
    let origin = Origin::new(Version::of(16), WalStore::directory(), "");
    origin.base();
    origin.write(1, 10);
    let all = origin.commits();
    let (_, fork) = &all[4];
    // What is recovered lives on in the same store, as a timeline of its own.
    let second = origin.recovered(&format!("--at '{fork}Z' --rejoin"));
    // Meanwhile the first one goes on too.
    origin.write(11, 20);
    let abandoned = origin.commits();
    write(&second, 101, 110);
    let names = origin.store.names();
    assert!(names.contains(&"00000002.history".to_owned()), "{names:?}");
    let all = commits(&second);
    let wanted = [1, 2, 3, 4, 5, 101, 102, 103];
    assert_eq!(until(&all, &all[7].1), wanted);
    let restored = origin.recovered(&format!("--at '{}Z'", all[7].1));
    assert_eq!(numbers(&restored), wanted);
    assert_eq!(restored.timeline(), 3);
    let alone = origin.numbers_alone(&format!("--at '{}Z'", all[7].1));
    assert_eq!(alone, wanted);
    let (_, moment) = &abandoned[13];
    let alone = origin.numbers_alone(&format!("--at '{moment}Z' --timeline 1"));
    assert_eq!(alone, until(&abandoned, moment));
    let restored = origin.recovered(&format!("--at '{moment}Z' --timeline 1 --with-wal"));
    assert_eq!(numbers(&restored), until(&abandoned, moment));
    // No timeline that somebody has already.
    assert_eq!(restored.timeline(), 3);
    let place = Scratch::new();
    origin
        .restore("--at end", &place.join("data"))
        .succeeds()
        .says("timeline 1 was left at ")
        .says("which --timeline 1 leads to");
    origin
        .refused(3, &format!("--at '{moment}Z' --timeline 7"))
        .says("lead to the timelines 1, 2");
}

#[test]
fn with_its_wal_it_needs_nothing_else() {
    let store = WalStore::container();
    let settings = "max_prepared_transactions = 2\nwal_level = logical\n";
    let origin = Origin::new(Version::of(17), store, settings);
    let ask = |sql: &str| origin.cluster.sql("postgres", sql);
    ask("create unlogged table unlogged as select 1; select lo_from_bytea(7, 'before')");
    origin.base();
    origin.write(1, 10);
    ask("begin; insert into commits values (99); prepare transaction 'in doubt'");
    ask("select lo_put(7, 0, 'behind')");
    origin.write(11, 20);
    let all = origin.commits();
    for (args, wanted) in [
        ("--at end".to_owned(), 20),
        (format!("--at '{}Z'", all[12].1), 13),
    ] {
        let mut restored = origin.restored(&format!("{args} --with-wal"));
        let settings = fs::read_to_string(restored.data().join("postgresql.auto.conf")).unwrap();
        assert!(settings.contains("restore_command = 'false'"), "{settings}");
        restored.recover().unwrap();
        assert_eq!(numbers(&restored).len(), wanted);
        let found = restored.sql(
            "postgres",
            "select (select count(*) from unlogged), (select gid from pg_prepared_xacts), convert_from(lo_get(7), 'UTF8')",
        );
        assert_eq!(found, "0|in doubt|behind");
    }
    // Some of it is lost on the way: that is an error, and not the end.
    let mut restored = origin.restored("--at end --with-wal");
    let wal = restored.data().join("pg_wal");
    let segments: Vec<String> = scratch::names(&wal)
        .into_iter()
        .filter(|it| it.len() == 24)
        .collect();
    fs::remove_file(wal.join(segments.last().unwrap())).unwrap();
    let log = restored.recover().unwrap_err();
    assert!(
        log.contains("before configured recovery target was reached"),
        "{log}"
    );
}

#[test]
fn what_is_damaged_is_never_restored() {
    let origin = Origin::new(Version::debian(), WalStore::directory(), "");
    origin.base();
    origin.write(1, 5);
    origin.base();
    origin.write(6, 8);
    origin.write(9, 10);
    let store = origin.store.url();
    let bases: Vec<String> = scratch::names(&store)
        .into_iter()
        .filter(|it| it.ends_with(".tar.gz"))
        .collect();
    let newest = Path::new(&store).join(bases.last().unwrap());
    let bytes = fs::read(&newest).unwrap();
    let mut chance = Chance::new();
    for _ in 0..3 {
        let mut bad = bytes.clone();
        let at = chance.below(bad.len() - 2000);
        bad[at] ^= 16;
        fs::write(&newest, bad).unwrap();
        // The one before leads there too.
        let place = Scratch::new();
        origin
            .restore("--at end", &place.join("data"))
            .succeeds()
            .says("passed over 'postgresql_base_");
    }
    fs::remove_file(Path::new(&store).join(&bases[0])).unwrap();
    origin.refused(3, "--at end").says("is not good");
    fs::write(&newest, &bytes).unwrap();

    // Too little room, which is known before, or not.
    let place = Scratch::new();
    let disk = Volume::mount(place.join("small"), "20m");
    let into = |disk: &Volume| origin.restore("--at end", &disk.path().join("data"));
    into(&disk).fails(4).says(" free, and the cluster takes ");
    assert!(scratch::names(disk.path()).is_empty());
    let disk = Volume::mount(place.join("few files"), "500m,nr_inodes=300");
    into(&disk).fails(1).says("No space left on device");
    assert!(scratch::names(disk.path()).is_empty());

    // A hole in the WAL.
    let segments: Vec<String> = origin
        .store
        .names()
        .into_iter()
        .filter(|it| it.len() == 24)
        .collect();
    let lost = &segments[segments.len() - 2];
    origin.store.lose(lost);
    origin
        .refused(3, "--at end")
        .says(&format!("1 segment missing in '{store}/wal/"))
        .says("these moments can be reached: ");
    // Among them is that of the base backup's own.
    let own = &segments[segments.len() - 3];
    origin.store.lose(own);
    origin
        .refused(3, "--at end")
        .says("cannot be restored without its WAL up to ");

    // What is there is left alone.
    let place = Scratch::new();
    place.make("data");
    place.write("data/mine", "x");
    origin
        .restore("--at end", &place.join("data"))
        .fails(4)
        .says("is not empty");
    assert_eq!(scratch::names(place.join("data")), ["mine"]);
}

#[test]
fn a_killed_run_leaves_nothing_that_starts() {
    let origin = Origin::new(Version::debian(), WalStore::directory(), "");
    origin.base();
    origin.write(1, 5);
    let place = Scratch::new();
    let data = place.join("data");
    let mut moments = Moments::of(|| {
        origin.restore("--at end", &data).succeeds();
        fs::remove_dir_all(&data).unwrap();
    });
    let mut chance = Chance::new();
    let control = data.join("global/pg_control");
    for signal in [Signal::KILL, Signal::TERM, Signal::KILL, Signal::KILL] {
        if signal == Signal::TERM && data.exists() {
            fs::remove_dir_all(&data).unwrap();
        }
        let mut running = origin.restore("--at end", &data).spawn();
        if moments.reach(&mut chance, &mut running) {
            running.signal(signal);
        }
        let seen = running.wait();
        let names = match data.exists() {
            true => scratch::names(&data),
            false => Vec::new(),
        };
        if control.exists() {
            // Finished at the last moment, it is whole.
            assert!(names.contains(&"recovery.signal".to_owned()), "{seen}");
            fs::remove_dir_all(&data).unwrap();
            continue;
        }
        assert_ne!(seen.code(), Some(0), "{seen}");
        match signal {
            Signal::TERM => assert!(!data.exists(), "{seen}"),
            // It is known for what it is.
            _ => assert!(
                names.is_empty() || names.contains(&"restore-stream.unfinished".to_owned()),
                "{seen}"
            ),
        }
    }
    let mut running = origin
        .restore("--at end", &data)
        .deadline(Duration::from_secs(120))
        .spawn();
    wait_for("its first file", || {
        let begun = data.join("restore-stream.unfinished").exists();
        (begun || running.ended()).then_some(())
    });
    running.signal(Signal::KILL);
    running.wait();
    let mut restored = origin.cluster.filled(|empty| {
        fs::remove_dir(empty).unwrap();
        if data.exists() {
            fs::rename(&data, empty).unwrap();
        }
        let seen = origin.restore("--at end", empty).run();
        // It may have been faster than the signal.
        assert!(
            seen.code() == Some(0) || empty.join("global/pg_control").exists(),
            "{seen}"
        );
        Program::sh("chown -R --reference=\"$1/socket\" \"$1/data\"")
            .arg("sh")
            .arg(empty.parent().unwrap())
            .run();
    });
    restored.recover().unwrap();
    assert_eq!(numbers(&restored).len(), 5);
}

/// A store that is cut off now and then, and one that goes away for good.
#[test]
fn a_store_that_fails_is_asked_again_or_given_up() {
    let store = WalStore::container();
    let origin = Origin::new(Version::debian(), store, "");
    origin.base();
    origin.write(1, 5);
    let proxy = Proxy::to(Azurite::shared().port());
    let url = origin.store.azure().unwrap().url_at(proxy.port());
    let place = Scratch::new();
    let data = place.join("data");
    let restore = || {
        let args = format!("{url} --data-dir {} --at end --deadline 3s", data.display());
        Program::sh(&origin.store.line("restore-stream", &args))
    };
    proxy.cut("GET", 3, 100_000);
    restore().succeeds();
    assert_eq!(proxy.cuts_left(), 0);
    fs::remove_dir_all(&data).unwrap();
    for bytes in [1_000, 300_000, 2_000_000] {
        let proxy = Proxy::to(Azurite::shared().port());
        let url_there = origin.store.azure().unwrap().url_at(proxy.port());
        proxy.gone_after(bytes);
        let args = format!(
            "{url_there} --data-dir {} --at end --deadline 1s",
            data.display()
        );
        Program::sh(&origin.store.line("restore-stream", &args)).fails(1);
        assert!(proxy.is_gone());
        assert!(!data.exists());
    }
}

/// A standby's base backup holds the file that makes a standby.
#[test]
fn a_standby_s_base_backup_becomes_a_primary() {
    let primary = Origin::new(Version::debian(), WalStore::directory(), REPLICATION);
    primary.base();
    primary.write(1, 5);
    let standby = Cluster::standby_of(&primary.cluster, "standby", "");
    primary.cluster.is_followed_by(&standby);
    let bases = || {
        let names = scratch::names(primary.store.url()).into_iter();
        names.filter(|it| it.ends_with(".tar.gz")).count()
    };
    assert_eq!(bases(), 1);
    base(&standby, &primary.store);
    assert_eq!(bases(), 2);
    primary.write(6, 10);
    let all = primary.commits();
    let mut restored = primary.restored(&format!("--at '{}Z'", all[7].1));
    let names = scratch::names(restored.data());
    assert!(!names.contains(&"standby.signal".to_owned()), "{names:?}");
    restored.recover().unwrap();
    assert_eq!(numbers(&restored).len(), 8);
    let alone = primary.numbers_alone(&format!("--at '{}Z'", all[7].1));
    assert_eq!(alone.len(), 8);
}
