//! Keeps account of what was read: its sums, and whether the index tells the truth about them.

use super::batch::{Batch, Place};
use super::inflater::Totals;
use super::report::{Ending, Report};
use crate::format::error::{ReadError, damaged};
use crate::format::index::{Index, MapPlace, Section};
use crate::format::locator::is_locator;
use crate::format::member::{self, BLOCK, as_u64};
use crate::format::tail::{self, MOST_INDEX};

/// The most runs that are kept: more than any cluster has sections. A file with more runs is full of short members of
/// some other program, and has no index.
const MOST_RUNS: usize = 1 << 17;

/// Members of which only the last is shorter than [`BLOCK`]. A section is one or two runs, a map two or three: its end is
/// a short member, and nothing else is known of where sections and maps end before the index has been read.
struct Run {
    offset: u64,
    length: u64,
    sql_length: u64,
    crc32: crc32fast::Hasher,
}

/// The account of a file. It takes all batches, in order.
pub(super) struct Audit {
    size: u64,
    sql_size: u64,
    members: u64,
    runs: Vec<Run>,
    /// The next member belongs to the last run.
    open: bool,
    /// Where the index begins, and all bytes from there on.
    tail: Option<(u64, Vec<u8>)>,
    /// There was a locator without an index before it.
    stray_locator: bool,
}

impl Audit {
    pub(super) fn new() -> Self {
        Self {
            size: 0,
            sql_size: 0,
            members: 0,
            runs: Vec::new(),
            open: false,
            tail: None,
            stray_locator: false,
        }
    }

    /// Takes the next batch.
    pub(super) fn take(&mut self, batch: &Batch) {
        let bytes = batch.bytes();
        self.size += as_u64(bytes.len());
        self.sql_size += as_u64(batch.sql().len());
        if batch.place == Place::Index {
            let (_, tail) = self.tail.get_or_insert((batch.offset, Vec::new()));
            if tail.len() <= MOST_INDEX {
                tail.extend_from_slice(bytes);
            }
        }
        for (offset, member) in batch.members() {
            self.members += 1;
            if batch.place != Place::Index {
                self.add_to_run(offset, member);
                self.stray_locator |= is_locator(member);
            }
        }
    }

    /// Adds what follows the members of the batches, or all of a file without any.
    pub(super) fn add_foreign(&mut self, totals: &Totals) {
        self.size += totals.size;
        self.members += totals.members;
        self.sql_size += totals.sql_size;
    }

    /// Bytes so far.
    pub(super) fn size(&self) -> u64 {
        self.size
    }

    fn add_to_run(&mut self, offset: u64, member: &[u8]) {
        if !self.open {
            if self.runs.len() == MOST_RUNS {
                self.runs.clear();
            }
            self.runs.push(Run::new(offset));
        }
        let sql = member::sql_length(member);
        if let Some(run) = self.runs.last_mut() {
            run.length += as_u64(member.len());
            run.sql_length += as_u64(sql);
            run.crc32.update(member);
        }
        self.open = sql >= BLOCK;
    }

    /// The report on a whole file.
    pub(super) fn whole(self, ending: Ending) -> Result<Report, ReadError> {
        let index = match (&self.tail, ending) {
            (Some((start, bytes)), Ending::Marker) => {
                let index = tail::parse(bytes, *start)?;
                self.check(&index)?;
                Some(index)
            }
            (None, Ending::Marker | Ending::Foreign) if self.stray_locator => {
                return Err(damaged("the index is damaged: its first member is missing"));
            }
            _ => None,
        };
        Ok(self.report(ending, index))
    }

    /// The report on a section, which is what the index says.
    pub(super) fn section(self, expected: &Section) -> Result<Report, ReadError> {
        let what = &expected.kind;
        if self.size != expected.length {
            return Err(damaged(format!(
                "{what}: {} bytes came, {} were expected",
                self.size, expected.length
            )));
        }
        let whole = self.runs.iter().fold(Run::new(expected.offset), Run::join);
        whole.check(expected)?;
        Ok(self.report(Ending::Marker, None))
    }

    /// Checks that each section and each map is what the index says. That they leave no gap was checked when the index was
    /// read.
    fn check(&self, index: &Index) -> Result<(), ReadError> {
        let mut runs = self.runs.iter().peekable();
        for section in &index.sections {
            let mut found = Run::new(section.offset);
            while let Some(run) = runs.next_if(|run| run.offset < section.offset + section.length) {
                found = found.join(run);
            }
            found.check(section)?;
        }
        for section in &index.sections {
            let Some(map) = &section.map else { continue };
            let mut found = Run::new(map.offset);
            while let Some(run) = runs.next_if(|run| run.offset < map.offset + map.length) {
                found = found.join(run);
            }
            found.check_map(map, section)?;
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
    fn new(offset: u64) -> Self {
        Self {
            offset,
            length: 0,
            sql_length: 0,
            crc32: crc32fast::Hasher::new(),
        }
    }

    /// This run and the one after it as one.
    fn join(mut self, next: &Self) -> Self {
        self.length += next.length;
        self.sql_length += next.sql_length;
        self.crc32.combine(&next.crc32);
        self
    }

    fn check_map(self, map: &MapPlace, section: &Section) -> Result<(), ReadError> {
        match self.length == map.length && self.crc32.finalize() == map.crc32 {
            true => Ok(()),
            false => Err(damaged(format!(
                "the map of {} at byte {} is damaged: it is not what the index says",
                section.kind, map.offset
            ))),
        }
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
