//! What the dump of a database held.

use pg_text::PgText;
use serde::{Deserialize, Serialize};

/// What the dump of a database held, counted while it was written. A restore must bring all of it back. `docs/format.md`
/// says what each number counts, and how to ask a restored database for the same number. Which tables these are is in the
/// database's [`Map`](crate::Map).
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Contents {
    /// How many tables it has.
    pub table_count: u64,
    /// How many rows all its tables have. None where the number of one table is not known.
    pub rows: Option<u64>,
    /// How many `CREATE INDEX` it has. The index of a constraint does not count.
    pub indexes: u64,
    /// How many primary keys, unique, exclusion and foreign key constraints it adds.
    pub constraints: u64,
    /// The names (not quoted) of the extensions that it creates, in the dump's order.
    pub extensions: Vec<String>,
    /// How many large objects it creates.
    pub large_objects: u64,
}

/// A table of a dump.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TableRows {
    /// Its name as the dump has it: with its schema (unless the dump leaves that out), quoted where the dump quotes it
    /// (`public."Größe"`).
    pub name: PgText,
    /// How many rows of its own (`FROM ONLY`) the dump has. None where they were not counted.
    pub rows: Option<u64>,
}

impl TableRows {
    /// A table with this many rows.
    pub fn new(name: impl Into<PgText>, rows: impl Into<Option<u64>>) -> Self {
        Self {
            name: name.into(),
            rows: rows.into(),
        }
    }
}
