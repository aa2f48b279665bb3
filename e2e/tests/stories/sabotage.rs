//! Whatever is killed, cut or changed: nothing that is not whole has a backup's name, and nothing that is
//! damaged is restored with exit code 0.

use std::fs;
use std::path::{Path, PathBuf};

use e2e::{
    Azurite, Chance, Cluster, Container, Moments, Program, Running, Scratch, backup, sample,
    wait_for,
};
use rustix::process::Signal;

const ROUNDS: usize = 14;

fn victim() -> Cluster {
    let cluster = Cluster::start();
    for (database, megabytes) in [("one", 8), ("two", 12), ("three", 4)] {
        cluster.sql("postgres", &format!("create database {database}"));
        sample::bulk(&cluster, database, "rows", megabytes);
    }
    cluster
}

/// All that has a backup's name in a directory verifies, and has a checksum beside it that is right.
fn all_verify(dir: &Path) -> usize {
    let names = backup::names(dir);
    for name in &names {
        Program::new("backup-verify").arg(dir.join(name)).succeeds();
        Program::other("sha256sum")
            .args(["--check", "--strict", &format!("{name}.sha256")])
            .in_dir(dir)
            .succeeds();
    }
    names.len()
}

fn all_verify_in(container: &Container) -> usize {
    let names = container.names();
    for name in &names {
        Program::new("backup-verify")
            .arg(format!("{}/{name}", container.url()))
            .env("AZURE_STORAGE_SAS_TOKEN", container.token())
            .succeeds();
    }
    names.len()
}

/// Sends a signal to a program, which ends it with the signal's exit code, or as a signal ends any program that
/// has not begun to listen.
fn interrupt(running: Running, signal: Signal) -> e2e::Seen {
    let heeded = running.heeds(signal);
    running.signal(signal);
    let seen = running.wait();
    let code = match signal {
        Signal::TERM => Some(143),
        Signal::INT => Some(130),
        _ => None,
    };
    let ended_by_it = seen.signal() == Some(signal.as_raw()) && !(heeded && code.is_some());
    let stopped = code.is_some() && seen.code() == code;
    assert!(
        seen.code() == Some(0) || stopped || ended_by_it,
        "{signal:?}, heeded: {heeded}, {seen}"
    );
    seen
}

#[test]
fn killed_dumps_leave_no_backup() {
    let cluster = victim();
    let mut chance = Chance::new();
    let dir = Scratch::new();
    let mut moments = Moments::of(|| drop(backup::dump(&cluster, dir.path())));
    for _ in 0..ROUNDS {
        let signal = *chance.of(&[Signal::KILL, Signal::TERM, Signal::INT]);
        let mut running = backup::pgdump_gz(&cluster)
            .arg("--dir")
            .arg(dir.path())
            .spawn();
        moments.reach(&mut chance, &mut running);
        let seen = interrupt(running, signal);
        if seen.code() == Some(0) {
            assert!(Path::new(&seen.out()).is_file(), "{seen}");
        }
        all_verify(dir.path());
    }
    // What the killed ones left is removed by one that is not killed.
    backup::dump(&cluster, dir.path());
    let names = e2e::scratch::names(dir.path());
    let strangers: Vec<&String> = names
        .iter()
        .filter(|name| !backup::is_name(name.trim_end_matches(".sha256")))
        .filter(|name| !name.contains("lock"))
        .collect();
    assert!(strangers.is_empty(), "{strangers:?}");
    assert!(all_verify(dir.path()) >= 2);
}

#[test]
fn killed_dump_commands_leave_no_backup() {
    let cluster = victim();
    let mut chance = Chance::new();
    let dir = Scratch::new();
    let mut moments = Moments::of(|| drop(backup::dump(&cluster, dir.path())));
    let mut killed = 0;
    for _ in 0..ROUNDS {
        let mut running = backup::pgdump_gz(&cluster)
            .arg("--dir")
            .arg(dir.path())
            .spawn();
        moments.reach(&mut chance, &mut running);
        let victims = wait_for("a dump command", || {
            let children = running.children();
            (!children.is_empty() || running.ended()).then_some(children)
        });
        for victim in &victims {
            let _ = rustix::process::kill_process(*victim, Signal::KILL);
        }
        let seen = running.wait();
        if seen.code() != Some(0) {
            killed += 1;
            assert_eq!(seen.code(), Some(1), "{seen}");
            assert!(seen.stdout.is_empty(), "{seen}");
            seen.says("pgdump-gz: ");
        }
        all_verify(dir.path());
    }
    assert!(killed > 0, "no dump command was hit");
}

#[test]
fn killed_uploads_leave_no_backup() {
    let cluster = victim();
    let mut chance = Chance::new();
    let dir = Scratch::new();
    let path = backup::dump(&cluster, dir.path());
    let container = Azurite::shared().container();
    let put = |source: &str| {
        Program::new("blob-put")
            .args([source, &format!("{}/", container.url()), "--overwrite"])
            .env("AZURE_STORAGE_SAS_TOKEN", container.token())
    };
    let file = path.display().to_string();
    let mut moments = Moments::of(|| drop(put(&file).succeeds()));
    for _ in 0..ROUNDS {
        let signal = *chance.of(&[Signal::KILL, Signal::TERM, Signal::INT]);
        let mut running = match chance.below(2) {
            0 => put(&file).spawn(),
            _ => put("-").stdin_file(&path).spawn(),
        };
        moments.reach(&mut chance, &mut running);
        let seen = interrupt(running, signal);
        if seen.code() == Some(0) {
            assert!(seen.out().contains(&container.url()), "{seen}");
        }
    }
    assert!(all_verify_in(&container) >= 1);
}

/// One end of `pgdump-gz | blob-put` is killed: the other must not take it for success.
#[test]
fn killed_pipes_leave_no_backup() {
    let cluster = victim();
    let mut chance = Chance::new();
    let container = Azurite::shared().container();
    let line = r#"pgdump-gz | blob-put - "$STORE/""#;
    let pipe = || {
        Program::sh(line)
            .on(&cluster)
            .env("STORE", container.url())
            .env("AZURE_STORAGE_SAS_TOKEN", container.token())
    };
    let mut moments = Moments::of(|| drop(pipe().succeeds()));
    let mut published = 1;
    for _ in 0..ROUNDS {
        let mut running = pipe().spawn();
        moments.reach(&mut chance, &mut running);
        let ends = running.children();
        if !ends.is_empty() {
            let _ = rustix::process::kill_process(*chance.of(&ends), Signal::KILL);
        }
        let seen = running.wait();
        published += usize::from(seen.code() == Some(0));
        // A blob may be there although its uploader was killed right after the commit: it is whole then.
        let there = all_verify_in(&container);
        assert!(there >= published.min(1), "{there} of {published}\n{seen}");
    }
}

fn small_backup(dir: &Scratch) -> PathBuf {
    let cluster = Cluster::start();
    cluster.sql("postgres", "create database second");
    for database in ["postgres", "second"] {
        sample::bulk(&cluster, database, "rows", 1);
    }
    backup::dump(&cluster, dir.path())
}

/// Both readers refuse it, from a file and from a pipe, and say that the backup is not good.
fn is_refused(dir: &Scratch, bytes: &[u8], what: &str) {
    let name = "postgresql_backup_20250101_000000.sql.gz";
    let path = dir.write(name, bytes);
    let verify = Program::new("backup-verify");
    let restore = Program::new("restore-stream");
    for program in [
        verify.arg(&path),
        restore
            .arg(&path)
            .args(["--", "cat"])
            .stdout_file("/dev/null"),
    ] {
        let seen = program.run();
        assert_eq!(seen.code(), Some(3), "{what}\n{seen}");
    }
}

#[test]
fn a_flipped_bit_is_found_wherever_it_is() {
    let dir = Scratch::new();
    let good = fs::read(small_backup(&dir)).unwrap();
    let damaged = Scratch::new();
    let mut chance = Chance::new();
    // Anywhere; and each byte of the end, where the index, the locator and the marker are.
    let end = good.len() - 170..good.len();
    let places = (0..100).map(|_| chance.below(good.len())).chain(end);
    for place in places.collect::<Vec<_>>() {
        let mut bytes = good.clone();
        let bit = chance.below(8);
        bytes[place] ^= 1 << bit;
        is_refused(
            &damaged,
            &bytes,
            &format!("bit {bit} of byte {place} of {}", good.len()),
        );
    }
}

#[test]
fn a_cut_is_found_wherever_it_is() {
    let dir = Scratch::new();
    let good = fs::read(small_backup(&dir)).unwrap();
    let damaged = Scratch::new();
    let mut chance = Chance::new();
    let text = backup::gunzip(dir.join(&backup::names(dir.path())[0]));
    let sections = backup::sections(backup::divide(&text).1);
    // Where a section ends, and so a member; without the marker; without the last byte; nothing at all.
    let boundaries = sections
        .iter()
        .flat_map(|section| [section.offset, section.offset + section.length])
        .map(|at| usize::try_from(at).unwrap())
        .filter(|at| *at < good.len());
    let mut lengths: Vec<usize> = boundaries.collect();
    lengths.extend([0, 1, 17, good.len() - 28, good.len() - 139, good.len() - 1]);
    lengths.extend((0..60).map(|_| chance.below(good.len())));
    for length in lengths {
        is_refused(
            &damaged,
            &good[..length],
            &format!("{length} bytes of {}", good.len()),
        );
    }
}

#[test]
fn a_damaged_backup_is_never_restored_with_success() {
    let dir = Scratch::new();
    let good = fs::read(small_backup(&dir)).unwrap();
    let damaged = Scratch::new();
    let mut chance = Chance::new();
    for round in 0..6 {
        let mut bytes = good.clone();
        let place = chance.below(good.len());
        match round % 2 {
            0 => bytes[place] ^= 1 << chance.below(8),
            _ => bytes.truncate(place),
        }
        let path = damaged.write("postgresql_backup_20250101_000000.sql.gz", &bytes);
        let cluster = Cluster::start();
        // From a pipe too, where the end cannot be looked at first.
        let restore = Program::new("restore-stream").on(&cluster);
        let seen = match chance.below(2) {
            0 => restore.arg(&path).run(),
            _ => restore.arg("-").stdin_file(&path).run(),
        };
        assert_eq!(seen.code(), Some(3), "round {round}, byte {place}\n{seen}");
    }
}
