//! What the backups before the newest one were like, by their ends alone.

use backup_file::{Index, SectionKind};
use job::Error;
use store::{Backup, QuickCheck, Store};

use crate::checks::size::{COMPARED, Databases};

/// How many are looked at to find enough good ones.
const FARTHEST: usize = 2 * COMPARED;

/// The last good ones, newest first.
#[derive(Debug, Default)]
pub(crate) struct Past {
    /// Their sizes in bytes.
    pub(crate) sizes: Vec<u64>,
    /// What their databases have, of those that have an index.
    pub(crate) databases: Vec<Databases>,
}

impl Past {
    /// Glances at the last of these backups.
    ///
    /// # Errors
    /// The service does not answer.
    pub(crate) fn of(store: &Store, backups: &[Backup]) -> Result<Self, Error> {
        let mut past = Self::default();
        for backup in backups.iter().rev().take(FARTHEST) {
            if past.sizes.len() == COMPARED {
                break;
            }
            match store.quick_check(backup)? {
                QuickCheck::NotGood(_) | QuickCheck::Gone => continue,
                QuickCheck::Whole(Some(index)) => past.databases.push(databases(&index)),
                // Their sizes count, as far as is known.
                QuickCheck::Whole(None)
                | QuickCheck::Foreign
                | QuickCheck::Archived
                | QuickCheck::NotAllowed(_) => {}
            }
            past.sizes.push(backup.size);
        }
        Ok(past)
    }
}

fn databases(index: &Index) -> Databases {
    let sections = index.sections.iter();
    sections
        .filter_map(|section| match &section.kind {
            SectionKind::Database(name) => Some((name.clone(), section.sql_length)),
            _ => None,
        })
        .collect()
}
