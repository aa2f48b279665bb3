//! What is wrong, or odd, with a dump that is not as pg_dump wrote it. All programs judge by this, in these words
//! (`docs/restore.md`, "What a dump may have around it").

use std::fmt;

/// Why a dump is not whole, or not good for psql.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Flaw {
    /// It does not end as dumps end.
    Cut,
    /// It holds several dumps, one of which begins before the one before has ended.
    Unclosed,
    /// More than comments follows the line that says that it is complete.
    Followed,
    /// It is in this encoding, which psql does not read.
    Encoding(&'static str),
    /// Its lines end in carriage returns that COPY takes for rows.
    LineEnds,
}

impl Flaw {
    /// What to do about it.
    pub fn hint(self) -> &'static str {
        match self {
            Self::Cut | Self::Unclosed => {
                "the dump failed when the backup was made: take another backup"
            }
            Self::Followed => {
                "see what it is: gunzip -c BACKUP | tail; a dump is made without a terminal, and by itself"
            }
            Self::Encoding(_) => {
                "make it again with pg_dump --file, or from cmd.exe: PowerShell's > changes what it writes"
            }
            Self::LineEnds => {
                "make it again without a terminal: kubectl exec, docker exec and ssh without -t"
            }
        }
    }
}

impl fmt::Display for Flaw {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Cut => f.write_str("it is incomplete: its dump's closing line is missing"),
            Self::Unclosed => f.write_str(
                "it is incomplete: a dump begins in it before the closing line of the one before",
            ),
            Self::Followed => f.write_str("other text follows its dump's closing line"),
            Self::Encoding(name) => write!(f, "its dump is in {name}, which psql cannot read"),
            Self::LineEnds => f.write_str(
                "its lines end in carriage returns alone or in several, so that rows would change",
            ),
        }
    }
}

/// What is odd about a dump that can be restored: a warning.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Oddity {
    /// These first bytes are a greeting or a message: they are left out.
    Greeting(usize),
    /// Its lines end in CRLF.
    CrLf,
}

impl fmt::Display for Oddity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            // What they say may be a password.
            Self::Greeting(bytes) => write!(
                f,
                "its first {bytes} bytes are no SQL (a greeting or a message): they are left out"
            ),
            Self::CrLf => f.write_str(
                "its lines end in CRLF, as a terminal or Windows writes them: values and function bodies of several lines may have got carriage returns",
            ),
        }
    }
}
