use std::fs::{self, File};
use std::io;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::Path;

use job::OnStop;
use rustix::fs::{FlockOperation, flock};
use rustix::io::Errno;
use tempfile::NamedTempFile;

use super::naming::Naming;
use super::ownership::share_ownership;

/// How a temporary file's name ends, after the random part.
const SUFFIX: &str = ".partial";
const RANDOM: usize = 12;
/// How often a temporary file is created anew when another program takes it away.
const TRIES: usize = 100;
/// A dump holds the roles' password hashes: others may not read it. The umask may restrict it further.
const MODE: u32 = 0o640;

/// A file under a temporary name. Dropping it removes the file, and so does a signal that ends the program. It is
/// locked, so that nobody takes it for the leftover of a killed program.
#[derive(Debug)]
pub(super) struct Temporary {
    file: NamedTempFile,
    on_stop: OnStop,
}

impl Temporary {
    pub(super) fn create(directory: &Path, name: &str) -> io::Result<Self> {
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
                // Another program inspects or sweeps it: try again with a new one.
                continue;
            }
            // It may have been swept before it was locked. Its link count would not show that: FUSE need not keep one.
            if path.symlink_metadata().is_ok() {
                return Ok(Self { file, on_stop });
            }
        }
        Err(io::Error::other(
            "what is made there is gone or locked at once",
        ))
    }

    pub(super) fn file(&self) -> &File {
        self.file.as_file()
    }

    pub(super) fn path(&self) -> &Path {
        self.file.path()
    }

    /// Lets whoever may read the directory read it: its owner, if this is root, and its group.
    pub(super) fn share_with(&self, directory: &Path) -> io::Result<()> {
        let there = directory.metadata()?;
        let file = self.file.as_file();
        share_ownership(file, &there);
        if there.mode() & 0o040 == 0 {
            return Ok(());
        }
        file.set_permissions(fs::Permissions::from_mode(MODE))
    }

    pub(super) fn sync(&self) -> io::Result<()> {
        self.file.as_file().sync_all()
    }

    /// Gives the file its own name, and fails if that is taken. A stop signal meanwhile finds the file either under
    /// its temporary name, and removes it, or whole under its own.
    pub(super) fn rename(self, path: &Path, naming: Naming) -> io::Result<()> {
        naming.give(self.file.path(), path)?;
        // Removes the temporary name, where it is still there.
        drop(self.file);
        drop(self.on_stop);
        Ok(())
    }

    /// Gives the file its own name, and overwrites what has it.
    pub(super) fn replace(self, path: &Path) -> io::Result<()> {
        self.file.persist(path)?;
        drop(self.on_stop);
        Ok(())
    }
}

/// Whether a file's name is one that [`Temporary`] gives.
pub(super) fn is_temporary(name: &str) -> bool {
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
