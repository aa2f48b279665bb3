//! The command line of blob-prune, on directories.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on ends so")]

use std::fs;
use std::process::Command;

use backup_file::{MARKER, Options, SectionKind, Writer, sidecar_name};
use chrono::{DateTime, TimeDelta, Utc};
use serde_json::Value;
use tempfile::TempDir;

/// An hour after the newest backup of [`Home::daily`].
const NOW: &str = "2025-11-23T03:00:00Z";

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

    fn lines(&self, verdict: &str) -> usize {
        let begins = |line: &&str| line.starts_with(verdict);
        self.stdout.lines().filter(begins).count()
    }
}

fn run(args: &[&str]) -> Ran {
    let output = Command::new(env!("CARGO_BIN_EXE_blob-prune"))
        .args(args)
        .output()
        .unwrap();
    Ran {
        code: output.status.code().unwrap(),
        stdout: String::from_utf8(output.stdout).unwrap(),
        stderr: String::from_utf8(output.stderr).unwrap(),
    }
}

struct Home(TempDir);

impl Home {
    /// Backups of so many nights, the newest an hour before [`NOW`], each with its sidecar.
    fn daily(nights: i64) -> Self {
        let home = Self(tempfile::tempdir().unwrap());
        let backup = backup();
        for night in 0..nights {
            home.write(&name(night), &backup);
            home.write(&sidecar_name(&name(night)), b"");
        }
        home
    }

    fn path(&self) -> &str {
        self.0.path().to_str().unwrap()
    }

    fn write(&self, name: &str, bytes: &[u8]) {
        fs::write(self.0.path().join(name), bytes).unwrap();
    }

    fn has(&self, name: &str) -> bool {
        self.0.path().join(name).exists()
    }

    /// How many files are there, sidecars counted.
    fn files(&self) -> usize {
        fs::read_dir(self.0.path()).unwrap().count()
    }

    fn prune(&self, args: &[&str]) -> Ran {
        let given = [&[self.path(), "--now", NOW], args].concat();
        run(&given)
    }
}

/// The name of the backup of so many nights ago.
fn name(night: i64) -> String {
    let newest: DateTime<Utc> = "2025-11-23T02:00:00Z".parse().unwrap();
    let started = newest - TimeDelta::days(night);
    started
        .format("postgresql_backup_%Y%m%d_%H%M%S.sql.gz")
        .to_string()
}

/// The output of some command.
fn backup() -> Vec<u8> {
    let options = Options {
        level: 1,
        threads: 1,
    };
    let mut writer = Writer::new(Vec::new(), options);
    writer.begin(SectionKind::Globals).unwrap();
    writer.write_all(b"SELECT 1;\n").unwrap();
    writer.finish_without_index().unwrap()
}

#[test]
fn old_ones_go_with_their_sidecars() {
    let home = Home::daily(10);
    home.write("notes.txt", b"");
    home.write("postgresql_backup_latest.sql.gz", b"");
    let ran = home.prune(&["--keep-days", "7", "--keep-min", "3"]).code(0);
    assert_eq!((ran.lines("keep "), ran.lines("deleted ")), (7, 3));
    assert!(ran.stdout.contains("older than 7 days"), "{}", ran.stdout);
    assert!(ran.stderr.contains("3 backups deleted"), "{}", ran.stderr);
    assert_eq!(home.files(), 2 * 7 + 2);
    assert!(home.has(&name(6)) && !home.has(&name(7)));
    // There is nothing left to do.
    home.prune(&["--keep-days", "7"]).code(0);
    assert_eq!(home.files(), 2 * 7 + 2);
}

#[test]
fn a_dry_run_deletes_nothing() {
    let home = Home::daily(10);
    let ran = home.prune(&["--keep-days", "7", "--dry-run"]).code(0);
    assert_eq!((ran.lines("keep "), ran.lines("would delete ")), (7, 3));
    assert_eq!(home.files(), 20);
}

#[test]
fn json_lists_each_decision() {
    let home = Home::daily(5);
    let ran = home
        .prune(&["--keep-days", "1", "--keep-weekly", "1", "--json"])
        .code(0);
    let document: Value = serde_json::from_str(&ran.stdout).unwrap();
    assert_eq!(document["policy"]["keep_days"], 1);
    assert_eq!(document["policy"]["keep_min"], 3);
    let backups = document["backups"].as_array().unwrap();
    let decisions: Vec<&str> = backups
        .iter()
        .map(|it| it["decision"].as_str().unwrap())
        .collect();
    assert_eq!(decisions, ["delete", "delete", "keep", "keep", "keep"]);
    assert_eq!(backups[0]["name"], name(4));
    assert_eq!(backups[0]["result"], "deleted");
    assert!(backups[4]["reasons"].as_array().unwrap().len() >= 3);
    assert_eq!(backups[4]["age_seconds"], 3600);
}

#[test]
fn a_stale_store_is_left_alone() {
    let home = Home::daily(10);
    let args = [
        home.path(),
        "--keep-days",
        "7",
        "--now",
        "2025-11-24T14:00:01Z",
    ];
    let ran = run(&args).code(4).says("new ones have stopped coming");
    assert_eq!(ran.stdout, "");
    assert_eq!(home.files(), 20);
    run(&[&args[..], &["--json"]].concat()).code(4);
    assert_eq!(home.files(), 20);
    run(&[&args[..], &["--max-age", "37h"]].concat()).code(0);
    assert_eq!(home.files(), 2 * 6);
    run(&[&args[..], &["--even-if-stale", "--keep-min", "1"]].concat()).code(0);
}

#[test]
fn policies_that_keep_nothing_are_refused() {
    let home = Home::daily(10);
    home.prune(&[]).code(2).says("--keep-days");
    home.prune(&["--keep-min", "3"]).code(2);
    home.prune(&["--keep-days", "0", "--keep-min", "0"]).code(4);
    let args = [home.path(), "--keep-days", "7", "--keep-min", "0"];
    let late = ["--even-if-stale", "--now", "2026-11-23T03:00:00Z"];
    run(&[&args[..], &late].concat())
        .code(4)
        .says("would delete all 10 backups");
    assert_eq!(home.files(), 20);
}

#[test]
fn the_newest_good_one_outlives_bad_ones() {
    let home = Home::daily(12);
    let whole = backup();
    for night in 0..3 {
        home.write(&name(night), &whole[..whole.len() - MARKER.len()]);
    }
    // Bad ones are no reason to believe that new ones come.
    let args = ["--keep-days", "2", "--keep-min", "1"];
    home.prune(&args).code(4);
    let ran = home
        .prune(&[&args[..], &["--even-if-stale"]].concat())
        .code(0)
        .says("its end is missing");
    assert!(ran.stdout.contains("the newest good one"), "{}", ran.stdout);
    assert!(home.has(&name(3)));
    assert!(!home.has(&name(4)));
}

#[test]
fn backups_of_other_programs_are_pruned_too() {
    let home = Home::daily(0);
    // A gzip member's head, and no marker at the end.
    let foreign = [&[0x1f, 0x8b, 8, 0], &[7; 200][..]].concat();
    for night in 0..10 {
        home.write(&name(night), &foreign);
    }
    home.prune(&["--keep-days", "7"]).code(0);
    assert_eq!(home.files(), 7);
}

#[test]
fn the_future_stays() {
    let home = Home::daily(10);
    let future = "postgresql_backup_20991231_235959.sql.gz";
    home.write(future, &backup());
    let ran = home.prune(&["--keep-days", "7"]).code(0);
    assert!(ran.stdout.contains("dated in the future"), "{}", ran.stdout);
    assert!(home.has(future));
}

#[test]
fn a_backup_that_cannot_be_deleted_is_a_failure() {
    let home = Home::daily(10);
    let sidecar = home.0.path().join(sidecar_name(&name(9)));
    fs::remove_file(&sidecar).unwrap();
    fs::create_dir(&sidecar).unwrap();
    let ran = home
        .prune(&["--keep-days", "7"])
        .code(1)
        .says("1 backup could not be deleted");
    assert_eq!((ran.lines("deleted "), ran.lines("failed ")), (2, 1));
    assert!(home.has(&name(9)));
}

#[test]
fn stores_that_are_none() {
    let home = Home::daily(0);
    home.prune(&["--keep-days", "7"]).code(0).says("no backups");
    let missing = home.0.path().join("missing");
    run(&[missing.to_str().unwrap(), "--keep-days", "7"])
        .code(1)
        .says("No such file or directory");
    let help = run(&["--help"]).code(0);
    for words in ["--keep-monthly", "Exit codes:", "AZURE_STORAGE_SAS_TOKEN"] {
        assert!(help.stdout.contains(words), "{words}");
    }
}
