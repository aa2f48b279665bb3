use std::path::Path;

use rustix::fs::statvfs;
use rustix::io::Errno;

use crate::Error;

/// How many bytes of a file system are used and how many are free, as `df` counts them: what is reserved for root is
/// not free.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Space {
    /// Used.
    pub used: u64,
    /// Free for this process.
    pub free: u64,
}

impl Space {
    /// Of the file system that a directory is on; none if the file system does not know its own size (ramfs, some of
    /// FUSE).
    ///
    /// # Errors
    /// The system's.
    pub fn of(directory: &Path) -> Result<Option<Self>, Error> {
        match statvfs(directory) {
            Ok(disk) if disk.f_blocks == 0 => Ok(None),
            Ok(disk) => Ok(Some(Self {
                used: disk
                    .f_blocks
                    .saturating_sub(disk.f_bfree)
                    .saturating_mul(disk.f_frsize),
                free: disk.f_bavail.saturating_mul(disk.f_frsize),
            })),
            Err(Errno::NOSYS | Errno::OPNOTSUPP) => Ok(None),
            Err(errno) => Err(Error::io(
                format_args!("cannot ask for the free space of '{}'", directory.display()),
                &errno.into(),
            )),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_does_not_know_its_size_is_not_full() {
        // As ramfs, it has no blocks.
        assert_eq!(Space::of(Path::new("/proc")).unwrap(), None);
        let here = Space::of(Path::new(".")).unwrap().unwrap();
        assert!(here.used > 0, "{here:?}");
        let error = Space::of(Path::new("/nonexistent")).unwrap_err();
        assert!(error.to_string().contains("'/nonexistent'"), "{error}");
    }
}
