//! What the backups before the newest one were like, as far as their ends show.

use backup_file::{About, BackupName, Excluded, Index, SectionKind};
use job::Error;
use store::{Backup, QuickCheck, Store};

use crate::figures::SqlSizes;

/// How many earlier backups the newest one is compared with.
const COMPARED: usize = 7;
/// How many are looked at to find enough good ones.
const LOOKED_AT: usize = 2 * COMPARED;

/// The last good backups, newest first.
#[derive(Debug, Default)]
pub(crate) struct Earlier {
    /// Their sizes in bytes.
    pub(crate) sizes: Vec<u64>,
    /// What their databases have, of those that have an index.
    pub(crate) databases: Vec<SqlSizes>,
}

impl Earlier {
    /// Looks at the ends of the last of these backups. One that was made without other tables than `excluded` is not
    /// compared with: that it has another size was meant.
    ///
    /// # Errors
    /// The service does not answer.
    pub(crate) fn of(
        store: &Store,
        backups: &[Backup],
        excluded: &Excluded,
    ) -> Result<Self, Error> {
        let mut earlier = Self::default();
        for backup in backups.iter().rev().take(LOOKED_AT) {
            if earlier.sizes.len() == COMPARED {
                break;
            }
            match store.quick_check(backup)? {
                QuickCheck::NotGood(_) | QuickCheck::Gone => continue,
                QuickCheck::Whole(Some(index)) if index.about.excluded != *excluded => continue,
                QuickCheck::Whole(Some(index)) => earlier.databases.push(sql_sizes(&index)),
                // Their sizes count: nothing is known against them.
                QuickCheck::Whole(None)
                | QuickCheck::Foreign
                | QuickCheck::Archived
                | QuickCheck::NotAllowed(_) => {}
            }
            earlier.sizes.push(backup.size);
        }
        Ok(earlier)
    }
}

/// The newest of these backups that looks whole from its ends, the one to take instead of a bad one, and what its index
/// says of its dump.
pub(crate) fn newest_whole(
    store: &Store,
    backups: &[Backup],
) -> Option<(BackupName, Option<About>)> {
    backups
        .iter()
        .rev()
        .find_map(|backup| match store.quick_check(backup) {
            Ok(QuickCheck::Whole(index)) => Some((backup.name, index.map(|index| index.about))),
            Ok(QuickCheck::Foreign) => Some((backup.name, None)),
            _ => None,
        })
}

fn sql_sizes(index: &Index) -> SqlSizes {
    let sections = index.sections.iter();
    sections
        .filter_map(|section| match &section.kind {
            SectionKind::Database(name) => Some((name.clone(), section.sql_length)),
            _ => None,
        })
        .collect()
}
