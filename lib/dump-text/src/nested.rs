//! Dumps that begin within the rows of a COPY, or within a string. A stored text may be a dump: then it ends there too.
//! One that does not end there is the next dump of the file, and the dump before it was cut off at this place.

use memchr::memmem::Finder;
use memchr::{memchr, memrchr};

use crate::boundary::Boundary;

/// How many bytes of a line tell what it is.
const TELLING: usize = 64;

/// What follows the opening lines of a dump, after blank lines.
const FIRST: [&[u8]; 4] = [b"\\restrict ", b"-- Dumped ", b"-- Started on ", b"SET "];
/// The one of these that no row has: COPY doubles the backslash of a value.
const NO_ROW: &[u8] = FIRST[0];

/// How much of a dump's opening has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Opening {
    None,
    /// The line that says that a dump begins.
    Title,
    /// All of the comment.
    Comment,
}

/// Sees the bytes of one statement, or of the rows of one COPY.
#[derive(Debug)]
pub(crate) struct NestedDumps {
    /// The line that has not ended yet.
    line: Vec<u8>,
    in_line: bool,
    opening: Opening,
    /// How many dumps have begun and not ended.
    open: u32,
    /// Whether a dump has begun with a line that can be no row.
    no_row: bool,
    title: Finder<'static>,
}

impl Default for NestedDumps {
    fn default() -> Self {
        Self {
            line: Vec::new(),
            in_line: false,
            opening: Opening::None,
            open: 0,
            no_row: false,
            title: Finder::new(b"-- PostgreSQL database "),
        }
    }
}

impl NestedDumps {
    /// The next bytes.
    pub(crate) fn see(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            if !self.in_line && self.opening == Opening::None {
                bytes = self.next_title(bytes);
                if bytes.is_empty() {
                    return;
                }
            }
            let end = memchr(b'\n', bytes);
            let (line, rest) = bytes.split_at(end.map_or(bytes.len(), |at| at + 1));
            self.keep(line);
            self.in_line = end.is_none();
            if end.is_some() {
                self.end_line();
            }
            bytes = rest;
        }
    }

    /// Whether a dump has begun among the rows with a line that can be no row.
    pub(crate) fn is_no_row(&self) -> bool {
        self.no_row
    }

    /// It has ended: whether a dump has begun in it, and not ended.
    pub(crate) fn end(&mut self) -> bool {
        let in_line = self.in_line;
        if in_line {
            self.end_line();
        }
        // A psql command ends a statement after a whole line: the `\restrict` of the dump.
        let open = self.open > 0 || !in_line && self.opening == Opening::Comment;
        if open || in_line || self.opening != Opening::None {
            *self = Self::default();
        }
        open
    }

    /// From a line's beginning to the next line that may be a title.
    fn next_title<'a>(&self, bytes: &'a [u8]) -> &'a [u8] {
        let mut places = self.title.find_iter(bytes);
        if let Some(at) = places.find(|at| *at == 0 || bytes[at - 1] == b'\n') {
            return &bytes[at..];
        }
        let last = memrchr(b'\n', bytes).map_or(0, |at| at + 1);
        &bytes[last..]
    }

    fn keep(&mut self, part: &[u8]) {
        let room = TELLING - self.line.len();
        self.line.extend_from_slice(&part[..part.len().min(room)]);
    }

    fn end_line(&mut self) {
        let line = self.line.trim_ascii_end();
        let first = FIRST.iter().any(|it| line.starts_with(it));
        self.opening = match (Boundary::of(line), self.opening) {
            (Some(Boundary::Opening(_)), _) => Opening::Title,
            (Some(Boundary::Closing(_)), _) => {
                self.open = self.open.saturating_sub(1);
                Opening::None
            }
            (None, Opening::Title) if line == b"--" => Opening::Comment,
            (None, Opening::Comment) if line.is_empty() => Opening::Comment,
            (None, Opening::Comment) if first => {
                self.open += 1;
                self.no_row |= line.starts_with(NO_ROW);
                Opening::None
            }
            _ => Opening::None,
        };
        self.line.clear();
    }
}
