//! A file system of a test's own.

use std::fs;
use std::path::{Path, PathBuf};

use crate::Program;

/// A small file system in memory, mounted on a directory until it is dropped.
#[derive(Debug)]
pub struct Volume {
    path: PathBuf,
}

impl Volume {
    /// Makes the directory, and mounts one of `size` (`70m`) on it.
    ///
    /// # Panics
    /// When neither root nor sudo lets it.
    pub fn mount(path: impl Into<PathBuf>, size: &str) -> Self {
        let path = path.into();
        fs::create_dir_all(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        let options = format!("size={size},mode=755");
        as_root("mount", &["-t", "tmpfs", "-o", &options, "tmpfs"])
            .arg(&path)
            .succeeds();
        Self { path }
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for Volume {
    fn drop(&mut self) {
        as_root("umount", &["--lazy"]).arg(&self.path).run();
    }
}

/// A program that only root may run.
pub fn as_root(program: &str, arguments: &[&str]) -> Program {
    let run = match rustix::process::geteuid().is_root() {
        true => Program::other(program),
        false => Program::other("sudo").args(["-n", program]),
    };
    run.args(arguments)
}
