//! What may stand where a sidecar should.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on ends so")]

use std::fs::{self, File};
use std::os::unix::fs::symlink;
use std::path::Path;

use job::Exit;
use rustix::fs::{CWD, FileType, Mode, mknodat};
use store::{Error, ErrorKind, Source, read_sidecar};

const NAME: &str = "postgresql_backup_20251123_020000.sql.gz";

fn recorded(backup: &Path) -> Error {
    let source = Source::open(backup.to_str().unwrap()).unwrap();
    source.recorded_sha256().unwrap_err()
}

/// Each would block, or fill the memory, if it were simply read.
#[test]
fn what_is_no_sidecar_ends_soon() {
    let home = tempfile::tempdir().unwrap();
    let backup = home.path().join(NAME);
    fs::write(&backup, "x").unwrap();
    let sidecar = home.path().join(format!("{NAME}.sha256"));
    let link = |to: &str| symlink(to, &sidecar).unwrap();
    let make: [(&str, &dyn Fn()); 5] = [
        ("no regular file", &|| {
            mknodat(CWD, &sidecar, FileType::Fifo, Mode::from_raw_mode(0o666), 0).unwrap();
        }),
        ("no regular file", &|| link("/dev/zero")),
        ("no regular file", &|| link("/dev/tty")),
        ("no regular file", &|| link("/proc")),
        ("longer than 1.00 MiB", &|| {
            File::create(&sidecar).unwrap().set_len(1 << 40).unwrap();
        }),
    ];
    for (said, make) in make {
        make();
        let error = recorded(&backup);
        assert_eq!(error.kind(), ErrorKind::NotGood, "{error}");
        assert_eq!(job::Error::from(error.clone()).exit(), Exit::NotGood);
        assert!(error.to_string().contains(said), "{error}");
        fs::remove_file(&sidecar).unwrap();
    }
}

#[test]
fn a_sidecar_may_be_a_link_and_may_be_missing() {
    let home = tempfile::tempdir().unwrap();
    let (file, link) = (home.path().join("file"), home.path().join("link"));
    fs::write(&file, "text").unwrap();
    symlink(&file, &link).unwrap();
    assert_eq!(read_sidecar(&link).unwrap().as_deref(), Some("text"));
    fs::remove_file(&file).unwrap();
    assert_eq!(read_sidecar(&link).unwrap(), None);
}
