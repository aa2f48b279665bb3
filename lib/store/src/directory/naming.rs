//! How a file gets its name without overwriting another, and how that is made durable.

use std::fs::{self, File};
use std::io;
use std::path::Path;

use rustix::fs::{CWD, RenameFlags, renameat_with};

/// What a directory's file system can do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Naming {
    /// renameat2(2) with `RENAME_NOREPLACE`.
    Rename,
    /// link(2); the other name is removed afterwards.
    Link,
    /// Neither (FUSE, s3fs, some network file systems): a check, then rename(2). Two programs could check at the
    /// same time, so this is safe only while the directory is locked.
    Locked,
}

impl Naming {
    /// Finds out by renaming the file `from` to `to`, a name that is free.
    ///
    /// # Errors
    /// Files cannot be renamed there at all.
    pub(crate) fn probe(from: &Path, to: &Path) -> io::Result<Self> {
        let ways = [Self::Rename, Self::Link];
        let works = ways.into_iter().find(|way| way.give(from, to).is_ok());
        match works {
            Some(way) => Ok(way),
            None => Self::Locked.give(from, to).map(|()| Self::Locked),
        }
    }

    /// Gives a file another name. With [`Naming::Link`] it keeps the old one as well.
    ///
    /// # Errors
    /// Of the kind [`AlreadyExists`](io::ErrorKind::AlreadyExists) if the name is taken.
    pub(crate) fn give(self, from: &Path, to: &Path) -> io::Result<()> {
        match self {
            Self::Rename => Ok(renameat_with(CWD, from, CWD, to, RenameFlags::NOREPLACE)?),
            Self::Link => fs::hard_link(from, to),
            Self::Locked if to.symlink_metadata().is_ok() => {
                Err(io::ErrorKind::AlreadyExists.into())
            }
            Self::Locked => fs::rename(from, to),
        }
    }
}

/// Makes the renames and removals in a directory durable.
pub(crate) fn flush(directory: &Path) -> io::Result<()> {
    match File::open(directory)?.sync_all() {
        // Some network file systems have nothing to flush, and answer with an error.
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_that_is_taken_is_left_alone_in_every_way() {
        let home = tempfile::tempdir().unwrap();
        let (from, to) = (home.path().join("from"), home.path().join("to"));
        for way in [Naming::Rename, Naming::Link, Naming::Locked] {
            fs::write(&from, "new").unwrap();
            fs::write(&to, "old").unwrap();
            let error = way.give(&from, &to).unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::AlreadyExists, "{way:?}");
            assert_eq!(fs::read(&to).unwrap(), b"old");
            fs::remove_file(&to).unwrap();
            way.give(&from, &to).unwrap();
            assert_eq!(fs::read(&to).unwrap(), b"new");
            fs::remove_file(&to).unwrap();
        }
    }

    #[test]
    fn the_best_way_is_found() {
        let home = tempfile::tempdir().unwrap();
        let (from, to) = (home.path().join("from"), home.path().join("to"));
        assert!(Naming::probe(&from, &to).is_err());
        fs::write(&from, "").unwrap();
        assert_eq!(Naming::probe(&from, &to).unwrap(), Naming::Rename);
    }
}
