use std::fmt;

use store::ErrorKind as StoreErrorKind;

/// Why an archive did not do what was asked of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ArchiveErrorKind {
    /// The name is taken by another content, and nothing is overwritten: exit code 4.
    Taken,
    /// What is there is damaged: exit code 3.
    NotGood,
    /// The store did not do it.
    Store(StoreErrorKind),
}

/// What failed, on which name, and what to do about it. It holds no part of a token.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ArchiveError {
    kind: ArchiveErrorKind,
    message: String,
    hint: Option<String>,
}

impl ArchiveError {
    pub(crate) fn new(kind: ArchiveErrorKind, message: impl Into<String>) -> Self {
        Self {
            kind,
            message: message.into(),
            hint: None,
        }
    }

    #[must_use]
    pub(crate) fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// Why.
    pub fn kind(&self) -> ArchiveErrorKind {
        self.kind
    }

    /// What to do about it, where that is known.
    pub fn hint_text(&self) -> Option<&str> {
        self.hint.as_deref()
    }
}

impl fmt::Display for ArchiveError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for ArchiveError {}

impl From<store::Error> for ArchiveError {
    fn from(error: store::Error) -> Self {
        Self {
            kind: ArchiveErrorKind::Store(error.kind()),
            message: error.to_string(),
            hint: error.hint_text().map(ToOwned::to_owned),
        }
    }
}

impl From<azure_blob::Error> for ArchiveError {
    fn from(error: azure_blob::Error) -> Self {
        store::Error::from(error).into()
    }
}

impl From<ArchiveError> for job::Error {
    fn from(error: ArchiveError) -> Self {
        let exit = match error.kind {
            ArchiveErrorKind::Taken => job::Exit::Refused,
            ArchiveErrorKind::NotGood => job::Exit::NotGood,
            ArchiveErrorKind::Store(kind) => kind.exit(),
        };
        Self::new(exit, error.message).hint_if_known(error.hint)
    }
}
