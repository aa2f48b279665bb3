//! What a backup is read from.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on ends so")]

use std::fs;
use std::io::ErrorKind::IsADirectory;
use std::io::{Read, Write};
use std::os::fd::AsRawFd;

use job::Exit;
use store::{ErrorKind, Source};

fn text(mut reader: impl Read) -> String {
    let mut text = String::new();
    reader.read_to_string(&mut text).unwrap();
    text
}

#[test]
fn a_file_is_read_anywhere_and_again() {
    let home = tempfile::tempdir().unwrap();
    let path = home.path().join("x.sql.gz");
    fs::write(&path, "0123456789").unwrap();
    let source = Source::open(path.to_str().unwrap()).unwrap();
    assert_eq!(source.label(), path.to_str().unwrap());
    assert_eq!(source.recorded_sha256().unwrap(), None);

    let mut first = source.reader().unwrap();
    let mut some = [0; 3];
    first.read_exact(&mut some).unwrap();
    assert_eq!(text(source.reader().unwrap()), "0123456789");
    assert_eq!(text(first), "3456789");
    assert_eq!(text(source.range(2, 3).unwrap()), "234");
    assert_eq!(text(source.range(8, 5).unwrap()), "89");
    assert_eq!(text(source.range(20, 5).unwrap()), "");
    let read_at = source.read_at().unwrap();
    assert_eq!(read_at.size(), 10);
    assert_eq!(read_at.read_at(7, 3).unwrap(), b"789");
    assert!(read_at.read_at(7, 4).is_err());
}

#[test]
fn a_pipe_is_read_once() {
    let (reader, mut writer) = std::io::pipe().unwrap();
    writer.write_all(b"dump").unwrap();
    drop(writer);
    let source = Source::open(&format!("/dev/fd/{}", reader.as_raw_fd())).unwrap();
    assert_eq!(source.size(), None);
    assert!(source.read_at().is_none());
    assert!(source.range(0, 1).is_err());
    assert_eq!(text(source.reader().unwrap()), "dump");
    let again = source.reader().err().unwrap();
    assert_eq!(again.kind(), ErrorKind::NotSeekable);
    assert!(again.to_string().contains("once"), "{again}");
}

#[test]
fn a_directory_is_no_backup() {
    let home = tempfile::tempdir().unwrap();
    let error = Source::open(home.path().to_str().unwrap()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::System(IsADirectory));
    assert_eq!(job::Error::from(error.clone()).exit(), Exit::Failed);
    assert!(error.to_string().contains("is a directory"), "{error}");
}

#[test]
fn a_sidecar_that_speaks_of_something_else_is_no_record() {
    let home = tempfile::tempdir().unwrap();
    let path = home.path().join("x.sql.gz");
    fs::write(&path, "").unwrap();
    let digest = "ab".repeat(32);
    for (line, good) in [
        (format!("{digest}  x.sql.gz\n"), true),
        (format!("{digest}  y.sql.gz\n"), false),
        (String::new(), false),
    ] {
        fs::write(home.path().join("x.sql.gz.sha256"), &line).unwrap();
        let recorded = Source::open(path.to_str().unwrap())
            .unwrap()
            .recorded_sha256();
        match recorded {
            Ok(recorded) => assert!(good && recorded == Some([0xab; 32]), "{line}"),
            Err(error) => assert!(
                !good && error.kind() == ErrorKind::NotGood,
                "{line}: {error}"
            ),
        }
    }
}
