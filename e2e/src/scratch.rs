//! A test's own directory.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use tempfile::TempDir;

use crate::watchdog;

/// The beginning of the names of all directories that the harness makes.
pub const PREFIX: &str = "e2e-";

/// What `pgdump-gz --dir` locks.
pub const LOCK_FILE: &str = ".pgdump-gz.lock";

/// A directory that is gone when this is dropped. Others may read it: the server of a [`Cluster`] runs
/// as another user.
///
/// [`Cluster`]: crate::Cluster
#[derive(Debug)]
pub struct Scratch {
    dir: TempDir,
}

impl Scratch {
    /// Makes one.
    ///
    /// # Panics
    /// When the temporary directory cannot be written to.
    #[expect(clippy::new_without_default, reason = "it makes a directory")]
    pub fn new() -> Self {
        let dir = tempfile::Builder::new()
            .prefix(PREFIX)
            .permissions(Permissions::from_mode(0o755))
            .tempdir()
            .expect("a temporary directory");
        watchdog::made(dir.path());
        Self { dir }
    }

    /// The directory.
    pub fn path(&self) -> &Path {
        self.dir.path()
    }

    /// A path in it.
    pub fn join(&self, name: impl AsRef<Path>) -> PathBuf {
        self.path().join(name)
    }

    /// Makes a directory in it.
    ///
    /// # Panics
    /// When that fails.
    pub fn make(&self, name: impl AsRef<Path>) -> PathBuf {
        let path = self.join(name);
        fs::create_dir_all(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        path
    }

    /// Writes a file in it.
    ///
    /// # Panics
    /// When that fails.
    pub fn write(&self, name: impl AsRef<Path>, bytes: impl AsRef<[u8]>) -> PathBuf {
        let path = self.join(name);
        fs::write(&path, bytes).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        path
    }

    /// Writes a shell script in it that can be run.
    ///
    /// # Panics
    /// When that fails.
    pub fn script(&self, name: &str, script: &str) -> PathBuf {
        let draft = self.write(format!("{name}.draft"), format!("#!/bin/sh\n{script}\n"));
        let path = self.join(name);
        // Written by another process: one that another thread forks here while the file is open for
        // writing holds it open too, and the kernel runs no such file ("Text file busy").
        let installed = Command::new("install")
            .args(["-D", "--mode=755", "--"])
            .args([&draft, &path])
            .status();
        assert!(installed.is_ok_and(|status| status.success()), "{name}");
        path
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        // A process that is being killed may still be writing: the second time it is gone.
        for _ in 0..2 {
            if fs::remove_dir_all(self.path()).is_ok() {
                break;
            }
        }
        if !self.path().exists() {
            watchdog::removed(self.path());
        }
    }
}

/// The names in a directory, sorted, but that of the file that `pgdump-gz --dir` locks, which stays.
///
/// # Panics
/// When it cannot be read.
pub fn names(dir: impl AsRef<Path>) -> Vec<String> {
    let dir = dir.as_ref();
    let entries = fs::read_dir(dir).unwrap_or_else(|error| panic!("{}: {error}", dir.display()));
    let mut names: Vec<String> = entries
        .map(|entry| {
            let entry = entry.expect("an entry");
            entry.file_name().to_string_lossy().into_owned()
        })
        .filter(|name| name != LOCK_FILE)
        .collect();
    names.sort();
    names
}
