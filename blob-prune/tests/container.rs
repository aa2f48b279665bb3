//! The command line of blob-prune, on a container: a service in memory that does what a test needs.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on ends so")]

use std::process::Command;

use backup_file::{Options, SectionKind, Writer};
use chrono::{DateTime, TimeDelta, Utc};
use scripted_service::{Fault, Kind, Service};
use serde_json::Value;

/// An hour after the newest backup of [`holding`].
const NOW: &str = "2025-11-23T03:00:00Z";

struct Ran {
    code: i32,
    stdout: String,
    stderr: String,
}

impl Ran {
    #[track_caller]
    fn code(self, wanted: i32) -> Self {
        let (stdout, stderr) = (&self.stdout, &self.stderr);
        assert_eq!(
            self.code, wanted,
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

    fn json(&self) -> Value {
        serde_json::from_str(&self.stdout).unwrap()
    }
}

/// With a token that allows so much.
fn prune_as(service: &Service, permissions: &str, args: &[&str]) -> Ran {
    let output = Command::new(env!("CARGO_BIN_EXE_blob-prune"))
        .arg(service.url())
        .args(args)
        .args(["--now", NOW])
        .env_remove("AZURE_STORAGE_SAS_TOKEN_FILE")
        .env(
            "AZURE_STORAGE_SAS_TOKEN",
            format!("se=2999-01-01&sr=c&sp={permissions}&sig=S3CRETS3CRET"),
        )
        .output()
        .unwrap();
    let ran = Ran {
        code: output.status.code().unwrap(),
        stdout: String::from_utf8(output.stdout).unwrap(),
        stderr: String::from_utf8(output.stderr).unwrap(),
    };
    assert!(!format!("{}{}", ran.stdout, ran.stderr).contains("S3CRET"));
    ran
}

fn prune(service: &Service, args: &[&str]) -> Ran {
    prune_as(service, "rdl", args)
}

/// Another prune runs beside, or a person deletes.
#[test]
fn what_is_gone_since_the_listing_counts_for_nothing() {
    for kind in [Kind::Head, Kind::Get] {
        let service = holding(5);
        service.fault(kind, 1, Fault::Vanish);
        let ran = prune(&service, &["--keep-days=1", "--keep-min=2"]);
        let ran = ran.code(0).says("is gone since the store was listed");
        // Two of those that are left, and the rest goes.
        assert_eq!((ran.lines("keep"), ran.lines("deleted")), (2, 2));
    }
}

/// The backup of so many nights ago.
fn name(night: i64) -> String {
    let newest: DateTime<Utc> = "2025-11-23T02:00:00Z".parse().unwrap();
    let started = newest - TimeDelta::days(night);
    format!(
        "postgresql_backup_{}.sql.gz",
        started.format("%Y%m%d_%H%M%S")
    )
}

fn backup() -> Vec<u8> {
    let options = Options {
        level: 1,
        threads: 1,
    };
    let mut writer = Writer::new(Vec::new(), options);
    writer.begin(SectionKind::Globals).unwrap();
    writer.write_all(b"select 1;\n").unwrap();
    writer.finish_without_index().unwrap()
}

/// A container with so many nightly backups, and a name that is none.
fn holding(nights: i64) -> Service {
    let service = Service::start();
    let backup = backup();
    for night in 0..nights {
        service.store(&name(night), &backup);
    }
    service.store("notes.txt", b"text");
    service.change(|state| state.page_size = 5000);
    service
}

/// Backups and other names.
fn blobs(service: &Service) -> usize {
    service.change(|state| state.blobs.len())
}

#[test]
fn old_ones_go_in_a_batch() {
    let service = holding(20);
    let ran = prune(&service, &["--keep-days", "7"]).code(0);
    assert_eq!((ran.lines("keep "), ran.lines("deleted ")), (7, 13));
    assert_eq!(blobs(&service), 7 + 1);
    assert!(service.blob("notes.txt").is_some());
    assert_eq!(service.count(Kind::Batch), 1);
    let ran = prune(&service, &["--keep-days", "7"]).code(0);
    assert_eq!((ran.lines("keep "), ran.lines("deleted ")), (7, 0));
}

#[test]
fn least_privilege_is_enough() {
    let service = holding(20);
    prune_as(&service, "l", &["--keep-days", "7", "--dry-run"])
        .code(0)
        .says("13 backups would be deleted");
    assert_eq!(blobs(&service), 20 + 1);
    prune_as(&service, "l", &["--keep-days", "7"])
        .code(1)
        .says("sp=l lacks 'd'");
    prune_as(&service, "d", &["--keep-days", "7"])
        .code(1)
        .says("sp=d lacks 'l'");
    prune_as(&service, "dl", &["--keep-days", "7"])
        .code(0)
        .says("deciding by names alone: the SAS token's sp=dl lacks 'r'");
    assert_eq!(blobs(&service), 7 + 1);
    assert_eq!(service.count(Kind::Head) + service.count(Kind::Get), 0);
}

#[test]
fn what_is_retained_is_no_failure() {
    for no_batches in [false, true] {
        let service = holding(20);
        service.change(|state| {
            state.no_batches = no_batches;
            for (night, refusal) in [
                (15, (409, "BlobImmutableDueToPolicy")),
                (16, (409, "BlobImmutableDueToLegalHold")),
                (17, (412, "LeaseIdMissing")),
            ] {
                state.retained.insert(name(night), refusal);
            }
        });
        let ran = prune(&service, &["--keep-days", "7", "--json"])
            .code(0)
            .says("10 backups deleted")
            .says("3 retained by policy, 7 kept");
        let json = ran.json();
        let with = |result: &str| {
            let backups = json["backups"].as_array().unwrap().iter();
            backups.filter(|it| it["result"] == result).count()
        };
        assert_eq!((with("deleted"), with("retained")), (10, 3));
        assert_eq!(blobs(&service), 7 + 3 + 1);
        // They go when nothing retains them any more.
        service.change(|state| state.retained.clear());
        let ran = prune(&service, &["--keep-days", "7"]).code(0);
        assert_eq!(ran.lines("deleted "), 3);
    }
}

#[test]
fn ten_thousand_go_in_one_run() {
    let service = holding(10_000);
    let args = ["--keep-days", "7", "--keep-monthly", "12", "--json"];
    let ran = prune(&service, &args).code(0);
    // The last one looks for WAL.
    assert_eq!(service.count(Kind::List), 4);
    assert_eq!(service.count(Kind::Delete), 0);
    let json = ran.json();
    let backups = json["backups"].as_array().unwrap();
    assert_eq!(backups.len(), 10_000);
    let kept = backups.iter().filter(|it| it["decision"] == "keep").count();
    // Of eleven months the last one beside the seven of this week.
    assert_eq!(kept, 7 + 11);
    assert_eq!(blobs(&service), kept + 1);
    assert_eq!(service.count(Kind::Batch), (10_000 - kept).div_ceil(256));
    let decided = |it: &Value| !it["reasons"].as_array().unwrap().is_empty();
    assert!(backups.iter().all(decided));
    let went = backups.iter().filter(|it| it["result"] == "deleted");
    assert_eq!(went.count(), 10_000 - kept);
}

#[test]
fn a_stale_container_is_left_alone() {
    let service = holding(0);
    for night in 2..20 {
        service.store(&name(night), &backup());
    }
    let ran = prune(&service, &["--keep-days", "7", "--json"])
        .code(4)
        .says("new ones have stopped coming");
    assert!(ran.json()["refused"].is_string());
    assert_eq!(blobs(&service), 18 + 1);
    assert_eq!(service.count(Kind::Batch) + service.count(Kind::Delete), 0);
    prune(&service, &["--keep-days", "7", "--even-if-stale"]).code(0);
}

#[test]
fn a_cut_one_does_not_stand_in_for_a_good_one() {
    let service = holding(12);
    let backup = backup();
    for night in 0..3 {
        service.store(&name(night), &backup[..backup.len() - 5]);
    }
    let args = ["--keep-days", "2", "--keep-min", "1", "--even-if-stale"];
    prune(&service, &args).code(0).says("its end is missing");
    assert!(service.blob(&name(3)).is_some());
    assert!(service.blob(&name(4)).is_none());
}

#[test]
fn a_bad_day_is_survived() {
    for fault in [
        Fault::Status(503, "ServerBusy", Some(("Retry-After", "1"))),
        Fault::LoseAnswer,
        Fault::CutBody(1000),
    ] {
        let service = holding(20);
        for kind in [Kind::List, Kind::Head, Kind::Get, Kind::Batch] {
            service.fault(kind, 1, fault.clone());
        }
        let ran = prune(&service, &["--keep-days", "7"]).code(0);
        // What was deleted although the answer was lost is gone.
        assert_eq!(ran.lines("deleted ") + ran.lines("gone "), 13, "{fault:?}");
        assert_eq!(blobs(&service), 7 + 1, "{fault:?}");
    }
}

#[test]
fn what_is_refused_is_told_with_what_was_deleted_before() {
    let service = holding(600);
    let mismatch = Fault::Status(403, "AuthorizationPermissionMismatch", None);
    service.fault(Kind::Batch, 2, mismatch.clone());
    service.fault(Kind::Delete, 0, mismatch);
    let ran = prune(&service, &["--keep-days", "7"])
        .code(1)
        .says("256 backups deleted")
        .says("403 AuthorizationPermissionMismatch");
    assert_eq!(ran.lines("deleted "), 256);
    // The oldest go first.
    assert!(service.blob(&name(599)).is_none());
    assert!(service.blob(&name(8)).is_some());
}
