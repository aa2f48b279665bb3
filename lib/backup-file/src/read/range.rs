//! Reads a range of a section's SQL.

use std::fmt;
use std::io::Read;
use std::ops::Range;

use super::batch::{Batch, Stop};
use super::frames::Frames;
use crate::format::error::{ReadError, damaged};
use crate::format::index::Section;
use crate::format::map::Span;
use crate::format::member::{as_u64, sql_length};
use crate::workers::read_ahead::ReadAhead;

/// Reads a range of a section's SQL, checking every member that it takes to get there and through it: its CRC-32, its
/// length, and that members begin where the map says.
///
/// What it hands out belongs to members that are right. Whether they are all of the range, only [`RangeReader::finish`]
/// says; whether ranges are together what the index says of their section, [`Coverage`].
pub struct RangeReader {
    span: Span,
    batches: ReadAhead<Frames>,
    /// Where the next member begins, in the section's SQL and in the file.
    sql: u64,
    file: u64,
    /// How many of the span's checkpoints have been passed.
    passed: usize,
    own: OwnMembers,
    /// Set at the end: what is wrong, if anything is.
    ended: Option<Result<(), ReadError>>,
}

/// The members that begin in a range.
#[derive(Clone)]
struct OwnMembers {
    /// Where the first one begins in the file, and where the last one ends.
    file: Option<Range<u64>>,
    crc32: crc32fast::Hasher,
}

impl RangeReader {
    /// Reads the SQL of a [`Span`] out of `input`, which begins at the first byte of [`Span::file`] and gives all of it, or
    /// as much as is asked for. `threads` decompress, the calling thread among them.
    ///
    /// # Errors
    /// A thread cannot be started.
    pub fn new(input: Box<dyn Read + Send>, span: Span, threads: usize) -> Result<Self, ReadError> {
        let frames = Frames::range(input, span.file.start, span.sql.end - span.from);
        Ok(Self {
            batches: ReadAhead::new(frames, threads).map_err(ReadError::Io)?,
            sql: span.from,
            file: span.file.start,
            passed: 0,
            own: OwnMembers {
                file: None,
                crc32: crc32fast::Hasher::new(),
            },
            ended: None,
            span,
        })
    }

    /// The next piece of the range's SQL, up to 512 KiB; none at the end. After an error, each call returns the same error.
    ///
    /// # Errors
    /// The input's, or what is damaged.
    pub fn next_sql(&mut self) -> Result<Option<&[u8]>, ReadError> {
        loop {
            match &self.ended {
                Some(Err(error)) => return Err(error.again()),
                Some(Ok(())) => return Ok(None),
                None => {}
            }
            match self.advance() {
                Ok(Some(part)) if part.is_empty() => {}
                Ok(Some(part)) => {
                    let sql = self.batches.current().map_or(&[][..], Batch::sql);
                    return Ok(sql.get(part));
                }
                Ok(None) => self.ended = Some(Ok(())),
                Err(error) => self.ended = Some(Err(error)),
            }
        }
    }

    /// Reads what is left. It is an error if not all of the range came.
    ///
    /// # Errors
    /// The input's, or what is damaged.
    pub fn finish(mut self) -> Result<RangeReport, ReadError> {
        while self.next_sql()?.is_some() {}
        Ok(RangeReport {
            sql: self.span.sql,
            own: self.own,
        })
    }

    /// Takes the next batch, and returns which part of its SQL is the range's; none at the end.
    fn advance(&mut self) -> Result<Option<Range<usize>>, ReadError> {
        let wanted = self.span.sql.clone();
        if self.sql >= wanted.end || wanted.is_empty() {
            return Ok(None);
        }
        let batch = self.batches.next().map_err(ReadError::Io)?;
        match batch.end.take().transpose()? {
            Some(Stop::End(_)) if self.sql >= wanted.end => return Ok(None),
            Some(Stop::End(_) | Stop::Other(_)) => {
                return Err(damaged(format!(
                    "the file ends at byte {}, within the SQL that its map says is there",
                    self.file
                )));
            }
            None => {}
        }
        let before = self.sql;
        for (file, member) in batch.members() {
            if let Some((sql, place)) = self.span.checkpoints.get(self.passed)
                && self.sql >= *sql
            {
                if (self.sql, file) != (*sql, *place) {
                    return Err(damaged(format!(
                        "the map is not true: it says that a member begins at byte {place}"
                    )));
                }
                self.passed += 1;
            }
            if wanted.contains(&self.sql) {
                self.own.add(file, member);
            }
            self.sql += as_u64(sql_length(member));
            self.file = file + as_u64(member.len());
        }
        let place = |sql: u64| usize::try_from(sql.clamp(before, self.sql) - before).unwrap_or(0);
        Ok(Some(place(wanted.start)..place(wanted.end)))
    }
}

impl fmt::Debug for RangeReader {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RangeReader")
            .field("span", &self.span)
            .finish_non_exhaustive()
    }
}

impl OwnMembers {
    fn add(&mut self, at: u64, member: &[u8]) {
        let file = self.file.get_or_insert(at..at);
        file.end = at + as_u64(member.len());
        self.crc32.update(member);
    }
}

/// What reading a range to its end found: the sum of the members that begin in it. So ranges that follow each other have
/// each member once.
#[derive(Clone)]
pub struct RangeReport {
    sql: Range<u64>,
    own: OwnMembers,
}

impl fmt::Debug for RangeReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RangeReport")
            .field("sql", &self.sql)
            .field("file", &self.own.file)
            .finish_non_exhaustive()
    }
}

/// Whether ranges that were read are together all of a section, and what the index says of it: read by several, it is
/// checked as by one.
#[derive(Debug, Default)]
pub struct Coverage {
    reports: Vec<RangeReport>,
}

impl Coverage {
    /// Takes the report on one more range; in any order.
    pub fn add(&mut self, report: RangeReport) {
        self.reports.push(report);
    }

    /// Checks that the ranges follow each other without a gap, that none was read twice, and that their members have the
    /// length and the CRC-32 that the index says.
    ///
    /// # Errors
    /// [`ReadError::Damaged`]: the section is not what the index says, or was not read whole.
    pub fn check(mut self, section: &Section) -> Result<(), ReadError> {
        self.reports.sort_by_key(|it| (it.sql.start, it.sql.end));
        let mut crc32 = crc32fast::Hasher::new();
        let (mut sql, mut file) = (0, section.offset);
        for RangeReport { sql: range, own } in &self.reports {
            if range.start != sql {
                return Err(damaged(format!(
                    "{}: not all of it was read, or some of it twice, at byte {sql} of its SQL",
                    section.kind
                )));
            }
            sql = range.end;
            if let Some(own_file) = &own.file {
                if own_file.start != file {
                    return Err(damaged(format!(
                        "{} is damaged: members are missing at byte {file}",
                        section.kind
                    )));
                }
                file = own_file.end;
                crc32.combine(&own.crc32);
            }
        }
        let what = if sql != section.sql_length {
            "another length of SQL"
        } else if file - section.offset != section.length {
            "another length in the file"
        } else if crc32.finalize() != section.crc32 {
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
