//! The lines with which a dump says that it begins, and that it is complete.

use crate::opening::Text;

/// What such a line says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Boundary {
    /// A dump begins.
    Opening(Text),
    /// It is complete.
    Closing(Text),
}

impl Boundary {
    /// Reads a line, with any line end.
    pub(crate) fn of(line: &[u8]) -> Option<Self> {
        let (text, rest) = match line
            .trim_ascii_end()
            .strip_prefix(b"-- PostgreSQL database ")?
        {
            [b'c', b'l', b'u', b's', b't', b'e', b'r', b' ', rest @ ..] => (Text::Cluster, rest),
            rest => (Text::Database, rest),
        };
        match rest {
            b"dump" => Some(Self::Opening(text)),
            b"dump complete" => Some(Self::Closing(text)),
            _ => None,
        }
    }
}

/// Whether a comment says that a dump begins.
pub fn is_opening(line: &[u8]) -> bool {
    matches!(Boundary::of(line), Some(Boundary::Opening(_)))
}
