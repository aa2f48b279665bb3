//! Data directories as `initdb` makes them. It takes longer than most of what is then done in them, so it runs once for
//! each of its versions and options; what it made is kept in `target/tools` and copied.

use std::fs::{self, File};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::Path;
use std::process::Command;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

use crc_fast::CrcAlgorithm;

use super::{Version, as_server, own};
use crate::{Scratch, tool};

/// Makes `data` the data directory that a version's `initdb` makes with these arguments, with a system identifier of its
/// own. The server's user finds the program in `bin`.
pub(super) fn initdb(version: &Version, bin: &Path, arguments: &[&str], data: &Path) {
    let key = key(&version.bin.join("initdb"), arguments);
    let made = tool::tools().join("initdb").join(key);
    if !made.exists() {
        make(&bin.join("initdb"), arguments, &made);
    }
    copy(&made, data);
    identify(data, system_identifier());
}

/// Its name changes with the program and with the user it belongs to.
fn key(program: &Path, arguments: &[&str]) -> String {
    let file = fs::metadata(program).expect("initdb");
    let mut hasher = DefaultHasher::new();
    (program, file.mtime(), file.size(), arguments).hash(&mut hasher);
    super::server_user()
        .map(|(_, user, _)| user)
        .hash(&mut hasher);
    format!("{:016x}", hasher.finish())
}

fn make(program: &Path, arguments: &[&str], made: &Path) {
    // The server's user may not enter every workspace.
    let scratch = Scratch::new();
    own(scratch.path());
    let data = scratch.join("data");
    let ended = as_server(program)
        .args(arguments)
        .args(["--no-sync", "--pgdata"])
        .arg(&data)
        .current_dir("/")
        .output()
        .expect("initdb");
    let said = String::from_utf8_lossy(&ended.stderr);
    assert!(ended.status.success(), "initdb: {}\n{said}", ended.status);

    let parent = made.parent().expect("a directory");
    fs::create_dir_all(parent).expect("target/tools");
    let begun = tempfile::tempdir_in(parent).expect("a directory");
    let whole = begun.path().join("data");
    copy(&data, &whole);
    // Another test may have been quicker.
    let _ = fs::rename(&whole, made);
    assert!(made.exists(), "{}", made.display());
}

fn copy(from: &Path, to: &Path) {
    let copied = Command::new("cp")
        .args(["--archive", "--no-target-directory", "--reflink=auto"])
        .args([from, to])
        .status();
    assert!(copied.is_ok_and(|status| status.success()), "cp");
}

/// As `initdb` chooses it: the time, and what tells those apart that are made at once.
fn system_identifier() -> u64 {
    static MADE: AtomicU64 = AtomicU64::new(0);
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    let now = now.expect("a time after 1970");
    let made = MADE.fetch_add(1, Ordering::Relaxed);
    now.as_secs() << 32 | u64::from(now.subsec_micros()) << 12 | made & 0xfff
}

/// Gives a cluster that never ran another system identifier: where pg_control and the WAL have it.
fn identify(data: &Path, system: u64) {
    let path = data.join("global/pg_control");
    let mut control = fs::read(&path).expect("pg_control");
    let crc = place_of_crc(&control);
    control[..8].copy_from_slice(&system.to_le_bytes());
    let sum = crc32c(&control[..crc]);
    control[crc..crc + 4].copy_from_slice(&sum.to_le_bytes());
    fs::write(path, control).expect("pg_control");

    for entry in fs::read_dir(data.join("pg_wal")).expect("pg_wal") {
        let path = entry.expect("pg_wal").path();
        if path.is_file() {
            identify_segment(&path, system);
        }
    }
}

fn identify_segment(path: &Path, system: u64) {
    /// `xlp_sysid`, in the long header of a segment's first page.
    const AT: u64 = 24;
    let file = File::options().read(true).write(true).open(path);
    let file = file.expect("a segment");
    let mut first = [0; AT as usize + 8];
    file.read_exact_at(&mut first, 0).expect("a segment");
    // One that was made for later is empty.
    if first != [0; AT as usize + 8] {
        file.write_all_at(&system.to_le_bytes(), AT)
            .expect("a segment");
    }
}

/// Where the CRC is depends on the version: behind what it is the CRC of.
fn place_of_crc(control: &[u8]) -> usize {
    let is = |at: &usize| crc32c(&control[..*at]).to_le_bytes() == control[*at..at + 4];
    (64..512).step_by(4).find(is).expect("pg_control's CRC")
}

fn crc32c(bytes: &[u8]) -> u32 {
    u32::try_from(crc_fast::checksum(CrcAlgorithm::Crc32Iscsi, bytes)).expect("32 bits")
}
