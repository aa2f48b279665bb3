//! One part of a dump on its way into the server.

use std::time::{Duration, Instant};

use dump_text::{Piece, Scanner, Unfinished};
use job::{Error, Progress};
use pg_client::UNHINDERED;

use crate::checked::Checked;
use crate::edit::{Books, DatabaseEdit, Definition, Edit, GlobalsEdit, Manner, Place};
use crate::keeper::Begun;
use crate::ledger::Entry;
use crate::plan::{Old, Target};
use crate::preflight::Cluster;
use crate::session::{Connection, Killers, Session};

/// A part that is being loaded. Dropped before its end, it is stopped where it is.
#[derive(Debug)]
pub(crate) struct Load<E> {
    session: Session,
    /// Whether psql has no restricted mode.
    wary: bool,
    edit: E,
    rows: u64,
    /// Whether rows came that are not counted.
    inserts: bool,
    bytes: u64,
    started: Instant,
    /// How long it took, if it waits for others.
    took: Option<Duration>,
}

impl<E: Edit> Load<E> {
    fn new(cluster: &Cluster, session: Session, edit: E) -> Self {
        Self {
            session,
            wary: !cluster.restrict,
            edit,
            rows: 0,
            inserts: false,
            bytes: 0,
            started: Instant::now(),
            took: None,
        }
    }

    pub(crate) fn piece(&mut self, piece: Piece<'_>) -> Result<(), Error> {
        match piece {
            Piece::DataEnd { rows, .. } => self.rows += rows,
            Piece::Statement(sql) | Piece::Head(sql) => self.inserts |= is_insert(sql),
            _ => {}
        }
        self.bytes += piece.bytes().len() as u64;
        self.edit.piece(piece, &mut self.session)
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
        self.edit.close(&mut self.session)?;
        self.session.settle()?;
        if self.edit.last(&mut self.session)? {
            self.session.settle()?;
        }
        Ok(())
    }

    /// What became of its statements.
    pub(crate) fn take_books(&mut self) -> Books {
        self.edit.take_books()
    }
}

fn connection<'a>(cluster: &'a Cluster, database: &'a str, application: &'a str) -> Connection<'a> {
    Connection {
        conninfo: cluster.server.conninfo(),
        database,
        application,
        restrict: cluster.restrict,
    }
}

/// What takes SQL to pieces. For a psql that has no restricted mode (`wary`), it hands out as a piece of its own what psql
/// might read otherwise.
pub(crate) fn scanner(wary: bool) -> Scanner {
    match wary {
        true => Scanner::wary(),
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
        let application = cluster.run.application();
        let connection = connection(cluster, &cluster.maintenance, &application);
        let mut session = Session::start(connection, what, killers)?;
        session.write(UNHINDERED.as_bytes())?;
        Ok(Self::new(cluster, session, edit))
    }

    /// It is finished, and all was checked: ends the session.
    pub(crate) fn end(self) -> Result<GlobalsEdit, Error> {
        self.session.end("")?;
        Ok(self.edit)
    }
}

impl Load<DatabaseEdit> {
    pub(crate) fn database(
        cluster: &Cluster,
        target: &Target,
        begun: &Begun,
        killers: &Killers,
    ) -> Result<Self, Error> {
        let database = match &target.place {
            Place::InPlace => &target.name,
            Place::Beside(working) => {
                begun.add(working);
                &cluster.maintenance
            }
        };
        let application = cluster.run.application();
        let mut session = Session::start(
            connection(cluster, database, &application),
            format!("database '{}'", target.name),
            killers,
        )?;
        let manner = Manner {
            wary: !cluster.restrict,
            server: cluster.version.major(),
            settings: [UNHINDERED, &cluster.settings].concat(),
            maintenance: cluster.maintenance.clone(),
            owners: cluster.owners,
        };
        let edit = DatabaseEdit::new(target.from.clone(), target.place.clone(), manner);
        edit.begin(&mut session)?;
        Ok(Self::new(cluster, session, edit))
    }

    /// Statements about the database that came before its part.
    pub(crate) fn define(&mut self, definitions: Vec<Definition>) {
        self.edit.define(definitions);
    }

    /// Connects to the database although the dump does not say so.
    pub(crate) fn connect(&mut self) -> Result<(), Error> {
        self.edit.connect(&mut self.session)
    }

    /// It waits for the others, which does not count as its time.
    pub(crate) fn wait(&mut self) {
        self.took = Some(self.started.elapsed());
    }

    /// It is finished, and all was checked: ends the session. A database that is restored in place is committed by it.
    pub(crate) fn end(self, target: &Target) -> Result<Entry, Error> {
        let left_out = self.edit.ownerless();
        self.session.end(self.edit.end())?;
        Ok(Entry {
            name: target.from.clone().unwrap_or_else(|| target.name.clone()),
            restored_as: target.name.clone(),
            bytes: self.bytes,
            rows: (!self.inserts).then_some(self.rows),
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
