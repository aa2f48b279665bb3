//! `--wal` as PostgreSQL's restore_command, on crafted segments: what it hands over, and what it calls absent. PostgreSQL
//! takes 1 to 125 for "there is no such file", and ends the recovery there.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on ends so")]

use std::collections::HashMap;
use std::fs;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crc_fast::CrcAlgorithm;
use scripted_service::{Fault, Kind, Service};
use tempfile::TempDir;
use wal::Packed;

const SYSTEM: u64 = 7_713_839_002_202_912_798;
const SIZE: usize = 1 << 20;
const NAME: &str = "000000010000000000000003";

struct Data(TempDir);

impl Data {
    fn new() -> Self {
        let home = tempfile::tempdir().unwrap();
        fs::create_dir(home.path().join("pg_wal")).unwrap();
        fs::create_dir(home.path().join("global")).unwrap();
        let mut control = SYSTEM.to_le_bytes().to_vec();
        control.extend(1800_u32.to_le_bytes());
        control.resize(292, 7);
        let crc = crc_fast::checksum(CrcAlgorithm::Crc32Iscsi, &control);
        control.extend(u32::try_from(crc).unwrap().to_le_bytes());
        fs::write(home.path().join("global/pg_control"), control).unwrap();
        Self(home)
    }

    fn path(&self) -> &Path {
        self.0.path()
    }

    fn wanted(&self) -> PathBuf {
        self.path().join("pg_wal/RECOVERYXLOG")
    }

    /// Runs it as PostgreSQL does: in the data directory, with a path that begins there.
    fn restore(&self, store: &str, name: &str, more: &[&str]) -> Ended {
        let _ = fs::remove_file(self.wanted());
        let own = ["--wal", name, "--to", "pg_wal/RECOVERYXLOG"];
        self.run(&[&[store], own.as_slice(), more].concat())
    }

    fn run(&self, args: &[&str]) -> Ended {
        let mut command = Command::new(env!("CARGO_BIN_EXE_restore-stream"));
        let token = "se=2999-01-01&sr=c&sp=rl&sig=S3CRETS3CRETS3CRET";
        command.args(args).env_clear().stdin(Stdio::null());
        command
            .current_dir(self.path())
            .env("AZURE_STORAGE_SAS_TOKEN", token);
        let output = command.output().unwrap();
        let temporary = fs::read_dir(self.path().join("pg_wal"))
            .into_iter()
            .flatten();
        let mut temporary = temporary.map(|it| it.unwrap().file_name().into_string().unwrap());
        assert!(!temporary.any(|name| name.starts_with("xlogtemp")));
        Ended {
            code: output.status.code().unwrap(),
            out: String::from_utf8(output.stdout).unwrap(),
            err: String::from_utf8(output.stderr).unwrap(),
        }
    }

    #[track_caller]
    fn has(&self, bytes: &[u8]) {
        assert!(fs::read(self.wanted()).unwrap() == bytes);
    }

    fn spooled(&self) -> Vec<String> {
        let entries = fs::read_dir(self.path().join("pg_wal/restore-stream.spool"));
        let names = entries
            .into_iter()
            .flatten()
            .flatten()
            .map(|it| it.file_name());
        let mut names: Vec<_> = names.map(|name| name.into_string().unwrap()).collect();
        names.sort();
        names
    }
}

#[derive(Debug)]
struct Ended {
    code: i32,
    out: String,
    err: String,
}

impl Ended {
    #[track_caller]
    fn is_silent(&self, code: i32) {
        assert_eq!(
            (self.code, self.out.as_str(), self.err.as_str()),
            (code, "", "")
        );
    }

    #[track_caller]
    fn is(&self, code: i32, says: &str) {
        assert_eq!(self.code, code, "{}", self.err);
        assert!(self.err.contains(says), "{says:?} is not in:\n{}", self.err);
        assert!(!self.err.contains("S3CRET"), "{}", self.err);
    }
}

fn segment(number: u64) -> Vec<u8> {
    of_system(SYSTEM, number)
}

fn of_system(system: u64, number: u64) -> Vec<u8> {
    let size = u32::try_from(SIZE).unwrap();
    let mut bytes = vec![0x18, 0xd1, 2, 0, 1, 0, 0, 0];
    bytes.extend((number * u64::from(size)).to_le_bytes());
    bytes.extend([0; 8]);
    bytes.extend(system.to_le_bytes());
    bytes.extend(size.to_le_bytes());
    bytes.extend(8192_u32.to_le_bytes());
    bytes.extend((bytes.len()..SIZE).map(|at| (at / 64).to_le_bytes()[0]));
    bytes
}

fn name(number: u64) -> String {
    format!("0000000100000000000000{number:02X}")
}

fn stored(name: &str) -> String {
    format!("wal/{SYSTEM}/{name}.gz")
}

fn packed(raw: &[u8]) -> Vec<u8> {
    Packed::of(&mut &*raw, raw.len() as u64).unwrap().bytes
}

fn put(service: &Service, name: &str, raw: &[u8]) {
    let packed = Packed::of(&mut &*raw, raw.len() as u64).unwrap();
    let digest: String = packed
        .raw_sha256
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect();
    let headers = HashMap::from([("x-ms-meta-raw_sha256".to_owned(), digest)]);
    service.change(|state| state.store(&stored(name), packed.bytes, Vec::new(), headers));
}

#[test]
fn a_segment_comes_whole_from_either_kind_of_store() {
    let (service, data, directory) = (Service::start(), Data::new(), tempfile::tempdir().unwrap());
    let history = b"1\t0/380000\tx\n";
    put(&service, NAME, &segment(3));
    put(&service, "00000002.history", history);
    let archive = directory.path().join(format!("wal/{SYSTEM}"));
    fs::create_dir_all(&archive).unwrap();
    fs::write(archive.join(format!("{NAME}.gz")), packed(&segment(3))).unwrap();
    fs::write(archive.join("00000002.history.gz"), packed(history)).unwrap();
    for store in [service.url(), directory.path().to_str().unwrap().to_owned()] {
        data.restore(&store, NAME, &[]).is_silent(0);
        data.has(&segment(3));
        data.restore(&store, "00000002.history", &[]).is_silent(0);
        data.has(history);
        data.restore(&store, "000000010000000000000004", &[])
            .is_silent(1);
        data.restore(&store, "00000003.history", &[]).is_silent(1);
    }
    assert_eq!(service.count(Kind::Head), 0);
    assert_eq!(service.count(Kind::Get), 4);
    // Where there is no data directory, the cluster is named.
    let elsewhere = tempfile::tempdir().unwrap();
    let to = elsewhere.path().join("a file");
    let to = to.to_str().unwrap();
    data.run(&[&service.url(), "--wal", NAME, "--to", to])
        .is(202, "global/pg_control");
    let system = SYSTEM.to_string();
    data.run(&[
        &service.url(),
        "--wal",
        NAME,
        "--to",
        to,
        "--system",
        &system,
    ])
    .is_silent(0);
    assert!(fs::read(to).unwrap() == segment(3));
}

#[test]
fn what_fails_is_never_absent() {
    let data = Data::new();
    let there = || {
        let service = Service::start();
        put(&service, NAME, &segment(3));
        service
    };
    let hasty = ["--deadline", "1s"];
    for (fault, code, says) in [
        (Fault::Status(403, "AuthenticationFailed", None), 201, "403"),
        (
            Fault::Status(404, "ContainerNotFound", None),
            201,
            "no container",
        ),
        (
            Fault::Status(409, "BlobArchived", None),
            201,
            "Archive tier",
        ),
        (Fault::Status(503, "ServerBusy", None), 201, "503"),
        (Fault::CutBody(100), 201, "cut"),
        (Fault::Stall, 201, "stood still"),
        (Fault::Say("<html>proxy</html>"), 201, "not the service's"),
    ] {
        let service = there();
        service.fault(Kind::Get, 0, fault);
        data.restore(&service.url(), NAME, &hasty).is(code, says);
        assert!(!data.wanted().exists());
    }
    // It is not there, and whether it is the end cannot be told.
    for (fault, says) in [
        (
            Fault::Status(403, "AuthorizationPermissionMismatch", None),
            "403",
        ),
        (
            Fault::Status(404, "ContainerNotFound", None),
            "no container",
        ),
        (Fault::Status(503, "ServerBusy", None), "503"),
        (Fault::Say("<html>proxy</html>"), "not the service's"),
    ] {
        let service = there();
        service.fault(Kind::List, 0, fault);
        data.restore(&service.url(), &name(4), &hasty).is(201, says);
        // Something before the service says 404.
        service.fault(Kind::Get, 0, Fault::Status(404, "", None));
        data.restore(&service.url(), NAME, &hasty).is(201, says);
    }
    // Something before the service says 404 of what is there.
    let service = there();
    put(&service, &name(4), &segment(4));
    service.fault(Kind::Get, 0, Fault::Status(404, "", None));
    data.restore(&service.url(), NAME, &hasty)
        .is(203, "is a hole");
    // Another prefix, an empty container, a volume that is not mounted.
    let service = there();
    let prefix = format!("{}/prefix", service.url());
    data.restore(&prefix, NAME, &hasty)
        .is(201, "there is no WAL of the cluster");
    data.restore(&Service::start().url(), NAME, &hasty)
        .is(201, "there is no WAL of the cluster");
    let empty = tempfile::tempdir().unwrap();
    data.restore(empty.path().to_str().unwrap(), NAME, &[])
        .is(201, "there is no WAL of the cluster");
    data.restore("/nonexistent", NAME, &[])
        .is(201, "No such file");
    // Nobody listens.
    let port = TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap()
        .port();
    let nobody = format!("http://127.0.0.1:{port}/account/backups");
    data.restore(&nobody, NAME, &hasty).is(201, "cannot reach");
    // No room, or no such directory.
    let to = [
        "--wal",
        NAME,
        "--to",
        "pg_wal/absent/x",
        "--system",
        &SYSTEM.to_string(),
    ];
    let url = service.url();
    data.run(&[&[url.as_str()], to.as_slice()].concat())
        .is(201, "No such file");
    let to = [
        "--wal",
        NAME,
        "--to",
        "/proc/x",
        "--system",
        &SYSTEM.to_string(),
    ];
    let ended = data.run(&[&[url.as_str()], to.as_slice()].concat());
    assert_eq!(ended.code, 201, "{ended:?}");
}

#[test]
fn wrong_usage_is_never_absent() {
    let data = Data::new();
    let service = Service::start();
    let url = service.url();
    for words in [
        &[url.as_str(), "--wal", NAME][..],
        &[&url, "--wal"],
        &[&url, "--wal", NAME, "--to", "x", "--nonsense"],
        &[&url, "--wal", NAME, "--to", "x", "--ahead", "0"],
        &[&url, "--wal", NAME, "--to", "x", "--latest"],
        &[&url, "--wal", "x", "--to", "pg_wal/x"],
        &["--wal", NAME, "--to", "x"],
        &["ftp://x", "--wal", NAME, "--to", "pg_wal/x"],
    ] {
        let ended = data.run(words);
        assert_eq!(ended.code, 202, "{words:?}: {ended:?}");
    }
    // Without it, the exit codes are those of all programs.
    assert_eq!(data.run(&["--nonsense"]).code, 2);
    assert_eq!(data.run(&[&url, "--to", "x"]).code, 2);
}

#[test]
fn what_is_damaged_is_not_handed_over() {
    let (service, data) = (Service::start(), Data::new());
    let good = packed(&segment(3));
    let mut flipped = good.clone();
    flipped[good.len() / 2] ^= 1;
    for (bytes, says) in [
        (flipped, "damaged"),
        (good[..good.len() / 2].to_vec(), "cut"),
        (good[..good.len() - 28].to_vec(), "its end is missing"),
        (Vec::new(), "empty"),
        (b"no gzip".to_vec(), "no gzip"),
        (packed(&segment(4)), "it holds the WAL from 0/400000 on"),
        (packed(&of_system(5, 3)), "of the cluster 5"),
        (packed(&segment(3)[..SIZE - 1]), "bytes, not 1048576"),
        (packed(b""), "shorter than a segment's header"),
    ] {
        service.store(&stored(NAME), &bytes);
        data.restore(&service.url(), NAME, &[]).is(203, says);
        assert!(!data.wanted().exists());
    }
    // It is whole, and not the one that was archived.
    put(&service, NAME, &segment(3));
    let mut other = segment(3);
    other[SIZE - 1] ^= 1;
    service.change(|state| state.blobs.get_mut(&stored(NAME)).unwrap().bytes = packed(&other));
    data.restore(&service.url(), NAME, &[]).is(203, "SHA-256");
    service.store(&stored("00000002.history"), &packed(b"half a lin"));
    data.restore(&service.url(), "00000002.history", &[])
        .is(203, "line 1");
}

#[test]
fn a_hole_is_not_the_end() {
    let (service, data) = (Service::start(), Data::new());
    let url = service.url();
    for number in [3, 4, 6] {
        put(&service, &name(number), &segment(number));
    }
    put(&service, &format!("{}.partial", name(7)), &segment(7));
    let hasty = ["--deadline", "1s"];
    data.restore(&url, &name(5), &hasty).is(203, "is a hole");
    data.restore(&url, &name(2), &hasty).is(203, "is a hole");
    // It may be on its way: later ones can arrive before it.
    let late = Service::start();
    put(&late, &name(5), &segment(5));
    put(&late, &name(6), &segment(6));
    late.fault(Kind::Get, 1, Fault::Status(404, "BlobNotFound", None));
    data.restore(&late.url(), &name(5), &[]).is_silent(0);
    data.has(&segment(5));
    // What a standby asks for again is absent for now.
    data.restore(&url, &name(5), &["--standby"]).is_silent(1);
    data.restore(&url, &name(7), &[]).is_silent(1);
    // WAL of a timeline, and no history of it.
    put(&service, "000000020000000000000007", &segment(7));
    data.restore(&url, "00000002.history", &[])
        .is(203, "history of timeline 2 was lost");
    data.restore(&url, "00000003.history", &[]).is_silent(1);
    data.restore(&url, "00000001.history", &[]).is_silent(1);
    // A standby of a new cluster finds nothing at all.
    let empty = Service::start();
    data.restore(&empty.url(), NAME, &["--standby"])
        .is_silent(1);
    let faulty = Service::start();
    faulty.fault(Kind::Get, 0, Fault::Status(503, "ServerBusy", None));
    data.restore(&faulty.url(), NAME, &["--standby", "--deadline", "1s"])
        .is(201, "503");
}

#[test]
fn segments_are_fetched_ahead_and_checked_when_handed_over() {
    let (service, data) = (Service::start(), Data::new());
    let url = service.url();
    for number in 3..9 {
        put(&service, &name(number), &segment(number));
    }
    let ahead = ["--ahead", "3"];
    data.restore(&url, NAME, &ahead).is_silent(0);
    data.has(&segment(3));
    let spooled = [4, 5, 6].map(|number| format!("{}.gz", name(number)));
    assert_eq!(data.spooled(), spooled);
    assert_eq!(service.count(Kind::Get), 4);
    data.restore(&url, &name(4), &ahead).is_silent(0);
    data.has(&segment(4));
    assert_eq!(service.count(Kind::Get), 4);
    // One is damaged on this disk, one half written.
    let spool = data.path().join("pg_wal/restore-stream.spool");
    let bytes = fs::read(spool.join(&spooled[1])).unwrap();
    fs::write(spool.join(&spooled[1]), &bytes[..bytes.len() - 28]).unwrap();
    fs::write(spool.join("000000010000000000000007.tmp"), b"half").unwrap();
    let ended = data.restore(&url, &name(5), &ahead);
    ended.is(0, "the copy in the spool directory is no good");
    data.has(&segment(5));
    // They are asked for in turn, and at the end nothing is left.
    for number in 6..9 {
        data.restore(&url, &name(number), &ahead).is_silent(0);
        data.has(&segment(number));
    }
    data.restore(&url, &name(9), &ahead).is_silent(1);
    assert!(!spool.exists());
    // A faulty neighbour is no fault.
    service.fault(Kind::Get, 0, Fault::Status(404, "BlobNotFound", None));
    let calm = Service::start();
    put(&calm, NAME, &segment(3));
    data.restore(&calm.url(), NAME, &ahead).is_silent(0);
    assert_eq!(data.spooled(), [""; 0]);
}
