use std::fmt;

/// A piece of a dump. The pieces that a [`Scanner`](crate::Scanner) hands out, put together, are the
/// dump, byte by byte.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Piece<'a> {
    /// White space and `/* … */` comments between statements. May come in parts.
    Space(&'a [u8]),
    /// A `--` comment between statements, its line end included. One longer than
    /// [`HEAD_LIMIT`](crate::HEAD_LIMIT) comes in parts; only the last has the line end.
    Comment(&'a [u8]),
    /// A command of psql's own (`\connect …`), to the end of its line: see [`command`](crate::command).
    /// Also whatever else stands behind a COPY on its line, which no dump has. One that stands within a
    /// statement cuts it: what comes before it is a `Statement` without `;`. One longer than
    /// [`HEAD_LIMIT`](crate::HEAD_LIMIT) comes in parts. `\;` and `\:`, which psql puts into the statement
    /// that it then reads on, are one of two bytes.
    Command(&'a [u8]),
    /// A whole statement with its `;`, at most [`HEAD_LIMIT`](crate::HEAD_LIMIT) bytes.
    Statement(&'a [u8]),
    /// The first [`HEAD_LIMIT`](crate::HEAD_LIMIT) bytes of a longer statement.
    Head(&'a [u8]),
    /// More of a longer statement.
    Body {
        /// Its bytes; may be none in the last.
        bytes: &'a [u8],
        /// Whether the statement ends here.
        last: bool,
    },
    /// Text of a statement, or a command, that versions of psql, or settings, read in different ways: a psql may find
    /// commands in it that the scanner does not. From here on no piece need be what it seems.
    ///
    /// A scanner [reporting ambiguity](crate::Scanner::reporting_ambiguity) hands it out. Any scanner does for what no
    /// psql should be given: a dollar quote's tag of more than 64 KiB, and what is a `COPY … FROM stdin` for some psqls
    /// only (`1 COPY t FROM stdin;`, `;` behind the rows of one). It cuts the statement as a command does; it may be
    /// empty.
    Ambiguous(&'a [u8]),
    /// Rows of a COPY, in parts of any length.
    Data(&'a [u8]),
    /// The line that ends a COPY: `\.`.
    DataEnd {
        /// That line.
        line: &'a [u8],
        /// How many rows came before it.
        rows: u64,
    },
}

impl<'a> Piece<'a> {
    /// Its bytes.
    pub fn bytes(&self) -> &'a [u8] {
        match *self {
            Self::Space(bytes)
            | Self::Comment(bytes)
            | Self::Command(bytes)
            | Self::Statement(bytes)
            | Self::Head(bytes)
            | Self::Ambiguous(bytes)
            | Self::Body { bytes, .. }
            | Self::Data(bytes)
            | Self::DataEnd { line: bytes, .. } => bytes,
        }
    }
}

/// What a dump that ends too early ends in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unfinished {
    /// A statement (a string, a function body).
    Statement,
    /// A `/* … */` comment.
    Comment,
    /// The rows of a COPY.
    Data,
}

impl fmt::Display for Unfinished {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Statement => "it ends in the middle of a statement",
            Self::Comment => "it ends in the middle of a comment",
            Self::Data => "it ends in the middle of the rows of a COPY",
        })
    }
}

impl std::error::Error for Unfinished {}
