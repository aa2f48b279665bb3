//! How a database's part of a dump is edited.

use pg_text::PgText;

use crate::server::name_converter::NameConverter;

/// What the edit depends on: the server, its psql, and the command line.
#[derive(Debug, Clone)]
pub(crate) struct Options {
    /// Whether psql has no restricted mode.
    pub(crate) wary: bool,
    /// The server's major version.
    pub(crate) server: u32,
    /// The SQL that each connection begins with.
    pub(crate) settings: String,
    /// The database in which statements before the connection are sent.
    pub(crate) maintenance: PgText,
    /// Whether statements that name a role are restored.
    pub(crate) owners: bool,
    /// The bytes that the dump's names have on the server.
    pub(crate) names: NameConverter,
    /// The encoding that the dump's names of databases are written in.
    pub(crate) encoding: Option<String>,
    /// Whether the restore goes on after a statement that failed.
    pub(crate) goes_on: bool,
}
