use std::{fmt, io};

use job::secret;

/// Why the service did not do what was asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ErrorKind {
    /// A URL or an option that cannot be understood: exit code 2.
    Usage,
    /// There is no token, or it lacks a permission, or it has expired.
    Token,
    /// There is no bearer token for the identity: it is not known, or does not trust this pod.
    Identity,
    /// No blob of that name.
    NotFound,
    /// No container of that name.
    ContainerNotFound,
    /// The name is taken, and nothing is overwritten: exit code 4.
    Exists,
    /// Another upload to the same name was committed first, which discards all other blocks: exit code 4.
    Discarded,
    /// The blob changed while it was read.
    Changed,
    /// An immutability policy, a legal hold or a lease retains the blob.
    Retained,
    /// The blob is archived and must be rehydrated before it is read.
    Archived,
    /// Refused for another reason, for good.
    Refused,
    /// The host cannot be reached.
    Unreachable,
    /// A fault that might have passed, and did not within the deadline.
    Deadline,
    /// An answer that is not the service's.
    Malformed,
}

impl ErrorKind {
    /// How a program ends that meets it.
    pub fn exit(self) -> job::Exit {
        match self {
            Self::Usage => job::Exit::Usage,
            Self::Exists | Self::Discarded => job::Exit::Refused,
            _ => job::Exit::Failed,
        }
    }
}

/// What failed, on which name, the service's error code and message, and what to do about it. It holds no part of
/// the token.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Error {
    kind: ErrorKind,
    message: String,
    hint: Option<String>,
}

impl Error {
    /// The message may repeat the URL of a request, so secrets in it are hidden.
    pub(crate) fn new(kind: ErrorKind, message: impl Into<String>) -> Self {
        Self {
            kind,
            message: secret::hidden(&message.into()),
            hint: None,
        }
    }

    /// Says what to do about it.
    #[must_use]
    pub(crate) fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// Puts words before the message: `context: message`.
    #[must_use]
    pub(crate) fn within(mut self, context: impl fmt::Display) -> Self {
        self.message = format!("{context}: {}", self.message);
        self
    }

    /// Puts words after the message.
    #[must_use]
    pub(crate) fn and(mut self, words: impl fmt::Display) -> Self {
        self.message = format!("{}{words}", self.message);
        self
    }

    /// The same error under another kind.
    #[must_use]
    pub(crate) fn of_kind(mut self, kind: ErrorKind) -> Self {
        self.kind = kind;
        self
    }

    /// Says what to do about it if it is of this kind.
    #[must_use]
    pub(crate) fn hint_if(self, kind: ErrorKind, hint: &str) -> Self {
        match self.kind == kind {
            true => self.hint(hint),
            false => self,
        }
    }

    /// Why.
    pub fn kind(&self) -> ErrorKind {
        self.kind
    }

    /// What to do about it, where that is known.
    pub fn hint_text(&self) -> Option<&str> {
        self.hint.as_deref()
    }

    /// The error inside an I/O error, if it is one of ours: [`Download`](crate::Download) hands them on so.
    pub fn from_io(error: &io::Error) -> Option<&Self> {
        error.get_ref()?.downcast_ref()
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Error {}

impl From<Error> for io::Error {
    fn from(error: Error) -> Self {
        Self::other(error)
    }
}

impl From<Error> for job::Error {
    fn from(error: Error) -> Self {
        Self::new(error.kind.exit(), error.message).hint_if_known(error.hint)
    }
}
