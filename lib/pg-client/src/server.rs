use std::time::Duration;

use job::Error;

use crate::{Conninfo, Version};

/// One row of an answer; NULL is none.
pub type Row = Vec<Option<String>>;

/// A server that is asked through `psql`.
#[derive(Debug, Clone)]
pub struct Server {
    conninfo: Conninfo,
}

impl Server {
    /// The server that `conninfo` leads to; nothing is asked of it yet.
    pub fn new(conninfo: Conninfo) -> Self {
        Self { conninfo }
    }

    /// How it is reached.
    pub fn conninfo(&self) -> &Conninfo {
        &self.conninfo
    }

    /// Waits for a server that is starting, or whose address does not answer yet, at most this long.
    ///
    /// # Errors
    /// It does not answer in time: with psql's own words. Whatever waiting does not help against (a
    /// wrong password, no such database) is no matter here: the first query says it.
    pub fn wait(&self, timeout: Duration) -> Result<(), Error> {
        let _ = timeout;
        todo!()
    }

    /// Runs `sql` (one statement or several, the rows of all of them) in `database`, or in the one
    /// that the conninfo or the environment names.
    ///
    /// # Errors
    /// With psql's own words; a value that is not UTF-8.
    pub fn query(&self, database: Option<&str>, sql: &str) -> Result<Vec<Row>, Error> {
        let _ = (database, sql);
        todo!()
    }

    /// As [`Server::query`] where nothing is asked: CREATE DATABASE, ALTER DATABASE.
    ///
    /// # Errors
    /// With psql's own words.
    pub fn execute(&self, database: Option<&str>, sql: &str) -> Result<(), Error> {
        self.query(database, sql).map(drop)
    }

    /// The server's version.
    ///
    /// # Errors
    /// As [`Server::query`].
    pub fn version(&self, database: Option<&str>) -> Result<Version, Error> {
        let _ = database;
        todo!()
    }
}

/// A name as SQL takes it: `"a""b"`.
pub fn quote_ident(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

/// A string constant as SQL takes it, whatever `standard_conforming_strings` is: `'a''b'`, `E'a\\b'`.
pub fn quote_literal(text: &str) -> String {
    let quoted = text.replace('\'', "''");
    if quoted.contains('\\') {
        format!(" E'{}'", quoted.replace('\\', "\\\\"))
    } else {
        format!("'{quoted}'")
    }
}
