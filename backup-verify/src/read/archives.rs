//! The base backups of a store by their ends, and the WAL archives that lead on from them.

use backup_file::{About, BackupName};
use job::Error;
use recovery_window::{ArchiveContents, BaseBackup, Window};
use store::{Backup, QuickCheck, Store};
use wal::{Archive, SegmentSize, SystemId};

/// What leads back to the moments between two dumps.
#[derive(Debug)]
pub(crate) struct Archives {
    /// The clusters that there is WAL or a base backup of, by their system identifiers.
    pub(crate) clusters: Vec<Cluster>,
    /// Base backups of which nobody knows which WAL they need, and why. Oldest first.
    pub(crate) unknown: Vec<(BackupName, String)>,
}

/// A cluster's base backups and its archive.
#[derive(Debug)]
pub(crate) struct Cluster {
    pub(crate) contents: ArchiveContents,
    /// Oldest first.
    pub(crate) bases: Vec<BaseBackup>,
    /// Of each of them.
    pub(crate) windows: Vec<Window>,
}

impl Archives {
    /// Looks at the ends of these base backups, oldest first, and lists all archives.
    ///
    /// # Errors
    /// An archive cannot be listed; the service does not answer.
    pub(crate) fn read(store: &Store, backups: &[Backup]) -> Result<Self, Error> {
        let mut bases: Vec<BaseBackup> = Vec::new();
        let mut unknown = Vec::new();
        for backup in backups {
            let name = backup.name;
            let why = match store.quick_check(backup)? {
                QuickCheck::Whole(index) => {
                    bases.extend(index.and_then(|index| BaseBackup::new(name, &index)));
                    continue;
                }
                QuickCheck::Gone => continue,
                QuickCheck::Archived => "it is in the archive tier".to_owned(),
                QuickCheck::Foreign => "it has no index".to_owned(),
                QuickCheck::NotGood(why) | QuickCheck::NotAllowed(why) => why,
            };
            unknown.push((name, why));
        }
        let mut systems = Archive::systems(store)?;
        systems.extend(bases.iter().map(|base| base.system));
        systems.sort_unstable();
        systems.dedup();
        let clusters = systems.into_iter().map(|system| {
            let of_it = bases.iter().filter(|base| base.system == system);
            Cluster::read(store, system, of_it.cloned().collect())
        });
        Ok(Self {
            clusters: clusters.collect::<Result<_, _>>()?,
            unknown,
        })
    }

    /// The newest base backup that looks whole, this one aside.
    pub(crate) fn newest_beside(&self, name: BackupName) -> Option<BackupName> {
        let bases = self.clusters.iter().flat_map(|it| &it.bases);
        bases.map(|base| base.name).filter(|it| *it != name).max()
    }

    /// The cluster of the newest base backup whose end could be read.
    pub(crate) fn newest_cluster(&self) -> Option<&Cluster> {
        let with_base = self.clusters.iter().filter(|it| !it.bases.is_empty());
        with_base.max_by_key(|it| it.bases.last().map(|base| base.name))
    }

    /// What a base backup says of itself, if its end could be read.
    pub(crate) fn about(&self, name: BackupName) -> Option<&About> {
        let mut bases = self.clusters.iter().flat_map(|it| &it.bases);
        bases.find(|base| base.name == name).map(|it| &it.about)
    }

    /// Bytes of all archives, as they are stored.
    pub(crate) fn size(&self) -> u64 {
        let sizes = self.clusters.iter().map(|it| it.contents.size());
        sizes.fold(0, u64::saturating_add)
    }
}

impl Cluster {
    fn read(store: &Store, system: SystemId, bases: Vec<BaseBackup>) -> Result<Self, Error> {
        let size = bases
            .last()
            .map_or_else(SegmentSize::default, |base| base.segment_size);
        let contents = ArchiveContents::read(store, system, size)?;
        let windows = bases.iter().map(|base| Window::of(base, &contents));
        Ok(Self {
            windows: windows.collect(),
            bases,
            contents,
        })
    }
}
