use std::fmt;
use std::process::Command;

use job::Error;

/// How a server is reached: what `-d/--dbname` gave, or nothing, then the environment says it
/// (`PGHOST`, `PGUSER`, `PGSERVICE`, …).
///
/// A password in it is never shown and never put on a command line.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Conninfo {
    /// Keyword and value, in the order given; no `dbname`, no `password`.
    options: Vec<(String, String)>,
    database: Option<String>,
    password: Option<String>,
}

impl Conninfo {
    /// Reads what libpq takes: `host=… dbname='…'`, `postgresql://…`, or a bare database name.
    ///
    /// # Errors
    /// What is wrong with it (exit code 2), without the password.
    pub fn parse(text: &str) -> Result<Self, Error> {
        let _ = text;
        todo!()
    }

    /// The database that it names itself.
    pub fn database(&self) -> Option<&str> {
        self.database.as_deref()
    }

    /// A conninfo string for `psql -d` and `pg_dump -d` that leads to the database `name`, whatever
    /// characters that has. Without a password: see [`Conninfo::apply`].
    pub fn with_database(&self, name: &str) -> String {
        let _ = name;
        todo!()
    }

    /// Lets `command` (psql, pg_dump, pg_dumpall, pg_isready) connect to `database`, or to the one that
    /// this names, or (none) to the environment's: adds `--dbname=…`, and the password to its environment.
    /// Also bounds the time a connection takes to be made, unless the environment does.
    pub fn apply(&self, command: &mut Command, database: Option<&str>) {
        let _ = (command, database);
        todo!()
    }
}

/// Without the password.
impl fmt::Debug for Conninfo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Conninfo")
            .field("options", &self.options)
            .field("database", &self.database)
            .finish_non_exhaustive()
    }
}
