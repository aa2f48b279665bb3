//! A directory of backups: what is seen in it, what is written into it, what is left of what failed.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on ends so")]

use std::fs;
use std::io::Write;
use std::path::Path;
use std::sync::Barrier;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use backup_file::{BackupName, sidecar_sha256};
use job::Exit;
use sha2::Digest;
use store::{Backup, Deletion, Directory, ErrorKind, Source, Store};
use tempfile::TempDir;

const NAME: &str = "postgresql_backup_20251123_020000.sql.gz";
const OLDER: &str = "postgresql_backup_20251122_020000.sql.gz";
const LOCK: &str = ".pgdump-gz.lock";
/// SHA-256 of "whole".
const SHA256: &str = "5d5766cf2d78701614200418ee1450690d9af12c84d52545e4802f001ad53099";

fn names(directory: &Path) -> Vec<String> {
    let mut names: Vec<String> = fs::read_dir(directory)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

fn open(directory: &TempDir) -> Directory {
    Directory::open(directory.path()).unwrap()
}

fn store(directory: &TempDir) -> Store {
    Store::open(directory.path().to_str().unwrap()).unwrap()
}

fn backup(name: &str) -> Backup {
    Backup {
        name: BackupName::parse(name).unwrap(),
        size: 0,
        sha256: None,
        version: String::new(),
    }
}

#[test]
fn a_committed_file_stands_with_its_sidecar() {
    let home = tempfile::tempdir().unwrap();
    let mut file = open(&home).publish(NAME).unwrap();
    file.write_all(b"who").unwrap();
    file.write_all(b"le").unwrap();
    let during = names(home.path());
    assert_eq!(during.len(), 1, "{during:?}");
    assert!(during[0].starts_with('.'), "{during:?}");

    let published = file.commit().unwrap();
    assert_eq!(published.path, home.path().join(NAME));
    assert_eq!(published.size, 5);
    assert_eq!(
        names(home.path()),
        [NAME.to_owned(), format!("{NAME}.sha256")]
    );
    assert_eq!(fs::read(&published.path).unwrap(), b"whole");
    let sidecar = fs::read_to_string(home.path().join(format!("{NAME}.sha256"))).unwrap();
    assert_eq!(sidecar, format!("{SHA256}  {NAME}\n"));
    assert_eq!(sidecar_sha256(&sidecar, NAME), Some(published.sha256));

    let source = Source::open(published.path.to_str().unwrap()).unwrap();
    assert_eq!(source.recorded_sha256().unwrap(), Some(published.sha256));
    assert_eq!(source.size(), Some(5));
    assert_eq!(source.file_name(), Some(NAME));
}

#[test]
fn a_dropped_file_leaves_nothing() {
    let home = tempfile::tempdir().unwrap();
    let mut file = open(&home).publish(NAME).unwrap();
    file.write_all(b"half").unwrap();
    drop(file);
    assert!(names(home.path()).is_empty());
}

#[test]
fn a_backup_is_never_written_over() {
    let home = tempfile::tempdir().unwrap();
    let directory = open(&home);
    // Two begin, one is first; a third comes when the name is taken.
    let mut first = directory.publish(NAME).unwrap();
    let mut second = directory.publish(NAME).unwrap();
    first.write_all(b"whole").unwrap();
    second.write_all(b"other").unwrap();
    let published = first.commit().unwrap();
    for error in [
        second.commit().unwrap_err(),
        directory.publish(NAME).unwrap_err(),
    ] {
        assert_eq!(error.kind(), ErrorKind::Exists, "{error}");
        assert_eq!(job::Error::from(error.clone()).exit(), Exit::Refused);
        assert!(error.to_string().contains(NAME), "{error}");
    }
    assert_eq!(fs::read(published.path).unwrap(), b"whole");
    let sidecar = fs::read_to_string(home.path().join(format!("{NAME}.sha256"))).unwrap();
    assert!(sidecar.starts_with(SHA256), "{sidecar}");
    assert_eq!(names(home.path()).len(), 2);
}

#[test]
fn a_sidecar_that_outlived_its_backup_is_replaced() {
    let home = tempfile::tempdir().unwrap();
    let sidecar = home.path().join(format!("{NAME}.sha256"));
    fs::write(&sidecar, format!("{}  {NAME}\n", "0".repeat(64))).unwrap();
    let mut file = open(&home).publish(NAME).unwrap();
    file.write_all(b"whole").unwrap();
    let published = file.commit().unwrap();
    let text = fs::read_to_string(sidecar).unwrap();
    assert_eq!(sidecar_sha256(&text, NAME), Some(published.sha256));
}

#[test]
fn only_what_a_killed_program_left_is_swept() {
    let home = tempfile::tempdir().unwrap();
    let directory = open(&home);
    let left = format!(".{OLDER}.abcdefghijkl.partial");
    fs::write(home.path().join(&left), "half").unwrap();
    let kept = [
        ".x.partial",
        ".profile",
        "x.abcdefghijkl.partial",
        ".x.abcdefghijk-.partial",
    ];
    for name in kept {
        fs::write(home.path().join(name), "").unwrap();
    }
    let mut file = directory.publish(NAME).unwrap();
    file.write_all(b"whole").unwrap();

    let mut unfinished = directory.unfinished().unwrap();
    unfinished.sort_by_key(|it| it.alive);
    let alive: Vec<bool> = unfinished.iter().map(|it| it.alive).collect();
    assert_eq!(alive, [false, true], "{unfinished:?}");
    assert_eq!(unfinished[0].name, left);
    assert_eq!(unfinished[0].size, 4);

    assert_eq!(directory.sweep().unwrap(), [left]);
    assert!(directory.sweep().unwrap().is_empty());
    for name in kept {
        assert!(home.path().join(name).exists(), "{name}");
    }
    file.commit().unwrap();
    assert!(directory.unfinished().unwrap().is_empty());
}

#[test]
fn of_many_writers_of_one_name_one_wins() {
    let home = tempfile::tempdir().unwrap();
    let directory = open(&home);
    let writers = 8;
    let start = Barrier::new(writers);
    let won: Vec<bool> = thread::scope(|scope| {
        let writers: Vec<_> = (0..writers)
            .map(|number| {
                let (directory, start) = (&directory, &start);
                scope.spawn(move || {
                    let mut file = directory.publish(NAME).unwrap();
                    file.write_all(&[b'0' + u8::try_from(number).unwrap(); 9])
                        .unwrap();
                    start.wait();
                    file.commit().is_ok()
                })
            })
            .collect();
        writers.into_iter().map(|it| it.join().unwrap()).collect()
    });
    assert_eq!(won.iter().filter(|won| **won).count(), 1, "{won:?}");
    let winner = won.iter().position(|won| *won).unwrap();
    let text = fs::read_to_string(home.path().join(NAME)).unwrap();
    assert_eq!(text, winner.to_string().repeat(9));
    // A sidecar that lost its place to another writer's clean-up is a loss; a wrong one would be a lie.
    let source = Source::open(home.path().join(NAME).to_str().unwrap()).unwrap();
    if let Some(recorded) = source.recorded_sha256().unwrap() {
        let digest = sha2::Sha256::digest(text.as_bytes());
        assert_eq!(recorded, <[u8; 32]>::from(digest));
    }
    assert!(directory.unfinished().unwrap().is_empty());
}

#[test]
fn a_sweeper_takes_nothing_from_a_writer() {
    let home = tempfile::tempdir().unwrap();
    let directory = open(&home);
    let writing = AtomicBool::new(true);
    thread::scope(|scope| {
        scope.spawn(|| {
            while writing.load(Ordering::Relaxed) {
                directory.sweep().unwrap();
                directory.unfinished().unwrap();
            }
        });
        // However this thread ends.
        let _stop = Stop(&writing);
        for number in 0..100 {
            let name = format!("postgresql_backup_20251123_0200{:02}.sql.gz", number % 60);
            let mut file = directory.publish(&name).unwrap();
            file.write_all(b"whole").unwrap();
            let published = file.commit().unwrap();
            fs::remove_file(published.path).unwrap();
        }
    });
}

struct Stop<'a>(&'a AtomicBool);

impl Drop for Stop<'_> {
    fn drop(&mut self) {
        self.0.store(false, Ordering::Relaxed);
    }
}

#[test]
fn one_program_at_a_time_writes() {
    let home = tempfile::tempdir().unwrap();
    let directory = open(&home);
    let lock = directory.lock().unwrap();
    let error = Directory::open(home.path()).unwrap().lock().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Locked);
    assert_eq!(job::Error::from(error.clone()).exit(), Exit::Refused);
    assert!(error.to_string().contains("another program"), "{error}");
    drop(lock);
    let _lock = directory.lock().unwrap();
    // It stays, and says nothing.
    assert_eq!(names(home.path()), [LOCK]);
    assert_eq!(fs::read(home.path().join(LOCK)).unwrap(), b"");
}

#[test]
fn a_backup_s_name_is_listed_and_nothing_else() {
    let home = tempfile::tempdir().unwrap();
    fs::write(home.path().join(NAME), "new").unwrap();
    fs::write(home.path().join(OLDER), "older").unwrap();
    fs::write(home.path().join(format!("{NAME}.sha256")), "").unwrap();
    fs::write(home.path().join("postgresql_backup_latest.sql.gz"), "").unwrap();
    let directory = "postgresql_backup_20251121_020000.sql.gz";
    let link = "postgresql_backup_20251120_020000.sql.gz";
    fs::create_dir(home.path().join(directory)).unwrap();
    std::os::unix::fs::symlink(NAME, home.path().join(link)).unwrap();

    let listed = store(&home).list().unwrap().dumps;
    let listed: Vec<(String, u64)> = listed
        .iter()
        .map(|it| (it.name.to_string(), it.size))
        .collect();
    assert_eq!(listed, [(OLDER.to_owned(), 5), (NAME.to_owned(), 3)]);
}

#[test]
fn a_deleted_backup_takes_its_sidecar_along() {
    let home = tempfile::tempdir().unwrap();
    for name in [NAME, OLDER] {
        fs::write(home.path().join(name), "x").unwrap();
        fs::write(home.path().join(format!("{name}.sha256")), "x").unwrap();
    }
    // A directory in a backup's place: it cannot be removed as a file is.
    let blocked = "postgresql_backup_20251121_020000.sql.gz";
    fs::create_dir(home.path().join(blocked)).unwrap();
    let gone = "postgresql_backup_20251120_020000.sql.gz";

    let mut told = Vec::new();
    store(&home)
        .delete(
            &[backup(gone), backup(blocked), backup(OLDER)],
            &mut |backup, deletion| told.push((backup.name.to_string(), deletion)),
        )
        .unwrap();
    assert_eq!(told[0], (gone.to_owned(), Deletion::Gone));
    assert!(
        matches!(&told[1].1, Deletion::Failed(error) if error.to_string().contains(blocked)),
        "{told:?}"
    );
    assert_eq!(told[2], (OLDER.to_owned(), Deletion::Deleted));
    assert_eq!(
        names(home.path()),
        [
            blocked.to_owned(),
            NAME.to_owned(),
            format!("{NAME}.sha256")
        ]
    );
}

#[test]
fn what_is_no_directory_is_said() {
    let home = tempfile::tempdir().unwrap();
    let file = home.path().join("file");
    fs::write(&file, "").unwrap();
    let missing = home.path().join("missing");
    for (path, words) in [
        (&file, "Not a directory"),
        (&missing, "No such file or directory"),
    ] {
        let error = Store::open(path.to_str().unwrap()).unwrap_err();
        assert!(matches!(error.kind(), ErrorKind::System(_)));
        assert_eq!(job::Error::from(error.clone()).exit(), Exit::Failed);
        let said = error.to_string();
        assert!(
            said.contains(words) && said.contains(path.to_str().unwrap()),
            "{said}"
        );
    }
}

#[test]
fn a_token_in_the_wrong_place_is_not_shown() {
    for text in [
        "htps://a.blob.core.windows.net/backups?sv=1&sig=s3cret",
        "https:/a.blob.core.windows.net/backups?sv=1&sig=s3cret",
    ] {
        for error in [
            Store::open(text).map(drop).unwrap_err(),
            Source::open(text).map(drop).unwrap_err(),
        ] {
            assert_eq!(error.kind(), ErrorKind::Usage);
            assert_eq!(job::Error::from(error.clone()).exit(), Exit::Usage);
            assert!(!error.to_string().contains("s3cret"), "{error}");
        }
    }
}

#[test]
fn a_store_is_told_from_a_backup() {
    let home = tempfile::tempdir().unwrap();
    let home = home.path().to_str().unwrap();
    for text in [
        home,
        "/nowhere/backups",
        "/nowhere/",
        "https://a.blob.core.windows.net/backups",
        "https://a.blob.core.windows.net/backups?sv=1&sig=x.gz",
        "https://a.blob.core.windows.net/backups/prod",
        "https://a.blob.core.windows.net/backups/prod/",
        "HTTP://127.0.0.1:10000/devstoreaccount1/backups",
    ] {
        assert!(Store::is_store(text), "{text}");
    }
    for text in [
        "-",
        "/nowhere/x.sql.gz",
        "/etc/passwd",
        "https://a.blob.core.windows.net/backups/prod/x.sql.gz?sv=1&sig=x",
    ] {
        assert!(!Store::is_store(text), "{text}");
    }
}
