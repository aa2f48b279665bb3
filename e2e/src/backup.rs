//! Backups, made by our programs and looked at with plain tools.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};

use backup_file::ReadAt;
use serde_json::Value;

use crate::postgres::RESTRICT_KEY;
use crate::{Cluster, Program, Scratch, scratch};

/// The first line of a backup's index.
const INDEX_HEAD: &str = "-- index of this backup, one JSON object per line (format.md)\n";

/// `pgdump-gz` on a cluster, with the restrict key of all dumps that are compared.
pub fn pgdump_gz(cluster: &Cluster) -> Program {
    Program::new("pgdump-gz")
        .on(cluster)
        .args(["--restrict-key", RESTRICT_KEY])
}

/// Dumps a cluster into a directory, and gives the backup's path.
///
/// # Panics
/// When that fails, or the path printed is not there.
pub fn dump(cluster: &Cluster, dir: impl AsRef<OsStr>) -> PathBuf {
    let seen = pgdump_gz(cluster).arg("--dir").arg(dir).succeeds();
    let path = PathBuf::from(seen.out());
    assert!(path.is_file(), "no file under the path printed\n{seen}");
    path
}

/// Makes a backup of a cluster with an index, and one of pg_dumpall and gzip without.
///
/// # Panics
/// When that fails.
pub fn both(cluster: &Cluster, dir: &Scratch) -> [PathBuf; 2] {
    let foreign = dir.join("foreign.sql.gz");
    Program::sh("pg_dumpall | gzip")
        .on(cluster)
        .stdout_file(&foreign)
        .succeeds();
    [dump(cluster, dir.path()), foreign]
}

/// `backup-verify BACKUP --restore-test`, however full the disk is that the test runs on.
pub fn restore_test(backup: impl AsRef<Path>) -> Program {
    Program::new("backup-verify")
        .arg(backup.as_ref())
        .args(["--restore-test", "--max-used=100%"])
}

/// A backup's text, as `gunzip -c` gives it.
///
/// # Panics
/// When gunzip is not content.
pub fn gunzip(path: impl AsRef<Path>) -> Vec<u8> {
    Program::other("gunzip")
        .args(["-c", "--"])
        .arg(path.as_ref())
        .succeeds()
        .stdout
}

/// A backup's text divided into its SQL and its index.
///
/// # Panics
/// When it has no index.
pub fn divide(text: &[u8]) -> (&[u8], &str) {
    let head = INDEX_HEAD.as_bytes();
    let at = text
        .windows(head.len())
        .rposition(|window| window == head)
        .expect("an index");
    let index = std::str::from_utf8(&text[at..]).expect("an index in UTF-8");
    // The maps of the databases stand between.
    let lengths = index.lines().filter_map(|line| {
        let object: Value = serde_json::from_str(line.strip_prefix("-- ")?).ok()?;
        usize::try_from(object.get("sql_length")?.as_u64()?).ok()
    });
    (&text[..lengths.sum()], index)
}

/// A backup in memory.
#[derive(Debug)]
pub struct Bytes(pub Vec<u8>);

impl Bytes {
    /// The bytes of a file.
    ///
    /// # Panics
    /// When it cannot be read.
    pub fn of(path: impl AsRef<Path>) -> Self {
        Self(std::fs::read(path).expect("a backup"))
    }

    /// Some of them.
    ///
    /// # Panics
    /// When they are not all there.
    pub fn part(&self, place: std::ops::Range<u64>) -> Vec<u8> {
        let at = |place| usize::try_from(place).expect("a place");
        self.0[at(place.start)..at(place.end)].to_vec()
    }
}

impl ReadAt for Bytes {
    fn size(&self) -> u64 {
        self.0.len() as u64
    }

    fn read_at(&self, offset: u64, length: usize) -> std::io::Result<Vec<u8>> {
        Ok(self.part(offset..offset + length as u64))
    }
}

/// A section of a backup, as its index describes it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Section {
    /// `globals`, `database` or `end`.
    pub kind: String,
    /// The database.
    pub name: String,
    /// Where it begins in the file.
    pub offset: u64,
    /// How long it is there.
    pub length: u64,
}

/// The sections that an index names.
///
/// # Panics
/// When a line of the index is not what the format says.
pub fn sections(index: &str) -> Vec<Section> {
    let objects = index
        .lines()
        .skip(1)
        .filter(|line| line.starts_with("-- {"));
    objects
        .map(|line| serde_json::from_str::<Value>(&line[3..]).expect("JSON"))
        .filter(|object| object.get("kind").is_some())
        .map(|object| {
            let text = |key: &str| object[key].as_str().unwrap_or_default().to_owned();
            let number = |key: &str| object[key].as_u64().expect("a number");
            Section {
                kind: text("kind"),
                name: text("name"),
                offset: number("offset"),
                length: number("length"),
            }
        })
        .collect()
}

/// Whether a name is a dump's or a base backup's.
pub fn is_name(name: &str) -> bool {
    let digits =
        |text: &str, count| text.len() == count && text.bytes().all(|b| b.is_ascii_digit());
    let dump = || {
        name.strip_prefix("postgresql_backup_")?
            .strip_suffix(".sql.gz")
    };
    let base = || {
        name.strip_prefix("postgresql_base_")?
            .strip_suffix(".tar.gz")
    };
    dump()
        .or_else(base)
        .and_then(|moment| moment.split_once('_'))
        .is_some_and(|(date, time)| digits(date, 8) && digits(time, 6))
}

/// The backups in a directory.
pub fn names(dir: impl AsRef<Path>) -> Vec<String> {
    let names = scratch::names(dir).into_iter();
    names.filter(|name| is_name(name)).collect()
}
