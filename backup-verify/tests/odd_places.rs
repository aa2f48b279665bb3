//! Things that nobody gives a program on purpose: durations that no calendar holds, sidecar files that never end.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on ends so")]

use std::fs::{self, File};
use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::{Command, Stdio};

use backup_file::{Options, SectionKind, Writer};
use rustix::fs::{CWD, FileType, Mode, mknodat};
use tempfile::TempDir;

/// An hour after the newest.
const NOW: &str = "--now=2025-11-22T03:00:00Z";

fn name(day: u32) -> String {
    format!("postgresql_backup_202511{day}_020000.sql.gz")
}

/// A directory with three good backups.
fn home() -> TempDir {
    let options = Options {
        level: 1,
        threads: 1,
    };
    let mut writer = Writer::new(Vec::new(), options);
    writer.begin(SectionKind::Globals).unwrap();
    writer.write_all(b"SELECT 1;\n").unwrap();
    let backup = writer.finish_without_index().unwrap();
    let home = tempfile::tempdir().unwrap();
    for day in 20..=22 {
        fs::write(home.path().join(name(day)), &backup).unwrap();
    }
    home
}

/// Fails unless the run ends with this exit code and says this.
#[track_caller]
fn verify(target: &Path, options: &[&str], code: i32, says: &str) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_backup-verify"));
    command.arg(target).args(options);
    command.args(
        options
            .iter()
            .all(|it| !it.starts_with("--now"))
            .then_some(NOW),
    );
    ends(&mut command, code, says);
}

#[track_caller]
fn ends(command: &mut Command, code: i32, says: &str) {
    let output = command.stdin(Stdio::null()).output().unwrap();
    let said = [output.stdout, output.stderr].map(|it| String::from_utf8(it).unwrap());
    let said = said.concat();
    assert_eq!(output.status.code(), Some(code), "{command:?}: {said}");
    assert!(said.contains(says), "{command:?}: {said}");
    assert!(!said.contains("internal error"), "{said}");
}

#[test]
fn durations_that_no_calendar_holds() {
    let home = home();
    for length in ["4294967295w", "4294967295d", "100000000d", "3652501d"] {
        for option in ["--every", "--max-age", "--warn-expiry", "--deadline"] {
            let option = format!("{option}={length}");
            verify(home.path(), &[&option], 2, "is longer than 10000 years");
        }
    }
    verify(home.path(), &["--quota=1T", "--every=3652500d"], 0, "gaps");
    for moment in ["+262142-12-31", "-262143-01-01 00:00:00Z"] {
        let option = format!("--now={moment}");
        verify(home.path(), &[&option], 2, "--now");
    }
    for moment in ["9999-12-31T23:59:59Z", "0001-01-02T00:00:00Z"] {
        let now = format!("--now={moment}");
        let policy = ["--quota=1T", "--keep-days=4294967295", "--every=3652500d"];
        verify(home.path(), &[&policy[..], &[&now]].concat(), 3, "");
    }
}

/// A run replaces its files; it does not replace a device, a pipe or a directory.
#[test]
fn what_is_no_file_of_state_or_of_metrics() {
    let home = home();
    let pipe: &Path = &home.path().join("pipe");
    mknodat(CWD, pipe, FileType::Fifo, Mode::from_raw_mode(0o666), 0).unwrap();
    for place in [pipe, home.path()] {
        for option in ["--state", "--metrics"] {
            let option = format!("{option}={}", place.display());
            let options = ["--quota=1T", "--all", &option];
            verify(home.path(), &options, 1, "it is no regular file");
        }
    }
    assert!(!pipe.metadata().unwrap().is_file());
}

#[test]
fn a_file_with_a_url_that_has_no_end() {
    let home = home();
    for name in ["BACKUP_VERIFY_PING_URL_FILE", "BACKUP_VERIFY_PUSH_URL_FILE"] {
        let mut command = Command::new(env!("CARGO_BIN_EXE_backup-verify"));
        command.arg(home.path()).arg(NOW).env(name, "/dev/zero");
        ends(&mut command, 1, "it is longer than 64.00 KiB");
    }
}

#[test]
fn what_is_no_sidecar() {
    let home = home();
    let backup = home.path().join(name(22));
    let sidecar = home.path().join(name(22) + ".sha256");
    mknodat(CWD, &sidecar, FileType::Fifo, Mode::from_raw_mode(0o666), 0).unwrap();
    for target in [backup.as_path(), home.path()] {
        verify(target, &[], 3, "it is no regular file");
    }
    fs::remove_file(&sidecar).unwrap();
    symlink("/dev/zero", &sidecar).unwrap();
    verify(&backup, &[], 3, "it is no regular file");
    fs::remove_file(&sidecar).unwrap();
    File::create(&sidecar).unwrap().set_len(1 << 40).unwrap();
    verify(&backup, &[], 3, "longer than 1.00 MiB");
}
