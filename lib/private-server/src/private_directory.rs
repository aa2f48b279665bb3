//! A directory that nobody else enters, and that does not outlive the program.
//!
//! A program that is killed leaves it. The lock in it tells: the kernel gives that back however its program ends, and the
//! next program that makes such a directory beside it removes what nobody holds the lock of.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::thread;
use std::time::Duration;

use job::{OnStop, say};
use pg_client::Account;
use rustix::fs::{FlockOperation, OFlags, flock};
use rustix::process::geteuid;

use crate::{Error, account};

/// The file whose lock is held by the program that the directory belongs to.
const LOCK: &str = ".in-use.lock";
/// What it is called until it is locked, so that no lock is there that nobody holds yet.
const UNLOCKED: &str = ".in-use.new";
/// How often a directory is removed that somebody fills, and the pause between.
const TRIES: usize = 100;
const PAUSE: Duration = Duration::from_millis(10);

/// A directory that only its owner may enter. It is removed when this is dropped, and when a signal stops the program.
#[derive(Debug)]
pub struct PrivateDirectory {
    path: PathBuf,
    on_stop: Option<OnStop>,
    _lock: File,
}

impl PrivateDirectory {
    /// Makes one in `parent`, whose name begins with `prefix`, and gives it to `owner`. Those that killed programs have
    /// left there under such names are removed.
    ///
    /// # Errors
    /// [`ErrorKind::Directory`](crate::ErrorKind::Directory).
    pub fn make(parent: &Path, prefix: &str, owner: Option<Account>) -> Result<Self, Error> {
        let cannot = |error| {
            let doing = format_args!("cannot make a directory in '{}'", parent.display());
            Error::directory(doing, &error)
        };
        // A socket's directory must have an absolute path.
        let parent = fs::canonicalize(parent).map_err(cannot)?;
        sweep(&parent, prefix);
        let made = tempfile::Builder::new()
            .prefix(prefix)
            .tempdir_in(parent)
            .map_err(cannot)?;
        let lock = lock(made.path()).map_err(cannot)?;
        let path = made.keep();
        let gone = path.clone();
        let on_stop = Some(job::on_stop(move || remove(&gone)));
        let directory = Self {
            path,
            on_stop,
            _lock: lock,
        };
        if let Some(owner) = owner {
            account::give(&directory.path, owner)?;
        }
        Ok(directory)
    }

    /// Its absolute path.
    pub fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for PrivateDirectory {
    fn drop(&mut self) {
        // A signal that is ending the program removes it itself.
        drop(self.on_stop.take());
        remove(&self.path);
    }
}

fn lock(directory: &Path) -> io::Result<File> {
    let unlocked = directory.join(UNLOCKED);
    let file = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(&unlocked)?;
    flock(&file, FlockOperation::NonBlockingLockExclusive)?;
    fs::rename(unlocked, directory.join(LOCK))?;
    Ok(file)
}

/// Removes the directories of programs that were killed. What cannot be looked at, or belongs to others, stays.
fn sweep(parent: &Path, prefix: &str) {
    for entry in fs::read_dir(parent).into_iter().flatten().flatten() {
        let named = entry
            .file_name()
            .as_encoded_bytes()
            .starts_with(prefix.as_bytes());
        if named && let Some(_lock) = abandoned(&entry.path()) {
            let path = entry.path();
            say!(
                "removing '{}', which a run that was killed has left",
                path.display()
            );
            remove(&path);
        }
    }
}

/// The lock of a directory that nobody else holds it of.
fn abandoned(directory: &Path) -> Option<File> {
    let found = directory.symlink_metadata().ok()?;
    let me = geteuid();
    if !found.is_dir() || !(me.is_root() || found.uid() == me.as_raw()) {
        return None;
    }
    let flags = OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::NOCTTY;
    let lock = OpenOptions::new()
        .read(true)
        .custom_flags(flags.bits().cast_signed())
        .open(directory.join(LOCK))
        .ok()?;
    flock(&lock, FlockOperation::NonBlockingLockExclusive).ok()?;
    Some(lock)
}

/// Removes a directory. When a signal ends the program, another thread may be making files in it, until it finds that it is
/// gone.
fn remove(path: &Path) {
    let mut tries = 0..TRIES;
    while let Err(error) = fs::remove_dir_all(path) {
        let is_filled = error.kind() == io::ErrorKind::DirectoryNotEmpty;
        if !is_filled || tries.next().is_none() {
            say!("cannot remove '{}': {error}", path.display());
            return;
        }
        thread::sleep(PAUSE);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_killed_program_has_left_is_removed_and_nothing_else() {
        let parent = tempfile::tempdir().unwrap();
        let left = parent.path().join("test-left");
        fs::create_dir_all(left.join("data")).unwrap();
        fs::write(left.join(LOCK), "").unwrap();
        for name in ["test-new", "other-left"] {
            fs::create_dir(parent.path().join(name)).unwrap();
        }
        fs::write(parent.path().join("other-left").join(LOCK), "").unwrap();
        let one = PrivateDirectory::make(parent.path(), "test-", None).unwrap();
        let two = PrivateDirectory::make(parent.path(), "test-", None).unwrap();
        assert!(!left.exists());
        for kept in [one.path(), two.path()] {
            assert!(kept.exists());
        }
        // No lock yet: its program may be about to take it.
        assert!(parent.path().join("test-new").exists());
        assert!(parent.path().join("other-left").exists());
        let path = one.path().to_owned();
        drop(one);
        assert!(!path.exists() && two.path().exists());
    }
}
