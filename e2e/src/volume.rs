//! A file system of a test's own.

use std::fs::{self, File};
use std::io::{ErrorKind, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use crate::Program;

/// A file system, mounted on a directory until it is dropped.
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

    /// Makes the directory, and mounts one in memory on it that does not know how large it is.
    ///
    /// # Panics
    /// When neither root nor sudo lets it.
    pub fn without_size(path: impl Into<PathBuf>) -> Self {
        let path = path.into();
        fs::create_dir_all(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        as_root("mount", &["-t", "ramfs", "-o", "mode=777", "ramfs"])
            .arg(&path)
            .succeeds();
        Self { path }
    }

    /// Makes the directory, and mounts one on it that has neither hard links nor a rename that replaces
    /// nothing, as s3fs and other FUSE have none: sshfs, without a network. Its files are in `files`.
    ///
    /// # Panics
    /// When neither root nor sudo lets it.
    pub fn without_links(path: impl Into<PathBuf>, files: &Path) -> Self {
        let path = path.into();
        for directory in [&path, files] {
            fs::create_dir_all(directory)
                .unwrap_or_else(|error| panic!("{}: {error}", directory.display()));
        }
        // It would log in somewhere; this only serves files.
        let login = files.with_extension("login");
        let script = "#!/bin/sh\nexec /usr/lib/openssh/sftp-server\n";
        fs::write(&login, script).unwrap_or_else(|error| panic!("{}: {error}", login.display()));
        fs::set_permissions(&login, fs::Permissions::from_mode(0o755))
            .unwrap_or_else(|error| panic!("{}: {error}", login.display()));
        let command = format!("ssh_command={}", login.display());
        as_root(
            "sshfs",
            &["-o", "disable_hardlink,allow_other", "-o", &command],
        )
        .arg(format!("here:{}", files.display()))
        .arg(&path)
        .succeeds();
        Self { path }
    }

    /// Takes all the room that is left, in a file `filler`.
    ///
    /// # Panics
    /// When that fails for any other reason.
    pub fn fill(&self) {
        let mut filler = File::create(self.path.join("filler")).expect("a file");
        for piece in [vec![0; 1 << 20], vec![0; 1]] {
            let full = loop {
                if let Err(error) = filler.write_all(&piece) {
                    break error;
                }
            };
            assert_eq!(full.kind(), ErrorKind::StorageFull, "{full}");
        }
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
