//! Dumps and base backups, each by themselves, and then WAL, on directories.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on ends so")]

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use backup_file::{About, BackupKind, BackupName, Base, Options, SectionKind, WalRange, Writer};
use chrono::{DateTime, TimeDelta, Utc};
use scripted_service::{Fault, Kind, Service};
use serde_json::Value;
use tempfile::TempDir;

const NOW: &str = "2025-11-23T03:00:00Z";
const SYSTEM: u64 = 7_412_345_678_901_234_567;
const MIB: u64 = 1 << 20;

struct Home(TempDir);

struct Ran {
    code: i32,
    stdout: String,
    stderr: String,
}

impl Home {
    fn new() -> Self {
        Self(TempDir::new().unwrap())
    }

    fn started(day: i64) -> DateTime<Utc> {
        let now = DateTime::parse_from_rfc3339(NOW).unwrap().to_utc();
        now - TimeDelta::days(day) - TimeDelta::hours(1)
    }

    fn path(&self, kind: BackupKind, day: i64) -> PathBuf {
        let name = BackupName::of(kind, Self::started(day));
        self.0.path().join(name.to_string())
    }

    /// A backup that was made this many days ago; a base backup needs these segments of timeline 1.
    fn backup(&self, kind: BackupKind, day: i64, segments: [u64; 2]) -> PathBuf {
        let options = Options {
            level: 1,
            threads: 1,
        };
        let mut writer = Writer::new(Vec::new(), options);
        let started = Self::started(day);
        let about = About {
            server_version: "15.18".into(),
            client_version: "15.18".into(),
            encoding: None,
            started,
            finished: started + TimeDelta::minutes(5),
            excluded: backup_file::Excluded::default(),
            server_role: None,
        };
        let bytes = match kind {
            BackupKind::Dump => {
                writer.begin(SectionKind::Globals).unwrap();
                writer
                    .write_all(b"--\n-- PostgreSQL database cluster dump complete\n--\n\n")
                    .unwrap();
                writer.finish(about).unwrap()
            }
            BackupKind::Base => {
                writer.begin(SectionKind::Files).unwrap();
                writer.write_all(b"backup_label").unwrap();
                let [first, last] = segments;
                let base = Base {
                    system_identifier: SYSTEM,
                    wal_segment_size: 1 << 20,
                    wal: vec![WalRange {
                        timeline: 1,
                        start: first * MIB + 40,
                        stop: last * MIB + 80,
                    }],
                    from_standby: false,
                    databases: Vec::new(),
                    tablespaces: Vec::new(),
                    manifest: 0..0,
                };
                writer.finish_base(about, base).unwrap()
            }
        };
        let path = self.path(kind, day);
        fs::write(&path, bytes).unwrap();
        path
    }

    /// The archive of a cluster: nothing is read of segments.
    fn archive(&self, system: u64, numbers: std::ops::Range<u64>) {
        let dir = self.0.path().join(format!("wal/{system}"));
        fs::create_dir_all(&dir).unwrap();
        for number in numbers {
            fs::write(dir.join(format!("0000000100000000{number:08X}.gz")), "x").unwrap();
        }
    }

    /// The numbers of the segments that are left.
    fn left(&self, system: u64) -> Vec<u64> {
        let dir = self.0.path().join(format!("wal/{system}"));
        let names = fs::read_dir(dir).unwrap().map(|it| it.unwrap().file_name());
        let mut numbers: Vec<u64> = names
            .filter_map(|name| u64::from_str_radix(name.to_str()?.get(16..24)?, 16).ok())
            .collect();
        numbers.sort_unstable();
        numbers
    }

    fn count(&self, kind: BackupKind) -> usize {
        let names = fs::read_dir(self.0.path()).unwrap();
        let names = names.filter_map(|it| BackupName::parse(it.unwrap().file_name().to_str()?));
        names.filter(|name| name.kind() == kind).count()
    }

    fn prune(&self, args: &[&str]) -> Ran {
        let output = Command::new(env!("CARGO_BIN_EXE_blob-prune"))
            .arg(self.0.path())
            .args(["--now", NOW])
            .args(args)
            .output()
            .unwrap();
        Ran {
            code: output.status.code().unwrap(),
            stdout: String::from_utf8(output.stdout).unwrap(),
            stderr: String::from_utf8(output.stderr).unwrap(),
        }
    }
}

impl Ran {
    #[track_caller]
    fn code(self, wanted: i32) -> Self {
        let said = format!("{}\n{}", self.stdout, self.stderr);
        assert_eq!(self.code, wanted, "{said}");
        self
    }

    #[track_caller]
    fn prints(self, words: &str) -> Self {
        assert!(self.stdout.contains(words), "{words}\n{}", self.stdout);
        self
    }

    #[track_caller]
    fn says(self, words: &str) -> Self {
        assert!(self.stderr.contains(words), "{words}\n{}", self.stderr);
        self
    }
}

/// Nightly dumps, and a base backup each week, of which each needs two of its 100 segments a day.
fn site() -> Home {
    let home = Home::new();
    for day in 0..30 {
        home.backup(BackupKind::Dump, day, [0, 0]);
    }
    for day in [1, 8, 15, 22] {
        let first = u64::try_from(100 * (30 - day)).unwrap();
        home.backup(BackupKind::Base, day, [first, first + 1]);
    }
    home.archive(SYSTEM, 0..3050);
    home
}

#[test]
fn each_kind_is_kept_by_itself() {
    let home = site();
    home.prune(&["--keep-days", "7", "--keep-min", "2", "--dry-run"])
        .code(0)
        .prints("would delete  wal/7412345678901234567  2200 of 3050 files");
    assert_eq!(home.left(SYSTEM).len(), 3050);
    home.prune(&["--keep-days", "7", "--keep-min", "2"]).code(0);
    assert_eq!(home.count(BackupKind::Dump), 7);
    assert_eq!(home.count(BackupKind::Base), 2);
    assert!(home.path(BackupKind::Base, 8).exists());
    assert_eq!(home.left(SYSTEM), (2200..3050).collect::<Vec<_>>());
}

#[test]
fn days_of_wal_are_reached_from_the_base_backup_before_them() {
    let home = site();
    home.prune(&["--keep-days", "60", "--wal-days", "3"])
        .code(0);
    // Day 8's leads to the last three days; those before keep what they need themselves.
    let mut wanted: Vec<u64> = vec![800, 801, 1500, 1501];
    wanted.extend(2200..3050);
    assert_eq!(home.left(SYSTEM), wanted);
    let ran = home
        .prune(&["--keep-days", "60", "--wal-days", "3", "--json"])
        .code(0);
    let document: Value = serde_json::from_str(&ran.stdout).unwrap();
    assert_eq!(document["wal"][0]["delete"], 0);
    assert!(document["wal"][0]["reachable_after"][0]["from"].is_string());
    assert_eq!(
        document["backups"].as_array().unwrap().last().unwrap()["kind"],
        "base"
    );
}

#[test]
fn a_kind_of_which_new_ones_have_stopped_coming_stays() {
    let home = site();
    fs::remove_file(home.path(BackupKind::Base, 1)).unwrap();
    home.prune(&[
        "--keep-days",
        "7",
        "--keep-min",
        "1",
        "--max-base-age",
        "7d",
    ])
    .code(4)
    .says("the newest base backup")
    .says("--max-base-age")
    .prints("all of it: no base backup may go");
    assert_eq!(home.count(BackupKind::Dump), 7);
    assert_eq!(home.count(BackupKind::Base), 3);
    assert_eq!(home.left(SYSTEM).len(), 3050);
    // And the other way round.
    let home = site();
    for day in 0..5 {
        fs::remove_file(home.path(BackupKind::Dump, day)).unwrap();
    }
    home.prune(&["--keep-days", "7", "--keep-min", "1"])
        .code(4)
        .says("--max-age");
    assert_eq!(home.count(BackupKind::Dump), 25);
    assert_eq!(home.count(BackupKind::Base), 1);
}

#[test]
fn other_clusters_and_other_names_are_left_alone() {
    let home = site();
    home.archive(1, 0..9);
    home.archive(SYSTEM + 1, 0..9);
    let archive = home.0.path().join(format!("wal/{SYSTEM}"));
    for name in [
        "00000001.history.gz",
        "notes.txt",
        "000000010000000000000001",
    ] {
        fs::write(archive.join(name), "x").unwrap();
    }
    home.prune(&["--keep-days", "7"])
        .code(0)
        .prints("wal/1  all of it: there is no base backup of it here");
    assert_eq!(home.left(1).len(), 9);
    assert_eq!(home.left(SYSTEM + 1).len(), 9);
    for name in [
        "00000001.history.gz",
        "notes.txt",
        "000000010000000000000001",
    ] {
        assert!(archive.join(name).exists(), "{name}");
    }
}

#[test]
fn without_a_base_backup_no_wal_goes() {
    let home = Home::new();
    home.archive(SYSTEM, 0..9);
    home.backup(BackupKind::Dump, 0, [0, 0]);
    home.prune(&["--keep-days", "7", "--wal-days", "0"]).code(0);
    assert_eq!(home.left(SYSTEM).len(), 9);
}

#[test]
fn what_a_damaged_base_backup_needs_nobody_knows() {
    let home = site();
    // Its index is damaged, and it is older than those that are whole: its WAL may still be wanted.
    let path = home.path(BackupKind::Base, 22);
    let mut bytes = fs::read(&path).unwrap();
    let at = bytes.len() - 60;
    bytes[at] ^= 1;
    fs::write(&path, &bytes).unwrap();
    home.prune(&["--keep-days", "60"])
        .code(0)
        .prints("nobody knows which WAL 'postgresql_base_20251101_020000.tar.gz' needs");
    assert_eq!(home.left(SYSTEM).len(), 3050);
    // Once it is gone by its age, its WAL goes too.
    home.prune(&["--keep-days", "16"]).code(0);
    assert_eq!(home.left(SYSTEM), (1500..3050).collect::<Vec<_>>());
}

#[test]
fn a_dump_under_the_name_of_a_base_backup_counts_for_nothing() {
    let home = site();
    fs::copy(
        home.path(BackupKind::Dump, 0),
        home.path(BackupKind::Base, 0),
    )
    .unwrap();
    home.prune(&["--keep-days", "1", "--keep-min", "1"])
        .code(0)
        .says("its name says that it is a base backup, and it is a dump");
    assert!(home.path(BackupKind::Base, 1).exists());
}

/// The site in a container.
fn in_container(home: &Home) -> Service {
    let service = Service::start();
    for entry in fs::read_dir(home.0.path()).unwrap().map(Result::unwrap) {
        if entry.path().is_file() {
            let name = entry.file_name().into_string().unwrap();
            service.store(&name, &fs::read(entry.path()).unwrap());
        }
    }
    for number in 0..3050 {
        let name = format!("wal/{SYSTEM}/0000000100000000{number:08X}.gz");
        service.store(&name, b"x");
    }
    service.change(|state| state.page_size = 1000);
    service
}

fn prune_container(service: &Service, permissions: &str) -> Ran {
    let output = Command::new(env!("CARGO_BIN_EXE_blob-prune"))
        .arg(service.url())
        .args(["--now", NOW, "--keep-days", "7", "--keep-min", "2"])
        .env_remove("AZURE_STORAGE_SAS_TOKEN_FILE")
        .env(
            "AZURE_STORAGE_SAS_TOKEN",
            format!("se=2999-01-01&sr=c&sp={permissions}&sig=S3CRETS3CRET"),
        )
        .output()
        .unwrap();
    Ran {
        code: output.status.code().unwrap(),
        stdout: String::from_utf8(output.stdout).unwrap(),
        stderr: String::from_utf8(output.stderr).unwrap(),
    }
}

/// Blobs whose names begin so.
fn blobs(service: &Service, begin: &str) -> usize {
    service.change(|state| {
        state
            .blobs
            .keys()
            .filter(|name| name.starts_with(begin))
            .count()
    })
}

#[test]
fn a_listing_that_is_cut_at_any_page_deletes_nothing() {
    let home = site();
    let pages = {
        let service = in_container(&home);
        prune_container(&service, "rdl")
            .code(0)
            .prints("2200 of 3050 files");
        assert_eq!(blobs(&service, "wal/"), 850);
        assert_eq!(blobs(&service, "postgresql_base_"), 2);
        service.count(Kind::List)
    };
    assert!(pages > 5, "{pages}");
    for page in 1..=pages {
        let service = in_container(&home);
        let refused = Fault::Status(403, "AuthorizationFailure", None);
        for more in page..=pages + 5 {
            service.fault(Kind::List, more, refused.clone());
        }
        prune_container(&service, "rdl").code(1).says("403");
        assert_eq!(blobs(&service, "wal/"), 3050, "{page}");
        assert_eq!(blobs(&service, "postgresql_"), 34, "{page}");
    }
}

#[test]
fn without_the_right_to_read_no_wal_goes() {
    let service = in_container(&site());
    prune_container(&service, "dl")
        .code(0)
        .says("no WAL is deleted");
    assert_eq!(blobs(&service, "wal/"), 3050);
    assert_eq!(blobs(&service, "postgresql_base_"), 2);
}

/// An immutability policy keeps a base backup, which then keeps its WAL.
#[test]
fn what_a_base_backup_needs_that_could_not_be_deleted_stays() {
    let service = in_container(&site());
    let retained = BackupName::of(BackupKind::Base, Home::started(22)).to_string();
    service.change(|state| {
        let refusal = (409, "BlobImmutableDueToPolicy");
        state.retained.insert(retained, refusal);
    });
    prune_container(&service, "rdl")
        .code(0)
        .says("1 retained by policy");
    assert_eq!(blobs(&service, "postgresql_base_"), 3);
    assert_eq!(blobs(&service, "wal/"), 3050 - 800);
}
