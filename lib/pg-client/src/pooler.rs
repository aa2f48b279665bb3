//! Whether it is the server itself that answers, or a pooler in front of it (PgBouncer, RDS Proxy, …).
//!
//! What is done through a pooler is not what was meant: a setting may reach another session than the statement that
//! needs it, and idle connections to a database keep that from being renamed or dropped.

use pg_text::PgText;

use crate::{Error, ErrorKind, Row, Server};

/// A setting that a libpq program asks for when it connects, if this variable says so. A server takes it from any
/// role and says where it came from. Poolers hand on a handful of settings, and not this one: they refuse the
/// connection, or leave it out. Unlike `options`, nothing else that names the server (a service, a conninfo) says it.
const VARIABLE: &str = "PGGEQO";
const QUESTION: &str = "SELECT setting, source FROM pg_catalog.pg_settings WHERE name = 'geqo';\n";

/// Who answered, and what.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answer {
    /// PostgreSQL itself.
    Server(Vec<Row>),
    /// A pooler, which was asked nothing of what was to be asked, or whose answer is not to be trusted.
    Pooler,
}

impl Answer {
    /// What the server said.
    ///
    /// # Errors
    /// It was a pooler (exit code 4), with what to do.
    pub fn of_the_server(self) -> Result<Vec<Row>, Error> {
        match self {
            Self::Server(rows) => Ok(rows),
            Self::Pooler => Err(Error::new(
                ErrorKind::Pooler,
                "a connection pooler (such as PgBouncer) answers in the server's place",
            )
            .hint("connect to PostgreSQL itself: its own host and port, in PGHOST and PGPORT or with -d 'host=… port=…'")),
        }
    }
}

impl Server {
    /// As [`Server::query`], and tells whether the server itself has answered.
    ///
    /// # Errors
    /// As [`Server::query`].
    pub fn ask<N>(&self, database: Option<&N>, sql: impl AsRef<[u8]>) -> Result<Answer, Error>
    where
        N: AsRef<[u8]> + ?Sized,
    {
        let sql = sql.as_ref();
        let probed = |sql: &[u8]| {
            let psql = self.psql(database)?.env(VARIABLE, "off");
            psql.ask(&[QUESTION.as_bytes(), sql].concat()).map(judged)
        };
        if let Ok(answer) = probed(sql) {
            return Ok(answer);
        }
        // What a server refuses, it refuses without the setting too.
        self.query(database, "")?;
        match probed(b"") {
            Ok(Answer::Server(_)) => probed(sql),
            Ok(Answer::Pooler) | Err(_) => Ok(Answer::Pooler),
        }
    }
}

fn judged(mut rows: Vec<Row>) -> Answer {
    if rows.is_empty() {
        return Answer::Pooler;
    }
    let first = rows.remove(0);
    let said = first.iter().map(|it| it.as_ref().map(PgText::ascii));
    let said: Vec<_> = said.collect();
    match said.as_slice() {
        [Some("off"), Some("client")] => Answer::Server(rows),
        _ => Answer::Pooler,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(fields: &[&str]) -> Row {
        fields.iter().map(|field| Some((*field).into())).collect()
    }

    #[test]
    fn only_a_server_says_what_the_client_asked_for() {
        let rest = row(&["x"]);
        let answer = judged(vec![row(&["off", "client"]), rest.clone()]);
        assert_eq!(answer, Answer::Server(vec![rest]));
        for first in [["on", "default"], ["off", "database"], ["on", "client"]] {
            assert_eq!(judged(vec![row(&first)]), Answer::Pooler);
        }
        assert_eq!(judged(Vec::new()), Answer::Pooler);
        let refused = Answer::Pooler.of_the_server().unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::Pooler);
    }
}
