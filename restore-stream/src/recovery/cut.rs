//! Where in the WAL a moment is, and the WAL without what came after it.
//!
//! A server that has reached its target removes `recovery.signal`, and then makes a checkpoint before it is recovered. If
//! it is killed meanwhile, it starts as after a crash, without a target: it replays all WAL that is there. So what is
//! beyond the moment must not be there.

use std::fs::OpenOptions;
use std::io::{self, Seek, SeekFrom, Write};
use std::path::Path;

use chrono::{DateTime, Utc};
use wal::{Lsn, Meaning, Record};

const PIECE: usize = 64 << 10;

/// The records of one segment, as far as a moment.
#[derive(Debug)]
pub(super) struct Passage {
    moment: Option<DateTime<Utc>>,
    exclusive: bool,
    /// The first byte that is not of the chain.
    until: Lsn,
    last: Option<Lsn>,
    beyond: Option<Lsn>,
    /// The directory of the first tablespace that is created before the moment.
    pub(super) tablespace: Option<Vec<u8>>,
}

/// Two records, one after the other: the last that is wanted, and the first that is not.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Cut {
    pub(super) last: Lsn,
    pub(super) beyond: Lsn,
}

impl Passage {
    /// Up to the first transaction that ended after a moment, or at it if this is `exclusive`; or all of it.
    pub(super) fn new(moment: Option<DateTime<Utc>>, exclusive: bool, until: Lsn) -> Self {
        Self {
            moment,
            exclusive,
            until,
            last: None,
            beyond: None,
            tablespace: None,
        }
    }

    /// Takes the next record.
    pub(super) fn see(&mut self, record: Record) {
        // After the place where a timeline was left, a segment has records that are not of the chain.
        if self.beyond.is_some() || record.at >= self.until {
            return;
        }
        match record.meaning {
            Meaning::TransactionEnd { time, .. } if self.is_beyond(time) => {
                self.beyond = Some(record.at);
                return;
            }
            Meaning::TablespaceCreation { location } if location.starts_with(b"/") => {
                self.tablespace.get_or_insert(location);
            }
            _ => {}
        }
        self.last = Some(record.at);
    }

    fn is_beyond(&self, time: DateTime<Utc>) -> bool {
        self.moment.is_some_and(|moment| match self.exclusive {
            true => time >= moment,
            false => time > moment,
        })
    }

    /// Whether the moment is in it.
    pub(super) fn ends(&self) -> bool {
        self.beyond.is_some()
    }

    /// Where, if a whole record of this segment is before it.
    pub(super) fn cut(&self) -> Option<Cut> {
        Some(Cut {
            last: self.last?,
            beyond: self.beyond?,
        })
    }
}

/// Empties a segment from a place on, which PostgreSQL takes for the end of the WAL.
///
/// # Errors
/// The system's.
pub(super) fn empty_from(path: &Path, offset: u64) -> io::Result<()> {
    let mut file = OpenOptions::new().write(true).open(path)?;
    let mut left = file.metadata()?.len().saturating_sub(offset);
    file.seek(SeekFrom::Start(offset))?;
    let zeros = vec![0; PIECE];
    while left > 0 {
        let now = left.min(PIECE as u64);
        file.write_all(zeros.get(..now as usize).unwrap_or_default())?;
        left -= now;
    }
    file.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn moment(seconds: i64) -> DateTime<Utc> {
        DateTime::from_timestamp(seconds, 0).unwrap()
    }

    fn end(at: u64, seconds: i64) -> Record {
        Record {
            at: Lsn(at),
            meaning: Meaning::TransactionEnd {
                time: moment(seconds),
                xid: None,
                committed: true,
            },
        }
    }

    fn other(at: u64) -> Record {
        Record {
            at: Lsn(at),
            meaning: Meaning::Other,
        }
    }

    #[test]
    fn a_moment_is_between_two_records() {
        let records = [
            end(1, 10),
            other(2),
            end(3, 20),
            other(4),
            end(5, 21),
            end(6, 19),
        ];
        for (seconds, exclusive, wanted) in [
            (20, false, Some((4, 5))),
            (20, true, Some((2, 3))),
            (19, false, Some((2, 3))),
            // No whole record is before it.
            (9, false, None),
            (21, false, None),
        ] {
            let mut passage = Passage::new(Some(moment(seconds)), exclusive, Lsn(100));
            records.iter().for_each(|it| passage.see(it.clone()));
            let cut = passage.cut().map(|it| (it.last.0, it.beyond.0));
            assert_eq!(cut, wanted, "{seconds}");
            assert_eq!(passage.ends(), seconds != 21);
        }
        let mut passage = Passage::new(Some(moment(20)), false, Lsn(5));
        records.iter().for_each(|it| passage.see(it.clone()));
        assert!(!passage.ends(), "another timeline's records");
    }

    #[test]
    fn a_segment_is_emptied_from_a_place_on() {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), vec![7; 200_000]).unwrap();
        empty_from(file.path(), 100_001).unwrap();
        let bytes = std::fs::read(file.path()).unwrap();
        assert_eq!(bytes.len(), 200_000);
        assert!(bytes[..100_001].iter().all(|byte| *byte == 7));
        assert!(bytes[100_001..].iter().all(|byte| *byte == 0));
    }
}
