//! Where the programs run: directories that can do less than others, or that other people can get at.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use e2e::volume::as_root;
use e2e::{Cluster, Program, Scratch, Seen, Volume, backup, sample, scratch, wait_for};
use rustix::process::Signal;

fn dump(store: &Path, line: &str) -> Program {
    Program::new("pgdump-gz")
        .arg("--dir")
        .arg(store)
        .args(["--", "sh", "-c", line])
}

fn says(seen: &Seen, words: &str) {
    assert!(seen.err().contains(words), "{words}\n{seen}");
}

/// What the file system cannot do is found out before the dump, and done without.
#[test]
fn a_file_system_without_links() {
    let home = Scratch::new();
    let volume = Volume::without_links(home.join("store"), &home.join("files"));
    let store = volume.path();
    fs::write(store.join("file"), "").unwrap();
    assert!(fs::hard_link(store.join("file"), store.join("link")).is_err());
    fs::remove_file(store.join("file")).unwrap();

    let first = dump(store, "echo one").succeeds();
    Program::new("backup-verify").arg(first.out()).succeeds();
    assert_eq!(scratch::names(store).len(), 2, "{first}");

    // While one writes, another does not: neither could see that the other takes its name.
    let go = home.join("go");
    let line = format!(
        "echo two; touch {0}.began; until [ -e {0} ]; do sleep 0.05; done",
        go.display()
    );
    let running = dump(store, &line).spawn();
    let began = home.join("go.began");
    wait_for("the dump", || began.exists().then_some(()));
    says(
        &dump(store, "echo three").fails(4),
        "another program is writing",
    );
    let put = || {
        Program::new("blob-put")
            .arg(first.out())
            .arg(store.join("copy.sql.gz"))
    };
    says(&put().fails(4), "another program is writing");
    fs::write(&go, "").unwrap();
    let second = running.wait();
    assert_eq!(second.code(), Some(0), "{second}");
    put().succeeds();
    says(&put().fails(4), "is already there");
    assert_eq!(scratch::names(store).len(), 6);

    // Nothing is left of one that is stopped, nor of the looks at the file system.
    let running = dump(
        store,
        &format!("touch {}; sleep 1000", home.join("stop").display()),
    )
    .spawn();
    wait_for("the dump", || home.join("stop").exists().then_some(()));
    running.signal(Signal::TERM);
    let seen = running.wait();
    assert_eq!(seen.code(), Some(143), "{seen}");
    says(&seen, "stopped by SIGTERM");
    assert_eq!(scratch::names(store).len(), 6);
}

/// It says that it has 0 bytes, and 0 of them free: that is no answer.
#[test]
fn a_file_system_that_does_not_know_its_size() {
    let home = Scratch::new();
    let volume = Volume::without_size(home.join("store"));
    let store = volume.path();
    let first = dump(store, "echo one").succeeds();
    let second = dump(store, "echo two").succeeds();
    assert_ne!(first.out(), second.out());
    let seen = Program::new("backup-verify").arg(store).succeeds();
    assert!(!seen.out().contains("room"), "{seen}");
}

/// A user who may read the directory can lock it, and what he has made there is not taken for our lock.
#[test]
fn what_other_users_do_keeps_no_dump_from_running() {
    let home = Scratch::new();
    let store = home.make("store");
    fs::set_permissions(&store, fs::Permissions::from_mode(0o755)).unwrap();
    let held = home.join("held");
    let holder = as_root(
        "setpriv",
        &["--reuid=54321", "--regid=54321", "--clear-groups"],
    )
    .args(["flock", "--exclusive"])
    .arg(&store)
    .args(["sh", "-c", "echo held; sleep 1000"])
    .stdout_file(&held)
    .spawn();
    wait_for("the lock", || {
        (fs::read(&held).ok()? == b"held\n").then_some(())
    });
    dump(&store, "echo one").succeeds();
    // Nor can he lock ours.
    let lock = store.join(scratch::LOCK_FILE);
    as_root(
        "setpriv",
        &["--reuid=54321", "--regid=54321", "--clear-groups"],
    )
    .args(["flock", "--nonblock"])
    .arg(&lock)
    .arg("true")
    .fails(66);
    holder.signal_all(Signal::KILL);

    as_root("chown", &["54321"]).arg(&lock).succeeds();
    let seen = dump(&store, "echo two").fails(4);
    says(&seen, "belongs to another user (54321)");
    says(&seen, "remove it");
    as_root("rm", &[]).arg(&lock).succeeds();
    dump(&store, "echo two").succeeds();
}

/// The path of a Unix socket has at most 107 bytes.
#[test]
fn a_restore_test_in_a_directory_with_a_long_path() {
    let cluster = Cluster::start();
    sample::load(&cluster, "create table t as select generate_series(1, 9) i");
    let home = Scratch::new();
    let path = backup::dump(&cluster, home.make("store"));
    let long = home.make("long".repeat(25));
    fs::set_permissions(&long, fs::Permissions::from_mode(0o1777)).unwrap();
    let seen = Program::new("backup-verify")
        .arg(&path)
        .arg("--restore-test")
        .env("TMPDIR", &long)
        .succeeds();
    assert!(seen.out().contains("the measured RTO"), "{seen}");
    assert_eq!(scratch::names(&long), [""; 0], "{seen}");
}
