//! The state of an edit while a database's part of a dump passes.

use job::Error;
use pg_text::PgText;

use super::super::clean::Cleaning;
use super::super::context::Context;
use super::super::definition::Definition;
use super::super::guard::Guard;
use super::super::large_objects::SideSession;
use super::super::options::Options;
use super::super::session_settings::SessionSettings;
use super::super::tally::Tally;
use super::super::traits::Out;
use crate::server::target::{Destination, Transactions};

/// Edits a database's part of a dump, so that it can be restored under another name or in one transaction. The database's
/// own settings come last.
#[derive(Debug)]
pub(crate) struct DatabaseEdit {
    /// The name that the dump gives it. The dump of a single database gives none.
    pub(super) name: Option<PgText>,
    /// The name in the bytes of the database's own dump, where that has another encoding.
    pub(super) called: Option<PgText>,
    /// The encoding that it is created with, if the dump says so.
    pub(super) own_encoding: Option<String>,
    pub(super) destination: Destination,
    pub(super) options: Options,
    pub(super) tally: Tally,
    /// How many statements that name a role were left out.
    pub(super) ownerless: u64,
    /// Statements about it that came before its part, as in older dumps.
    pub(super) definitions: Vec<Definition>,
    pub(super) created: bool,
    pub(super) connected: bool,
    pub(super) guard: Guard,
    pub(super) context: Context,
    pub(super) cleaning: Cleaning,
    pub(super) transaction: Transaction,
    /// The dump's `SET SESSION AUTHORIZATION`, if one holds.
    pub(super) authorization: Option<Vec<u8>>,
    /// What the session for large objects was told.
    pub(super) side_session: SideSession,
    /// Whether the long statement that is passing goes to that session.
    pub(super) aside: bool,
    pub(super) rows: Rows,
    /// What the dump has set since the connection.
    pub(super) settings: SessionSettings,
    pub(super) freeze: Freeze,
    /// Statements that come after everything else.
    pub(super) deferred: Vec<Deferred>,
    /// Their size in bytes.
    pub(super) deferred_size: usize,
    /// Settings among them that also hold while the database is filled.
    pub(super) while_filled: Vec<Deferred>,
}

impl DatabaseEdit {
    pub(crate) fn new(name: Option<PgText>, destination: Destination, options: Options) -> Self {
        Self {
            name,
            called: None,
            own_encoding: None,
            destination,
            options,
            tally: Tally::default(),
            ownerless: 0,
            definitions: Vec::new(),
            created: false,
            connected: false,
            guard: Guard::default(),
            context: Context::default(),
            cleaning: Cleaning::new(),
            transaction: Transaction::None,
            authorization: None,
            side_session: SideSession::default(),
            aside: false,
            rows: Rows::None,
            settings: SessionSettings::default(),
            freeze: Freeze::No,
            deferred: Vec::new(),
            deferred_size: 0,
            while_filled: Vec::new(),
        }
    }

    /// Gives it the statements about the database that came before its part.
    pub(crate) fn define(&mut self, definitions: Vec<Definition>) {
        self.definitions = definitions;
    }

    /// How many statements that name a role were left out.
    pub(crate) fn ownerless(&self) -> u64 {
        self.ownerless
    }

    /// How many statements of `--clean` were sent with `IF EXISTS`.
    pub(crate) fn cleaned(&self) -> u64 {
        self.cleaning.changed()
    }

    pub(super) fn is_one_transaction(&self) -> bool {
        self.destination == Destination::InPlace(Transactions::One)
    }
}

/// Whether the dump is within a transaction that it has begun itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Transaction {
    None,
    Begun,
    /// One of large objects, where everything else is restored in one transaction.
    LargeObjects,
}

/// What becomes of the rows of a COPY, where the restore goes on after errors.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Rows {
    /// No COPY has begun.
    None,
    Follow,
    /// The COPY has failed: psql would read them as SQL.
    LeftOut,
}

/// Whether rows are copied frozen into a table that is emptied in the same transaction.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Freeze {
    No,
    /// Those of the next COPY.
    Next,
    /// Those that come now: the transaction ends after them.
    Now,
}

/// A statement that comes after everything else, with the settings that it was written under.
#[derive(Debug, Clone)]
pub(super) struct Deferred {
    /// Whether it came after the connection to the database. The server keeps it for all databases together, in the encoding
    /// of the database in which it was said.
    pub(super) connected: bool,
    /// The line of the dump.
    pub(super) line: u64,
    pub(super) context: Context,
    pub(super) statement: Vec<u8>,
}

impl Deferred {
    pub(super) fn send(&self, out: &mut dyn Out) -> Result<(), Error> {
        out.at(self.line);
        out.write(&[&self.context.sql(), self.statement.as_slice(), b"\n"].concat())
    }
}
