//! Why a backup cannot be read.

use std::{fmt, io};

use crate::io_error;

/// Why a backup cannot be read.
#[derive(Debug)]
pub enum ReadError {
    /// The bytes did not come.
    Io(io::Error),
    /// The bytes that came are not a good backup: what is wrong (`the member at byte 1234 is damaged: its CRC-32 is wrong`).
    Damaged(String),
}

impl ReadError {
    /// The same error, for a caller that asks once more.
    pub(crate) fn again(&self) -> Self {
        match self {
            Self::Io(error) => Self::Io(io_error::copy(error)),
            Self::Damaged(what) => Self::Damaged(what.clone()),
        }
    }
}

impl fmt::Display for ReadError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Io(error) => write!(f, "{error}"),
            Self::Damaged(what) => f.write_str(what),
        }
    }
}

impl std::error::Error for ReadError {}

pub(crate) fn damaged(what: impl Into<String>) -> ReadError {
    ReadError::Damaged(what.into())
}

/// The member that begins at byte `at` of the file is not what was written.
pub(crate) fn damaged_member(at: u64, what: &str) -> ReadError {
    damaged(format!("the member at byte {at} is damaged: {what}"))
}

/// The file ends at byte `at`, inside the member at byte `member`.
pub(crate) fn cut(at: u64, member: u64) -> ReadError {
    damaged(format!(
        "the file is cut: it ends at byte {at}, inside the member that begins at byte {member}"
    ))
}
