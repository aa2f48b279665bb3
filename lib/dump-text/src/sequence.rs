//! Whether the dumps of a text follow each other whole, as those do that were put into one file: each has ended before
//! the next begins.

use crate::boundary::Boundary;
use crate::flaw::Flaw;
use crate::nested::NestedDumps;
use crate::opening::Text;
use crate::{Command, Piece, command};

/// A dump that has begun.
#[derive(Debug, PartialEq, Eq)]
struct Open {
    text: Text,
    /// The key of its `\restrict`, which follows its opening.
    key: Option<String>,
    /// Whether that line may still come.
    fresh: bool,
    /// Whether its closing line has come, and only its `\unrestrict` is missing.
    complete: bool,
}

/// The dump that began last of those that are in no other.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Last {
    pub(crate) text: Text,
    pub(crate) key: Option<String>,
}

/// Sees the pieces of a text pass by.
#[derive(Debug, Default)]
pub(crate) struct Sequence {
    /// A database's dump may be in a cluster's.
    open: Vec<Open>,
    /// The title that has come, if the line that ends its comment is still to come.
    title: Option<Text>,
    /// Whether the last comment was cut before its line's end.
    in_line: bool,
    nested: NestedDumps,
    count: usize,
    last: Option<Last>,
    flaw: Option<Flaw>,
}

impl Sequence {
    /// The next piece.
    pub(crate) fn see(&mut self, piece: Piece<'_>) {
        match piece {
            Piece::Space(_) => return,
            Piece::Comment(line) => {
                if !self.in_line {
                    self.comment(line);
                }
                self.in_line = !line.ends_with(b"\n") && !line.ends_with(b"\r");
                return;
            }
            Piece::Command(line) => self.command(line),
            Piece::Statement(bytes) | Piece::Ambiguous(bytes) => {
                self.statement(bytes, true);
            }
            Piece::Head(bytes) => self.statement(bytes, false),
            Piece::Body { bytes, last } => self.statement(bytes, last),
            Piece::Data(rows) => {
                self.nested.see(rows);
                if self.nested.is_no_row() {
                    self.unclosed();
                }
            }
            Piece::DataEnd { .. } => self.end_within(),
        }
        self.title = None;
    }

    /// How many dumps have begun that are in no other.
    pub(crate) fn count(&self) -> usize {
        self.count
    }

    /// Whether one of these has ended.
    pub(crate) fn has_closed(&self) -> bool {
        self.count > self.open.iter().take(1).count()
    }

    pub(crate) fn last(&self) -> Option<&Last> {
        self.last.as_ref()
    }

    /// What is wrong however the text goes on.
    pub(crate) fn flaw(&self) -> Option<Flaw> {
        self.flaw
    }

    /// Whether all that have begun have ended.
    pub(crate) fn is_closed(&self) -> bool {
        self.open.is_empty() && self.title.is_none()
    }

    fn comment(&mut self, line: &[u8]) {
        let title = self.title.take();
        if line.trim_ascii_end() == b"--" {
            title.into_iter().for_each(|text| self.begin(text));
            return;
        }
        match Boundary::of(line) {
            Some(Boundary::Opening(text)) => self.title = Some(text),
            Some(Boundary::Closing(text)) => self.complete(text),
            None => {}
        }
    }

    fn begin(&mut self, text: Text) {
        match (self.open.last().map(|open| open.text), text) {
            (None, _) => {
                self.count += 1;
                self.last = Some(Last { text, key: None });
            }
            (Some(Text::Cluster), Text::Database) => {}
            _ => self.unclosed(),
        }
        self.open.push(Open {
            text,
            key: None,
            fresh: true,
            complete: false,
        });
    }

    fn complete(&mut self, text: Text) {
        match self.open.last_mut() {
            Some(open) if open.text == text && open.key.is_some() => open.complete = true,
            Some(open) if open.text == text => drop(self.open.pop()),
            _ => self.unclosed(),
        }
    }

    fn command(&mut self, line: &[u8]) {
        let Some(open) = self.open.last_mut() else {
            return;
        };
        if open.text != Text::Database {
            return;
        }
        match command(line) {
            Command::Restrict(key) if open.fresh => {
                open.fresh = false;
                open.key = Some(key.clone());
                if let ([_], Some(last)) = (self.open.as_slice(), &mut self.last) {
                    last.key = Some(key);
                }
            }
            Command::Unrestrict(key) if open.complete => match open.key == Some(key) {
                true => drop(self.open.pop()),
                false => self.unclosed(),
            },
            _ => {}
        }
    }

    fn statement(&mut self, bytes: &[u8], last: bool) {
        // A dump's own key tells whether its end has come: what is stored in it need not be looked at.
        let mut open = self.open.iter_mut();
        match open.next_back() {
            Some(Open { key: Some(_), .. }) => return,
            Some(open) => open.fresh = false,
            None => {}
        }
        self.nested.see(bytes);
        if last {
            self.end_within();
        }
    }

    fn end_within(&mut self) {
        let keyed = self.open.last().is_some_and(|open| open.key.is_some());
        if self.nested.end() && !keyed {
            self.unclosed();
        }
    }

    /// A dump begins, or ends, where another should have ended or begun before.
    fn unclosed(&mut self) {
        let flaw = match self.open.is_empty() {
            true => Flaw::Followed,
            false => Flaw::Unclosed,
        };
        self.flaw.get_or_insert(flaw);
    }
}
