//! The first session of a database: it gets the dump's text in order, and makes units of what may run beside it.

use std::ops::Range;
use std::sync::Arc;

use dump_text::{Command, Ddl, Piece, QualifiedName, Scanner, command, ddl};
use job::{Error, Progress};

use super::pending::Pending;
use super::pool::{OpenDatabase, Pool};
use super::relations::{Relations, Resource, StatementUse};
use super::row_groups::{RowGroup, RowGroups};
use super::schedule::Use;
use super::unit::{Unit, Work};
use crate::edit::{DatabaseEdit, SessionSettings};
use crate::load::part::Load;
use crate::load::sibling::Sibling;
use crate::server::cluster::Cluster;
use crate::server::target::Target;
use crate::source::error::unfinished;
use crate::source::ranges::SectionRanges;

/// Settings that pg_dump changes between tables and indexes. A unit has those that hold where it stands in the dump.
const CHANGING: [&str; 2] = ["default_tablespace", "default_table_access_method"];

/// What a lane needs to know of the database.
#[derive(Clone, Copy)]
pub(super) struct Place<'a> {
    pub(super) cluster: &'a Cluster,
    pub(super) target: &'a Target,
    /// Its number in the pool.
    pub(super) number: usize,
    /// How many threads decompress for it.
    pub(super) threads: usize,
    pub(super) progress: &'a Progress,
}

/// What came of a database's parallel restore.
#[derive(Debug, Clone, Copy)]
pub(super) struct Outcome {
    /// The most sessions that were loading it at once.
    pub(super) sessions: usize,
    /// How many statements were not recognised as pg_dump's. Nothing runs beside them, or beside what follows them.
    pub(super) unrecognised: u64,
}

impl Outcome {
    /// A database that one session has loaded from beginning to end.
    pub(super) fn of_one() -> Self {
        Self {
            sessions: 1,
            unrecognised: 0,
        }
    }
}

pub(super) struct Lane<'p, 'a> {
    place: Place<'a>,
    pool: &'p Pool<'a>,
    load: &'p mut Load<DatabaseEdit>,
    ranges: Arc<SectionRanges<'a>>,
    relations: Relations,
    /// The tables of the blocks, where they have a schema.
    tables: Vec<Option<QualifiedName>>,
    /// The place in the section's SQL of the next piece.
    at: u64,
    /// A unit to which details may still come.
    pending: Option<Pending>,
    settings: Arc<SessionSettings>,
    /// Whether others may help.
    open: bool,
    /// Whether everything is sent in order from here on.
    in_order: bool,
    /// Whether its session may still be doing what units need.
    unsettled: bool,
    unrecognised: u64,
}

impl<'p, 'a> Lane<'p, 'a> {
    pub(super) fn new(
        place: Place<'a>,
        pool: &'p Pool<'a>,
        load: &'p mut Load<DatabaseEdit>,
        ranges: SectionRanges<'a>,
    ) -> Self {
        let copies = ranges.layout().copies.iter();
        let tables: Vec<_> = copies
            .map(|block| QualifiedName::parse(block.table.as_bytes()))
            .collect();
        let mut relations = Relations::default();
        let lengths = ranges.layout().copies.iter();
        let lengths = lengths.map(|block| block.sql.end - block.sql.start);
        relations.expect(tables.iter().zip(lengths));
        Self {
            place,
            pool,
            load,
            ranges: Arc::new(ranges),
            relations,
            tables,
            at: 0,
            pending: None,
            settings: Arc::default(),
            open: false,
            in_order: false,
            unsettled: true,
            unrecognised: 0,
        }
    }

    /// Restores the database, checks all of its bytes, and finishes. Its session is the only one then.
    pub(super) fn run(mut self) -> Result<Outcome, Error> {
        let ranges = Arc::clone(&self.ranges);
        let copies = &ranges.layout().copies;
        let mut scanner = self.load.scanner();
        let mut next = 0;
        while self.at < ranges.sql_length() {
            let until = copies.get(next).map(|it| it.sql.start);
            self.text(self.at..until.unwrap_or(ranges.sql_length()), &mut scanner)?;
            if next == 0 && !copies.is_empty() && !self.in_order {
                self.open();
            }
            if self.in_order || self.load.is_within_transaction() {
                self.in_order = true;
                self.text(self.at..ranges.sql_length(), &mut scanner)?;
                break;
            }
            let before = next;
            while copies.get(next).is_some_and(|it| it.sql.start == self.at) {
                self.at = copies[next].sql.end;
                next += 1;
            }
            self.rows(before..next)?;
        }
        let mut piece = |piece: Piece<'_>| self.piece(piece);
        let ended = scanner.finish(&mut piece)?;
        ended.map_err(|how| unfinished(&ranges.label(), how))?;
        self.wait()?;
        let (shares, helpers) = match self.open {
            true => self.pool.close(self.place.number)?,
            false => (Vec::new(), 0),
        };
        for share in shares {
            self.load.absorb(share);
        }
        ranges.check()?;
        self.load.finish()?;
        self.load.check_length(ranges.sql_length())?;
        Ok(Outcome {
            sessions: 1 + helpers,
            unrecognised: self.unrecognised,
        })
    }

    /// Lets others help, if its own session is connected to the database.
    fn open(&mut self) {
        let Place {
            cluster,
            target,
            number,
            ..
        } = self.place;
        let Some(sibling) = Sibling::of(self.load, cluster, target) else {
            self.in_order = true;
            return;
        };
        let ranges = Arc::clone(&self.ranges);
        let database = OpenDatabase { sibling, ranges };
        self.pool.open(number, Arc::new(database));
        self.open = true;
    }

    /// Sends the text of a range, in which no rows are expected.
    fn text(&mut self, range: Range<u64>, scanner: &mut Scanner) -> Result<(), Error> {
        let (ranges, end) = (Arc::clone(&self.ranges), range.end);
        let Place {
            threads, progress, ..
        } = self.place;
        ranges.read(range, threads, |sql| {
            scanner.feed(sql, &mut |piece| self.piece(piece))?;
            progress.advance(sql.len() as u64);
            Ok(())
        })?;
        self.at = end;
        Ok(())
    }

    /// Makes units of blocks that follow each other.
    fn rows(&mut self, blocks: Range<usize>) -> Result<(), Error> {
        self.enqueue()?;
        let ranges = Arc::clone(&self.ranges);
        let copies = &ranges.layout().copies;
        self.settings = Arc::new(self.load.settings().clone());
        let mut groups = RowGroups::default();
        for at in blocks {
            let rows = self.relations.rows(self.tables[at].as_ref());
            let length = copies[at].sql.end - copies[at].sql.start;
            if let Some(group) = groups.take(at, length, rows) {
                self.add_rows(group)?;
            }
        }
        match groups.end() {
            Some(group) => self.add_rows(group),
            None => Ok(()),
        }
    }

    fn add_rows(&mut self, group: RowGroup) -> Result<(), Error> {
        let work = Work::Rows {
            blocks: group.blocks,
            copying: group.copying,
        };
        self.add(work, group.length, group.uses)
    }

    fn piece(&mut self, piece: Piece<'_>) -> Result<(), Error> {
        let at = self.at;
        self.at += piece.bytes().len() as u64;
        if self.in_order {
            return self.load.piece(piece);
        }
        match piece {
            Piece::Statement(statement) => {
                let found = ddl(statement);
                self.statement(&found, statement, piece, at)
            }
            // Not all of it is seen.
            Piece::Head(head) => match ddl(head) {
                Ddl::Other => self.barrier(&Ddl::Other, head, piece),
                _ => self.barrier(&Ddl::Unknown, head, piece),
            },
            Piece::Command(line) => match command(line) {
                Command::Restrict(_) | Command::Unrestrict(_) => self.load.piece(piece),
                _ if !self.open => self.load.piece(piece),
                _ => self.barrier(&Ddl::Unknown, line, piece),
            },
            // Rows that the map does not know.
            Piece::Data(_) | Piece::DataEnd { .. } => Err(self.ranges.untrue()),
            _ => self.load.piece(piece),
        }
    }

    fn statement(
        &mut self,
        found: &Ddl,
        statement: &[u8],
        piece: Piece<'_>,
        at: u64,
    ) -> Result<(), Error> {
        if let Ddl::Detail { of, table } = found
            && let Some(pending) = &mut self.pending
            && pending.add_detail(of, table.as_ref(), statement)
        {
            return Ok(());
        }
        if !self.open || self.load.is_within_transaction() && !is_transaction(statement) {
            return match found {
                Ddl::LargeObject if self.open => self.load.piece(piece),
                _ => self.barrier(found, statement, piece),
            };
        }
        match found {
            Ddl::Setting(name) if self.may_change(name, statement) => {
                if self.load.settings().of(name) != Some(statement) {
                    self.enqueue()?;
                }
                self.relations.see(found, statement);
                self.load.piece(piece)?;
                self.settings = Arc::new(self.load.settings().clone());
                Ok(())
            }
            // They touch nothing that a unit does.
            Ddl::SequenceValue | Ddl::LargeObject => self.load.piece(piece),
            _ if is_transaction(statement) => match self.is_of_large_objects(at) {
                true => self.load.piece(piece),
                false => self.barrier(&Ddl::Other, statement, piece),
            },
            _ => match self.relations.statement(found) {
                Some(uses) => {
                    self.relations.see(found, statement);
                    self.put_off(statement, uses)
                }
                None => self.barrier(found, statement, piece),
            },
        }
    }

    /// Makes a statement part of the next unit, or of one that is small too.
    fn put_off(&mut self, statement: &[u8], uses: StatementUse) -> Result<(), Error> {
        let uses = match &mut self.pending {
            Some(pending) => match pending.add(statement, uses) {
                Some(uses) => uses,
                None => return Ok(()),
            },
            None => uses,
        };
        self.enqueue()?;
        self.pending = Some(Pending::new(statement, uses));
        Ok(())
    }

    /// Sends a statement when everything before it is done. If it may do anything, what follows is sent in order too.
    fn barrier(&mut self, found: &Ddl, statement: &[u8], piece: Piece<'_>) -> Result<(), Error> {
        self.enqueue()?;
        self.wait()?;
        self.relations.see(found, statement);
        self.load.piece(piece)?;
        self.settings = Arc::new(self.load.settings().clone());
        if *found == Ddl::Unknown {
            self.unrecognised += 1;
            self.in_order = true;
        }
        // What follows may run in other sessions, which must see what it did.
        self.unsettled = true;
        Ok(())
    }

    /// Whether a setting may change while units wait that were made under the one before.
    fn may_change(&self, name: &str, statement: &[u8]) -> bool {
        match self.load.settings().of(name) {
            Some(now) => now == statement || CHANGING.contains(&name),
            None => false,
        }
    }

    fn is_of_large_objects(&self, at: u64) -> bool {
        let objects = &self.ranges.layout().large_objects;
        objects.as_ref().is_some_and(|it| it.contains(&at))
    }

    /// Adds the unit to which details might have come.
    fn enqueue(&mut self) -> Result<(), Error> {
        match self.pending.take() {
            Some(pending) => {
                let StatementUse { weight, uses, .. } = pending.uses;
                self.add(Work::Statements(pending.statements), weight, uses)
            }
            None => Ok(()),
        }
    }

    fn add(&mut self, work: Work, weight: u64, uses: Vec<(Resource, Use)>) -> Result<(), Error> {
        if std::mem::take(&mut self.unsettled) {
            self.load.settle()?;
        }
        let unit = Unit {
            settings: Arc::clone(&self.settings),
            work,
        };
        match self.pool.add(self.place.number, unit, weight, uses) {
            true => self.wait(),
            false => Ok(()),
        }
    }

    /// Does units until all are done.
    fn wait(&mut self) -> Result<(), Error> {
        if !self.open {
            return Ok(());
        }
        let number = self.place.number;
        let mut here = None;
        while let Some(taken) = self.pool.work(number)? {
            if self.load.is_within_transaction() {
                // The map says that nothing but large objects is in a transaction.
                return Err(self.ranges.untrue());
            }
            here.get_or_insert_with(|| self.load.settings().clone());
            taken
                .unit
                .run(self.load, &self.ranges, self.place.progress)?;
            self.pool.done(number, &taken);
        }
        match here {
            Some(settings) => self.load.adopt(&settings),
            None => Ok(()),
        }
    }
}

/// Whether a statement begins or ends a transaction, as pg_dump writes it around large objects.
fn is_transaction(statement: &[u8]) -> bool {
    matches!(statement, b"BEGIN;" | b"COMMIT;")
}
