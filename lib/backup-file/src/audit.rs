//! The account of what was read: sums, and whether the index is true.

use crate::frames::Batch;
use crate::member::{self, BLOCK, size};
use crate::reader::damaged;
use crate::tail;
use crate::{Ending, Index, ReadError, Report, Section};

/// The most runs that are kept: more than any cluster has sections. A file with more has short members all
/// over, as some other program makes them, and no index.
const MOST_RUNS: usize = 1 << 17;

/// Members of which only the last is shorter than [`BLOCK`]: a section is one such run, or two.
struct Run {
    offset: u64,
    length: u64,
    sql_length: u64,
    crc32: crc32fast::Hasher,
}

/// Takes all batches, in order.
pub(crate) struct Audit {
    size: u64,
    sql_size: u64,
    members: u64,
    runs: Vec<Run>,
    /// The last run goes on.
    open: bool,
    /// Where the index begins, and all bytes from there on.
    tail: Option<(u64, Vec<u8>)>,
    /// A locator was seen where no index is.
    stray: bool,
}

impl Audit {
    pub(crate) fn new() -> Self {
        Self {
            size: 0,
            sql_size: 0,
            members: 0,
            runs: Vec::new(),
            open: false,
            tail: None,
            stray: false,
        }
    }

    /// Takes the next batch.
    pub(crate) fn take(&mut self, batch: &Batch) {
        let bytes = batch.bytes();
        self.size += size(bytes.len());
        self.sql_size += size(batch.sql().len());
        if batch.index {
            let (_, tail) = self.tail.get_or_insert((batch.offset, Vec::new()));
            if tail.len() <= tail::MOST {
                tail.extend_from_slice(bytes);
            }
        }
        for (offset, member) in batch.members() {
            self.members += 1;
            if !batch.index {
                self.run(offset, member);
                self.stray |= tail::is_locator(member);
            }
        }
    }

    /// Counts what a stream gave, whose bytes were taken as batches without members.
    pub(crate) fn stream(&mut self, members: u64, sql_size: u64) {
        self.members += members;
        self.sql_size += sql_size;
    }

    /// Bytes so far.
    pub(crate) fn size(&self) -> u64 {
        self.size
    }

    fn run(&mut self, offset: u64, member: &[u8]) {
        if !self.open {
            if self.runs.len() == MOST_RUNS {
                self.runs.clear();
            }
            self.runs.push(Run {
                offset,
                length: 0,
                sql_length: 0,
                crc32: crc32fast::Hasher::new(),
            });
        }
        let sql = member::isize(member);
        if let Some(run) = self.runs.last_mut() {
            run.length += size(member.len());
            run.sql_length += size(sql);
            run.crc32.update(member);
        }
        self.open = sql >= BLOCK;
    }

    /// The report on a whole file.
    pub(crate) fn whole(self, ending: Ending) -> Result<Report, ReadError> {
        let index = match (&self.tail, ending) {
            (Some((start, bytes)), Ending::Marker) => {
                let index = tail::read(bytes, *start)?;
                self.check(&index)?;
                Some(index)
            }
            (None, Ending::Marker | Ending::Foreign) if self.stray => {
                return Err(damaged("the index is damaged: its first member is missing"));
            }
            _ => None,
        };
        Ok(self.report(ending, index))
    }

    /// The report on a section, which is what the index says.
    pub(crate) fn section(self, expected: &Section) -> Result<Report, ReadError> {
        let what = &expected.kind;
        if self.size != expected.length {
            return Err(damaged(format!(
                "{what}: {} bytes came, {} were expected",
                self.size, expected.length
            )));
        }
        let whole = Run {
            offset: expected.offset,
            length: 0,
            sql_length: 0,
            crc32: crc32fast::Hasher::new(),
        };
        let whole = self.runs.iter().fold(whole, Run::and);
        whole.check(expected)?;
        Ok(self.report(Ending::Marker, None))
    }

    /// Checks that each section is what the index says; that they leave no gap was seen when it was read.
    fn check(&self, index: &Index) -> Result<(), ReadError> {
        let mut runs = self.runs.iter().peekable();
        for section in &index.sections {
            let mut found = Run {
                offset: section.offset,
                length: 0,
                sql_length: 0,
                crc32: crc32fast::Hasher::new(),
            };
            while let Some(run) = runs.next_if(|run| run.offset < section.offset + section.length) {
                found = found.and(run);
            }
            found.check(section)?;
        }
        match runs.next() {
            Some(run) => Err(damaged(format!(
                "the index is not true: it does not know of the members at byte {}",
                run.offset
            ))),
            None => Ok(()),
        }
    }

    fn report(self, ending: Ending, index: Option<Index>) -> Report {
        Report {
            size: self.size,
            sql_size: self.sql_size,
            members: self.members,
            ending,
            index,
        }
    }
}

impl Run {
    /// This run and the one after it as one.
    fn and(mut self, next: &Self) -> Self {
        self.length += next.length;
        self.sql_length += next.sql_length;
        self.crc32.combine(&next.crc32);
        self
    }

    fn check(self, section: &Section) -> Result<(), ReadError> {
        let what = if self.length != section.length {
            "another length in the file"
        } else if self.sql_length != section.sql_length {
            "another length of SQL"
        } else if self.crc32.finalize() != section.crc32 {
            "another CRC-32"
        } else {
            return Ok(());
        };
        Err(damaged(format!(
            "{} at byte {} is damaged: it has {what} than the index says",
            section.kind, section.offset
        )))
    }
}
