use std::fmt;
use std::io;

use crate::text;

/// How a program ends. The same for all five programs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Exit {
    /// Everything was done.
    Done,
    /// It failed: the network, the disk, the server, the dump.
    Failed,
    /// The command line is wrong.
    Usage,
    /// The backup or the store is not good: corrupt, incomplete, stale, shrunk, nearly full.
    NotGood,
    /// Refused for safety: it would overwrite, delete the last good backup, fill what is not empty.
    Refused,
    /// PostgreSQL's recovery asked for a file that is proved not to be there (`restore-stream --wal`).
    Absent,
    /// Stopped by SIGHUP.
    HungUp,
    /// Stopped by SIGINT.
    Interrupted,
    /// Stopped by SIGTERM.
    Terminated,
}

impl Exit {
    /// The code that the parent process sees.
    pub fn code(self) -> u8 {
        match self {
            Self::Done => 0,
            Self::Failed | Self::Absent => 1,
            Self::Usage => 2,
            Self::NotGood => 3,
            Self::Refused => 4,
            Self::HungUp => 129,
            Self::Interrupted => 130,
            Self::Terminated => 143,
        }
    }
}

/// Why a program ends without having done what it was asked: what failed, on which name, and (as the
/// hint) what to do about it. Lower case, no full stop.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Error {
    exit: Exit,
    message: String,
    hint: Option<String>,
}

impl Error {
    /// The hint of every error of a disk that is full, or not large enough.
    pub const MAKE_ROOM: &str = "make room, or take a larger volume";

    /// An error that ends the program with `exit`.
    pub fn new(exit: Exit, message: impl Into<String>) -> Self {
        Self {
            exit,
            message: message.into(),
            hint: None,
        }
    }

    /// Exit code 1.
    pub fn failed(message: impl Into<String>) -> Self {
        Self::new(Exit::Failed, message)
    }

    /// Exit code 2.
    pub fn usage(message: impl Into<String>) -> Self {
        Self::new(Exit::Usage, message)
    }

    /// Exit code 3.
    pub fn not_good(message: impl Into<String>) -> Self {
        Self::new(Exit::NotGood, message)
    }

    /// Exit code 4.
    pub fn refused(message: impl Into<String>) -> Self {
        Self::new(Exit::Refused, message)
    }

    /// Exit code 1: an operation of the system failed, `doing` says which and on what name
    /// (`cannot write '/backups/x'`).
    pub fn io(doing: impl fmt::Display, error: &io::Error) -> Self {
        let failed = Self::failed(format!("{doing}: {}", text::reason(error)));
        match error.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => {
                failed.hint(Self::MAKE_ROOM)
            }
            _ => failed,
        }
    }

    /// Says what to do about it.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// Says what to do about it, where a library's error knows that.
    #[must_use]
    pub fn hint_if_known(self, hint: Option<impl Into<String>>) -> Self {
        match hint {
            Some(hint) => self.hint(hint),
            None => self,
        }
    }

    /// Puts words before the message: `context: message`.
    #[must_use]
    pub fn within(mut self, context: impl fmt::Display) -> Self {
        self.message = format!("{context}: {}", self.message);
        self
    }

    /// How the program ends.
    pub fn exit(&self) -> Exit {
        self.exit
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_system_error_reads_like_a_shell_s() {
        let error = io::Error::from_raw_os_error(2);
        let said = Error::io("cannot open 'x'", &error);
        assert_eq!(
            said.to_string(),
            "cannot open 'x': No such file or directory"
        );
        assert_eq!(said.exit().code(), 1);
    }

    #[test]
    fn a_full_disk_has_a_hint() {
        let error = io::Error::from_raw_os_error(28);
        let hint = Error::io("cannot write 'x'", &error);
        assert_eq!(hint.hint_text(), Some(Error::MAKE_ROOM));
    }

    #[test]
    fn context_comes_first() {
        let error = Error::not_good("cut").within("'a.sql.gz'").hint("look");
        assert_eq!(error.to_string(), "'a.sql.gz': cut");
        assert_eq!(error.hint_text(), Some("look"));
    }
}
