//! The command line of backup-verify.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on ends so")]

use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use backup_file::{About, MARKER, Options, SectionKind, Writer, sidecar_line, sidecar_name};
use flate2::Compression;
use flate2::write::GzEncoder;
use serde_json::Value;
use sha2::Digest;
use tempfile::TempDir;

const OLD: &str = "postgresql_backup_20251120_020000.sql.gz";
const OLDER: &str = "postgresql_backup_20251121_020000.sql.gz";
const NEW: &str = "postgresql_backup_20251123_020000.sql.gz";
/// An hour after [`NEW`].
const NOW: &str = "2025-11-23T03:00:00Z";

const GLOBALS: &str = "--\n-- PostgreSQL database cluster dump\n--\n\nCREATE ROLE app;\n\n";
const END: &str = "--\n-- PostgreSQL database cluster dump complete\n--\n\n";

struct Ran {
    code: i32,
    stdout: String,
    stderr: String,
}

impl Ran {
    #[track_caller]
    fn code(self, wanted: i32) -> Self {
        let Self {
            code,
            stdout,
            stderr,
        } = &self;
        assert_eq!(
            *code, wanted,
            "\n--- stdout\n{stdout}\n--- stderr\n{stderr}"
        );
        self
    }

    #[track_caller]
    fn says(self, words: &str) -> Self {
        assert!(self.stderr.contains(words), "{words}\n{}", self.stderr);
        self
    }

    #[track_caller]
    fn prints(self, words: &str) -> Self {
        assert!(self.stdout.contains(words), "{words}\n{}", self.stdout);
        self
    }
}

fn command(args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_backup-verify"));
    command.args(args).stdin(Stdio::null());
    command
}

fn run(args: &[&str]) -> Ran {
    ran(&mut command(args))
}

/// Verifies a store, however full the disk of this machine is.
fn run_on(store: &Home, args: &[&str]) -> Ran {
    run(&[&[store.path(), "--quota", "1T"], args].concat())
}

fn ran(command: &mut Command) -> Ran {
    let output = command.output().unwrap();
    Ran {
        code: output.status.code().unwrap(),
        stdout: String::from_utf8(output.stdout).unwrap(),
        stderr: String::from_utf8(output.stderr).unwrap(),
    }
}

/// A directory of backups.
struct Home(TempDir);

impl Home {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn path(&self) -> &str {
        self.0.path().to_str().unwrap()
    }

    fn file(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn write(&self, name: &str, bytes: &[u8]) -> String {
        fs::write(self.file(name), bytes).unwrap();
        self.file(name).to_str().unwrap().to_owned()
    }

    fn sidecar(&self, name: &str) {
        let digest = sha2::Sha256::digest(fs::read(self.file(name)).unwrap());
        self.write(
            &sidecar_name(name),
            sidecar_line(name, &digest.into()).as_bytes(),
        );
    }
}

/// A backup of a cluster with two databases.
fn backup() -> Vec<u8> {
    let mut writer = Writer::new(
        Vec::new(),
        Options {
            level: 1,
            threads: 1,
        },
    );
    let rows = "1\tsome row of a table\n".repeat(20_000);
    writer.begin(SectionKind::Globals).unwrap();
    writer.write_all(GLOBALS.as_bytes()).unwrap();
    for database in ["app", "jupyterhub"] {
        writer
            .begin(SectionKind::Database(database.into()))
            .unwrap();
        let sql = format!("--\n-- Database \"{database}\" dump\n--\n\n{rows}");
        writer.write_all(sql.as_bytes()).unwrap();
    }
    writer.begin(SectionKind::End).unwrap();
    writer.write_all(END.as_bytes()).unwrap();
    let moment = "2025-11-23T02:00:00Z".parse().unwrap();
    writer
        .finish(About {
            server_version: "15.18".into(),
            client_version: "15.18".into(),
            excluded: backup_file::Excluded::default(),
            encoding: None,
            server_role: None,
            started: moment,
            finished: moment,
        })
        .unwrap()
}

/// A backup as `COMMAND | gzip` makes it.
fn gzip(text: &str) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(text.as_bytes()).unwrap();
    encoder.finish().unwrap()
}

#[test]
fn a_good_backup() {
    let home = Home::new();
    let path = home.write(NEW, &backup());
    run(&[&path])
        .code(0)
        .prints("ok ")
        .prints(NEW)
        .prints("2 databases")
        .prints("no SHA-256 was recorded");
    home.sidecar(NEW);
    run(&[&path, "--threads", "3"])
        .code(0)
        .prints("as recorded");
    let mut from_stdin = command(&["-"]);
    from_stdin.stdin(File::open(&path).unwrap());
    ran(&mut from_stdin).code(0).prints("2 databases");
}

#[test]
fn json() {
    let home = Home::new();
    let path = home.write(NEW, &backup());
    home.sidecar(NEW);
    let ran = run(&[&path, "--json"]).code(0);
    let document: Value = serde_json::from_str(&ran.stdout).unwrap();
    assert_eq!(document["result"], "ok");
    assert_eq!(document["exit_code"], 0);
    let check = &document["checks"][0];
    assert_eq!(check["check"], "backup");
    assert_eq!(check["name"], NEW);
    assert_eq!(check["size"], fs::metadata(&path).unwrap().len());
    assert_eq!(check["server_version"], "15.18");
    assert_eq!(check["started"], "2025-11-23T02:00:00Z");
    let databases = check["databases"].as_array().unwrap();
    let names: Vec<_> = databases.iter().map(|it| it["name"].as_str()).collect();
    assert_eq!(names, [Some("app"), Some("jupyterhub")]);
    assert!(databases[0]["sql_size"].as_u64() > Some(400_000));
    let digest = sha2::Sha256::digest(fs::read(&path).unwrap());
    assert_eq!(check["sha256"], store::hex(&digest.into()));
    assert_eq!(check["marker"], true);

    let bad = home.write(OLD, b"");
    let ran = run(&[&bad, "--json"]).code(3);
    let document: Value = serde_json::from_str(&ran.stdout).unwrap();
    assert_eq!(document["result"], "bad");
    assert_eq!(document["exit_code"], 3);
}

#[test]
fn damage_anywhere_is_found() {
    let home = Home::new();
    let good = backup();
    let step = good.len() / 40;
    for at in (0..good.len()).step_by(step).chain([good.len() - 1]) {
        let mut bytes = good.clone();
        bytes[at] ^= 0x20;
        let path = home.write(NEW, &bytes);
        run(&[&path]).code(3).prints("bad ").says(NEW);

        let path = home.write(NEW, &good[..at]);
        run(&[&path]).code(3).says(NEW);
    }
}

#[test]
fn a_marker_that_is_missing() {
    let home = Home::new();
    let good = backup();
    let path = home.write(NEW, &good[..good.len() - MARKER.len()]);
    run(&[&path]).code(3).says("its end is missing");
}

#[test]
fn files_that_hold_nothing() {
    let home = Home::new();
    let empty = home.write("empty.gz", b"");
    run(&[&empty]).code(3).says("it is empty");
    let marker = home.write("marker.gz", &MARKER);
    run(&[&marker]).code(3).says("it holds nothing");
    let gzip = home.write("nothing.gz", &gzip(""));
    run(&[&gzip]).code(3).says("it holds nothing");
    let text = home.write("text.gz", b"CREATE TABLE t ();\n");
    run(&[&text]).code(3).says("not good");
    // Standard input is /dev/null.
    run(&["-"]).code(3);
}

#[test]
fn a_sha256_that_is_another_s() {
    let home = Home::new();
    let path = home.write(NEW, &backup());
    home.write(&sidecar_name(NEW), sidecar_line(NEW, &[7; 32]).as_bytes());
    run(&[&path]).code(3).says("recorded was 0707");
    home.write(&sidecar_name(NEW), b"garbage");
    run(&[&path]).code(3).says("gives no SHA-256");
}

#[test]
fn backups_of_other_programs() {
    let home = Home::new();
    let dump = format!("{GLOBALS}{END}");
    let whole = home.write("whole.sql.gz", &gzip(&dump));
    run(&[&whole]).code(0).prints("no marker");
    // gzip finds nothing wrong with it; the dump did not end.
    let cut = home.write("cut.sql.gz", &gzip(GLOBALS));
    run(&[&cut]).code(3).says("incomplete");
    let two = [gzip(GLOBALS), gzip(END)].concat();
    let two = home.write("two.sql.gz", &two);
    run(&[&two]).code(0);
    let other = home.write("tar.gz", &gzip("no dump"));
    run(&[&other]).code(0).prints("cannot be known");
    let tail = home.write("tail.gz", &gzip(&dump)[..30]);
    run(&[&tail]).code(3);
}

#[test]
fn a_store_whose_newest_is_good_and_young() {
    let home = Home::new();
    home.write(OLD, b"bad, but old");
    home.write(NEW, &backup());
    run_on(&home, &["--now", NOW])
        .code(0)
        .prints(NEW)
        .prints("60 min; at most 36 h");
    run_on(&home, &["--now", NOW, "--all"]).code(3).says(OLD);
}

#[test]
fn a_name_that_is_wrong_is_told() {
    let home = Home::new();
    let renamed = "postgresql_backup_20251130_020000.sql.gz";
    let path = home.write(renamed, &backup());
    run(&[&path])
        .code(0)
        .prints("warning")
        .says("its dump was started 2025-11-23T02:00:00Z");
    run_on(&home, &["--now", "2025-11-30T03:00:00Z"])
        .code(3)
        .says("is 7 days old");
}

#[test]
fn a_store_whose_newest_is_old() {
    let home = Home::new();
    home.write(NEW, &backup());
    let stale = ["--now", "2025-11-24T14:00:01Z"];
    run_on(&home, &stale)
        .code(3)
        .prints("ok ")
        .says("the newest backup")
        .says("36 h");
    run_on(&home, &[stale[0], stale[1], "--max-age", "37h"]).code(0);
}

#[test]
fn a_store_whose_newest_is_damaged_names_the_one_before() {
    let home = Home::new();
    let good = backup();
    home.write(OLD, &good);
    home.write(OLDER, &good);
    home.write(NEW, &good[..good.len() / 2]);
    run_on(&home, &["--now", NOW])
        .code(3)
        .says(NEW)
        .says(&format!("'{OLDER}' looks whole"));
}

#[test]
fn a_store_without_backups() {
    let home = Home::new();
    home.write("notes.txt", b"");
    run(&[home.path()]).code(3).says("no backups");
    let missing = home.file("missing");
    run(&[missing.to_str().unwrap()])
        .code(1)
        .says("No such file or directory");
    run(&[missing.join(NEW).to_str().unwrap()])
        .code(1)
        .says("No such file or directory");
}

#[test]
fn what_was_left_and_what_is_dated_in_the_future_is_told() {
    let home = Home::new();
    home.write(NEW, &backup());
    let future = "postgresql_backup_20260101_020000.sql.gz";
    home.write(future, &backup());
    let left = format!(".{OLD}.abcdefghijkl.partial");
    home.write(&left, b"half");
    run_on(&home, &["--now", NOW])
        .code(0)
        .prints("warning")
        .says(&left)
        .says(future)
        .prints(NEW);
    assert!(Path::new(&home.file(&left)).exists());
}

#[test]
fn a_command_line_that_is_wrong() {
    let home = Home::new();
    let path = home.write(NEW, &backup());
    run(&[]).code(2);
    run(&[&path, "--all"]).code(2).says("--all");
    run(&[home.path(), "--max-age", "36"]).code(2).says("36h");
    run(&[&path, "--threads", "0"]).code(2);
    let help = run(&["--help"]).code(0);
    for words in ["--max-age", "Exit codes:", "AZURE_STORAGE_SAS_TOKEN_FILE"] {
        assert!(help.stdout.contains(words), "{words}");
    }
}

#[test]
fn standard_output_that_is_closed_is_a_failure() {
    let home = Home::new();
    let path = home.write(NEW, &backup());
    let mut command = command(&[&path]);
    command.stdout(File::options().write(true).open("/dev/full").unwrap());
    ran(&mut command).code(1).says("standard output");
}
