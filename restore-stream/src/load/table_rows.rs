//! The rows of some tables of a backup: their COPY statements, and nothing else.

use std::ops::Range;

use backup_file::{CopyBlock, Section};
use dump_text::{Ddl, Piece, Scanner, Table, ddl, is_setting};
use job::{Error, Progress, say};
use pg_text::PgText;

use crate::cli::Args;
use crate::edit::{TableChoice, TableFilter};
use crate::source::checked::CheckedSql;
use crate::source::chosen::ChosenBackup;
use crate::source::error::unfinished;
use crate::source::ranges::SectionRanges;
use crate::source::selection;

/// How much of a dump's settings is kept.
const MOST_SETTINGS: usize = 64 << 10;

/// The rows of some tables of one database.
pub(crate) struct TableRows<'a> {
    chosen: &'a ChosenBackup,
    section: &'a Section,
    database: &'a PgText,
    /// Where they are, if the database has a map.
    ranges: Option<SectionRanges<'a>>,
    choice: TableChoice,
    filter: TableFilter,
    /// Whether it has seen how the tables were made.
    defined: bool,
}

/// What a dump says of one table before its rows come.
#[derive(Debug, Default)]
pub(crate) struct Definitions {
    /// The settings that the dump begins with.
    pub(crate) settings: Vec<u8>,
    /// The tables that were chosen by name, with the statements that create them.
    pub(crate) tables: Vec<(Table, Vec<u8>)>,
    /// Whether anything but settings has come.
    begun: bool,
}

impl<'a> TableRows<'a> {
    /// Finds them.
    ///
    /// # Errors
    /// The backup has no index, no such database, or no such table.
    pub(crate) fn find(
        chosen: &'a ChosenBackup,
        choice: TableChoice,
        args: &Args,
    ) -> Result<Self, Error> {
        let label = chosen.label();
        let Some(index) = &chosen.index else {
            return Err(Error::failed(format!(
                "'{label}' has no index: its tables cannot be found by themselves"
            ))
            .hint("restore the table into a new database, with --as"));
        };
        let wanted = selection::wanted(index, &label, args)?;
        let (section, database) = wanted
            .first()
            .copied()
            .ok_or_else(|| Error::usage("--table needs --database"))?;
        let ranges = SectionRanges::new(chosen, section)?;
        match &ranges {
            Some(ranges) => choice.check(ranges.layout(), database)?,
            None => {
                say!("'{database}' has no map in the backup: all of it is read to find its tables");
            }
        }
        Ok(Self {
            chosen,
            section,
            database,
            ranges,
            filter: TableFilter::new(choice.clone()),
            choice,
            defined: false,
        })
    }

    /// The database.
    pub(crate) fn database(&self) -> &PgText {
        self.database
    }

    /// How many bytes of SQL they take at most.
    pub(crate) fn sql_length(&self) -> u64 {
        self.section.sql_length
    }

    /// Reads what comes before the data: how the tables were made.
    ///
    /// # Errors
    /// The backup is damaged (exit code 3) or cannot be read.
    pub(crate) fn definitions(&mut self, threads: usize) -> Result<Definitions, Error> {
        let Self { filter, .. } = self;
        let mut scanner = Scanner::new();
        let mut definitions = Definitions::default();
        let mut feed = |sql: &[u8]| {
            scanner.feed(sql, &mut |piece| {
                filter.keeps(piece);
                definitions.see(piece, filter);
                Ok::<_, Error>(())
            })
        };
        match &self.ranges {
            Some(ranges) => {
                let data = ranges.layout().data.as_ref();
                let before = 0..data.map_or(ranges.sql_length(), |data| data.start);
                ranges.read(before, threads, feed)?;
            }
            None => {
                let mut input = CheckedSql::section(self.chosen, self.section, threads)?;
                while let Some(sql) = input.next()? {
                    feed(sql)?;
                }
                input.finish()?;
                // All has passed it; it will once more.
                self.filter = TableFilter::new(self.choice.clone());
            }
        }
        self.defined = true;
        Ok(definitions)
    }

    /// Reads the rows, and hands on each COPY statement, its line end, its rows and the line `\.`.
    ///
    /// # Errors
    /// The backup is damaged (exit code 3) or cannot be read; a table was not there; or an error of `sink`.
    pub(crate) fn read(
        mut self,
        threads: usize,
        progress: &Progress,
        sink: &mut dyn FnMut(Piece<'_>) -> Result<(), Error>,
    ) -> Result<(), Error> {
        // What is partitioned stands before the data.
        let layout = self.ranges.as_ref().map(SectionRanges::layout);
        if !self.defined && layout.is_some_and(|it| self.choice.may_be_partitioned(it)) {
            self.definitions(threads)?;
        }
        let filter = &mut self.filter;
        let mut scanner = Scanner::new();
        let mut copies = false;
        let mut feed = |scanner: &mut Scanner, filter: &mut TableFilter, sql: &[u8]| {
            progress.advance(sql.len() as u64);
            scanner.feed(sql, &mut |piece| {
                let keeps = filter.keeps(piece);
                match is_row(piece, &mut copies) && keeps {
                    true => sink(piece),
                    false => Ok(()),
                }
            })
        };
        match &self.ranges {
            Some(ranges) => {
                let layout = ranges.layout();
                for range in adjoining(&filter.blocks(layout)) {
                    ranges.read(range, threads, |sql| feed(&mut scanner, filter, sql))?;
                }
                if !filter.has_all_rows_of(layout) {
                    return Err(ranges.untrue());
                }
            }
            None => {
                let mut input = CheckedSql::section(self.chosen, self.section, threads)?;
                while let Some(sql) = input.next()? {
                    feed(&mut scanner, filter, sql)?;
                }
                input.finish()?;
            }
        }
        let ended = scanner.finish(&mut |_| Ok::<_, Error>(()))?;
        ended.map_err(|how| unfinished(&self.chosen.label(), how))?;
        match self.ranges {
            // It was checked by the map.
            Some(_) => Ok(()),
            None => self.filter.finish(self.database),
        }
    }
}

/// Whether a piece is a part of a COPY with its rows. `copies`: the last statement was one.
fn is_row(piece: Piece<'_>, copies: &mut bool) -> bool {
    match piece {
        Piece::Statement(sql) | Piece::Head(sql) => {
            *copies = sql.starts_with(b"COPY ");
            *copies
        }
        Piece::DataEnd { .. } => std::mem::replace(copies, false),
        Piece::Comment(_) | Piece::Command(_) | Piece::Ambiguous(_) => false,
        Piece::Space(_) | Piece::Body { .. } | Piece::Data(_) => *copies,
    }
}

/// The ranges of blocks, of which those that follow each other are one.
fn adjoining(blocks: &[&CopyBlock]) -> Vec<Range<u64>> {
    let mut ranges: Vec<Range<u64>> = Vec::new();
    for block in blocks {
        match ranges.last_mut() {
            Some(last) if last.end == block.sql.start => last.end = block.sql.end,
            _ => ranges.push(block.sql.clone()),
        }
    }
    ranges
}

/// Whether a statement sets what rows are read by. Others are unknown to some servers.
fn is_needed(sql: &[u8]) -> bool {
    let Ddl::Setting(named) = ddl(sql) else {
        return false;
    };
    [
        "client_encoding",
        "standard_conforming_strings",
        "search_path",
        "xmloption",
    ]
    .contains(&named.as_str())
}

impl Definitions {
    fn see(&mut self, piece: Piece<'_>, filter: &mut TableFilter) {
        let Piece::Statement(sql) = piece else {
            return;
        };
        if !self.begun && is_needed(sql) && self.settings.len() + sql.len() < MOST_SETTINGS {
            self.settings.extend_from_slice(sql);
            self.settings.push(b'\n');
            return;
        }
        self.begun |= !is_setting(sql);
        if sql.starts_with(b"CREATE ")
            && let Ddl::Table(table) = ddl(sql)
            && filter.names(&table.name)
        {
            self.tables.push((table, sql.to_vec()));
        }
    }
}
