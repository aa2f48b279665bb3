//! A file that appears in a directory when it is whole, with its sidecar.

use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use backup_file::{Sha256, sidecar_line, sidecar_name};
use sha2::Digest;

use super::lock::DirectoryLock;
use super::naming::{Naming, flush};
use super::removal::{cannot_remove, remove};
use super::temporary::Temporary;
use crate::permission::{Access, path_error};
use crate::{Error, ErrorKind};

/// A file that is being written under a temporary name. Nobody sees it under its own name before
/// [`FilePublication::commit`]; dropping it removes it, and so does a stop signal. If the program is killed,
/// [`Directory::sweep`](crate::Directory::sweep) of the next run removes it.
///
/// Give it large writes: it is not buffered.
#[derive(Debug)]
#[must_use = "the file is removed when this is dropped"]
pub struct FilePublication {
    directory: PathBuf,
    name: String,
    file: Temporary,
    sha256: sha2::Sha256,
    size: u64,
    /// How the file gets its name.
    naming: Naming,
    /// Whether `NAME.sha256` is put beside it.
    sidecar: bool,
    /// Held until the file has its name, or never will.
    _lock: Option<DirectoryLock>,
}

/// A file that stands under its own name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Published {
    /// Its path: the directory as it was given, and the name.
    pub path: PathBuf,
    /// Its size in bytes.
    pub size: u64,
    /// Its SHA-256, as in its sidecar.
    pub sha256: Sha256,
}

impl FilePublication {
    pub(crate) fn begin(
        directory: &Path,
        name: &str,
        lock: Option<DirectoryLock>,
    ) -> Result<Self, Error> {
        let cannot = |error: &io::Error| {
            let doing = format_args!("cannot create a file in '{}'", directory.display());
            path_error(doing, directory, Access::Write, error)
        };
        let naming = probe(directory, name).map_err(|error| cannot(&error))?;
        let lock = match (naming, lock) {
            (Naming::Locked, None) => Some(DirectoryLock::take(directory)?),
            (_, lock) => lock,
        };
        let path = directory.join(name);
        // Better now than after an hour's dump. The rename at the end makes sure.
        if path.symlink_metadata().is_ok() {
            return Err(taken(&path));
        }
        let file = Temporary::create(directory, name).map_err(|error| cannot(&error))?;
        Ok(Self {
            directory: directory.to_path_buf(),
            name: name.to_owned(),
            file,
            sha256: sha2::Sha256::new(),
            size: 0,
            naming,
            sidecar: true,
            _lock: lock,
        })
    }

    /// Puts no sidecar beside it: for many small files that hold their own checksums. Whoever may read the directory
    /// may read the file, whatever the umask: PostgreSQL's is 077, and another user's program checks the archive.
    pub fn bare(self) -> Self {
        // Where that is not allowed, the file has fewer readers.
        let _ = self.file.share_with(&self.directory);
        Self {
            sidecar: false,
            ..self
        }
    }

    /// The SHA-256 of the bytes written so far.
    pub fn sha256(&self) -> Sha256 {
        self.sha256.clone().finalize().into()
    }

    /// Makes the file visible: flushes it, renames it without overwriting, puts its sidecar `NAME.sha256` beside it,
    /// and flushes the directory.
    ///
    /// # Errors
    /// Kind [`Exists`](ErrorKind::Exists) if the name was taken meanwhile. After that, or any other error before the
    /// rename, nothing is left. After a later error the backup is there, whole, without its sidecar.
    pub fn commit(self) -> Result<Published, Error> {
        let Self {
            directory,
            name,
            file,
            sha256,
            size,
            naming,
            sidecar,
            _lock,
        } = self;
        let path = directory.join(&name);
        let sidecar_path = directory.join(sidecar_name(&name));
        let sha256 = sha256.finalize().into();
        let cannot = |error: &io::Error| {
            let doing = format_args!("cannot write '{}'", path.display());
            path_error(doing, &directory, Access::Write, error)
        };

        file.sync().map_err(|error| cannot(&error))?;
        if !sidecar {
            file.rename(&path, naming)
                .map_err(|error| match error.kind() {
                    io::ErrorKind::AlreadyExists => taken(&path),
                    _ => cannot(&error),
                })?;
            flush(&directory).map_err(|error| cannot(&error))?;
            return Ok(Published { path, size, sha256 });
        }
        let sidecar = make_sidecar(&directory, &name, &sha256).map_err(|error| cannot(&error))?;
        // A sidecar that outlived its backup (deleted by hand) would seem to belong to this one.
        if path.symlink_metadata().is_ok() {
            return Err(taken(&path));
        }
        if remove(&sidecar_path).map_err(|error| cannot_remove(&sidecar_path, &error))? {
            flush(&directory).map_err(|error| cannot(&error))?;
        }
        file.rename(&path, naming)
            .map_err(|error| match error.kind() {
                io::ErrorKind::AlreadyExists => taken(&path),
                _ => cannot(&error),
            })?;
        sidecar
            .replace(&sidecar_path)
            .and_then(|()| flush(&directory))
            .map_err(|error| {
                cannot(&error).hint("the backup itself is there, and whole; its SHA-256 is not")
            })?;
        Ok(Published { path, size, sha256 })
    }
}

impl Write for FilePublication {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.file.file().write(bytes)?;
        self.sha256.update(&bytes[..written]);
        self.size += written as u64;
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Finds out with two temporary files how a file can get its name there.
fn probe(directory: &Path, name: &str) -> io::Result<Naming> {
    let from = Temporary::create(directory, name)?;
    let to = Temporary::create(directory, name)?;
    // Its name is free now; dropping it removes whatever has the name then.
    fs::remove_file(to.path())?;
    Naming::probe(from.path(), to.path())
}

fn make_sidecar(directory: &Path, name: &str, sha256: &Sha256) -> io::Result<Temporary> {
    let sidecar = Temporary::create(directory, &sidecar_name(name))?;
    sidecar
        .file()
        .write_all(sidecar_line(name, sha256).as_bytes())?;
    sidecar.sync()?;
    Ok(sidecar)
}

fn taken(path: &Path) -> Error {
    let said = format!("'{}' is already there", path.display());
    Error::new(ErrorKind::Exists, said)
        .hint("nothing is overwritten; remove or rename it if it is not wanted")
}
