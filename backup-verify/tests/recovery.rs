//! Base backups and WAL in a directory: what can be reached, and what cannot.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on ends so")]

use std::fs;
use std::process::Command;

use backup_file::{About, BackupKind, BackupName, Base, Options, SectionKind, WalRange, Writer};
use chrono::{DateTime, TimeDelta, Utc};
use serde_json::Value;
use tempfile::TempDir;

const SYSTEM: u64 = 7_412_345_678_901_234_567;
const MIB: u64 = 1 << 20;

struct Home(TempDir);

impl Home {
    fn new() -> Self {
        Self(TempDir::new().unwrap())
    }

    /// A base backup that was made this many days ago and needs these segments.
    fn base(&self, days: i64, timeline: u32, [first, last]: [u64; 2]) -> String {
        let started = Utc::now() - TimeDelta::days(days) - TimeDelta::minutes(10);
        let options = Options {
            level: 1,
            threads: 1,
        };
        let mut writer = Writer::new(Vec::new(), options);
        writer.begin(SectionKind::Files).unwrap();
        let mut header = vec![0; 1024];
        header[..12].copy_from_slice(b"backup_label");
        header[257..262].copy_from_slice(b"ustar");
        writer.write_all(&header).unwrap();
        writer.begin(SectionKind::DatabaseFiles(5)).unwrap();
        writer.write_all(&[1; 100]).unwrap();
        let about = About {
            server_version: "15.18".into(),
            client_version: "15.18".into(),
            encoding: None,
            started,
            finished: started + TimeDelta::minutes(5),
            excluded: backup_file::Excluded::default(),
            server_role: None,
        };
        let base = Base {
            system_identifier: SYSTEM,
            wal_segment_size: 1 << 20,
            wal: vec![WalRange {
                timeline,
                start: first * MIB + 40,
                stop: last * MIB + 80,
            }],
            from_standby: false,
            databases: vec![(5, "postgres".into())],
            tablespaces: Vec::new(),
            manifest: 0..0,
        };
        let name = BackupName::of(BackupKind::Base, started).to_string();
        let bytes = writer.finish_base(about, base).unwrap();
        fs::write(self.0.path().join(&name), bytes).unwrap();
        name
    }

    fn segments(&self, timeline: u32, numbers: impl IntoIterator<Item = u64>) {
        for number in numbers {
            self.archive(&format!("{timeline:08X}00000000{number:08X}"), b"x");
        }
    }

    fn history(&self, timeline: u32, text: &str) {
        let options = Options {
            level: 1,
            threads: 1,
        };
        let mut writer = Writer::new(Vec::new(), options);
        writer.write_all(text.as_bytes()).unwrap();
        let bytes = writer.finish_without_index().unwrap();
        self.archive(&format!("{timeline:08X}.history"), &bytes);
    }

    fn archive(&self, name: &str, bytes: &[u8]) {
        let dir = self.0.path().join(format!("wal/{SYSTEM}"));
        fs::create_dir_all(&dir).unwrap();
        fs::write(dir.join(format!("{name}.gz")), bytes).unwrap();
    }

    fn gone(&self, name: &str) {
        let file = self.0.path().join(format!("wal/{SYSTEM}/{name}.gz"));
        fs::remove_file(file).unwrap();
    }

    /// The checks of a run, and its exit code.
    fn verify(&self, args: &[&str]) -> (Value, i64) {
        let output = Command::new(env!("CARGO_BIN_EXE_backup-verify"))
            .arg(self.0.path())
            .arg("--json")
            .args(args)
            .output()
            .unwrap();
        let document: Value = serde_json::from_slice(&output.stdout).unwrap();
        let code = document["exit_code"].as_i64().unwrap();
        assert_eq!(output.status.code().map(i64::from), Some(code));
        (document["checks"].clone(), code)
    }
}

/// The results of all checks of this name, and their words.
#[track_caller]
fn found(checks: &Value, check: &str) -> Vec<(String, String)> {
    let text = |it: &Value| it.as_str().unwrap().to_owned();
    let all = checks.as_array().unwrap().iter();
    let wanted = all.filter(|it| it["check"] == check);
    wanted
        .map(|it| (text(&it["result"]), text(&it["words"])))
        .collect()
}

#[track_caller]
fn one(checks: &Value, check: &str, result: &str, words: &str) {
    let found = found(checks, check);
    let is = |(grade, said): &(String, String)| grade == result && said.contains(words);
    assert!(found.iter().any(is), "{check} {result} {words}: {found:#?}");
}

#[test]
fn a_whole_chain() {
    let home = Home::new();
    home.base(8, 1, [2, 3]);
    home.base(1, 1, [20, 20]);
    home.segments(1, 1..30);
    // The disk of whoever runs this may be nearly full.
    for args in [&["--wal-only"][..], &["--max-used", "100%"]] {
        let (checks, code) = home.verify(args);
        assert_eq!(code, 0, "{checks:#}");
        one(&checks, "base", "ok", "postgresql_base_");
        one(&checks, "base", "ok", "at most 9 days are allowed");
        one(&checks, "wal", "ok", "2 base backups, 29 files of WAL");
        one(&checks, "lag", "ok", "0000000100000000000000");
        one(&checks, "fork", "ok", "1 timeline, no WAL beyond a fork");
        // There are no dumps, and that is all right.
        assert_eq!(found(&checks, "backup").len(), 0);
    }
    let (checks, _) = home.verify(&["--wal-only"]);
    let wal = checks
        .as_array()
        .unwrap()
        .iter()
        .find(|it| it["check"] == "wal")
        .unwrap();
    assert_eq!(wal["system"], SYSTEM.to_string());
    assert_eq!(wal["missing_segments"], 0);
    let reachable = wal["reachable"].as_array().unwrap();
    assert_eq!(reachable.len(), 1);
    let until: DateTime<Utc> = reachable[0]["until"].as_str().unwrap().parse().unwrap();
    assert!(Utc::now() - until < TimeDelta::hours(1), "{reachable:?}");
}

#[test]
fn holes() {
    let home = Home::new();
    home.base(8, 1, [2, 3]);
    let newest = home.base(1, 1, [20, 21]);
    home.segments(1, 1..30);
    home.gone("000000010000000000000007");
    let (checks, code) = home.verify(&["--wal-only"]);
    assert_eq!(code, 0);
    one(
        &checks,
        "wal",
        "warning",
        "000000010000000000000007 is missing",
    );
    home.gone("000000010000000000000019");
    home.gone("00000001000000000000001A");
    let (checks, code) = home.verify(&["--wal-only"]);
    assert_eq!(code, 3);
    one(
        &checks,
        "wal",
        "bad",
        "leads no further than 0/1900000: 000000010000000000000019 to 00000001000000000000001A (2) are missing",
    );
    home.gone("000000010000000000000015");
    let (checks, _) = home.verify(&["--wal-only"]);
    one(
        &checks,
        "wal",
        "bad",
        &format!("'{newest}' cannot be restored"),
    );
    one(&checks, "wal", "bad", "can be reached");
}

#[test]
fn timelines() {
    let home = Home::new();
    home.base(1, 1, [2, 3]);
    home.segments(1, 2..8);
    home.history(2, "1\t0/680000\tno recovery target specified\n");
    home.segments(2, 6..10);
    home.history(3, "1\t0/680000\tx\n2\t0/920000\ty\n");
    home.segments(3, 9..12);
    let (checks, code) = home.verify(&["--wal-only"]);
    // Segment 7 of timeline 1 comes after the switch in segment 6, but was stored before timeline 2 began.
    one(
        &checks,
        "fork",
        "warning",
        "timeline 1 was left at 0/680000 for timeline 2",
    );
    assert_eq!(code, 0);
    home.gone("000000010000000000000007");
    let (checks, code) = home.verify(&["--wal-only"]);
    assert_eq!(code, 0, "{checks:#}");
    one(&checks, "fork", "ok", "3 timelines");
    home.gone("00000003.history");
    let (checks, code) = home.verify(&["--wal-only"]);
    assert_eq!(code, 3);
    one(&checks, "fork", "bad", "00000003.history is missing");
    // Without it the chain ends where timeline 2 does.
    one(&checks, "wal", "ok", "can be reached");
    home.archive("00000003.history", b"damaged");
    let (checks, _) = home.verify(&["--wal-only"]);
    one(
        &checks,
        "fork",
        "bad",
        "the history of timeline 3 cannot be read",
    );
}

#[test]
fn base_backups() {
    let home = Home::new();
    home.segments(1, 1..5);
    let (checks, code) = home.verify(&["--wal-only"]);
    assert_eq!(code, 3);
    one(&checks, "base", "bad", "there is WAL");
    let older = home.base(12, 1, [2, 3]);
    let (checks, code) = home.verify(&["--wal-only"]);
    assert_eq!(code, 3);
    one(&checks, "base", "bad", "is 12 days old");
    let newest = home.base(1, 1, [3, 4]);
    let path = home.0.path().join(&newest);
    let good = fs::read(&path).unwrap();
    // A bit of its text: only reading it through finds that.
    let mut bad = good.clone();
    bad[25] ^= 1;
    fs::write(&path, &bad).unwrap();
    assert_eq!(home.verify(&["--wal-only"]).1, 0);
    let (checks, code) = home.verify(&[]);
    assert_eq!(code, 3);
    one(&checks, "base", "bad", &newest);
    let hint = checks.as_array().unwrap()[0]["hint"].to_string();
    assert!(hint.contains(&older), "{hint}");
    fs::write(&path, &good[..good.len() - 28]).unwrap();
    let (checks, code) = home.verify(&["--wal-only"]);
    assert_eq!(code, 3);
    one(&checks, "base", "bad", "its end is missing");
}

#[test]
fn without_any_of_it_nothing_is_said() {
    let home = Home::new();
    let (checks, code) = home.verify(&[]);
    assert_eq!(code, 3);
    for check in ["base", "wal", "lag", "fork"] {
        assert_eq!(found(&checks, check).len(), 0, "{checks:#}");
    }
}

#[test]
fn a_restore_test_to_a_moment_needs_a_store_and_a_server() {
    let home = Home::new();
    let test = ["--wal-only", "--restore-test", "--at"];
    let (checks, code) = home.verify(&[&test[..], &["random"]].concat());
    assert_eq!(code, 3, "{checks:#}");
    one(&checks, "recovery", "bad", "there is no good base backup");

    let name = home.base(1, 1, [20, 20]);
    home.segments(1, 1..30);
    let nowhere = ["2025-11-23 01:59:30Z", "--pg-bindir", "/nonexistent"];
    let (checks, code) = home.verify(&[&test[..], &nowhere].concat());
    assert_eq!(code, 1, "{checks:#}");
    one(
        &checks,
        "recovery",
        "bad",
        "could not be tested: there is no initdb",
    );
    // What is no WAL has no moments.
    let (checks, code) = home.verify(&[&test[..], &["random"]].concat());
    assert_eq!(code, 3, "{checks:#}");
    one(&checks, "recovery", "bad", "is not good");

    let store = home.0.path().display().to_string();
    for (target, args) in [
        (&store, &["--at", "end"][..]),
        (&store, &["--restore-test", "--at", "yesterday"]),
        (
            &store,
            &["--restore-test", "--at", "end", "--into", "host=x"],
        ),
        (&store, &["--restore-test", "--wal-only"]),
        (
            &format!("{store}/{name}"),
            &["--restore-test", "--at", "end"],
        ),
    ] {
        let output = Command::new(env!("CARGO_BIN_EXE_backup-verify"))
            .arg(target)
            .args(args)
            .output()
            .unwrap();
        assert_eq!(output.status.code(), Some(2), "{args:?}: {output:?}");
    }
}
