//! The lines that say what a dump is, where it begins and where it has ended.

use crate::opening::Text;

/// What such a line says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Title {
    /// A dump begins.
    Opening(Text),
    /// It is complete.
    Closing(Text),
}

impl Title {
    /// Of a line, whatever it ends in.
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

/// Whether a comment is the title of a dump that begins.
pub fn is_opening(line: &[u8]) -> bool {
    matches!(Title::of(line), Some(Title::Opening(_)))
}
