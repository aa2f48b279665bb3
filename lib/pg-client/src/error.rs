use std::{fmt, io};

use crate::SqlState;

/// Why PostgreSQL, or a program of it, did not do what was asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ErrorKind {
    /// A connection string that cannot be understood: exit code 2.
    Usage,
    /// No server answers at this address.
    Unreachable,
    /// The server refuses the connection. Its words say why; libpq hands on no SQLSTATE before there is a session.
    Connection,
    /// The server refused a statement, or ended the session: [`Error::sqlstate`] tells why.
    Statement,
    /// A connection pooler answers in the server's place: exit code 4.
    Pooler,
    /// A program cannot be started, fails, or is killed.
    Program,
    /// The system does not give what is needed: a pipe, a thread, random numbers.
    System,
    /// An answer that is none to what was asked.
    Malformed,
}

/// What failed, in the words of whoever refused it, and what to do about it. Code tells errors apart by their kind and
/// their SQLSTATE: the words are in the server's language.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Error {
    kind: ErrorKind,
    sqlstate: Option<SqlState>,
    message: String,
    hint: Option<String>,
}

impl Error {
    pub(crate) fn new(kind: ErrorKind, message: impl Into<String>) -> Self {
        Self {
            kind,
            sqlstate: None,
            message: message.into(),
            hint: None,
        }
    }

    /// An operation of the system failed; `doing` says which, and on what name.
    pub(crate) fn io(kind: ErrorKind, doing: impl fmt::Display, error: &io::Error) -> Self {
        Self::new(kind, format!("{doing}: {}", job::text::reason(error)))
    }

    /// The same, with the code that the server gave.
    #[must_use]
    pub(crate) fn coded(mut self, kind: ErrorKind, sqlstate: Option<SqlState>) -> Self {
        self.kind = kind;
        self.sqlstate = sqlstate;
        self
    }

    /// Says what to do about it.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// Puts words before the message: `context: message`.
    #[must_use]
    pub fn within(mut self, context: impl fmt::Display) -> Self {
        self.message = format!("{context}: {}", self.message);
        self
    }

    /// What kind of failure it is.
    pub fn kind(&self) -> ErrorKind {
        self.kind
    }

    /// The code of a statement that the server refused (kind [`ErrorKind::Statement`]).
    pub fn sqlstate(&self) -> Option<SqlState> {
        self.sqlstate
    }

    /// What to do about it, where that is known.
    pub fn hint_text(&self) -> Option<&str> {
        self.hint.as_deref()
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Error {}

impl From<Error> for job::Error {
    fn from(error: Error) -> Self {
        let exit = match error.kind {
            ErrorKind::Usage => job::Exit::Usage,
            ErrorKind::Pooler => job::Exit::Refused,
            _ => job::Exit::Failed,
        };
        Self::new(exit, error.message).hint_if_known(error.hint)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_ends_with_the_code_that_fits_the_kind() {
        for (kind, code) in [
            (ErrorKind::Usage, 2),
            (ErrorKind::Pooler, 4),
            (ErrorKind::Statement, 1),
            (ErrorKind::Unreachable, 1),
        ] {
            let error = Error::new(kind, "no luck").within("psql").hint("try again");
            let told = job::Error::from(error);
            assert_eq!(told.exit().code(), code);
            assert_eq!(told.to_string(), "psql: no luck");
            assert_eq!(told.hint_text(), Some("try again"));
        }
    }
}
