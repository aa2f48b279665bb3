//! Where and how a database is restored.

use pg_text::PgText;

use crate::server::encoding::NameConverter;

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
    pub(crate) names: NameConverter,
    /// The encoding that the dump's names of databases are written in.
    pub(crate) encoding: Option<String>,
    /// Whether it goes on after a statement that failed.
    pub(crate) goes_on: bool,
}
