//! `--wal` as PostgreSQL's archive_command, on crafted segments: what it takes, what it says, how it ends.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on ends so")]

use std::fs;
use std::io::Cursor;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread;

use crc_fast::CrcAlgorithm;
use scripted_service::{Fault, Kind, Service};
use sha2::{Digest, Sha256};
use tempfile::TempDir;
use wal::unpack;

const SYSTEM: u64 = 7_713_839_002_202_912_798;
const SIZE: usize = 1 << 20;
const NAME: &str = "000000010000000000000003";

/// A data directory, as far as an archive_command sees it.
struct Data(TempDir);

impl Data {
    fn new() -> Self {
        let home = tempfile::tempdir().unwrap();
        fs::create_dir_all(home.path().join("pg_wal/archive_status")).unwrap();
        fs::create_dir(home.path().join("global")).unwrap();
        let mut control = SYSTEM.to_le_bytes().to_vec();
        control.extend(1800_u32.to_le_bytes());
        control.resize(292, 7);
        let crc = crc_fast::checksum(CrcAlgorithm::Crc32Iscsi, &control);
        control.extend(u32::try_from(crc).unwrap().to_le_bytes());
        control.resize(8192, 0);
        fs::write(home.path().join("global/pg_control"), control).unwrap();
        Self(home)
    }

    fn path(&self) -> &Path {
        self.0.path()
    }

    fn file(&self, name: &str) -> PathBuf {
        self.path().join("pg_wal").join(name)
    }

    fn status(&self, name: &str) -> PathBuf {
        self.path().join("pg_wal/archive_status").join(name)
    }

    fn write(&self, name: &str, bytes: &[u8]) {
        fs::write(self.file(name), bytes).unwrap();
    }

    fn ready(&self, name: &str, bytes: &[u8]) {
        self.write(name, bytes);
        fs::write(self.status(&format!("{name}.ready")), "").unwrap();
    }

    /// Runs it as PostgreSQL does: in the data directory, with a path that begins there.
    fn archive(&self, name: &str, store: &str, more: &[&str]) -> Ended {
        let path = format!("pg_wal/{name}");
        self.run(&[&["--wal", &path, store], more].concat())
    }

    fn run(&self, args: &[&str]) -> Ended {
        self.run_with(args, "racwdl")
    }

    fn command(&self, args: &[&str], permissions: &str) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_blob-put"));
        let token = format!("se=2999-01-01&sr=c&sp={permissions}&sig=S3CRETS3CRETS3CRET");
        command.args(args).env_clear().stdin(Stdio::null());
        command
            .current_dir(self.path())
            .env("AZURE_STORAGE_SAS_TOKEN", token);
        command
    }

    fn run_with(&self, args: &[&str], permissions: &str) -> Ended {
        let output = self.command(args, permissions).output().unwrap();
        Ended {
            code: output.status.code().unwrap(),
            out: String::from_utf8(output.stdout).unwrap(),
            err: String::from_utf8(output.stderr).unwrap(),
        }
    }
}

#[derive(Debug)]
struct Ended {
    code: i32,
    out: String,
    err: String,
}

impl Ended {
    /// PostgreSQL's log is not filled with what is well.
    #[track_caller]
    fn is_done(&self) {
        assert_eq!(
            (self.code, self.out.as_str(), self.err.as_str()),
            (0, "", "")
        );
    }

    #[track_caller]
    fn is(&self, code: i32, says: &str) {
        assert_eq!(self.code, code, "{}", self.err);
        assert!(self.err.contains(says), "{says:?} is not in:\n{}", self.err);
        assert!(!self.err.contains("S3CRET"), "{}", self.err);
    }
}

/// A segment with the header that its number needs; `seed` makes its content.
fn segment(number: u64, seed: u8) -> Vec<u8> {
    of_system(SYSTEM, 1, number, seed)
}

fn of_system(system: u64, timeline: u32, number: u64, seed: u8) -> Vec<u8> {
    let size = u32::try_from(SIZE).unwrap();
    let mut bytes = vec![0x18, 0xd1, 2, 0];
    bytes.extend(timeline.to_le_bytes());
    bytes.extend((number * u64::from(size)).to_le_bytes());
    bytes.extend([0; 8]);
    bytes.extend(system.to_le_bytes());
    bytes.extend(size.to_le_bytes());
    bytes.extend(8192_u32.to_le_bytes());
    bytes.extend((bytes.len()..SIZE).map(|at| (at / 64).to_le_bytes()[0] ^ seed));
    bytes
}

fn stored(name: &str) -> String {
    format!("wal/{SYSTEM}/{name}.gz")
}

#[track_caller]
fn holds(service: &Service, name: &str, raw: &[u8]) {
    let blob = service.blob(&stored(name)).unwrap();
    let mut out = Vec::new();
    let digest = Sha256::digest(raw);
    unpack(
        Box::new(Cursor::new(blob.bytes.clone())),
        Some(digest.into()),
        |piece| {
            out.extend_from_slice(piece);
            Ok(())
        },
    )
    .unwrap();
    assert!(out == raw, "{name}");
    assert_eq!(blob.headers["x-ms-meta-raw_sha256"], hex::encode(digest));
    assert_eq!(blob.headers["x-ms-meta-raw_size"], raw.len().to_string());
    assert!(!blob.headers["x-ms-meta-writer"].is_empty());
    assert_eq!(blob.headers["x-ms-blob-content-type"], "application/gzip");
}

#[test]
fn a_segment_arrives_in_one_request() {
    let (service, data) = (Service::start(), Data::new());
    let bytes = segment(3, 0);
    data.write(NAME, &bytes);
    data.archive(NAME, &service.url(), &[]).is_done();
    holds(&service, NAME, &bytes);
    let puts = service.seen(Kind::PutBlob);
    assert_eq!(puts.len(), 1);
    assert_eq!(puts[0].headers["if-none-match"], "*");
    assert_eq!(service.count(Kind::Head), 0);
    // A path from anywhere, and a store with a prefix and a slash.
    let path = data.file(NAME);
    let store = format!("{}/prefix/", service.url());
    data.run(&["--wal", path.to_str().unwrap(), &store])
        .is_done();
    assert!(service.blob(&format!("prefix/{}", stored(NAME))).is_some());
}

#[test]
fn the_same_again_is_done_and_another_is_refused_for_ever() {
    let data = Data::new();
    let bytes = segment(3, 0);
    let mut other = bytes.clone();
    other[SIZE - 1] ^= 1;
    let directory = tempfile::tempdir().unwrap();
    let service = Service::start();
    for store in [service.url(), directory.path().to_str().unwrap().to_owned()] {
        data.write(NAME, &bytes);
        data.archive(NAME, &store, &[]).is_done();
        data.archive(NAME, &store, &[]).is_done();
        data.write(NAME, &other);
        for _ in 0..2 {
            data.archive(NAME, &store, &[]).is(4, "another content");
        }
        data.write(NAME, &bytes);
        data.archive(NAME, &store, &[]).is_done();
    }
    holds(&service, NAME, &bytes);
    // What another program put there has no metadata: it is read.
    let blob = service.blob(&stored(NAME)).unwrap();
    service.store(&stored(NAME), &blob.bytes);
    data.archive(NAME, &service.url(), &[]).is_done();
    data.write(NAME, &other);
    data.archive(NAME, &service.url(), &[])
        .is(4, "another content");
    service.store(&stored(NAME), b"no gzip");
    data.archive(NAME, &service.url(), &[])
        .is(4, "damaged file");
}

#[test]
fn what_is_not_what_its_name_says_is_refused() {
    let (service, data) = (Service::start(), Data::new());
    let mut magic = segment(3, 0);
    magic[1] = 0;
    for (bytes, says) in [
        (segment(2, 0), "it holds the WAL from 0/200000 on"),
        (segment(3, 0)[..SIZE - 1].to_vec(), "bytes, not 1048576"),
        (of_system(5, 1, 3, 0), "is of the cluster 5"),
        (of_system(SYSTEM, 2, 3, 0), "timeline 2"),
        (magic, "does not begin as WAL does"),
        (Vec::new(), "shorter than a segment's header"),
    ] {
        data.write(NAME, &bytes);
        data.archive(NAME, &service.url(), &[]).is(3, says);
    }
    assert_eq!(service.count(Kind::PutBlob), 0);
    for name in [
        "x",
        "RECOVERYXLOG",
        "000000010000000A000000C6.gz",
        "archive_status",
    ] {
        let ended = data.archive(name, &service.url(), &[]);
        assert!(matches!(ended.code, 1..=2), "{name}: {ended:?}");
    }
    data.run(&["--wal", "global", &service.url()])
        .is(2, "no pg_wal directory");
    data.archive("000000010000000000000009", &service.url(), &[])
        .is(1, "No such file");
    // A history does not say which cluster it is of.
    data.write("00000002.history", b"1\t0/300000\tx\n");
    fs::remove_file(data.path().join("global/pg_control")).unwrap();
    data.archive("00000002.history", &service.url(), &[])
        .is(2, "global/pg_control");
    data.run(&["--wal", "pg_wal/x", &service.url(), "--raw"])
        .is(2, "cannot be used with");
    data.run(&["pg_wal/x", &service.url(), "--ahead", "2"])
        .is(2, "--wal");
}

#[test]
fn what_passes_is_outlived() {
    let data = Data::new();
    let bytes = segment(3, 0);
    data.write(NAME, &bytes);
    for fault in [
        Fault::Status(500, "InternalError", None),
        Fault::Status(503, "ServerBusy", Some(("Retry-After", "0"))),
        Fault::CutHead,
        Fault::CutRequest(0),
        Fault::CutRequest(10_000),
        // It was put, and nobody heard of it: the next attempt finds the name taken by the same content.
        Fault::LoseAnswer,
        Fault::Garble,
    ] {
        let service = Service::start();
        service.fault(Kind::PutBlob, 1, fault.clone());
        service.fault(Kind::PutBlob, 2, fault.clone());
        let ended = data.archive(NAME, &service.url(), &[]);
        assert_eq!(ended.code, 0, "{fault:?}: {}", ended.err);
        holds(&service, NAME, &bytes);
    }
}

#[test]
fn what_is_not_known_to_be_there_is_not_done() {
    let data = Data::new();
    data.write(NAME, &segment(3, 0));
    for (fault, says) in [
        (Fault::Stall, "stood still"),
        (Fault::Status(503, "ServerBusy", None), "503 ServerBusy"),
        (
            Fault::Status(403, "AuthorizationFailure", None),
            "403 AuthorizationFailure",
        ),
        (
            Fault::Status(404, "ContainerNotFound", None),
            "no container",
        ),
        (Fault::Say("<html>proxy</html>"), "not the service's"),
    ] {
        let service = Service::start();
        service.fault(Kind::PutBlob, 0, fault);
        data.archive(NAME, &service.url(), &["--deadline", "1s"])
            .is(1, says);
    }
    // The name is taken, and the token cannot read by whom.
    let service = Service::start();
    data.archive(NAME, &service.url(), &[]).is_done();
    service.fault(
        Kind::Head,
        0,
        Fault::Status(403, "AuthorizationPermissionMismatch", None),
    );
    let ended = data.run_with(&["--wal", &format!("pg_wal/{NAME}"), &service.url()], "cw");
    ended.is(1, "without 'r' in the token");
    // No token that could write: nothing is asked.
    let service = Service::start();
    data.run_with(&["--wal", &format!("pg_wal/{NAME}"), &service.url()], "rl")
        .is(1, "lacks 'c' or 'w'");
    assert_eq!(service.count(Kind::PutBlob), 0);
}

#[test]
fn what_is_no_segment_is_archived_too() {
    let (service, data) = (Service::start(), Data::new());
    let store = service.url();
    data.write(
        "00000002.history",
        b"1\t0/300000\tno recovery target specified\n",
    );
    data.write(&format!("{NAME}.00000028.backup"), b"");
    data.write(&format!("{NAME}.partial"), &segment(3, 1));
    for name in [
        "00000002.history",
        &format!("{NAME}.00000028.backup"),
        &format!("{NAME}.partial"),
    ] {
        data.archive(name, &store, &[]).is_done();
        data.archive(name, &store, &[]).is_done();
        holds(&service, name, &fs::read(data.file(name)).unwrap());
    }
    // Another partial segment goes beside the first one.
    let other = segment(3, 2);
    data.write(&format!("{NAME}.partial"), &other);
    data.archive(&format!("{NAME}.partial"), &store, &[])
        .is_done();
    let digest = hex::encode_upper(Sha256::digest(&other));
    holds(
        &service,
        &format!("{NAME}.{}.partial", &digest[..16]),
        &other,
    );
    // A history is not replaced, and none contradicts another.
    data.write("00000002.history", b"1\t0/300001\tx\n");
    data.archive("00000002.history", &store, &[])
        .is(4, "another content");
    data.write("00000003.history", b"1\t0/300001\tx\n2\t0/400000\ty\n");
    data.archive("00000003.history", &store, &[])
        .is(4, "timeline 2 came from different places");
    assert!(service.blob(&stored("00000003.history")).is_none());
    data.write("00000003.history", b"1\t0/300000\tx\n2\t0/400000\ty\n");
    data.archive("00000003.history", &store, &[]).is_done();
    data.write("00000004.history", b"half a lin");
    data.archive("00000004.history", &store, &[])
        .is(3, "is no timeline history");
}

#[test]
fn a_segment_after_its_timeline_was_left_is_stored_with_a_warning() {
    let (service, data) = (Service::start(), Data::new());
    data.write("00000002.history", b"1\t0/380000\tx\n");
    data.archive("00000002.history", &service.url(), &[])
        .is_done();
    data.write(NAME, &segment(3, 0));
    data.archive(NAME, &service.url(), &[]).is_done();
    let next = "000000010000000000000004";
    data.write(next, &segment(4, 0));
    data.archive(next, &service.url(), &[])
        .is(0, "timeline 1 was left at 0/380000 for timeline 2");
    holds(&service, next, &segment(4, 0));
}

#[test]
fn neighbours_go_along_and_are_marked() {
    let (service, data) = (Service::start(), Data::new());
    let names: Vec<String> = (3..9)
        .map(|number| format!("0000000100000000000000{number:02X}"))
        .collect();
    for (number, name) in (3..).zip(&names) {
        data.ready(name, &segment(number, 0));
    }
    data.archive(&names[0], &service.url(), &["--ahead", "2"])
        .is_done();
    for (number, name) in (3..).zip(&names) {
        holds(&service, name, &segment(number, 0));
    }
    // PostgreSQL marks what it asked for itself.
    assert!(data.status(&format!("{}.ready", names[0])).exists());
    for name in &names[1..] {
        assert!(data.status(&format!("{name}.done")).exists(), "{name}");
        assert!(!data.status(&format!("{name}.ready")).exists(), "{name}");
    }
    assert_eq!(service.count(Kind::PutBlob), names.len());
}

/// Killed at each of its requests, before the service did what was asked and after: what is marked as done is there, and
/// the next run brings the rest.
#[test]
fn killed_at_any_request_nothing_is_lost() {
    const HISTORY: &str = "00000002.history";
    let names: Vec<String> = (3..7)
        .map(|number| format!("0000000100000000000000{number:02X}"))
        .collect();
    let contents = |name: &str| match name {
        HISTORY => b"1\t0/680000\tno recovery target specified\n".to_vec(),
        segment_name => segment(u64::from_str_radix(&segment_name[16..], 16).unwrap(), 0),
    };
    let kinds = [Kind::PutBlob, Kind::List, Kind::Head, Kind::Get];
    for fault in [Fault::Stall, Fault::StallRequest(100), Fault::Drip] {
        let mut killed = 0;
        // What is asked for, whether another run had put the first one before, and the request.
        for (asked, is_there) in [
            (names[0].as_str(), false),
            (&names[0], true),
            (HISTORY, false),
        ] {
            let mut requests = kinds.iter().map(|&kind| (kind, 1)).collect::<Vec<_>>();
            while let Some((kind, nth)) = requests.pop() {
                let (service, data) = (Service::start(), Data::new());
                if is_there {
                    data.ready(asked, &contents(asked));
                    data.archive(asked, &service.url(), &[]).is_done();
                }
                for name in names.iter().map(String::as_str).chain([HISTORY]) {
                    data.ready(name, &contents(name));
                }
                let before = service.count(kind);
                service.fault(kind, before + nth, fault.clone());
                let (path, url) = (format!("pg_wal/{asked}"), service.url());
                let args = ["--wal", &path, &url, "--ahead", "2"];
                let mut child = data.command(&args, "racwdl").spawn().unwrap();
                let ended = loop {
                    if service.count(kind) >= before + nth {
                        child.kill().unwrap();
                        break child.wait().unwrap();
                    }
                    if let Some(ended) = child.try_wait().unwrap() {
                        break ended;
                    }
                    thread::yield_now();
                };
                // It has no such request: it came to its end.
                if ended.code() == Some(0) {
                    continue;
                }
                assert_eq!(ended.code(), None, "{asked} {kind:?} {nth} {fault:?}");
                killed += 1;
                requests.push((kind, nth + 1));
                for name in names.iter().map(String::as_str).chain([HISTORY]) {
                    if data.status(&format!("{name}.done")).exists() {
                        holds(&service, name, &contents(name));
                    } else {
                        assert!(data.status(&format!("{name}.ready")).exists(), "{name}");
                    }
                }
                // PostgreSQL asks again, and for each that is left.
                for name in names.iter().map(String::as_str).chain([HISTORY]) {
                    data.archive(name, &service.url(), &[]).is_done();
                    holds(&service, name, &contents(name));
                }
            }
        }
        assert!(killed >= 7, "{killed} with {fault:?}");
    }
}

#[test]
fn a_neighbour_s_failure_is_a_line_in_the_log() {
    let (service, data) = (Service::start(), Data::new());
    let (good, bad) = ("000000010000000000000004", "000000010000000000000005");
    data.ready(NAME, &segment(3, 0));
    data.ready(good, &segment(4, 0));
    // Of an old name.
    data.ready(bad, &segment(1, 0));
    let ended = data.archive(NAME, &service.url(), &["--ahead", "1"]);
    ended.is(0, &format!("'{bad}' was not archived"));
    holds(&service, NAME, &segment(3, 0));
    holds(&service, good, &segment(4, 0));
    assert!(data.status(&format!("{good}.done")).exists());
    assert!(data.status(&format!("{bad}.ready")).exists());
    // The other way round: the file itself fails, and its neighbour is there.
    let data = Data::new();
    data.ready(NAME, &segment(1, 0));
    data.archive(NAME, &service.url(), &["--ahead", "4"])
        .is(3, "is not what its name says");
}

#[test]
fn a_whole_directory_is_caught_up() {
    let data = Data::new();
    let name = |number: u64| format!("0000000100000000000000{number:02X}");
    data.write("00000002.history", b"1\t0/380000\tx\n");
    data.ready(&name(3), &segment(3, 0));
    data.write(&name(4), &segment(4, 0));
    fs::write(data.status(&format!("{}.done", name(4))), "").unwrap();
    // A standby notes nothing of what it streams, but the next one has begun.
    data.write(&name(5), &segment(5, 0));
    // It is being written.
    data.write(&name(6), &segment(6, 0));
    // It was recycled for later.
    data.write(&name(7), &segment(1, 0));
    data.write("xlogtemp.12", b"x");
    let directory = tempfile::tempdir().unwrap();
    let service = Service::start();
    for store in [service.url(), directory.path().to_str().unwrap().to_owned()] {
        data.run(&["--wal", "pg_wal/", &store])
            .is(0, "4 files archived, 0 there already");
        data.run(&["--wal", "pg_wal/", &store])
            .is(0, "0 files archived, 4 there already");
    }
    for number in 3..6 {
        holds(&service, &name(number), &segment(number, 0));
    }
    assert!(service.blob(&stored(&name(6))).is_none());
    // It may be another store than PostgreSQL's: what is ready stays so.
    assert!(data.status(&format!("{}.ready", name(3))).exists());
    // One that differs does not keep the others away.
    data.write(&name(3), &segment(3, 1));
    data.ready(&name(8), &segment(8, 0));
    let ended = data.run(&["--wal", "pg_wal/", &service.url()]);
    ended.is(4, "another content");
    ended.is(4, "1 file was not archived");
    holds(&service, &name(8), &segment(8, 0));
    let service = Service::start();
    service.fault(Kind::Head, 0, Fault::Status(503, "ServerBusy", None));
    data.run(&["--wal", "pg_wal", &service.url(), "--deadline", "1s"])
        .is(1, "503 ServerBusy");
}

#[test]
fn a_directory_is_made_with_the_store_s_mode_and_left_clean() {
    use std::os::unix::fs::PermissionsExt;
    let (store, data) = (tempfile::tempdir().unwrap(), Data::new());
    fs::set_permissions(store.path(), fs::Permissions::from_mode(0o2775)).unwrap();
    data.write(NAME, &segment(3, 0));
    // As PostgreSQL starts it.
    let line = format!(
        "umask 077; exec {} --wal pg_wal/{NAME} {}",
        env!("CARGO_BIN_EXE_blob-put"),
        store.path().display()
    );
    let status = Command::new("sh")
        .args(["-c", &line])
        .current_dir(data.path())
        .status()
        .unwrap();
    assert!(status.success());
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o7777;
    let archive = store.path().join(format!("wal/{SYSTEM}"));
    assert_eq!(mode(&archive), 0o2775);
    assert_eq!(mode(&archive.join(format!("{NAME}.gz"))), 0o640);
    let left: Vec<_> = fs::read_dir(&archive)
        .unwrap()
        .map(|it| it.unwrap().file_name())
        .collect();
    assert_eq!(left, [format!("{NAME}.gz").as_str()]);
    // A store that is not there is not made: its volume may not be mounted.
    data.archive(NAME, store.path().join("absent").to_str().unwrap(), &[])
        .is(1, "No such file");
}
