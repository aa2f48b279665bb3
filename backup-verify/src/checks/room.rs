//! Whether there is room for the next backups.

use std::path::Path;

use job::Error;
use job::text::bytes;
use store::Space;

use crate::figures::Figures;
use crate::finding::Finding;

const REMEDY: &str =
    "see whether blob-prune runs, keep fewer days, or take a larger volume or quota";

/// How much of a store is taken, in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Room {
    used: u64,
    total: u64,
    /// Whether the total is a quota, not a file system.
    quota: bool,
}

impl Room {
    /// The room in the file system of a directory, if that knows its size.
    ///
    /// # Errors
    /// It cannot be asked.
    pub(crate) fn of_file_system(directory: &Path) -> Result<Option<Self>, Error> {
        let space = Space::of(directory)?;
        Ok(space.map(|Space { used, free }| Self {
            used,
            total: used.saturating_add(free),
            quota: false,
        }))
    }

    /// The room in a quota.
    pub(crate) fn of_quota(used: u64, quota: u64) -> Self {
        Self {
            used,
            total: quota,
            quota: true,
        }
    }

    /// Judges it: up to the fraction `max` may be used.
    pub(crate) fn check(self, max: f64) -> Finding {
        let ratio = match self.total {
            0 => 1.0,
            total => self.used as f64 / total as f64,
        };
        let of = if self.quota {
            "the quota of"
        } else {
            "its file system of"
        };
        let words = format!(
            "{:.0} % of {of} {} are used; {:.0} % are allowed",
            ratio * 100.0,
            bytes(self.total),
            max * 100.0
        );
        let finding = if ratio <= max {
            Finding::ok("room", words)
        } else {
            let words = format!("the store is nearly full: {words}");
            Finding::bad("room", Error::not_good(words).hint(REMEDY))
        };
        finding.figures(Figures::Room {
            used_bytes: self.used,
            total_bytes: self.total,
            used_ratio: ratio,
            max_used_ratio: max,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::finding::Grade;

    fn is_good(used: u64, total: u64, max: f64) -> bool {
        match Room::of_quota(used, total).check(max).grade {
            Grade::Ok => true,
            Grade::Bad(_) => false,
            Grade::Warning => panic!("it is good or not"),
        }
    }

    #[test]
    fn up_to_the_limit() {
        assert!(is_good(0, 100, 0.8));
        assert!(is_good(80, 100, 0.8));
        assert!(!is_good(81, 100, 0.8));
        assert!(!is_good(200, 100, 0.8));
        assert!(!is_good(0, 0, 0.8));
        assert!(is_good(1, 1, 1.0));
    }

    #[test]
    fn a_file_system_is_of_a_size() {
        let room = Room::of_file_system(Path::new("/")).unwrap().unwrap();
        assert!(room.used > 0 && room.used <= room.total);
        assert!(Room::of_file_system(Path::new("/nowhere")).is_err());
        // It has no blocks; ramfs and some file systems of FUSE have none either.
        assert_eq!(Room::of_file_system(Path::new("/proc")).unwrap(), None);
    }
}
