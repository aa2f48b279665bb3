//! Where and how a database is restored.

use pg_text::PgText;

use crate::encoding::Names;

/// Where a database is restored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Place {
    /// Into a new database of this name, which gets its own when all is done.
    Beside(PgText),
    /// Into a new database of the first name, which gets the second before it is filled.
    Early(PgText, PgText),
    /// Into the database of its own name that is there.
    There(Transactions),
}

impl Place {
    /// Whether that is the database that is there.
    pub(crate) fn is_in_place(&self) -> bool {
        matches!(self, Self::There(_))
    }
}

/// How a database that is there is filled.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Transactions {
    /// All is committed at the end; large objects are, as they come, in a session of their own.
    One,
    /// Each statement by itself, as psql does it.
    Several,
}

/// How the server and its psql want it.
#[derive(Debug, Clone)]
pub(crate) struct Manner {
    /// Whether psql has no restricted mode.
    pub(crate) wary: bool,
    /// The server's major version.
    pub(crate) server: u32,
    /// What each connection begins with.
    pub(crate) settings: String,
    /// The database that what comes before the connection is said in.
    pub(crate) maintenance: PgText,
    /// Whether what names a role is restored.
    pub(crate) owners: bool,
    /// What the dump's names are on the server.
    pub(crate) names: Names,
    /// The encoding that the dump's names of databases are written in.
    pub(crate) encoding: Option<String>,
    /// Whether it goes on after a statement that failed.
    pub(crate) goes_on: bool,
}
