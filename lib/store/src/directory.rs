use std::path::{Path, PathBuf};

use job::Error;

use crate::FilePublication;

/// A directory of backups.
#[derive(Debug, Clone)]
pub struct Directory {
    path: PathBuf,
}

/// Held by the one program that writes into a directory; released when it is dropped, and by the
/// kernel when the program ends in any way.
#[derive(Debug)]
#[must_use = "the directory is unlocked when this is dropped"]
pub struct DirectoryLock {}

/// A temporary file of a backup that is being written, or was when its program was killed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unfinished {
    /// Its name in the directory.
    pub name: String,
    /// Its size in bytes.
    pub size: u64,
    /// Whether a program is writing it at this moment.
    pub alive: bool,
}

impl Directory {
    /// Opens a directory.
    ///
    /// # Errors
    /// There is none at `path`, or something else is there, or it cannot be read.
    pub fn open(path: impl AsRef<Path>) -> Result<Self, Error> {
        let _ = path.as_ref();
        todo!()
    }

    /// Its path, as it was given.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Locks it against another program that calls this; reading and pruning go on.
    ///
    /// # Errors
    /// Exit code 4 if another program holds the lock.
    pub fn lock(&self) -> Result<DirectoryLock, Error> {
        todo!()
    }

    /// Removes the temporary files of programs that were killed, not those that are being written, and
    /// gives the names of those removed.
    pub fn sweep(&self) -> Result<Vec<String>, Error> {
        todo!()
    }

    /// The temporary files that are there.
    pub fn unfinished(&self) -> Result<Vec<Unfinished>, Error> {
        todo!()
    }

    /// Begins a file that becomes visible as `name` when it is whole. Nothing of that name may be
    /// there.
    ///
    /// # Errors
    /// Exit code 4 if the name is taken.
    pub fn publish(&self, name: &str) -> Result<FilePublication, Error> {
        let _ = name;
        todo!()
    }
}
