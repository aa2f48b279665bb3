use std::collections::BTreeMap;
use std::io;

use chrono::{DateTime, Utc};
use store::Store;
use wal::{
    Archive, ArchiveError, Archived, History, Holdings, Segment, SegmentSize, SystemId,
    UnpackError, WalName, unpack,
};

/// More than any history has.
const MOST_HISTORY: usize = 1 << 20;

/// A cluster's archive as it is listed, with the histories of its timelines.
#[derive(Debug, Clone)]
pub struct ArchiveContents {
    /// The cluster.
    pub system: SystemId,
    /// The archive's name for people.
    pub label: String,
    /// Everything that is in it, by name.
    pub files: BTreeMap<WalName, Archived>,
    /// The segments, and where the timelines came from.
    pub holdings: Holdings,
    /// Histories that cannot be read, and why.
    pub unreadable: Vec<(u32, String)>,
}

impl ArchiveContents {
    /// Lists a cluster's archive, to its end, and reads its histories.
    ///
    /// # Errors
    /// It cannot be listed, or the service does not answer. A history that is damaged is no error, but is
    /// [`unreadable`](Self::unreadable).
    pub fn read(store: &Store, system: SystemId, size: SegmentSize) -> Result<Self, ArchiveError> {
        let archive = Archive::new(store, system);
        let mut files = BTreeMap::new();
        archive.list(|file| {
            files.insert(file.name, file);
        })?;
        let mut contents = Self {
            system,
            label: archive.label(),
            files,
            holdings: Holdings::new(size),
            unreadable: Vec::new(),
        };
        for name in contents.files.keys() {
            contents.holdings.add(*name);
            if let WalName::History(timeline) = name {
                match history(&archive, *timeline)? {
                    Some(Ok(history)) => contents.holdings.add_history(history),
                    Some(Err(why)) => contents.unreadable.push((*timeline, why)),
                    None => {}
                }
            }
        }
        Ok(contents)
    }

    /// The same without some files.
    #[must_use]
    pub fn without(&self, gone: &[WalName]) -> Self {
        let mut files = self.files.clone();
        for name in gone {
            files.remove(name);
        }
        let mut holdings = Holdings::new(self.holdings.size());
        files.keys().for_each(|name| holdings.add(*name));
        for history in self.holdings.histories() {
            holdings.add_history(history.clone());
        }
        Self {
            files,
            holdings,
            ..self.clone()
        }
    }

    /// When a segment was stored, if it is there and the store says so.
    pub fn stored(&self, segment: Segment) -> Option<DateTime<Utc>> {
        self.files.get(&WalName::Segment(segment))?.stored
    }

    /// Bytes of all files, as they are stored.
    pub fn size(&self) -> u64 {
        let sizes = self.files.values().map(|file| file.size);
        sizes.fold(0, u64::saturating_add)
    }
}

/// A timeline's history; none if it is gone since it was listed.
fn history(
    archive: &Archive,
    timeline: u32,
) -> Result<Option<Result<History, String>>, ArchiveError> {
    let Some(stored) = archive.get(WalName::History(timeline))? else {
        return Ok(None);
    };
    let mut text = Vec::new();
    let unpacked = unpack(stored.input, stored.raw_sha256, |piece| {
        text.extend_from_slice(piece);
        match text.len() {
            ..=MOST_HISTORY => Ok(()),
            _ => Err(io::ErrorKind::FileTooLarge.into()),
        }
    });
    Ok(Some(match unpacked {
        Ok(_) => History::parse(timeline, &text).map_err(|error| error.to_string()),
        Err(UnpackError::Damaged(what)) => Err(what),
        Err(UnpackError::Write(_)) => Err("it is longer than any history".to_owned()),
        // What does not come is not known to be damaged.
        Err(UnpackError::Read(error)) => Err(error.to_string()),
        Err(_) => Err("it cannot be read".to_owned()),
    }))
}
