//! The WAL that leads on from a base backup, and what it holds.

use std::collections::BTreeMap;
use std::io;

use chrono::{DateTime, Utc};
use store::Store;
use wal::{
    Archive, ArchiveError, BegunRecord, Gap, Lsn, Meaning, Reach, Record, RecordReader, Segment,
    UnpackError, WalName, unpack,
};

use crate::{ArchiveContents, BaseBackup};

/// The segments of a timeline and of those before it that a recovery from a base backup reads, up to the first that is
/// missing.
#[derive(Debug)]
pub struct Chain {
    archive: Archive,
    reach: Reach,
    /// In the order of the WAL.
    segments: Vec<Segment>,
}

impl Chain {
    /// The chain from a base backup to a timeline; none if that does not lead on from it.
    pub fn new(
        store: &Store,
        contents: &ArchiveContents,
        base: &BaseBackup,
        timeline: u32,
    ) -> Option<Self> {
        let holdings = &contents.holdings;
        let (first, start) = base.start();
        let reach = holdings.reach(first, start, timeline)?;
        let size = holdings.size();
        // Where a timeline was left within a segment, the next one's holds both.
        let mut segments = BTreeMap::new();
        for stretch in &reach.stretches {
            let numbers = stretch.from.0 / size.bytes()..stretch.to.0.div_ceil(size.bytes());
            let of_it = numbers.map(|it| (it, Segment::numbered(stretch.timeline, it, size)));
            segments.extend(of_it.filter(|(_, segment)| holdings.holds(*segment)));
        }
        Some(Self {
            archive: Archive::new(store, contents.system),
            reach,
            segments: segments.into_values().collect(),
        })
    }

    /// Its segments, in the order of the WAL.
    pub fn segments(&self) -> &[Segment] {
        &self.segments
    }

    /// The first byte that cannot be replayed.
    pub fn until(&self) -> Lsn {
        self.reach.until
    }

    /// The first segments that are missing, although there are later ones.
    pub fn gap(&self) -> Option<Gap> {
        self.reach.gaps.first().copied()
    }

    /// When the last transaction of it ended. Of later moments nobody knows whether something was committed until then.
    ///
    /// # Errors
    /// A segment cannot be read, or is damaged.
    pub fn last_end(&self) -> Result<Option<DateTime<Utc>>, ArchiveError> {
        self.latest(|record| match record.meaning {
            Meaning::TransactionEnd { time, .. } => Some(time),
            _ => None,
        })
    }

    /// Where its last whole record begins.
    ///
    /// # Errors
    /// As [`last_end`](Self::last_end).
    pub fn last_record(&self) -> Result<Option<Lsn>, ArchiveError> {
        self.latest(|record| Some(record.at))
    }

    /// What `of` makes of the last record that it makes anything of.
    pub fn latest<T>(&self, of: impl Fn(&Record) -> Option<T>) -> Result<Option<T>, ArchiveError> {
        for segment in self.segments.iter().rev() {
            let mut found = None;
            self.read_whole(*segment, |_| true, &mut |record| {
                found = of(&record).or(found.take());
            })?;
            if found.is_some() {
                return Ok(found);
            }
        }
        Ok(None)
    }

    /// Hands the records of one of its segments to `on`: all that begin in it, but for a last one that goes on in the next
    /// segment and means nothing for a recovery.
    ///
    /// # Errors
    /// As [`last_end`](Self::last_end).
    pub fn read(&self, segment: Segment, on: &mut dyn FnMut(Record)) -> Result<(), ArchiveError> {
        self.read_whole(segment, BegunRecord::may_matter, on)
    }

    /// The same; `is_wanted` says for which last record the next segment is read.
    fn read_whole(
        &self,
        segment: Segment,
        is_wanted: impl Fn(&BegunRecord) -> bool,
        on: &mut dyn FnMut(Record),
    ) -> Result<(), ArchiveError> {
        let name = WalName::Segment(segment);
        let cannot = |error: &UnpackError| self.archive.unpack_error(name, error);
        let stored = self.archive.get(name)?.ok_or_else(|| {
            let gone = "it is gone since the store was listed";
            cannot(&UnpackError::Read(io::Error::new(
                io::ErrorKind::NotFound,
                gone,
            )))
        })?;
        let mut reader = RecordReader::new();
        // After the place where a timeline was left, a segment has records that are not of the chain.
        let mut see = |record: Record| {
            if record.at < self.reach.until {
                on(record);
            }
        };
        let read = unpack(stored.input, stored.raw_sha256, |piece| {
            reader.see(piece, &mut see);
            Ok(())
        });
        read.map_err(|error| cannot(&error))?;
        if let Some(begun) = reader.begun().filter(|it| is_wanted(it)) {
            let place = self.segments.iter().position(|it| *it == segment);
            let next = self
                .segments
                .iter()
                .skip(place.map_or(usize::MAX, |it| it + 1));
            if let Some(record) = self.archive.read_on(begun, next.copied())? {
                see(record);
            }
        }
        Ok(())
    }
}
