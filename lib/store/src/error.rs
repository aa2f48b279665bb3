use std::{fmt, io};

/// Why a store or a backup did not do what was asked of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ErrorKind {
    /// A name or a URL that cannot be understood: exit code 2.
    Usage,
    /// An operation of the system failed.
    System(io::ErrorKind),
    /// The Blob service did not do what was asked, or its client could not ask.
    Service(azure_blob::ErrorKind),
    /// What is there is not good: a sidecar that is none, bytes that are not those of the backup. Exit code 3.
    NotGood,
    /// The name is taken, and nothing is overwritten: exit code 4.
    Exists,
    /// Another program holds the directory's lock, or something else is in the place of the lock's file: exit code 4.
    Locked,
    /// A pipe can be read once, from its beginning to its end, and not otherwise.
    NotSeekable,
    /// The bytes were not read to their end, so nothing can be said of them.
    Unread,
}

/// What failed, on which name, and what to do about it. It holds no part of a token.
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

    /// An operation of the system failed: `doing` says which and on what name (`cannot write '/backups/x'`).
    pub(crate) fn io(doing: impl fmt::Display, error: &io::Error) -> Self {
        let said = job::Error::io(doing, error);
        Self {
            kind: ErrorKind::System(error.kind()),
            message: said.to_string(),
            hint: said.hint_text().map(ToOwned::to_owned),
        }
    }

    /// Says what to do about it.
    #[must_use]
    pub(crate) fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// Why.
    pub fn kind(&self) -> ErrorKind {
        self.kind
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

impl From<azure_blob::Error> for Error {
    fn from(error: azure_blob::Error) -> Self {
        Self {
            kind: ErrorKind::Service(error.kind()),
            message: error.to_string(),
            hint: error.hint_text().map(ToOwned::to_owned),
        }
    }
}

impl ErrorKind {
    /// How a program ends that meets it.
    pub fn exit(self) -> job::Exit {
        match self {
            Self::Usage => job::Exit::Usage,
            Self::NotGood => job::Exit::NotGood,
            Self::Exists | Self::Locked => job::Exit::Refused,
            Self::Service(kind) => kind.exit(),
            Self::System(_) | Self::NotSeekable | Self::Unread => job::Exit::Failed,
        }
    }
}

impl From<Error> for job::Error {
    fn from(error: Error) -> Self {
        Self::new(error.kind.exit(), error.message).hint_if_known(error.hint)
    }
}

#[cfg(test)]
mod tests {
    use job::Exit;

    use super::*;

    #[test]
    fn a_program_ends_as_the_kind_says() {
        for (kind, exit) in [
            (ErrorKind::Usage, Exit::Usage),
            (ErrorKind::System(io::ErrorKind::NotFound), Exit::Failed),
            (ErrorKind::NotGood, Exit::NotGood),
            (ErrorKind::Exists, Exit::Refused),
            (ErrorKind::Locked, Exit::Refused),
            (ErrorKind::NotSeekable, Exit::Failed),
            (ErrorKind::Unread, Exit::Failed),
            (
                ErrorKind::Service(azure_blob::ErrorKind::Usage),
                Exit::Usage,
            ),
            (
                ErrorKind::Service(azure_blob::ErrorKind::Exists),
                Exit::Refused,
            ),
            (
                ErrorKind::Service(azure_blob::ErrorKind::NotFound),
                Exit::Failed,
            ),
        ] {
            let error = job::Error::from(Error::new(kind, "it").hint("do"));
            assert_eq!(error.exit(), exit, "{kind:?}");
            assert_eq!(error.to_string(), "it");
            assert_eq!(error.hint_text(), Some("do"));
        }
    }

    #[test]
    fn a_full_disk_has_its_hint() {
        let error = Error::io("cannot write 'x'", &io::Error::from_raw_os_error(28));
        assert_eq!(error.kind(), ErrorKind::System(io::ErrorKind::StorageFull));
        assert_eq!(
            error.to_string(),
            "cannot write 'x': No space left on device"
        );
        assert!(error.hint_text().is_some());
    }
}
