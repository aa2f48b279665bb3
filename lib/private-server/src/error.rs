use std::{fmt, io};

/// Why there is no server.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ErrorKind {
    /// No server programs are here, or none of a version that fits.
    NotInstalled,
    /// Server programs are here, and none of the one version that fits.
    OtherVersion,
    /// This process is root, which runs no server, and it cannot run one as another user.
    Account,
    /// A directory, of the server or of its socket, cannot be made or handed over.
    Directory,
    /// `initdb` failed.
    Initdb,
    /// The server ended before it was ready.
    NotStarted,
    /// The server ended before it had recovered: it cannot replay the WAL, or the target is not in it.
    NotRecovered,
    /// The server ended because the disk of its directory is full.
    DiskFull,
}

/// What failed, in the words of the system or of PostgreSQL. It has a hint where the remedy does not depend on the program
/// that wants the server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Error {
    kind: ErrorKind,
    message: String,
    hint: Option<String>,
}

impl Error {
    pub(crate) fn new(kind: ErrorKind, message: impl Into<String>) -> Self {
        Self {
            kind,
            message: message.into(),
            hint: None,
        }
    }

    /// A directory that cannot be made, read or handed over; `doing` says which.
    pub(crate) fn directory(doing: impl fmt::Display, error: &io::Error) -> Self {
        let error = job::Error::io(doing, error);
        Self::told(ErrorKind::Directory, &error, error.hint_text())
    }

    /// The error that a program of PostgreSQL's ended with.
    pub(crate) fn program(kind: ErrorKind, error: &pg_client::Error) -> Self {
        Self::told(kind, error, error.hint_text())
    }

    fn told(kind: ErrorKind, error: &impl fmt::Display, hint: Option<&str>) -> Self {
        Self {
            kind,
            message: error.to_string(),
            hint: hint.map(ToOwned::to_owned),
        }
    }

    /// Says what to do about it.
    #[must_use]
    pub(crate) fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// The same, of a server that was to recover.
    pub(crate) fn of_recovery(mut self) -> Self {
        if self.kind == ErrorKind::NotStarted {
            self.kind = ErrorKind::NotRecovered;
        }
        self
    }

    /// Why.
    pub fn kind(&self) -> ErrorKind {
        self.kind
    }

    /// What to do about it, where that is known here.
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
        Self::failed(error.message).hint_if_known(error.hint)
    }
}
