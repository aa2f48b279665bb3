//! The lock of a directory: who is kept out by it, and who cannot keep anybody out.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on ends so")]

use std::fs::{self, File, Permissions};
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;

use job::Exit;
use rustix::fs::{CWD, FileType, FlockOperation, Mode, flock, mknodat};
use rustix::io::Errno;
use store::{Directory, ErrorKind};

const LOCK: &str = ".pgdump-gz.lock";

fn open(directory: &Path) -> Directory {
    Directory::open(directory).unwrap()
}

fn refused(directory: &Path) -> String {
    let error = open(directory).lock().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Locked, "{error}");
    assert_eq!(job::Error::from(error.clone()).exit(), Exit::Refused);
    format!("{error}; {:?}", error.hint_text())
}

#[test]
fn who_may_only_read_the_directory_keeps_nobody_out() {
    let home = tempfile::tempdir().unwrap();
    let reader = File::open(home.path()).unwrap();
    for how in [FlockOperation::LockExclusive, FlockOperation::LockShared] {
        flock(&reader, how).unwrap();
        drop(open(home.path()).lock().unwrap());
    }
}

#[test]
fn one_program_writes_at_a_time() {
    let home = tempfile::tempdir().unwrap();
    let lock = open(home.path()).lock().unwrap();
    let theirs = FlockOperation::NonBlockingLockExclusive;
    let file = File::open(home.path().join(LOCK)).unwrap();
    assert_eq!(flock(&file, theirs), Err(Errno::WOULDBLOCK));
    drop(lock);
    flock(&file, theirs).unwrap();
    let said = refused(home.path());
    assert!(said.contains("another program is writing"), "{said}");
}

#[test]
fn who_may_write_into_the_directory_may_open_it() {
    for (mode, wanted) in [
        (0o755, 0o600),
        (0o2775, 0o660),
        (0o777, 0o666),
        (0o700, 0o600),
    ] {
        let home = tempfile::tempdir().unwrap();
        fs::set_permissions(home.path(), Permissions::from_mode(mode)).unwrap();
        // One that all could read, made by hand.
        fs::write(home.path().join(LOCK), "").unwrap();
        drop(open(home.path()).lock().unwrap());
        let lock = fs::metadata(home.path().join(LOCK)).unwrap();
        let found = lock.permissions().mode() & 0o777;
        assert_eq!(found, wanted, "{mode:o}: {found:o}");
    }
}

#[test]
fn what_is_no_file_of_ours_is_not_locked() {
    let home = tempfile::tempdir().unwrap();
    let place = home.path().join("store");
    let lock = place.join(LOCK);
    let other = home.path().join("other");
    let make: [(&str, &dyn Fn()); 4] = [
        ("a link", &|| symlink(&other, &lock).unwrap()),
        ("a link to a file", &|| {
            fs::write(&other, "theirs").unwrap();
            symlink(&other, &lock).unwrap();
        }),
        ("a pipe", &|| {
            mknodat(CWD, &lock, FileType::Fifo, Mode::from_raw_mode(0o666), 0).unwrap();
        }),
        ("a directory", &|| fs::create_dir(&lock).unwrap()),
    ];
    for (what, make) in make {
        fs::create_dir(&place).unwrap();
        make();
        let said = refused(&place);
        assert!(said.contains("is no regular file"), "{what}: {said}");
        assert!(said.contains("remove it"), "{what}: {said}");
        let untouched = fs::read(&other).is_ok_and(|theirs| theirs == b"theirs");
        assert!(untouched || !other.exists(), "{what}");
        fs::remove_dir_all(&place).unwrap();
    }
}
