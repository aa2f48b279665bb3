//! The directory that a dump is written into.

mod lock;
mod naming;
mod ownership;
mod publication;
mod removal;
mod temporary;

use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use rustix::fs::{FlockOperation, flock};

pub use lock::DirectoryLock;
pub(crate) use naming::flush;
use ownership::share_ownership;
pub use publication::{FilePublication, Published};
pub(crate) use removal::{cannot_remove, remove};
use temporary::is_temporary;

use crate::Error;
use crate::permission::{Access, path_error};

/// A directory of backups.
#[derive(Debug, Clone)]
pub struct Directory {
    path: PathBuf,
}

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

/// A regular file in the directory.
#[derive(Debug)]
pub(crate) struct FoundFile {
    pub(crate) name: String,
    pub(crate) size: u64,
    /// Its inode and time of modification: another file, or a changed one, has another version.
    pub(crate) version: String,
}

impl Directory {
    /// Opens a directory.
    ///
    /// # Errors
    /// There is none at `path`, or something else is there, or it cannot be read.
    pub fn open(path: impl AsRef<Path>) -> Result<Self, Error> {
        let path = path.as_ref().to_path_buf();
        let directory = Self { path };
        directory.read()?;
        Ok(directory)
    }

    /// Its path, as it was given.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// A directory in it, `names` long (`wal/7412345678901234567`), which is made if it is not there. What is made gets
    /// this directory's mode and is durable.
    ///
    /// # Errors
    /// It cannot be made, or something else is there.
    pub fn make(&self, names: &str) -> Result<Self, Error> {
        let mut path = self.path.clone();
        for name in names.split('/') {
            let parent = path.clone();
            path.push(name);
            make(&parent, &path).map_err(|error| {
                let doing = format_args!("cannot make directory '{}'", path.display());
                path_error(doing, &parent, Access::Write, &error)
            })?;
        }
        Ok(Self { path })
    }

    /// Makes durable what was renamed into it and removed from it, perhaps by a program that was killed before it could.
    ///
    /// # Errors
    /// The system's.
    pub fn flush(&self) -> Result<(), Error> {
        flush(&self.path).map_err(|error| {
            let doing = format_args!("cannot flush directory '{}'", self.path.display());
            path_error(doing, &self.path, Access::Write, &error)
        })
    }

    /// Locks it against other programs that write backups; reading and pruning go on.
    ///
    /// # Errors
    /// Kind [`Locked`](crate::ErrorKind::Locked) if another program holds the lock, or something else is where the
    /// lock's file should be.
    pub fn lock(&self) -> Result<DirectoryLock, Error> {
        DirectoryLock::take(&self.path)
    }

    /// Removes the temporary files that killed programs left, not those that are being written. Returns their
    /// names.
    ///
    /// # Errors
    /// The directory cannot be read, or a file cannot be removed.
    pub fn sweep(&self) -> Result<Vec<String>, Error> {
        let mut removed = Vec::new();
        for entry in self.temporaries()? {
            let path = self.path.join(&entry.name);
            // NFS gives an exclusive lock only on a file that is open for writing.
            let opened = OpenOptions::new().read(true).write(true).open(&path);
            let file = match opened {
                Ok(file) => file,
                Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
                Err(error) => {
                    let doing = format_args!("cannot remove '{}'", path.display());
                    return Err(path_error(doing, &path, Access::Write, &error));
                }
            };
            // The lock is kept until the file is gone.
            if flock(&file, FlockOperation::NonBlockingLockExclusive).is_err() {
                continue;
            }
            if remove(&path).map_err(|error| cannot_remove(&path, &error))? {
                removed.push(entry.name);
            }
        }
        Ok(removed)
    }

    /// The temporary files that are there.
    ///
    /// # Errors
    /// The directory cannot be read.
    pub fn unfinished(&self) -> Result<Vec<Unfinished>, Error> {
        let found = self.temporaries()?.into_iter();
        Ok(found
            .map(|FoundFile { name, size, .. }| {
                let file = File::open(self.path.join(&name));
                // Only a file that can be locked is known to have no writer.
                let alive = !file
                    .is_ok_and(|file| flock(&file, FlockOperation::NonBlockingLockShared).is_ok());
                Unfinished { name, size, alive }
            })
            .collect())
    }

    /// Begins a file that becomes visible as `name` when it is whole. If the file system cannot rename without
    /// perhaps overwriting another file, the directory is locked until the end.
    ///
    /// # Errors
    /// Kind [`Exists`](crate::ErrorKind::Exists) if the name is taken; kind [`Locked`](crate::ErrorKind::Locked) if
    /// the directory must be locked and another program holds the lock.
    pub fn publish(&self, name: &str) -> Result<FilePublication, Error> {
        FilePublication::begin(&self.path, name, None)
    }

    /// As [`publish`](Self::publish), for a program that holds the directory's lock.
    ///
    /// # Errors
    /// Kind [`Exists`](crate::ErrorKind::Exists) if the name is taken.
    pub fn publish_under(&self, lock: DirectoryLock, name: &str) -> Result<FilePublication, Error> {
        FilePublication::begin(&self.path, name, Some(lock))
    }

    /// The regular files whose names are wanted, ordered by name: no symbolic links, no directories, no names that
    /// are not UTF-8.
    pub(crate) fn files(&self, wanted: impl Fn(&str) -> bool) -> Result<Vec<FoundFile>, Error> {
        let mut files = Vec::new();
        for entry in self.read()? {
            let entry = entry.map_err(|error| self.cannot_read(&error))?;
            let Ok(name) = entry.file_name().into_string() else {
                continue;
            };
            if !wanted(&name) {
                continue;
            }
            // This does not follow a link.
            match entry.metadata() {
                Ok(found) if found.is_file() => files.push(FoundFile {
                    name,
                    size: found.len(),
                    version: format!(
                        "{}-{}.{:09}",
                        found.ino(),
                        found.mtime(),
                        found.mtime_nsec()
                    ),
                }),
                Ok(_) => {}
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => return Err(self.cannot_read(&error)),
            }
        }
        files.sort_by(|one, other| one.name.cmp(&other.name));
        Ok(files)
    }

    fn temporaries(&self) -> Result<Vec<FoundFile>, Error> {
        self.files(is_temporary)
    }

    fn read(&self) -> Result<fs::ReadDir, Error> {
        fs::read_dir(&self.path).map_err(|error| self.cannot_read(&error))
    }

    fn cannot_read(&self, error: &io::Error) -> Error {
        path_error(
            format_args!("cannot read directory '{}'", self.path.display()),
            &self.path,
            Access::Read,
            error,
        )
    }
}

/// Makes a directory with the mode of its parent, unless it is there.
fn make(parent: &Path, path: &Path) -> io::Result<()> {
    match fs::create_dir(path) {
        Ok(()) => {}
        // Whoever made it may have been killed before that was durable.
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists && path.is_dir() => {
            return flush(parent);
        }
        Err(error) => return Err(error),
    }
    let there = parent.metadata()?;
    share_ownership(&File::open(path)?, &there);
    // The umask is PostgreSQL's, which would keep out those who check the store. Where it may not be changed, it stays.
    let _ = fs::set_permissions(path, there.permissions());
    flush(parent)
}
