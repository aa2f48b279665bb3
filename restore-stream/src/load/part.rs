//! One part of a dump on its way into the server.

use std::ops::Range;
use std::time::{Duration, Instant};

use dump_text::{Piece, Scanner};
use job::{Error, Progress, say};
use pg_client::NEUTRAL_SETTINGS;
use pg_text::PgText;

use crate::edit::{
    DatabaseEdit, Definition, Edit, GlobalsEdit, Options, Out, TableChoice, TableFilter, Tally,
};
use crate::load::psql_output::PsqlOutput;
use crate::report::RestoredDatabase;
use crate::server::cleanup::Cleanup;
use crate::server::cluster::Cluster;
use crate::server::early_naming::EarlyNaming;
use crate::server::session::Connection;
use crate::server::session_group::SessionGroup;
use crate::server::target::{Destination, Target, Transactions};
use crate::server::undo::Undo;
use crate::source::checked::CheckedSql;
use crate::source::error::unfinished;
use crate::source::ranges::SectionRanges;

/// A part that is being loaded. If it is dropped before its end, psql is killed.
#[derive(Debug)]
pub(crate) struct Load<E> {
    pub(super) output: PsqlOutput,
    /// Whether psql has no restricted mode.
    wary: bool,
    pub(super) edit: E,
    /// Which tables' rows are loaded, if not all.
    tables: Option<TableFilter>,
    pub(super) rows: u64,
    /// Whether some rows came by INSERT, which are not counted.
    pub(super) inserts: bool,
    pub(super) bytes: u64,
    /// Whether lines are counted, as they are where the restore goes on after errors; and how many have ended.
    counts_lines: bool,
    lines: u64,
    started: Instant,
    /// How long it took, if it now waits for others.
    took: Option<Duration>,
}

impl<E: Edit> Load<E> {
    pub(super) fn new(cluster: &Cluster, output: PsqlOutput, edit: E) -> Self {
        Self {
            output,
            wary: !cluster.restrict,
            edit,
            tables: None,
            rows: 0,
            inserts: false,
            bytes: 0,
            counts_lines: cluster.failures.is_some(),
            lines: 0,
            started: Instant::now(),
            took: None,
        }
    }

    /// A scanner for its SQL.
    pub(crate) fn scanner(&self) -> Scanner {
        scanner(self.wary)
    }

    pub(crate) fn piece(&mut self, piece: Piece<'_>) -> Result<(), Error> {
        if let Some(tables) = &mut self.tables
            && !tables.keeps(piece)
        {
            return Ok(());
        }
        match piece {
            Piece::DataEnd { rows, .. } => self.rows += rows,
            Piece::Statement(sql) | Piece::Head(sql) => {
                self.inserts |= is_insert(sql);
                self.output.at(self.lines + 1);
            }
            _ => {}
        }
        let bytes = piece.bytes();
        self.bytes += bytes.len() as u64;
        if self.counts_lines {
            self.lines += bytes.iter().filter(|byte| **byte == b'\n').count() as u64;
        }
        self.edit.piece(piece, &mut self.output)
    }

    /// Loads all of `input`, checks it to its last byte, and finishes.
    pub(crate) fn all(
        &mut self,
        input: &mut CheckedSql<'_>,
        progress: &Progress,
    ) -> Result<(), Error> {
        self.all_by(input, progress, &mut |load, piece| load.piece(piece))
    }

    /// As [`Load::all`]; `each` gets each piece, and sends it on.
    pub(crate) fn all_by(
        &mut self,
        input: &mut CheckedSql<'_>,
        progress: &Progress,
        each: &mut dyn FnMut(&mut Self, Piece<'_>) -> Result<(), Error>,
    ) -> Result<(), Error> {
        let mut scanner = self.scanner();
        while let Some(sql) = input.next()? {
            let length = sql.len() as u64;
            scanner.feed(sql, &mut |piece| each(self, piece))?;
            progress.advance(length);
        }
        input.finish()?;
        let ended = scanner.finish(&mut |piece| each(self, piece))?;
        ended.map_err(|how| unfinished(&input.label(), how))?;
        self.finish()
    }

    /// Ends the part. psql must have run all of it, and be between two statements. Then comes what must be last.
    pub(crate) fn finish(&mut self) -> Result<(), Error> {
        self.edit.close(&mut self.output)?;
        self.output.settle()?;
        if self.edit.last(&mut self.output)? {
            self.output.settle()?;
        }
        Ok(())
    }

    /// Checks that it has got this many bytes of SQL, together with the sessions beside it.
    ///
    /// # Errors
    /// Some were lost on the way.
    pub(crate) fn check_length(&self, expected: u64) -> Result<(), Error> {
        match self.bytes == expected {
            true => Ok(()),
            false => Err(Error::failed(format!(
                "the database's part of the backup has {expected} bytes of SQL, and {} were restored",
                self.bytes
            ))
            .hint("this is a fault of restore-stream: please report it, and restore with --jobs 1")),
        }
    }

    /// Waits until psql has done everything that was sent.
    pub(crate) fn settle(&mut self) -> Result<(), Error> {
        self.output.settle()
    }

    /// The tally of its statements.
    pub(crate) fn take_tally(&mut self) -> Tally {
        let mut tally = self.edit.take_tally();
        if let Some(tables) = &mut self.tables {
            tally.add(tables.take_tally());
        }
        tally
    }

    /// Loads the rows of some tables only. Say it before anything is loaded.
    pub(crate) fn choose(&mut self, tables: Option<TableChoice>) {
        self.tables = tables.map(TableFilter::new);
    }

    /// Loads of a database's part what was chosen, reading little else.
    pub(crate) fn chosen(
        &mut self,
        ranges: &SectionRanges<'_>,
        database: &PgText,
        threads: usize,
        progress: &Progress,
    ) -> Result<(), Error> {
        let mut scanner = self.scanner();
        let layout = ranges.layout();
        let length = ranges.sql_length();
        let mut read = |load: &mut Self, range: Range<u64>| {
            ranges.read(range, threads, |sql| {
                scanner.feed(sql, &mut |piece| load.piece(piece))?;
                progress.advance(sql.len() as u64);
                Ok(())
            })
        };
        let definitions = layout.data.as_ref().map_or(length, |data| data.start);
        read(self, 0..definitions)?;
        // Only now it is known which tables are partitions of which.
        let rest = match &mut self.tables {
            Some(tables) => tables.ranges(layout, length),
            None => std::iter::once(definitions..length).collect(),
        };
        for range in rest {
            read(self, range)?;
        }
        let ended = scanner.finish(&mut |piece| self.piece(piece))?;
        ended.map_err(|how| unfinished(&ranges.label(), how))?;
        if let Some(tables) = &mut self.tables
            && !tables.has_all_rows_of(layout)
        {
            return Err(ranges.untrue());
        }
        self.finish_chosen(database)
    }

    /// As [`Load::finish`], and every table that was chosen must have come.
    pub(crate) fn finish_chosen(&mut self, database: &PgText) -> Result<(), Error> {
        self.finish()?;
        match &self.tables {
            Some(tables) => tables.finish(database),
            None => Ok(()),
        }
    }
}

pub(super) fn connection(cluster: &Cluster, database: &PgText) -> Connection {
    Connection {
        conninfo: cluster.server.conninfo().clone(),
        database: database.to_owned(),
        application: cluster.run.application(),
        restrict: cluster.restrict,
        failures: cluster.failures.clone(),
    }
}

/// A scanner that takes SQL to pieces. For a psql without restricted mode (`wary`), text that psql might read otherwise is a
/// piece of its own.
pub(crate) fn scanner(wary: bool) -> Scanner {
    match wary {
        true => Scanner::reporting_ambiguity(),
        false => Scanner::new(),
    }
}

/// Whether a statement inserts rows, as `pg_dump --inserts` writes them.
pub(crate) fn is_insert(statement: &[u8]) -> bool {
    statement.starts_with(b"INSERT INTO ")
}

impl Load<GlobalsEdit> {
    pub(crate) fn globals(
        cluster: &Cluster,
        edit: GlobalsEdit,
        sessions: &SessionGroup,
    ) -> Result<Self, Error> {
        let what = "roles and tablespaces".to_owned();
        let connection = connection(cluster, &cluster.survey.maintenance);
        let mut output = PsqlOutput::new(&connection, what, sessions)?;
        output.write(NEUTRAL_SETTINGS.as_bytes())?;
        Ok(Self::new(cluster, output, edit))
    }

    /// Ends the session. Call it after the part is finished and everything was checked.
    pub(crate) fn end(self) -> Result<GlobalsEdit, Error> {
        self.output.end("")?;
        Ok(self.edit)
    }
}

impl Load<DatabaseEdit> {
    /// `encoding` is that of names in the backup that belong to the whole cluster.
    pub(crate) fn database(
        cluster: &Cluster,
        target: &Target,
        encoding: Option<&str>,
        cleanup: &Cleanup,
        sessions: &SessionGroup,
    ) -> Result<Self, Error> {
        let database = match &target.destination {
            Destination::InPlace(_) => &target.name,
            Destination::Beside(working) | Destination::NamedEarly { working, .. } => {
                cleanup.add(working.ascii());
                &cluster.survey.maintenance
            }
        };
        let connection = connection(cluster, database);
        let what = format!("database '{}'", target.name);
        let mut output = PsqlOutput::new(&connection, what.clone(), sessions)?;
        match &target.destination {
            Destination::Beside(_) => {}
            Destination::NamedEarly { .. } => {
                output = output.naming(EarlyNaming::new(cluster, target, cleanup.undos()));
            }
            Destination::InPlace(Transactions::One) => {
                output = output.with_aside(connection, what, sessions, cleanup.undos());
            }
            Destination::InPlace(Transactions::Several) => {
                cleanup.undos().add(Undo::Partial(target.name.clone()));
            }
        }
        let options = Options {
            wary: !cluster.restrict,
            server: cluster.survey.version.major(),
            settings: [NEUTRAL_SETTINGS, &cluster.survey.settings].concat(),
            maintenance: cluster.survey.maintenance.clone(),
            owners: cluster.owners,
            goes_on: cluster.failures.is_some(),
            names: cluster.names.clone(),
            encoding: encoding.map(str::to_owned),
        };
        let edit = DatabaseEdit::new(target.from.clone(), target.destination.clone(), options);
        edit.begin(&mut output)?;
        Ok(Self::new(cluster, output, edit))
    }

    /// Adds the statements about the database that came before its part.
    pub(crate) fn define(&mut self, definitions: Vec<Definition>) {
        self.edit.define(definitions);
    }

    /// Connects to the database, where the dump does not do so.
    pub(crate) fn connect(&mut self) -> Result<(), Error> {
        self.edit.connect(&mut self.output)
    }

    /// Stops its clock: from here on it waits for the others.
    pub(crate) fn wait(&mut self) {
        self.took = Some(self.started.elapsed());
    }

    /// Ends the session, which commits a database that is restored in one transaction. Call it after the part is finished and
    /// everything was checked.
    pub(crate) fn end(self, target: &Target) -> Result<RestoredDatabase, Error> {
        let left_out = self.edit.ownerless();
        let name: PgText = target.from.clone().unwrap_or_else(|| target.name.clone());
        if let cleaned @ 1.. = self.edit.cleaned() {
            say!(
                "'{}': {cleaned} statements of --clean were sent with IF EXISTS: what they drop need not be there",
                target.name
            );
        }
        let failed = self.output.failed();
        self.output.end(self.edit.end())?;
        Ok(RestoredDatabase {
            name_hex: name.utf8().is_none().then(|| name.hex()),
            name,
            restored_as: target.name.clone(),
            bytes: self.bytes,
            rows: (!self.inserts && failed == 0).then_some(self.rows),
            failed,
            left_out,
            sessions: 1,
            unrecognised: 0,
            seconds: self
                .took
                .unwrap_or_else(|| self.started.elapsed())
                .as_secs_f64(),
            replaced: target.replaced.kept_as().cloned(),
        })
    }
}
