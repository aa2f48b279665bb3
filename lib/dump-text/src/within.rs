//! Dumps that begin where none can: in the rows of a COPY, in a string. What is stored there may be a dump, which then
//! ends there too. One that does not follows another that was cut there.

use memchr::memmem::Finder;
use memchr::{memchr, memrchr};

use crate::title::Title;

/// As much of a line as tells what it is.
const TELLING: usize = 64;

/// What follows the opening lines of a dump, after blank lines.
const FIRST: [&[u8]; 4] = [b"\\restrict ", b"-- Dumped ", b"-- Started on ", b"SET "];
/// The one of these that no row has: COPY doubles the backslash of a value.
const NO_ROW: &[u8] = FIRST[0];

/// Where in an opening.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place {
    Outside,
    /// Behind its title.
    Titled,
    /// Behind all of its comment.
    Opened,
}

/// Sees the bytes of one statement, or of the rows of one COPY.
#[derive(Debug)]
pub(crate) struct Within {
    /// The line that has not ended yet.
    line: Vec<u8>,
    in_line: bool,
    place: Place,
    /// How many dumps have begun and not ended.
    open: u32,
    /// Whether one begins as no row of a table does.
    no_row: bool,
    title: Finder<'static>,
}

impl Default for Within {
    fn default() -> Self {
        Self {
            line: Vec::new(),
            in_line: false,
            place: Place::Outside,
            open: 0,
            no_row: false,
            title: Finder::new(b"-- PostgreSQL database "),
        }
    }
}

impl Within {
    /// The next bytes.
    pub(crate) fn see(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            if !self.in_line && self.place == Place::Outside {
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

    /// Whether a dump has begun among rows that cannot be one of them.
    pub(crate) fn is_no_row(&self) -> bool {
        self.no_row
    }

    /// It has ended: whether a dump has begun in it, and not ended.
    pub(crate) fn end(&mut self) -> bool {
        let in_line = self.in_line;
        if in_line {
            self.end_line();
        }
        // A command of psql's ends a statement behind a line: the `\restrict` of the dump.
        let open = self.open > 0 || !in_line && self.place == Place::Opened;
        if open || in_line || self.place != Place::Outside {
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
        self.place = match (Title::of(line), self.place) {
            (Some(Title::Opening(_)), _) => Place::Titled,
            (Some(Title::Closing(_)), _) => {
                self.open = self.open.saturating_sub(1);
                Place::Outside
            }
            (None, Place::Titled) if line == b"--" => Place::Opened,
            (None, Place::Opened) if line.is_empty() => Place::Opened,
            (None, Place::Opened) if first => {
                self.open += 1;
                self.no_row |= line.starts_with(NO_ROW);
                Place::Outside
            }
            _ => Place::Outside,
        };
        self.line.clear();
    }
}
