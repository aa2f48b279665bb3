//! The lock of the one program that writes backups into a directory.
//!
//! It is on a file of our own, not on the directory: anybody who may open a directory may lock it, and could keep
//! every dump from running. Only those who may write into the directory can open our file, and they could stop a
//! dump anyway. The file is empty and is never removed: otherwise a second program could lock a new file while the
//! first still holds the old one.

use std::fs::{self, File, Metadata, OpenOptions, Permissions};
use std::io;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt, fchown};
use std::path::Path;

use rustix::fs::{FlockOperation, OFlags, flock};
use rustix::io::Errno;
use rustix::process::geteuid;

use crate::permission::{Access, path_error};
use crate::{Error, ErrorKind};

const LOCK_FILE: &str = ".pgdump-gz.lock";

/// Held by the one program that writes into a directory. Dropping it releases the lock; the kernel does so when the
/// program ends in any way.
#[derive(Debug)]
#[must_use = "the directory is unlocked when this is dropped"]
pub struct DirectoryLock(#[expect(dead_code, reason = "the lock goes with it")] File);

impl DirectoryLock {
    /// Locks `directory`.
    pub(crate) fn take(directory: &Path) -> Result<Self, Error> {
        let doing = format!("cannot lock '{}'", directory.display());
        let path = directory.join(LOCK_FILE);
        let file = open(directory, &path, &doing)?;
        match flock(&file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => {}
            Err(Errno::WOULDBLOCK) => {
                return Err(Error::new(
                    ErrorKind::Locked,
                    format!(
                        "another program is writing a backup into '{}'",
                        directory.display()
                    ),
                )
                .hint("wait until it has ended; its lock goes with it"));
            }
            Err(errno) => {
                return Err(Error::io(&doing, &errno.into())
                    .hint("its file system has no locks (NFS: mount it with a lock service)"));
            }
        }
        Ok(Self(file))
    }
}

/// Opens the lock's file, or creates it. It never follows a link, and never opens what would block.
fn open(directory: &Path, path: &Path, doing: &str) -> Result<File, Error> {
    let io = |error: &io::Error| path_error(doing, directory, Access::Write, error);
    let there = fs::metadata(directory).map_err(|error| io(&error))?;
    let flags = OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::NOCTTY;
    let opened = OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o600)
        .custom_flags(flags.bits().cast_signed())
        .open(path);
    let file = match opened {
        Ok(file) => file,
        Err(error) => {
            return Err(match path.symlink_metadata() {
                Ok(found) if !found.is_file() => no_lock(path, "is no regular file"),
                Ok(found) if error.kind() == io::ErrorKind::PermissionDenied => {
                    no_lock(path, &format!("belongs to another user ({})", found.uid()))
                }
                _ => io(&error),
            });
        }
    };
    let found = file.metadata().map_err(|error| io(&error))?;
    if !found.is_file() {
        return Err(no_lock(path, "is no regular file"));
    }
    if !is_trusted(&found, &there) {
        let what = format!("belongs to another user ({})", found.uid());
        return Err(no_lock(path, &what));
    }
    share(&file, &found, &there);
    Ok(file)
}

fn no_lock(path: &Path, what: &str) -> Error {
    Error::new(
        ErrorKind::Locked,
        format!("cannot lock the directory: '{}' {what}", path.display()),
    )
    .hint("remove it if no pgdump-gz runs there: it is made anew")
}

/// Whether it was made by somebody who may write into the directory.
fn is_trusted(file: &Metadata, directory: &Metadata) -> bool {
    let owners = [geteuid().as_raw(), 0, directory.uid()];
    owners.contains(&file.uid()) || directory.mode() & 0o022 != 0
}

/// Lets those who may write into the directory open the file, and nobody else. What we may not change stays as it
/// is.
fn share(file: &File, found: &Metadata, directory: &Metadata) {
    if geteuid().is_root() && found.uid() != directory.uid() {
        // A run by root must not keep the directory's owner out afterwards.
        let _ = fchown(file, Some(directory.uid()), None);
    }
    let grouped =
        found.gid() == directory.gid() || fchown(file, None, Some(directory.gid())).is_ok();
    let mut mode = 0o600;
    if directory.mode() & 0o020 != 0 && grouped {
        mode |= 0o060;
    }
    if directory.mode() & 0o002 != 0 {
        mode |= 0o006;
    }
    if found.mode() & 0o777 != mode {
        let _ = file.set_permissions(Permissions::from_mode(mode));
    }
}
