use std::fs::{self, File};
use std::io::{self, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use backup_file::{Sha256, sidecar_line, sidecar_name};
use job::{Error, OnStop};
use rustix::fs::{FlockOperation, flock};
use rustix::io::Errno;
use sha2::Digest;
use tempfile::NamedTempFile;

use crate::directory::{cannot_remove, remove};
use crate::naming::Naming;
use crate::permission::{Access, path_error};
use crate::{Directory, DirectoryLock};

/// How a temporary file's name ends, after the random part.
const SUFFIX: &str = ".partial";
const RANDOM: usize = 12;
/// Temporary files that are made before it is said that none lasts.
const TRIES: usize = 100;
/// A dump holds the roles' password hashes: nothing for everybody. The umask may take away more.
const MODE: u32 = 0o640;

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
    /// How it gets its name.
    naming: Naming,
    /// Held until it has its name, or never will.
    _lock: Option<DirectoryLock>,
}

/// A file that stands under its own name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Published {
    /// Its path: the directory as it was given, and the name.
    pub path: PathBuf,
    /// Its size in bytes.
    pub size: u64,
    /// Its SHA-256, which its sidecar holds too.
    pub sha256: Sha256,
}

impl FilePublication {
    pub(crate) fn begin(
        directory: &Directory,
        name: &str,
        lock: Option<DirectoryLock>,
    ) -> Result<Self, Error> {
        let cannot = |error: &io::Error| {
            let path = directory.path();
            let doing = format_args!("cannot create a file in '{}'", path.display());
            path_error(doing, path, Access::Write, error)
        };
        let naming = probe(directory.path(), name).map_err(|error| cannot(&error))?;
        let lock = match (naming, lock) {
            (Naming::Locked, None) => Some(directory.lock()?),
            (_, lock) => lock,
        };
        let directory = directory.path().to_path_buf();
        let path = directory.join(name);
        // Told now, not after an hour's dump; the rename at the end makes sure.
        if path.symlink_metadata().is_ok() {
            return Err(taken(&path));
        }
        let file = Temporary::create(&directory, name).map_err(|error| cannot(&error))?;
        Ok(Self {
            directory,
            name: name.to_owned(),
            file,
            sha256: sha2::Sha256::new(),
            size: 0,
            naming,
            _lock: lock,
        })
    }

    /// Makes it visible: flushed to the disk, renamed without overwriting, then its sidecar
    /// `NAME.sha256` beside it, then the directory flushed.
    ///
    /// # Errors
    /// Exit code 4 if the name is taken meanwhile; nothing is left then, nor after any other error
    /// before the rename. After it the backup stands, whole, without its sidecar.
    pub fn commit(self) -> Result<Published, Error> {
        let Self {
            directory,
            name,
            file,
            sha256,
            size,
            naming,
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
        let sidecar = sidecar(&directory, &name, &sha256).map_err(|error| cannot(&error))?;
        // One that outlived its backup (deleted by hand) would speak of this one.
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
        let written = self.file.file.as_file().write(bytes)?;
        self.sha256.update(&bytes[..written]);
        self.size += written as u64;
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// How files get their names there, by two temporary ones.
fn probe(directory: &Path, name: &str) -> io::Result<Naming> {
    let from = Temporary::create(directory, name)?;
    let to = Temporary::create(directory, name)?;
    // Its name is free now, and removed again when this is dropped.
    fs::remove_file(to.file.path())?;
    Naming::probe(from.file.path(), to.file.path())
}

fn sidecar(directory: &Path, name: &str, sha256: &Sha256) -> io::Result<Temporary> {
    let sidecar = Temporary::create(directory, &sidecar_name(name))?;
    sidecar
        .file
        .as_file()
        .write_all(sidecar_line(name, sha256).as_bytes())?;
    sidecar.sync()?;
    Ok(sidecar)
}

fn taken(path: &Path) -> Error {
    Error::refused(format!("'{}' is already there", path.display()))
        .hint("nothing is overwritten; remove or rename it if it is not wanted")
}

/// A file under a temporary name, removed when it is dropped or a signal ends the program. Locked, so
/// that nobody takes it for one that a killed program has left.
#[derive(Debug)]
struct Temporary {
    file: NamedTempFile,
    on_stop: OnStop,
}

impl Temporary {
    fn create(directory: &Path, name: &str) -> io::Result<Self> {
        for _ in 0..TRIES {
            let file = tempfile::Builder::new()
                .prefix(&format!(".{name}."))
                .suffix(SUFFIX)
                .rand_bytes(RANDOM)
                .permissions(fs::Permissions::from_mode(MODE))
                .tempfile_in(directory)?;
            let path = file.path().to_path_buf();
            let on_stop = {
                let path = path.clone();
                job::on_stop(move || drop(fs::remove_file(path)))
            };
            // Where the file system has no locks, nobody sweeps either.
            let locked = flock(file.as_file(), FlockOperation::NonBlockingLockExclusive);
            if locked == Err(Errno::WOULDBLOCK) {
                // Another program looks at it, or sweeps it: another one, which nobody has seen.
                continue;
            }
            // It may have been swept before it was locked. Not by its links, which FUSE need not count.
            if path.symlink_metadata().is_ok() {
                return Ok(Self { file, on_stop });
            }
        }
        Err(io::Error::other(
            "what is made there is gone or locked at once",
        ))
    }

    fn sync(&self) -> io::Result<()> {
        self.file.as_file().sync_all()
    }

    /// Gives it its name; fails if that is taken. A stop signal until the end of this finds it either
    /// under its temporary name, and removes it, or whole under its own.
    fn rename(self, path: &Path, naming: Naming) -> io::Result<()> {
        naming.give(self.file.path(), path)?;
        // The temporary name, where it is still there.
        drop(self.file);
        drop(self.on_stop);
        Ok(())
    }

    fn replace(self, path: &Path) -> io::Result<()> {
        self.file.persist(path)?;
        drop(self.on_stop);
        Ok(())
    }
}

/// Whether a file's name is one that [`Temporary`] gives.
pub(crate) fn is_temporary(name: &str) -> bool {
    let parts = name
        .strip_prefix('.')
        .and_then(|name| name.strip_suffix(SUFFIX))
        .and_then(|name| name.rsplit_once('.'));
    parts.is_some_and(|(name, random)| {
        !name.is_empty()
            && random.len() == RANDOM
            && random.bytes().all(|byte| byte.is_ascii_alphanumeric())
    })
}

/// Makes what was renamed or removed in a directory last.
pub(crate) fn flush(directory: &Path) -> io::Result<()> {
    match File::open(directory)?.sync_all() {
        // Some network file systems have nothing to flush there, and say so.
        Err(error)
            if matches!(
                error.kind(),
                io::ErrorKind::InvalidInput | io::ErrorKind::Unsupported
            ) =>
        {
            Ok(())
        }
        flushed => flushed,
    }
}
