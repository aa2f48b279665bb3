//! The WAL archives of a store: what of them no base backup needs any more.

use std::collections::BTreeSet;

use backup_file::BackupName;
use chrono::{DateTime, Utc};
use job::Error;
use recovery_window::{ArchiveContents, BaseBackup, Window};
use retention::{KeptBase, needless_wal, window_begin};
use store::{Deletion, Store};
use wal::{Archive, SystemId, WalName};

use crate::survey::{Survey, UnknownBase};

/// The archive of one cluster, listed to its end.
#[derive(Debug)]
pub(crate) struct ClusterArchive {
    pub(crate) system: SystemId,
    /// None where no base backup of it is there: then nothing of it is looked at.
    contents: Option<ArchiveContents>,
    /// Its base backups, oldest first.
    bases: Vec<BaseBackup>,
}

/// What becomes of one archive.
#[derive(Debug)]
pub(crate) struct Verdict {
    /// What goes, oldest first.
    pub(crate) goes: Vec<WalName>,
    /// Bytes of it.
    pub(crate) bytes: u64,
    /// The number of all files.
    pub(crate) files: usize,
    /// Why nothing goes although base backups may.
    pub(crate) untouched: Option<String>,
    pub(crate) before: Vec<Window>,
    pub(crate) after: Vec<Window>,
}

/// All archives of a store, and the base backups that count for them.
#[derive(Debug)]
pub(crate) struct Archives {
    pub(crate) clusters: Vec<ClusterArchive>,
    unknown: Vec<UnknownBase>,
    now: DateTime<Utc>,
    wal_days: Option<u32>,
}

impl Archives {
    /// Lists all archives of a store to their ends.
    ///
    /// # Errors
    /// One of them cannot be listed, or the service does not answer. Then nothing of any may go.
    pub(crate) fn read(
        store: &Store,
        bases: &mut Survey,
        now: DateTime<Utc>,
        wal_days: Option<u32>,
    ) -> Result<Self, Error> {
        let systems = Archive::systems(store)?;
        let unknown = match systems.is_empty() {
            true => Vec::new(),
            false => bases.look_at_bases(store)?,
        };
        let mut clusters = Vec::new();
        for system in systems {
            let known = bases.bases.values().filter(|base| base.system == system);
            let known: Vec<BaseBackup> = known.cloned().collect();
            let contents = match known.last() {
                Some(newest) => Some(ArchiveContents::read(store, system, newest.segment_size)?),
                None => None,
            };
            clusters.push(ClusterArchive {
                system,
                contents,
                bases: known,
            });
        }
        Ok(Self {
            clusters,
            unknown,
            now,
            wal_days,
        })
    }

    /// What becomes of the archive of a cluster if these base backups are gone.
    pub(crate) fn verdict(&self, cluster: &ClusterArchive, gone: &BTreeSet<BackupName>) -> Verdict {
        let windows = |bases: &[&BaseBackup], contents: &ArchiveContents| -> Vec<Window> {
            let bases = bases.iter();
            bases.map(|base| Window::of(base, contents)).collect()
        };
        let Some(contents) = &cluster.contents else {
            return Verdict::untouched(0, "there is no base backup of it here".to_owned());
        };
        let all: Vec<&BaseBackup> = cluster.bases.iter().collect();
        let left: Vec<&BaseBackup> = cluster
            .bases
            .iter()
            .filter(|base| !gone.contains(&base.name))
            .collect();
        let before = windows(&all, contents);
        let files = contents.files.len();
        if let Some(why) = self.forbids(&left, gone) {
            return Verdict {
                after: windows(&left, contents),
                before,
                ..Verdict::untouched(files, why)
            };
        }
        let names = contents.files.keys().copied();
        let goes = needless_wal(
            &contents.holdings,
            names,
            &kept(&left),
            self.now,
            self.wal_days,
        );
        let sizes = goes.iter().filter_map(|name| contents.files.get(name));
        Verdict {
            bytes: sizes.fold(0, |sum, file| sum.saturating_add(file.size)),
            files,
            untouched: None,
            before,
            after: windows(&left, &contents.without(&goes)),
            goes,
        }
    }

    /// Why nothing may go of an archive of which these base backups are left.
    fn forbids(&self, left: &[&BaseBackup], gone: &BTreeSet<BackupName>) -> Option<String> {
        let Some(begin) = window_begin(&kept(left), self.now, self.wal_days) else {
            return Some("no base backup of it is kept".to_owned());
        };
        let mut unknown = self.unknown.iter().filter(|it| !gone.contains(&it.name));
        // A bad one does no harm where all WAL stays.
        let in_doubt = unknown.find(|it| !it.is_bad || it.name.started() < begin)?;
        Some(format!(
            "nobody knows which WAL '{}' needs: {}",
            in_doubt.name, in_doubt.why
        ))
    }

    /// Deletes what goes of an archive, oldest first.
    pub(crate) fn delete(
        store: &Store,
        system: SystemId,
        goes: &[WalName],
        done: &mut dyn FnMut(WalName, Deletion),
    ) -> Result<(), Error> {
        Ok(Archive::new(store, system).remove(goes, done)?)
    }
}

impl Verdict {
    fn untouched(files: usize, why: String) -> Self {
        Self {
            goes: Vec::new(),
            bytes: 0,
            files,
            untouched: Some(why),
            before: Vec::new(),
            after: Vec::new(),
        }
    }
}

fn kept(bases: &[&BaseBackup]) -> Vec<KeptBase> {
    let bases = bases.iter();
    bases
        .map(|base| KeptBase {
            finished: base.about.finished,
            wal: base.wal.clone(),
        })
        .collect()
}
