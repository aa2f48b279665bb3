//! The command line of backup-verify, on a container: a service in memory that does what a test needs.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on ends so")]

use std::collections::HashMap;
use std::process::Command;

use backup_file::{Options, SectionKind, Writer};
use chrono::{TimeDelta, Utc};
use scripted_service::{Fault, Kind, Service};
use sha2::Digest;

const OLD: &str = "postgresql_backup_20251121_020000.sql.gz";
const NEW: &str = "postgresql_backup_20251123_020000.sql.gz";
/// An hour after [`NEW`].
const NOW: &str = "2025-11-23T03:00:00Z";
/// The newest and the oldest of [`service`].
const LISTED: &str = "<EnumerationResults><Blobs>\
    <Blob><Name>postgresql_backup_20251121_020000.sql.gz</Name><Properties><Etag>1</Etag><Content-Length>1</Content-Length></Properties></Blob>\
    <Blob><Name>postgresql_backup_20251123_020000.sql.gz</Name><Properties><Etag>1</Etag><Content-Length>1</Content-Length></Properties></Blob>\
    </Blobs><NextMarker/></EnumerationResults>";
/// The same backups, each as large as a listing can say.
const HUGE: &str = "<EnumerationResults><Blobs>\
    <Blob><Name>postgresql_backup_20251121_020000.sql.gz</Name><Properties><Etag>1</Etag><Content-Length>18446744073709551615</Content-Length></Properties></Blob>\
    <Blob><Name>postgresql_backup_20251123_020000.sql.gz</Name><Properties><Etag>1</Etag><Content-Length>18446744073709551615</Content-Length></Properties></Blob>\
    </Blobs><NextMarker/></EnumerationResults>";
const GOOD: &str = "se=2999-01-01&sr=c&sp=rl&sig=S3CRETS3CRET";

#[derive(Debug)]
struct Ran {
    code: i32,
    stdout: String,
    stderr: String,
}

impl Ran {
    #[track_caller]
    fn is(&self, code: i32, says: &[&str]) {
        let all = format!("{}\n--- stderr\n{}", self.stdout, self.stderr);
        assert_eq!(self.code, code, "\n{all}");
        for words in says {
            assert!(all.contains(words), "{words}\n{all}");
        }
    }
}

fn verify_as(service: &Service, token: &str, args: &[&str]) -> Ran {
    verify_at(NOW, service, token, args)
}

fn verify_at(now: &str, service: &Service, token: &str, args: &[&str]) -> Ran {
    let target = match args.first() {
        Some(name) if name.ends_with(".gz") => format!("{}/{name}", service.url()),
        _ => service.url(),
    };
    let options = args.iter().filter(|arg| !arg.ends_with(".gz"));
    let output = Command::new(env!("CARGO_BIN_EXE_backup-verify"))
        .arg(target)
        .args(options)
        .args(["--now", now])
        .env_remove("AZURE_STORAGE_SAS_TOKEN_FILE")
        .env("AZURE_STORAGE_SAS_TOKEN", token)
        .output()
        .unwrap();
    let ran = Ran {
        code: output.status.code().unwrap(),
        stdout: String::from_utf8(output.stdout).unwrap(),
        stderr: String::from_utf8(output.stderr).unwrap(),
    };
    assert!(!format!("{ran:?}").contains("S3CRET"));
    ran
}

fn verify(service: &Service, args: &[&str]) -> Ran {
    verify_as(service, GOOD, args)
}

/// A backup of some ranges.
fn backup() -> Vec<u8> {
    let options = Options {
        level: 1,
        threads: 1,
    };
    let mut writer = Writer::new(Vec::new(), options);
    writer.begin(SectionKind::Globals).unwrap();
    let mut seed = 1_u32;
    for _ in 0..200_000 {
        seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        let line = format!("-- {seed}\n");
        writer.write_all(line.as_bytes()).unwrap();
    }
    writer.finish_without_index().unwrap()
}

fn digest(bytes: &[u8]) -> String {
    store::hex(&sha2::Sha256::digest(bytes).into())
}

fn store(service: &Service, name: &str, bytes: &[u8], header: (&str, &str)) {
    let headers = HashMap::from([(header.0.to_owned(), header.1.to_owned())]);
    service.change(|state| state.store(name, bytes.to_vec(), Vec::new(), headers));
}

fn service() -> Service {
    let service = Service::start();
    let backup = backup();
    service.store(OLD, &backup);
    store(
        &service,
        NEW,
        &backup,
        ("x-ms-meta-sha256", &digest(&backup)),
    );
    service
}

#[test]
fn the_newest_is_read_and_its_sha256_compared() {
    let service = service();
    verify(&service, &[]).is(0, &[NEW, "SHA-256 as recorded", "token", "days left"]);
    verify(&service, &[NEW]).is(0, &["SHA-256 as recorded"]);
    verify(&service, &["--all"]).is(0, &[OLD, "no SHA-256 was recorded"]);
    store(
        &service,
        NEW,
        &backup(),
        ("x-ms-meta-sha256", &"0".repeat(64)),
    );
    verify(&service, &[]).is(3, &["recorded was 0000", &format!("'{OLD}' looks whole")]);
}

#[test]
fn the_token_s_last_days_are_told() {
    let service = Service::start();
    let now = Utc::now();
    let newest = now - TimeDelta::hours(1);
    let name = format!(
        "postgresql_backup_{}.sql.gz",
        newest.format("%Y%m%d_%H%M%S")
    );
    service.store(&name, &backup());
    let verify = |token: &str| verify_at(&now.to_rfc3339(), &service, token, &[]);
    let until = |left: TimeDelta| {
        let until = (now + left).format("%Y-%m-%dT%H:%M:%SZ");
        GOOD.replace("2999-01-01", &until.to_string())
    };
    let soon = TimeDelta::hours(12);
    verify(&until(TimeDelta::days(40) + soon)).is(0, &["ok       token    40 days left"]);
    verify(&until(TimeDelta::days(29) + soon)).is(0, &["warning", "expires in 29 days"]);
    verify(&until(soon)).is(0, &["warning", "expires in 11 h"]);
    verify(&until(-soon)).is(1, &["the SAS token expired"]);
    let policy = "si=nightly&sr=c&sig=S3CRETS3CRET";
    verify(policy).is(0, &["its stored access policy does"]);
}

#[test]
fn a_token_that_does_not_do() {
    let service = service();
    for (permissions, lacks) in [("l", "sp=l lacks 'r'"), ("cw", "sp=cw lacks 'l'")] {
        let token = GOOD.replace("sp=rl", &format!("sp={permissions}"));
        verify_as(&service, &token, &[]).is(1, &[lacks]);
    }
    assert_eq!(service.count(Kind::List), 0);
}

#[test]
fn archived_ones() {
    let service = service();
    store(&service, OLD, &backup(), ("x-ms-access-tier", "Archive"));
    verify(&service, &["--all"]).is(0, &["is archived: it is not read"]);
    store(&service, NEW, &backup(), ("x-ms-access-tier", "Archive"));
    verify(&service, &[]).is(1, &["409 BlobArchived", "rehydrate it first"]);
}

/// A prune runs beside: what it deletes after the listing is no bad backup.
#[test]
fn what_is_gone_since_the_listing_is_no_error() {
    // It is gone when it is looked at, or while it is read.
    for (kind, nth) in [(Kind::Head, 1), (Kind::Get, 1)] {
        let service = service();
        service.fault(kind, nth, Fault::Vanish);
        verify(&service, &["--all", "--jobs=1"]).is(0, &[OLD, "is gone since", NEW]);
        assert!(service.blob(OLD).is_none());
    }
    // If the newest is gone, the one before it is the newest.
    let service = service();
    service.fault(Kind::Head, 1, Fault::Vanish);
    let seen = verify(&service, &["--max-age=3d"]);
    seen.is(0, &[NEW, "is gone since", "no SHA-256 was recorded"]);
    // A backup that is named on the command line must be there.
    verify(&service, &[NEW]).is(1, &["404 BlobNotFound"]);
    service.fault(Kind::Head, 0, Fault::Vanish);
    verify(&service, &[]).is(3, &["there are no backups in"]);
}

/// What the policy lets go, and a prune that runs beside deletes now.
#[test]
fn what_a_prune_deletes_meanwhile_is_not_overdue() {
    let service = service();
    for day in 1..=9 {
        service.store(
            &format!("postgresql_backup_202511{day:02}_020000.sql.gz"),
            &backup(),
        );
    }
    service.change(|state| state.page_size = 5000);
    let policy = ["--keep-days=3", "--keep-min=1", "--max-missed=9"];
    verify(&service, &policy).is(3, &["9 backups are still there"]);
    // Each run lists the store once, and again before it says that something is overdue.
    let next = service.count(Kind::List) + 2;
    service.fault(Kind::List, next, Fault::Say(LISTED));
    verify(&service, &policy).is(0, &["nothing is there that should be deleted"]);
}

#[test]
fn a_listing_without_end_ends() {
    let service = Service::start();
    service.change(|state| state.endless = Some(5000));
    verify(&service, &[]).is(1, &["it has more than 100000 backups"]);
}

#[test]
fn sizes_that_lie_overflow_nothing() {
    let service = service();
    service.fault(Kind::List, 0, Fault::Say(HUGE));
    let seen = verify(&service, &["--all", "--quota=1T"]);
    seen.is(3, &["is nearly full"]);
    assert!(!seen.stderr.contains("internal error"), "{seen:?}");
}

#[test]
fn a_bad_day() {
    for fault in [
        Fault::CutBody(100_000),
        Fault::CutHead,
        Fault::Status(503, "ServerBusy", Some(("Retry-After", "1"))),
    ] {
        let service = service();
        for kind in [Kind::List, Kind::Head, Kind::Get] {
            service.fault(kind, 1, fault.clone());
        }
        service.fault(Kind::Get, 3, fault);
        verify(&service, &[]).is(0, &["SHA-256 as recorded"]);
    }
    let service = service();
    service.fault(Kind::Get, 3, Fault::Rewrite);
    verify(&service, &[NEW]).is(1, &["412 ConditionNotMet", "written to meanwhile"]);
}
