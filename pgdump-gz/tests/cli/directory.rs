//! `--dir DIR`.

use std::fs::{self, File};
use std::os::unix::fs::PermissionsExt;
use std::process::{Command, Stdio};

use backup_file::BackupName;
use rustix::fs::{FlockOperation, flock};
use rustix::process::Signal;
use serde_json::Value;

use crate::program::{Seen, TestDir, gunzip, pid_in, runs, signal, until};

const NOTHING: [&str; 0] = [];

#[test]
fn a_backup_and_its_sidecar() {
    let place = TestDir::new();
    let seen = place.run(["--dir", "store", "--", "echo", "hello"]).done();
    let printed = String::from_utf8(seen.stdout).unwrap();
    let name = printed.strip_prefix("store/").unwrap().trim_end();
    assert!(BackupName::parse(name).is_some(), "{name}");
    assert_eq!(place.stored(), [name.to_owned(), format!("{name}.sha256")]);
    let backup = fs::read(place.path("store").join(name)).unwrap();
    assert!(backup.ends_with(&backup_file::MARKER));
    assert_eq!(gunzip(&backup), "hello\n");
    let checked = Command::new("sha256sum")
        .args(["--check", "--strict", &format!("{name}.sha256")])
        .current_dir(place.path("store"))
        .output()
        .unwrap();
    assert!(checked.status.success(), "{checked:?}");
    let mode = fs::metadata(place.path("store").join(name))
        .unwrap()
        .permissions()
        .mode();
    assert_eq!(mode & 0o007, 0, "others may read it: {mode:o}");
}

#[test]
fn a_script_gets_a_document() {
    let place = TestDir::new();
    let seen = place
        .run(["--dir", "store", "--json", "--", "echo", "hello"])
        .done();
    let said: Value = serde_json::from_slice(&seen.stdout).unwrap();
    let path = said["path"].as_str().unwrap();
    let name = path.strip_prefix("store/").unwrap();
    assert_eq!(said["name"], name, "{seen}");
    let backup = fs::read(place.path(path)).unwrap();
    assert_eq!(said["size"], backup.len(), "{seen}");
    assert_eq!(said["sql_size"], 6, "{seen}");
    assert!(said["seconds"].is_f64(), "{seen}");
    let sidecar = fs::read_to_string(place.path(&format!("{path}.sha256"))).unwrap();
    let digest = said["sha256"].as_str().unwrap();
    assert_eq!(sidecar, format!("{digest}  {name}\n"));
    // It has no index.
    assert_eq!(said.get("databases"), None, "{seen}");
    // What fails prints nothing.
    let seen = place.run(["--dir", "store", "--json", "--", "false"]);
    seen.failed(1, "'false' failed");
    assert!(seen.stdout.is_empty(), "{seen}");
}

#[test]
fn runs_within_one_second_do_not_overwrite() {
    let place = TestDir::new();
    for _ in 0..3 {
        place.run(["--dir", "store", "--", "echo", "hello"]).done();
    }
    assert_eq!(place.stored().len(), 6);
}

#[test]
fn no_directory() {
    let place = TestDir::new();
    place
        .run(["--dir", "nowhere", "--", "echo"])
        .failed(1, "'nowhere'");
    place
        .run(["--dir", "bin/../tmp/none", "--", "echo"])
        .failed(1, "No such file");
}

#[test]
fn a_second_run_is_refused() {
    let place = TestDir::new();
    let first = place.begin("echo $$ > pid; echo hello; until [ -e go ]; do sleep 0.05; done");
    pid_in(&place.path("pid"));
    place
        .run(["--dir", "store", "--", "echo", "second"])
        .failed(4, "another program is writing a backup into 'store'");
    File::create(place.path("go")).unwrap();
    Seen::end_of(first).done();
    assert_eq!(place.stored().len(), 2);
    place.run(["--dir", "store", "--", "echo", "third"]).done();
}

#[test]
fn a_signal_leaves_nothing() {
    for (sent, code) in [(Signal::TERM, 143), (Signal::INT, 130), (Signal::HUP, 129)] {
        let place = TestDir::new();
        // The last of the pipeline does not listen to SIGTERM.
        let script = "echo hello; sh -c 'trap \"\" TERM; echo $$ > pid; sleep 1000; :' | cat";
        let child = place.begin(script);
        let pid = pid_in(&place.path("pid"));
        until("a temporary file", || place.stored().len() == 1);
        signal(&child, sent);
        let seen = Seen::end_of(child);
        seen.failed(code, "stopped by SIG");
        assert!(seen.stdout.is_empty(), "{seen}");
        assert_eq!(place.stored(), NOTHING);
        until("the command is gone", || !runs(&pid));
    }
}

/// What nohup(1) begins is to outlive its session.
#[test]
fn under_nohup_a_hangup_is_nothing() {
    let place = TestDir::new();
    let script = "trap '' HUP; exec \"$0\" --dir store -- sh -c 'echo $$ > pid; echo hello; until [ -e go ]; do sleep 0.05; done'";
    let program = place.program(NOTHING);
    let mut nohup = Command::new("sh");
    nohup.args(["-c", script]).arg(program.get_program());
    nohup.current_dir(place.path(".")).stdin(Stdio::null());
    nohup.stdout(Stdio::piped()).stderr(Stdio::piped());
    let child = nohup.spawn().unwrap();
    pid_in(&place.path("pid"));
    signal(&child, Signal::HUP);
    File::create(place.path("go")).unwrap();
    Seen::end_of(child).done();
    assert_eq!(place.stored().len(), 2);
}

/// Whoever may read the directory may lock it.
#[test]
fn a_directory_that_somebody_else_locks_is_written_into() {
    let place = TestDir::new();
    let directory = File::open(place.path("store")).unwrap();
    flock(&directory, FlockOperation::LockExclusive).unwrap();
    place.run(["--dir", "store", "--", "echo", "hello"]).done();
    assert_eq!(place.stored().len(), 2);
}

#[test]
fn what_a_killed_run_leaves_is_removed() {
    let place = TestDir::new();
    let child = place.begin("echo $$ > pid; echo hello; exec sleep 1000");
    let pid = pid_in(&place.path("pid"));
    until("a temporary file", || place.stored().len() == 1);
    let left = place.stored();
    assert!(left[0].starts_with('.'), "{left:?}");
    signal(&child, Signal::KILL);
    assert_eq!(Seen::end_of(child).code, None);
    until("the command is gone", || !runs(&pid));
    assert_eq!(place.stored(), left);
    let seen = place.run(["--dir", "store", "--", "echo", "hello"]).done();
    assert!(
        seen.stderr.contains(&format!("removed '{}'", left[0])),
        "{seen}"
    );
    assert_eq!(place.stored().len(), 2);
    assert!(!place.stored().contains(&left[0]));
}

#[test]
fn too_little_room_is_seen_before_the_dump() {
    let place = TestDir::new();
    let disk = rustix::fs::statvfs(place.path("store")).unwrap();
    let newest = "postgresql_backup_20200102_000000.sql.gz";
    // Larger than the whole disk, and without a block on it.
    let file = File::create(place.path("store").join(newest)).unwrap();
    file.set_len(disk.f_blocks * disk.f_frsize + 1).unwrap();
    let seen = place.run(["--dir", "store", "--", "sh", "-c", "touch began"]);
    seen.failed(1, newest);
    assert!(seen.stderr.contains("hint: make room"), "{seen}");
    assert!(!place.path("began").exists());
    // The newest backup counts, not the largest.
    File::create(place.path("store/postgresql_backup_20200103_000000.sql.gz")).unwrap();
    place.run(["--dir", "store", "--", "echo", "hello"]).done();
}
