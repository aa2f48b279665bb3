//! Statements about a database that come before its part.

use dump_text::{Verb, subject};
use pg_text::PgText;

use super::context::Context;

/// A statement about a database that comes among the roles, as in dumps of pg_dumpall 10 and older.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Definition {
    /// The database.
    pub(crate) database: PgText,
    /// The settings that the statement was written under.
    pub(crate) context: Context,
    pub(crate) statement: Vec<u8>,
}

impl Definition {
    /// Whether it creates the database.
    pub(crate) fn creates(&self) -> bool {
        subject(&self.statement).is_some_and(|about| about.verb == Verb::Create)
    }
}
