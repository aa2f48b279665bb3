//! An error that is said more than once.

use std::io;

/// Why nothing more is taken; said again at each later call.
#[derive(Debug)]
pub(crate) enum Failure {
    /// The system's error code.
    System(i32),
    Other(io::ErrorKind, String),
    /// A thread has ended that should not have.
    Thread,
}

impl Failure {
    pub(crate) fn of(error: &io::Error) -> Self {
        match error.raw_os_error() {
            Some(code) => Self::System(code),
            None => Self::Other(error.kind(), error.to_string()),
        }
    }

    pub(crate) fn error(&self) -> io::Error {
        match self {
            Self::System(code) => io::Error::from_raw_os_error(*code),
            Self::Other(kind, message) => io::Error::new(*kind, message.clone()),
            Self::Thread => io::Error::other("a thread that compresses has ended"),
        }
    }
}
