//! The data directory that a pg_wal belongs to.

use std::fs::{self, File};
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::thread;
use std::time::Duration;

use store::{Access, path_error};

use crate::{ArchiveError, ArchiveErrorKind, ControlError, ControlFile, SystemId};

/// How often pg_control is read again when the server was just writing it.
const TRIES: usize = 20;
const PAUSE: Duration = Duration::from_millis(20);

/// A pg_wal directory and what stands beside it.
#[derive(Debug, Clone)]
pub struct DataDirectory {
    /// As it was given: PostgreSQL runs its commands in the data directory and names `pg_wal/…`.
    pg_wal: PathBuf,
}

impl DataDirectory {
    /// The one whose pg_wal this is, by its path.
    pub fn of(pg_wal: &Path) -> Self {
        // A trailing slash means nothing.
        let pg_wal = pg_wal.components().collect();
        Self { pg_wal }
    }

    /// The path that it was found by.
    pub fn pg_wal(&self) -> &Path {
        &self.pg_wal
    }

    /// Where PostgreSQL notes which files are ready to be archived, and which are done.
    pub fn archive_status(&self) -> PathBuf {
        self.pg_wal.join("archive_status")
    }

    /// The data directory. pg_wal may be a link to another disk: its name counts, not where it leads.
    fn path(&self) -> PathBuf {
        match self.pg_wal.parent() {
            Some(parent) => parent.to_path_buf(),
            None => self.pg_wal.join(".."),
        }
    }

    /// Its path for a person.
    pub fn label(&self) -> String {
        let path = self.path();
        fs::canonicalize(&path)
            .unwrap_or(path)
            .display()
            .to_string()
    }

    /// The cluster's system identifier, by `global/pg_control`; none if there is no such file.
    ///
    /// # Errors
    /// It cannot be read, or is damaged.
    pub fn system(&self) -> Result<Option<SystemId>, ArchiveError> {
        let path = self.path().join("global/pg_control");
        for _ in 0..TRIES {
            let bytes = match read(&path) {
                Ok(bytes) => bytes,
                Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
                Err(error) => {
                    let doing = format_args!("cannot read '{}'", path.display());
                    return Err(path_error(doing, &path, Access::Read, &error).into());
                }
            };
            match ControlFile::read(&bytes) {
                Ok(control) => return Ok(Some(control.system)),
                Err(ControlError::Crc) => thread::sleep(PAUSE),
                Err(error) => return Err(damaged(&path, error)),
            }
        }
        Err(damaged(&path, ControlError::Crc))
    }
}

fn read(path: &Path) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    let most = ControlFile::BYTES as u64;
    File::open(path)?.take(most).read_to_end(&mut bytes)?;
    Ok(bytes)
}

fn damaged(path: &Path, error: ControlError) -> ArchiveError {
    let said = format!("'{}' is not good: {error}", path.display());
    ArchiveError::new(ArchiveErrorKind::NotGood, said)
        .hint("is it the data directory of PostgreSQL 14 or newer?")
}
