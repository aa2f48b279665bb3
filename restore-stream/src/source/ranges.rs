//! The SQL of one database in ranges: each is checked by itself, and all of them together are what the index says.

use std::ops::Range;
use std::sync::{Mutex, PoisonError};

use backup_file::{Coverage, Layout, Map, RangeReader, Section, read_map};
use job::Error;

use crate::source::chosen::ChosenBackup;
use crate::source::error::untrue_map;

/// A database's part of a backup that has a map. Several threads may read ranges of it at once.
pub(crate) struct SectionRanges<'a> {
    chosen: &'a ChosenBackup,
    section: &'a Section,
    map: Map,
    coverage: Mutex<Coverage>,
}

impl<'a> SectionRanges<'a> {
    /// Reads the map; none if the section has none, or the backup comes through a pipe.
    pub(crate) fn new(
        chosen: &'a ChosenBackup,
        section: &'a Section,
    ) -> Result<Option<Self>, Error> {
        let Some(file) = chosen.source.read_at() else {
            return Ok(None);
        };
        let map = read_map(file, section).map_err(|error| chosen.source.read_error(&error))?;
        Ok(map.map(|map| Self {
            chosen,
            section,
            map,
            coverage: Mutex::default(),
        }))
    }

    /// Where the rows are.
    pub(crate) fn layout(&self) -> &Layout {
        &self.map.layout
    }

    /// How many bytes of SQL there are.
    pub(crate) fn sql_length(&self) -> u64 {
        self.section.sql_length
    }

    /// The backup's name for people.
    pub(crate) fn label(&self) -> String {
        self.chosen.label()
    }

    /// Reads a range, and hands on its SQL piece by piece.
    ///
    /// # Errors
    /// It is damaged (exit code 3) or cannot be read; or an error of `on_sql`.
    pub(crate) fn read(
        &self,
        sql: Range<u64>,
        threads: usize,
        mut on_sql: impl FnMut(&[u8]) -> Result<(), Error>,
    ) -> Result<(), Error> {
        if sql.is_empty() {
            return Ok(());
        }
        let source = &self.chosen.source;
        let span = self.map.span(sql).ok_or_else(|| self.untrue())?;
        let file = span.file();
        let input = source.range(file.start, file.end - file.start)?;
        let cannot = |error| source.read_error(&error);
        let mut reader = RangeReader::new(input, span, threads).map_err(cannot)?;
        while let Some(sql) = reader.next_sql().map_err(cannot)? {
            on_sql(sql)?;
        }
        let report = reader.finish().map_err(cannot)?;
        let mut coverage = self.coverage.lock().unwrap_or_else(PoisonError::into_inner);
        coverage.add(report);
        Ok(())
    }

    /// Checks that the ranges that were read are together the whole section.
    ///
    /// # Errors
    /// They are not, or the section is damaged (exit code 3).
    pub(crate) fn check(&self) -> Result<(), Error> {
        let mut coverage = self.coverage.lock().unwrap_or_else(PoisonError::into_inner);
        let checked = std::mem::take(&mut *coverage).check(self.section);
        Ok(checked.map_err(|error| self.chosen.source.read_error(&error))?)
    }

    /// The error if the SQL is not what the map says.
    pub(crate) fn untrue(&self) -> Error {
        untrue_map(&self.chosen.label(), &self.section.kind.to_string())
    }
}
