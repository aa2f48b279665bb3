//! The records of a segment (PostgreSQL's `xlogrecord.h`, `xlog_internal.h`): of each its place, and where it ends a
//! transaction or is a restore point, when that was. The layout read here is the same from PostgreSQL 14 to 18.

use std::ops::ControlFlow;

use chrono::{DateTime, TimeDelta, Utc};
use crc_fast::{CrcAlgorithm, Digest};

use crate::{LongHeader, Lsn, Segment};

/// `SizeOfXLogShortPHD`, aligned.
const SHORT_HEADER: usize = 24;
/// `SizeOfXLogRecord`.
const RECORD_HEADER: usize = 24;
/// Where a record's own CRC is in its header: what is before it counts, after all that follows the header.
const CRC: usize = 20;
/// What is kept of a record: its header, the headers of its data, and a restore point's time and name.
const KEPT: usize = 128;
const ALIGNMENT: usize = 8;
/// `XLP_FIRST_IS_CONTRECORD`.
const CONTINUES: u16 = 1;
const RM_XLOG: u8 = 0;
const RM_XACT: u8 = 1;
const RM_TABLESPACE: u8 = 5;
/// `XLOG_TBLSPC_CREATE`.
const TABLESPACE_CREATION: u8 = 0x00;
/// `XLOG_RESTORE_POINT`.
const RESTORE_POINT: u8 = 0x70;
/// `MAXFNAMELEN`.
const RESTORE_POINT_NAME: usize = 64;
/// `XLOG_XACT_OPMASK`.
const XACT: u8 = 0x70;
/// Unix time of PostgreSQL's epoch, 2000-01-01.
const EPOCH: i64 = 946_684_800;

/// A whole record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record {
    /// Where it begins: what `recovery_target_lsn` is compared with.
    pub at: Lsn,
    /// What it means for a recovery.
    pub meaning: Meaning,
}

/// What a record means for a recovery that is to stop somewhere.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Meaning {
    /// A transaction was committed or rolled back: only here a recovery to a moment stops.
    TransactionEnd {
        /// When.
        time: DateTime<Utc>,
        /// Its number, without the epoch; none of a prepared transaction.
        xid: Option<u32>,
        /// Whether it was committed.
        committed: bool,
    },
    /// `pg_create_restore_point`.
    RestorePoint {
        /// When.
        time: DateTime<Utc>,
        /// Its name, in the encoding of the database that it was made in.
        name: Vec<u8>,
    },
    /// A tablespace is created: replay makes it in this directory, wherever that is.
    TablespaceCreation {
        /// Its directory, or the first of its path; empty for one within the data directory.
        location: Vec<u8>,
    },
    /// Anything else.
    Other,
}

/// Reads the records of one segment, whose bytes come in pieces, from the first that begins in it to the last that ends
/// in it. One may go on in the next segment ([`begun`](Self::begun)).
#[derive(Debug, Default)]
pub struct RecordReader {
    /// That of the segment before, which ended within a record.
    before: Option<LongHeader>,
    header: Option<LongHeader>,
    /// The page that is coming.
    page: Vec<u8>,
    /// How many bytes of pages were read.
    read: u64,
    state: State,
}

#[derive(Debug, Default)]
enum State {
    /// At the end of a record, or at the beginning.
    #[default]
    Between,
    /// In one that began before, of which so many bytes are still to come.
    Skipping(usize),
    Within(Box<Partial>),
    /// After the last record.
    Ended,
}

/// A record that has not come to its end.
struct Partial {
    at: Lsn,
    /// All its bytes.
    length: usize,
    /// Those that have come.
    come: usize,
    first: Vec<u8>,
    crc: Digest,
}

/// A record that has begun, and goes on in the next segment: almost every segment ends within one.
#[derive(Debug)]
pub struct BegunRecord(RecordReader);

impl RecordReader {
    /// A reader of a segment from its first byte on.
    pub fn new() -> Self {
        Self::default()
    }

    /// Takes the next bytes, and hands each whole record to `on`. What is no WAL ends the segment, as PostgreSQL has it.
    pub fn see(&mut self, mut bytes: &[u8], on: &mut dyn FnMut(Record)) {
        while !bytes.is_empty() && !matches!(self.state, State::Ended) {
            let wanted = match &self.header {
                None => LongHeader::BYTES,
                Some(header) => usize::try_from(header.page_size).unwrap_or(usize::MAX),
            };
            let (now, later) = bytes.split_at(bytes.len().min(wanted - self.page.len()));
            self.page.extend_from_slice(now);
            bytes = later;
            if self.page.len() < wanted {
                return;
            }
            match self.header {
                None => match LongHeader::read(&self.page) {
                    Ok(header) if self.before.is_none_or(|it| leads_to(&it, &header)) => {
                        self.header = Some(header);
                    }
                    _ => self.state = State::Ended,
                },
                Some(header) => {
                    let page = std::mem::take(&mut self.page);
                    self.page(&header, &page, on);
                    self.read += page.len() as u64;
                    self.page = page;
                    self.page.clear();
                    if self.read >= header.segment_size.bytes() {
                        self.end_segment(header);
                    }
                }
            }
        }
    }

    /// The record within which the segment has ended, when all its bytes were seen.
    pub fn begun(self) -> Option<BegunRecord> {
        (self.header.is_none() && self.is_within()).then_some(BegunRecord(self))
    }

    fn is_within(&self) -> bool {
        matches!(self.state, State::Within(_))
    }

    fn end_segment(&mut self, header: LongHeader) {
        match self.is_within() {
            true => {
                self.before = Some(header);
                self.header = None;
                self.read = 0;
            }
            false => self.state = State::Ended,
        }
    }

    /// Reads a whole page.
    fn page(&mut self, header: &LongHeader, page: &[u8], on: &mut dyn FnMut(Record)) {
        let begins = Lsn(header.address.0 + self.read);
        let is_ours = u16_at(page, 0) == header.magic && u64_at(page, 8) == begins.0;
        if !is_ours {
            self.state = State::Ended;
            return;
        }
        let left = usize::try_from(u32_at(page, 16)).unwrap_or(usize::MAX);
        let continues = u16_at(page, 2) & CONTINUES != 0;
        let mut at = match self.read {
            0 => LongHeader::BYTES,
            _ => SHORT_HEADER,
        };
        let state = std::mem::take(&mut self.state);
        self.state = match state {
            State::Between if continues => State::Skipping(left),
            State::Within(partial) if continues && partial.length - partial.come == left => {
                State::Within(partial)
            }
            // After a crash PostgreSQL may begin anew where a record broke off.
            _ if continues => State::Skipping(left),
            _ => State::Between,
        };
        while at < page.len() {
            let rest = page.get(at..).unwrap_or_default();
            match std::mem::take(&mut self.state) {
                State::Between => {
                    let length = usize::try_from(u32_at(rest, 0)).unwrap_or(usize::MAX);
                    if length < RECORD_HEADER {
                        self.state = State::Ended;
                        return;
                    }
                    self.state = State::Within(Box::new(Partial {
                        at: Lsn(begins.0 + at as u64),
                        length,
                        come: 0,
                        first: Vec::with_capacity(KEPT),
                        crc: Digest::new(CrcAlgorithm::Crc32Iscsi),
                    }));
                }
                State::Skipping(left) => {
                    let now = left.min(rest.len());
                    at += now;
                    self.state = match left - now {
                        0 => State::Between,
                        left => State::Skipping(left),
                    };
                    if left == now {
                        at = at.next_multiple_of(ALIGNMENT);
                    }
                }
                State::Within(mut partial) => {
                    let now = (partial.length - partial.come).min(rest.len());
                    partial.take(rest.get(..now).unwrap_or_default());
                    at += now;
                    if partial.come < partial.length {
                        self.state = State::Within(partial);
                        continue;
                    }
                    let Some(record) = partial.record() else {
                        self.state = State::Ended;
                        return;
                    };
                    on(record);
                    at = at.next_multiple_of(ALIGNMENT);
                }
                State::Ended => return,
            }
        }
    }
}

impl BegunRecord {
    /// Takes the next bytes of the segments that come after its own, and breaks with the record when it is whole. It breaks
    /// with none where it does not go on: PostgreSQL's WAL ended there, or these are not the next segments.
    pub fn see(&mut self, bytes: &[u8]) -> ControlFlow<Option<Record>> {
        let mut first = None;
        self.0.see(bytes, &mut |record| {
            first.get_or_insert(record);
        });
        let is_it = |record: &Record| self.0.before.is_some_and(|it| record.at < end_of(&it));
        match first {
            Some(record) => ControlFlow::Break(Some(record).filter(is_it)),
            None if self.0.is_within() => ControlFlow::Continue(()),
            None => ControlFlow::Break(None),
        }
    }

    /// The segment that it goes on in, after its own one, if that is of the same timeline.
    pub fn next(&self, own: Segment) -> Option<Segment> {
        own.next(self.0.before?.segment_size)
    }

    /// Whether it may be one that means anything for a recovery, as far as it was seen.
    pub fn may_matter(&self) -> bool {
        let State::Within(partial) = &self.0.state else {
            return false;
        };
        let Some([info, manager]) = partial.first.get(16..18) else {
            // Its kind is in the next segment.
            return true;
        };
        match *manager {
            RM_XACT => matches!(info & XACT, 0x00 | 0x20 | 0x30 | 0x40),
            RM_XLOG => info & 0xf0 == RESTORE_POINT,
            RM_TABLESPACE => info & 0xf0 == TABLESPACE_CREATION,
            _ => false,
        }
    }
}

/// The first byte after the segment that a header begins.
fn end_of(header: &LongHeader) -> Lsn {
    Lsn(header.address.0.saturating_add(header.segment_size.bytes()))
}

/// Whether the segment of a header comes after that of another. It may be of a later timeline.
fn leads_to(before: &LongHeader, header: &LongHeader) -> bool {
    header.system == before.system && header.address == end_of(before)
}

impl Partial {
    fn take(&mut self, bytes: &[u8]) {
        let of_header = RECORD_HEADER.saturating_sub(self.come).min(bytes.len());
        self.crc.update(bytes.get(of_header..).unwrap_or_default());
        let room = KEPT - self.first.len();
        self.first.extend(bytes.iter().take(room));
        self.come += bytes.len();
    }

    /// The record, if its CRC is right.
    fn record(mut self) -> Option<Record> {
        self.crc.update(self.first.get(..CRC)?);
        if self.crc.finalize() != u64::from(u32_at(&self.first, CRC)) {
            return None;
        }
        Some(Record {
            at: self.at,
            meaning: self.meaning().unwrap_or(Meaning::Other),
        })
    }

    fn meaning(&self) -> Option<Meaning> {
        let xid = u32_at(&self.first, 4);
        let (info, manager) = (*self.first.get(16)?, *self.first.get(17)?);
        match (manager, info & XACT) {
            (RM_XACT, kind @ (0x00 | 0x20 | 0x30 | 0x40)) => Some(Meaning::TransactionEnd {
                time: time(self.main_data()?)?,
                xid: matches!(kind, 0x00 | 0x20).then_some(xid),
                committed: matches!(kind, 0x00 | 0x30),
            }),
            (RM_XLOG, _) if info & 0xf0 == RESTORE_POINT => {
                let data = self.main_data()?;
                let name = data.get(8..)?;
                let name = name.get(..RESTORE_POINT_NAME.min(name.len()))?;
                let name = name.split(|byte| *byte == 0).next()?;
                Some(Meaning::RestorePoint {
                    time: time(data)?,
                    name: name.to_vec(),
                })
            }
            (RM_TABLESPACE, _) if info & 0xf0 == TABLESPACE_CREATION => {
                let path = self.main_data()?.get(4..)?;
                Some(Meaning::TablespaceCreation {
                    location: path.split(|byte| *byte == 0).next()?.to_vec(),
                })
            }
            _ => None,
        }
    }

    /// What is kept of the record's own data, which no reference to a page precedes.
    fn main_data(&self) -> Option<&[u8]> {
        let mut rest = self.first.get(RECORD_HEADER..)?;
        loop {
            let (kind, after) = rest.split_first()?;
            let skipped = match kind {
                // XLR_BLOCK_ID_DATA_SHORT, XLR_BLOCK_ID_DATA_LONG: then its length, in one byte or four.
                255 => return after.get(1..),
                254 => return after.get(4..),
                // XLR_BLOCK_ID_ORIGIN, XLR_BLOCK_ID_TOPLEVEL_XID.
                253 => 2,
                252 => 4,
                _ => return None,
            };
            rest = after.get(skipped..)?;
        }
    }
}

impl std::fmt::Debug for Partial {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Partial")
            .field("at", &self.at)
            .field("length", &self.length)
            .field("come", &self.come)
            .finish_non_exhaustive()
    }
}

/// A `TimestampTz`: microseconds since the beginning of 2000.
fn time(data: &[u8]) -> Option<DateTime<Utc>> {
    let micros = i64::from_le_bytes(*data.first_chunk()?);
    DateTime::from_timestamp(EPOCH, 0)?.checked_add_signed(TimeDelta::microseconds(micros))
}

fn u16_at(bytes: &[u8], at: usize) -> u16 {
    chunk(bytes, at).map_or(0, u16::from_le_bytes)
}

fn u32_at(bytes: &[u8], at: usize) -> u32 {
    chunk(bytes, at).map_or(0, u32::from_le_bytes)
}

fn u64_at(bytes: &[u8], at: usize) -> u64 {
    chunk(bytes, at).map_or(0, u64::from_le_bytes)
}

fn chunk<const N: usize>(bytes: &[u8], at: usize) -> Option<[u8; N]> {
    bytes.get(at..)?.first_chunk().copied()
}

#[cfg(test)]
mod tests;
