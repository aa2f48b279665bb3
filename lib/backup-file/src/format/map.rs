//! Where in a database's section the rows of each table are.

use std::collections::HashMap;
use std::ops::Range;

use pg_text::PgText;

use super::contents::TableRows;
use super::member::BLOCK;

/// The most text that a map may have, and the most bytes that its members may take: about 300,000 tables.
pub(crate) const MOST_MAP: usize = 16 << 20;

/// Where in a database's dump its rows are. All places count bytes of SQL from the beginning of the database's section.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Layout {
    /// From the first statement that brings data (with the comments before it) to the end of the last one: rows, values of
    /// sequences, large objects. What comes before creates what data goes into, what comes after is built on data. None if
    /// there are no data.
    pub data: Option<Range<u64>>,
    /// From the first statement that writes a large object to the last one that closes one. No [`CopyBlock`] is in it.
    /// None if there are none, or if other data come between them.
    pub large_objects: Option<Range<u64>>,
    /// The `COPY` blocks, in the dump's order.
    pub copies: Vec<CopyBlock>,
    /// The tables that the dump creates and has no `COPY` block of, in its order, named as [`CopyBlock::table`]. Each with 0
    /// rows of its own (it is partitioned, or its rows were left out), or with none that are known (they are `INSERT`
    /// statements, or come through their root).
    pub other_tables: Vec<TableRows>,
}

/// A `COPY … FROM stdin` with its rows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CopyBlock {
    /// The table, as SQL writes it: with its schema, quoted where the dump quotes it (`public."Größe"`), in the dump's
    /// encoding. Where the dump leaves the schema out (pg_dump 10 and older), its search path has said it; where that is
    /// not known either, it is missing.
    pub table: PgText,
    /// What these rows are to that table.
    pub target: CopyTarget,
    /// How many rows it has. None if the dump also has `INSERT` statements for the table.
    pub rows: Option<u64>,
    /// The block: the comments before the statement, the statement, the rows, and the line `\.`. Blocks do not overlap;
    /// what lies between two of them is other statements.
    pub sql: Range<u64>,
    /// Where the statement begins.
    pub statement: u64,
    /// Where the rows begin, after the statement's line. They and the line `\.` end where the block does.
    pub data: u64,
}

impl CopyBlock {
    /// The rows and the line `\.`.
    pub fn data(&self) -> Range<u64> {
        self.data..self.sql.end
    }
}

/// What the rows of a `COPY` are to its table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CopyTarget {
    /// The same dump creates the table, and these are rows of its own.
    Table,
    /// The same dump creates it, but it is partitioned: the rows go to its partitions (`--load-via-partition-root`).
    Partitioned,
    /// The dump does not create it: it is an extension's, and these are not all its rows.
    NotCreated,
}

impl Layout {
    /// Whether it can be the layout of a section of this length.
    pub(crate) fn is_sound(&self, sql_length: u64) -> bool {
        let within = |inner: &Range<u64>, outer: &Range<u64>| {
            outer.start <= inner.start && inner.start <= inner.end && inner.end <= outer.end
        };
        let data = self.data.clone().unwrap_or(0..0);
        let mut objects = self.large_objects.iter();
        let mut end = data.start;
        let mut in_order = self.copies.iter().all(|block| {
            let follows = end <= block.sql.start && block.sql.start <= block.statement;
            end = block.sql.end;
            follows && block.statement < block.data && block.data < end
        });
        in_order &= end <= data.end;
        let overlaps = |objects: &Range<u64>| {
            let mut copies = self.copies.iter();
            copies.any(|it| it.sql.start < objects.end && objects.start < it.sql.end)
        };
        let apart = objects.all(|objects| within(objects, &data) && !overlaps(objects));
        within(&data, &(0..sql_length)) && in_order && apart
    }

    /// The dump's tables, each with the rows of its own that the dump has, where that is known. Not those of extensions.
    pub fn tables(&self) -> Vec<TableRows> {
        let mut tables: Vec<TableRows> = Vec::new();
        let created = self.copies.iter();
        let created = created.filter(|it| it.target != CopyTarget::NotCreated);
        let mut places = HashMap::new();
        for block in created {
            let rows = match block.target {
                CopyTarget::Table => block.rows,
                _ => Some(0),
            };
            match places.get(&block.table) {
                Some(at) => {
                    let table: &mut TableRows = &mut tables[*at];
                    table.rows = table.rows.zip(rows).map(|(a, b)| a.saturating_add(b));
                }
                None => {
                    places.insert(&block.table, tables.len());
                    tables.push(TableRows::new(block.table.clone(), rows));
                }
            }
        }
        tables.extend(self.other_tables.iter().cloned());
        tables
    }
}

/// A database's map: its [`Layout`], and where in the file its SQL is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Map {
    /// Where its rows are in its SQL.
    pub layout: Layout,
    pub(crate) checkpoints: Checkpoints,
    /// The section's place in the file.
    pub(crate) file: Range<u64>,
    pub(crate) sql_length: u64,
}

impl Map {
    /// The places where members begin, in order: in the section's SQL, and in the file.
    pub fn checkpoints(&self) -> impl Iterator<Item = (u64, u64)> {
        let places = (1..).zip(&self.checkpoints.offsets);
        places.map(|(at, offset)| (at * self.checkpoints.step, self.file.start + offset))
    }

    /// Where in the file a range of the section's SQL is. Reading it takes at most one step of checkpoints more on either
    /// side: 1 MiB of SQL in a database of up to 64 GiB, 16 MiB in one of up to 1 TiB.
    ///
    /// None if it is no range of the section: it ends after the section, or before it begins.
    pub fn span(&self, sql: Range<u64>) -> Option<Span> {
        if sql.start > sql.end || sql.end > self.sql_length {
            return None;
        }
        let Checkpoints { step, offsets } = &self.checkpoints;
        // The place of checkpoint 0 is the section's beginning, and is not in the list.
        let last = u64::try_from(offsets.len()).unwrap_or(u64::MAX);
        let offset = |at: u64| match at.checked_sub(1) {
            None => self.file.start,
            Some(at) => self.file.start + offsets[usize::try_from(at).unwrap_or(usize::MAX)],
        };
        let first = (sql.start / step).min(last);
        let after = sql.end.div_ceil(*step);
        let passed = (first + 1..after.min(last + 1)).map(|at| (at * step, offset(at)));
        let end = match after <= last {
            true => offset(after),
            false => self.file.end,
        };
        Some(Span {
            from: first * step,
            file: offset(first)..end.max(offset(first)),
            checkpoints: passed.collect(),
            sql,
        })
    }
}

/// Where a range of a section's SQL is in the file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Span {
    pub(crate) sql: Range<u64>,
    /// The SQL's place where `file` begins: at a member, at or before the range.
    pub(crate) from: u64,
    pub(crate) file: Range<u64>,
    /// Places (in the section's SQL, in the file) within it where members must begin.
    pub(crate) checkpoints: Vec<(u64, u64)>,
}

impl Span {
    /// The range of SQL, counted from the section's beginning.
    pub fn sql(&self) -> Range<u64> {
        self.sql.clone()
    }

    /// The bytes of the file that hold it, from a member's beginning to a member's end. Not all of them need be read.
    pub fn file(&self) -> Range<u64> {
        self.file.clone()
    }
}

/// Places in a section where a member begins, at equal distances in its SQL.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Checkpoints {
    /// The distance, in bytes of SQL: a multiple of [`BLOCK`], never 0.
    pub(crate) step: u64,
    /// Where the members begin that hold the SQL at 1, 2, 3… steps, in bytes of the file from the section's beginning. They
    /// never fall.
    pub(crate) offsets: Vec<u64>,
}

/// The distance of checkpoints in a database that is not very large: 16 blocks.
pub(crate) const STEP: u64 = 16 * BLOCK as u64;
/// The most checkpoints of a database. Twice as many become every second one.
pub(crate) const MOST_CHECKPOINTS: usize = 1 << 16;

impl Default for Checkpoints {
    fn default() -> Self {
        Self {
            step: STEP,
            offsets: Vec::new(),
        }
    }
}

impl Checkpoints {
    /// A member begins at this place of the section's SQL and of its bytes in the file. The writer says it in order, at
    /// least at all multiples of [`STEP`].
    pub(crate) fn pass(&mut self, sql: u64, file: u64) {
        let wanted = self.step * (1 + u64::try_from(self.offsets.len()).unwrap_or(u64::MAX));
        if sql != wanted {
            return;
        }
        self.offsets.push(file);
        if self.offsets.len() == MOST_CHECKPOINTS {
            let mut at = 0;
            self.offsets.retain(|_| {
                at += 1;
                at % 2 == 0
            });
            self.step *= 2;
        }
    }
}
