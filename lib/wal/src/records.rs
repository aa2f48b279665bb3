//! The records of a segment (PostgreSQL's `xlogrecord.h`, `xlog_internal.h`): of each its place, and where it ends a
//! transaction or is a restore point, when that was. The layout read here is the same from PostgreSQL 14 to 18.

use chrono::{DateTime, TimeDelta, Utc};
use crc_fast::{CrcAlgorithm, Digest};

use crate::{LongHeader, Lsn};

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
/// in it.
#[derive(Debug, Default)]
pub struct RecordReader {
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
                    Ok(header) => self.header = Some(header),
                    Err(_) => self.state = State::Ended,
                },
                Some(header) => {
                    let page = std::mem::take(&mut self.page);
                    self.page(&header, &page, on);
                    self.read += page.len() as u64;
                    self.page = page;
                    self.page.clear();
                }
            }
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
mod tests {
    use proptest::prelude::*;

    use super::*;

    const PAGE: usize = 8192;
    const START: u64 = 0x0300_0000;

    /// A segment's beginning as PostgreSQL writes it, with records of these kinds and lengths.
    struct Written {
        bytes: Vec<u8>,
    }

    impl Written {
        fn new() -> Self {
            let mut written = Self { bytes: Vec::new() };
            written.page_header(0);
            written
        }

        fn page_header(&mut self, left: usize) {
            let at = self.bytes.len();
            let first = at == 0;
            let info = u16::from(first) << 1 | u16::from(left > 0);
            self.bytes.extend(0xD110_u16.to_le_bytes());
            self.bytes.extend(info.to_le_bytes());
            self.bytes.extend(1_u32.to_le_bytes());
            self.bytes.extend((START + at as u64).to_le_bytes());
            self.bytes
                .extend(u32::try_from(left).unwrap().to_le_bytes());
            self.bytes.extend([0; 4]);
            if first {
                self.bytes.extend(7_u64.to_le_bytes());
                self.bytes.extend((1_u32 << 20).to_le_bytes());
                self.bytes.extend(8192_u32.to_le_bytes());
            }
        }

        fn put(&mut self, record: &[u8]) -> Lsn {
            if self.bytes.len().is_multiple_of(PAGE) {
                self.page_header(0);
            }
            let at = Lsn(START + self.bytes.len() as u64);
            let mut left = record;
            loop {
                let room = PAGE - self.bytes.len() % PAGE;
                let (now, later) = left.split_at(left.len().min(room));
                self.bytes.extend(now);
                left = later;
                if left.is_empty() {
                    break;
                }
                self.page_header(left.len());
            }
            self.bytes.resize(self.bytes.len().next_multiple_of(8), 0);
            at
        }

        fn end(mut self) -> Vec<u8> {
            self.bytes.resize(1 << 20, 0);
            self.bytes
        }
    }

    fn record(manager: u8, info: u8, xid: u32, data: &[u8]) -> Vec<u8> {
        let mut rest = vec![253, 1, 0];
        match u8::try_from(data.len()) {
            Ok(length) => rest.extend([255, length]),
            Err(_) => {
                rest.push(254);
                rest.extend(u32::try_from(data.len()).unwrap().to_le_bytes());
            }
        }
        rest.extend(data);
        let mut header = u32::try_from(RECORD_HEADER + rest.len())
            .unwrap()
            .to_le_bytes()
            .to_vec();
        header.extend(xid.to_le_bytes());
        header.extend([0; 8]);
        header.extend([info, manager, 0, 0]);
        let mut crc = Digest::new(CrcAlgorithm::Crc32Iscsi);
        crc.update(&rest);
        crc.update(&header);
        header.extend(u32::try_from(crc.finalize()).unwrap().to_le_bytes());
        header.extend(rest);
        header
    }

    fn read(bytes: &[u8], piece: usize) -> Vec<Record> {
        let mut reader = RecordReader::new();
        let mut records = Vec::new();
        for piece in bytes.chunks(piece) {
            reader.see(piece, &mut |record| records.push(record));
        }
        records
    }

    fn moment(micros: i64) -> DateTime<Utc> {
        DateTime::from_timestamp_micros(EPOCH * 1_000_000 + micros).unwrap()
    }

    #[test]
    fn what_ends_a_transaction_is_known() {
        let mut written = Written::new();
        let time = 700_000_000_123_456_i64;
        let mut data = time.to_le_bytes().to_vec();
        data.extend([9; 300]);
        let commit = written.put(&record(RM_XACT, 0x80, 5, &data));
        let abort = written.put(&record(RM_XACT, 0x20, 6, &time.to_le_bytes()));
        let prepared = written.put(&record(RM_XACT, 0x30, 0, &time.to_le_bytes()));
        // Assignments end nothing.
        let other = written.put(&record(RM_XACT, 0x50, 7, &time.to_le_bytes()));
        let mut point = time.to_le_bytes().to_vec();
        point.extend(b"before 'it'");
        point.resize(8 + RESTORE_POINT_NAME, 0);
        let point = written.put(&record(RM_XLOG, RESTORE_POINT, 0, &point));
        let tablespace = written.put(&record(RM_TABLESPACE, 0, 8, b"\x07\0\0\0/fast disk\0"));
        let dropped = written.put(&record(RM_TABLESPACE, 0x10, 8, b"\x07\0\0\0"));
        let end = |at, xid, committed| Record {
            at,
            meaning: Meaning::TransactionEnd {
                time: moment(time),
                xid,
                committed,
            },
        };
        let wanted = [
            end(commit, Some(5), true),
            end(abort, Some(6), false),
            end(prepared, None, true),
            Record {
                at: other,
                meaning: Meaning::Other,
            },
            Record {
                at: point,
                meaning: Meaning::RestorePoint {
                    time: moment(time),
                    name: b"before 'it'".to_vec(),
                },
            },
            Record {
                at: tablespace,
                meaning: Meaning::TablespaceCreation {
                    location: b"/fast disk".to_vec(),
                },
            },
            Record {
                at: dropped,
                meaning: Meaning::Other,
            },
        ];
        let bytes = written.end();
        for piece in [1, 39, 8191, 8192, 100_000, 1 << 20] {
            assert_eq!(read(&bytes, piece), wanted, "{piece}");
        }
        // Nothing after a record that is damaged.
        let mut damaged = bytes.clone();
        damaged[usize::try_from(abort.0 - START).unwrap() + 30] ^= 1;
        assert_eq!(read(&damaged, 4096), wanted[..1]);
    }

    #[test]
    fn a_record_that_goes_on_in_the_next_segment_is_not_whole() {
        let mut written = Written::new();
        let first = written.put(&record(9, 0, 0, &[1; 100]));
        written.put(&record(9, 0, 0, &vec![2; 2 << 20]));
        let segment = &written.bytes[..1 << 20];
        let places: Vec<Lsn> = read(segment, 5000).iter().map(|it| it.at).collect();
        assert_eq!(places, [first]);
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn every_record_is_found(lengths in proptest::collection::vec(0..20_000_usize, 0..40), piece in 1..30_000_usize) {
            let mut written = Written::new();
            let wanted: Vec<Lsn> = lengths.iter().map(|length| written.put(&record(9, 0, 0, &vec![3; *length]))).collect();
            let places: Vec<Lsn> = read(&written.end(), piece).iter().map(|it| it.at).collect();
            prop_assert_eq!(places, wanted);
        }

        #[test]
        fn no_bytes_are_too_much_for_it(mut bytes in proptest::collection::vec(any::<u8>(), 0..20_000), changed: bool) {
            if changed {
                let mut written = Written::new();
                written.put(&record(RM_XACT, 0, 1, &[0; 9]));
                let begin = written.end();
                bytes.splice(..bytes.len().min(80), begin[..80].iter().copied());
            }
            read(&bytes, 777);
        }
    }
}
