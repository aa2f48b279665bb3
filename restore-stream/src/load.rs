//! One part of a dump on its way into the server.

use std::time::{Duration, Instant};

use dump_text::{Piece, Scanner, Unfinished};
use job::{Error, Progress, say};
use pg_client::NEUTRAL_SETTINGS;
use pg_text::PgText;

use crate::checked::Checked;
use crate::edit::{
    Books, DatabaseEdit, Definition, Edit, GlobalsEdit, Manner, Out, Place, Transactions,
};
use crate::feed::Feed;
use crate::keeper::Begun;
use crate::ledger::Entry;
use crate::naming::Naming;
use crate::plan::{Old, Target};
use crate::preflight::Cluster;
use crate::session::{Connection, Killers};
use crate::undo::Undo;

/// A part that is being loaded. Dropped before its end, it is stopped where it is.
#[derive(Debug)]
pub(crate) struct Load<E> {
    feed: Feed,
    /// Whether psql has no restricted mode.
    wary: bool,
    edit: E,
    rows: u64,
    /// Whether rows came that are not counted.
    inserts: bool,
    bytes: u64,
    /// Whether lines are counted, as they are where it goes on after errors; and how many have ended.
    counts_lines: bool,
    lines: u64,
    started: Instant,
    /// How long it took, if it waits for others.
    took: Option<Duration>,
}

impl<E: Edit> Load<E> {
    fn new(cluster: &Cluster, feed: Feed, edit: E) -> Self {
        Self {
            feed,
            wary: !cluster.restrict,
            edit,
            rows: 0,
            inserts: false,
            bytes: 0,
            counts_lines: cluster.failures.is_some(),
            lines: 0,
            started: Instant::now(),
            took: None,
        }
    }

    pub(crate) fn piece(&mut self, piece: Piece<'_>) -> Result<(), Error> {
        match piece {
            Piece::DataEnd { rows, .. } => self.rows += rows,
            Piece::Statement(sql) | Piece::Head(sql) => {
                self.inserts |= is_insert(sql);
                self.feed.at(self.lines + 1);
            }
            _ => {}
        }
        let bytes = piece.bytes();
        self.bytes += bytes.len() as u64;
        if self.counts_lines {
            self.lines += bytes.iter().filter(|byte| **byte == b'\n').count() as u64;
        }
        self.edit.piece(piece, &mut self.feed)
    }

    /// Loads all of `input`, checks it to its end, and finishes.
    pub(crate) fn all(
        &mut self,
        input: &mut Checked<'_>,
        progress: &Progress,
    ) -> Result<(), Error> {
        let mut scanner = scanner(self.wary);
        while let Some(sql) = input.next()? {
            let length = sql.len() as u64;
            scanner.feed(sql, &mut |piece| self.piece(piece))?;
            progress.advance(length);
        }
        input.finish()?;
        let ended = scanner.finish(&mut |piece| self.piece(piece))?;
        ended.map_err(|how| unfinished(&input.label(), how))?;
        self.finish()
    }

    /// The part has ended: psql must have done all of it, and be at the end of a statement; then comes what is last.
    pub(crate) fn finish(&mut self) -> Result<(), Error> {
        self.edit.close(&mut self.feed)?;
        self.feed.settle()?;
        if self.edit.last(&mut self.feed)? {
            self.feed.settle()?;
        }
        Ok(())
    }

    /// What became of its statements.
    pub(crate) fn take_books(&mut self) -> Books {
        self.edit.take_books()
    }
}

fn connection(cluster: &Cluster, database: &PgText) -> Connection {
    Connection {
        conninfo: cluster.server.conninfo().clone(),
        database: database.to_owned(),
        application: cluster.run.application(),
        restrict: cluster.restrict,
        failures: cluster.failures.clone(),
    }
}

/// What takes SQL to pieces. For a psql that has no restricted mode (`wary`), it hands out as a piece of its own what psql
/// might read otherwise.
pub(crate) fn scanner(wary: bool) -> Scanner {
    match wary {
        true => Scanner::reporting_ambiguity(),
        false => Scanner::new(),
    }
}

/// Whether a statement is one of `pg_dump --inserts`: it has rows.
pub(crate) fn is_insert(statement: &[u8]) -> bool {
    statement.starts_with(b"INSERT INTO ")
}

/// The error of SQL that ends too early.
pub(crate) fn unfinished(label: &str, how: Unfinished) -> Error {
    Error::not_good(format!("'{label}' is cut: {how}"))
        .hint("take an older backup: restore-stream STORE --before TIME")
}

impl Load<GlobalsEdit> {
    pub(crate) fn globals(
        cluster: &Cluster,
        edit: GlobalsEdit,
        killers: &Killers,
    ) -> Result<Self, Error> {
        let what = "roles and tablespaces".to_owned();
        let connection = connection(cluster, &cluster.maintenance);
        let mut feed = Feed::new(&connection, what, killers)?;
        feed.write(NEUTRAL_SETTINGS.as_bytes())?;
        Ok(Self::new(cluster, feed, edit))
    }

    /// It is finished, and all was checked: ends the session.
    pub(crate) fn end(self) -> Result<GlobalsEdit, Error> {
        self.feed.end("")?;
        Ok(self.edit)
    }
}

impl Load<DatabaseEdit> {
    /// `encoding` is that of the database's name in the backup, and of all that is said of the cluster beside it.
    pub(crate) fn database(
        cluster: &Cluster,
        target: &Target,
        encoding: Option<&str>,
        begun: &Begun,
        killers: &Killers,
    ) -> Result<Self, Error> {
        let database = match &target.place {
            Place::There(_) => &target.name,
            Place::Beside(working) | Place::Early(working, _) => {
                begun.add(working.ascii());
                &cluster.maintenance
            }
        };
        let connection = connection(cluster, database);
        let what = format!("database '{}'", target.name);
        let mut feed = Feed::new(&connection, what.clone(), killers)?;
        match &target.place {
            Place::Beside(_) => {}
            Place::Early(..) => feed = feed.naming(Naming::new(cluster, target, begun.undos())),
            Place::There(Transactions::One) => {
                feed = feed.with_aside(connection, what, killers, begun.undos());
            }
            Place::There(Transactions::Several) => {
                begun.undos().add(Undo::Partial(target.name.clone()));
            }
        }
        let manner = Manner {
            wary: !cluster.restrict,
            server: cluster.version.major(),
            settings: [NEUTRAL_SETTINGS, &cluster.settings].concat(),
            maintenance: cluster.maintenance.clone(),
            owners: cluster.owners,
            goes_on: cluster.failures.is_some(),
            names: cluster.names.clone(),
            encoding: encoding.map(str::to_owned),
        };
        let edit = DatabaseEdit::new(target.from.clone(), target.place.clone(), manner);
        edit.begin(&mut feed)?;
        Ok(Self::new(cluster, feed, edit))
    }

    /// Statements about the database that came before its part.
    pub(crate) fn define(&mut self, definitions: Vec<Definition>) {
        self.edit.define(definitions);
    }

    /// Connects to the database although the dump does not say so.
    pub(crate) fn connect(&mut self) -> Result<(), Error> {
        self.edit.connect(&mut self.feed)
    }

    /// It waits for the others, which does not count as its time.
    pub(crate) fn wait(&mut self) {
        self.took = Some(self.started.elapsed());
    }

    /// It is finished, and all was checked: ends the session. A database that is restored in place is committed by it.
    pub(crate) fn end(self, target: &Target) -> Result<Entry, Error> {
        let left_out = self.edit.ownerless();
        let name: PgText = target.from.clone().unwrap_or_else(|| target.name.clone());
        if let cleaned @ 1.. = self.edit.cleaned() {
            say!(
                "'{}': {cleaned} statements of --clean were sent with IF EXISTS: what they drop need not be there",
                target.name
            );
        }
        let failed = self.feed.failed();
        self.feed.end(self.edit.end())?;
        Ok(Entry {
            name_hex: name.utf8().is_none().then(|| name.hex()),
            name,
            restored_as: target.name.clone(),
            bytes: self.bytes,
            rows: (!self.inserts && failed == 0).then_some(self.rows),
            failed,
            left_out,
            seconds: self
                .took
                .unwrap_or_else(|| self.started.elapsed())
                .as_secs_f64(),
            replaced: match &target.old {
                Old::Kept(kept) | Old::Empty(kept) => Some(kept.clone()),
                Old::None => None,
            },
        })
    }
}
