use memchr::memmem::Finder;
use memchr::{memchr, memchr_iter, memchr2};

use crate::lexer::{Ended, Lexer, Stop};
use crate::token::{Token, tokens};
use crate::{Command, Piece, Unfinished, command};

/// How many bytes of a statement are kept together: all of any that names a role or a database, except
/// for a very long comment on one.
pub const HEAD_LIMIT: usize = 64 << 10;

/// Where the scanner is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Mode {
    /// Between statements; `held` may be the `-` or `/` of a comment that begins.
    Between,
    /// In a `/* … */` comment between statements.
    BlockComment,
    /// In a `--` comment between statements.
    LineComment,
    /// In a psql command; whether it stands within a statement, which goes on after it.
    Command { within: bool },
    /// In a statement.
    Statement,
    /// On the line of a `COPY … FROM stdin;`, behind it.
    AfterCopy,
    /// In the rows of a COPY.
    Data(Row),
}

/// Where in a row of a COPY.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Row {
    Start,
    Within,
    /// After `\` at its start, which is held.
    Backslash,
    /// After `\.` at its start, which is held.
    Dot,
    /// After `\.` and a carriage return.
    DotReturn,
}

/// Takes a dump to pieces, fed in parts of any size. How it is cut into parts makes no difference,
/// except for how [`Piece`]s that may come in parts do.
#[derive(Debug)]
pub struct Scanner {
    mode: Mode,
    lexer: Lexer,
    /// What has come of a piece that is handed out whole.
    held: Vec<u8>,
    /// Whether the statement's head has been handed out.
    headed: bool,
    rows: u64,
    end_of_data: Finder<'static>,
}

impl Default for Scanner {
    fn default() -> Self {
        Self::new()
    }
}

impl Scanner {
    /// Begins at the beginning of a dump, or of one section of it.
    pub fn new() -> Self {
        Self {
            mode: Mode::Between,
            lexer: Lexer::new(),
            held: Vec::new(),
            headed: false,
            rows: 0,
            end_of_data: Finder::new(b"\n\\."),
        }
    }

    /// Reads on, and hands the pieces to `sink`.
    ///
    /// # Errors
    /// What `sink` returns; the scanner is of no use after that.
    pub fn feed<E>(
        &mut self,
        input: &[u8],
        sink: &mut impl FnMut(Piece<'_>) -> Result<(), E>,
    ) -> Result<(), E> {
        let mut rest = input;
        while !rest.is_empty() {
            let read = match self.mode {
                Mode::Between => self.between(rest, sink)?,
                Mode::BlockComment => self.block_comment(rest, sink)?,
                Mode::LineComment => self.line_comment(rest, sink)?,
                Mode::Command { within } => self.command(within, rest, sink)?,
                Mode::Statement => self.statement(rest, sink)?,
                Mode::AfterCopy => self.after_copy(rest, sink)?,
                Mode::Data(row) => self.data(row, rest, sink)?,
            };
            rest = &rest[read..];
        }
        Ok(())
    }

    /// The dump has ended: hands out what is held.
    ///
    /// # Errors
    /// What `sink` returns.
    pub fn finish<E>(
        &mut self,
        sink: &mut impl FnMut(Piece<'_>) -> Result<(), E>,
    ) -> Result<Result<(), Unfinished>, E> {
        let ended = match self.mode {
            Mode::Between if self.held.is_empty() => Ok(()),
            Mode::Between | Mode::Statement => Err(Unfinished::Statement),
            Mode::Command { within: true } => Err(Unfinished::Statement),
            Mode::LineComment | Mode::Command { within: false } => Ok(()),
            Mode::BlockComment => Err(Unfinished::Comment),
            Mode::AfterCopy | Mode::Data(_) => Err(Unfinished::Data),
        };
        let held = std::mem::take(&mut self.held);
        let left = held.as_slice();
        match self.mode {
            Mode::Statement if self.headed => sink(Piece::Body {
                bytes: left,
                last: false,
            })?,
            _ if left.is_empty() => {}
            Mode::Between | Mode::Statement => sink(Piece::Statement(left))?,
            Mode::LineComment => sink(Piece::Comment(left))?,
            Mode::Command { .. } => sink(Piece::Command(left))?,
            Mode::AfterCopy | Mode::BlockComment => sink(Piece::Space(left))?,
            Mode::Data(_) => sink(Piece::Data(left))?,
        }
        Ok(ended)
    }

    fn between<E>(
        &mut self,
        input: &[u8],
        sink: &mut impl FnMut(Piece<'_>) -> Result<(), E>,
    ) -> Result<usize, E> {
        match (self.held.as_slice(), input[0]) {
            (b"-", b'-') => {
                self.mode = Mode::LineComment;
                return Ok(0);
            }
            (b"/", b'*') => {
                sink(Piece::Space(b"/"))?;
                self.held.clear();
                self.lexer.begin_comment();
                sink(Piece::Space(b"*"))?;
                self.mode = Mode::BlockComment;
                return Ok(1);
            }
            (b"-" | b"/", _) => {
                // It was no comment: the statement begins with it.
                let first = std::mem::take(&mut self.held);
                self.mode = Mode::Statement;
                self.lexer.statement(&first);
                self.held = first;
                return Ok(0);
            }
            (_, first @ (b'-' | b'/')) => {
                self.held.push(first);
                return Ok(1);
            }
            (_, b'\\') => {
                self.mode = Mode::Command { within: false };
                return Ok(0);
            }
            _ => {}
        }
        let blank = input.iter().position(|byte| !is_space(*byte));
        match blank {
            Some(0) => self.mode = Mode::Statement,
            Some(length) => sink(Piece::Space(&input[..length]))?,
            None => sink(Piece::Space(input))?,
        }
        Ok(blank.unwrap_or(input.len()))
    }

    fn block_comment<E>(
        &mut self,
        input: &[u8],
        sink: &mut impl FnMut(Piece<'_>) -> Result<(), E>,
    ) -> Result<usize, E> {
        let (length, ended) = self.lexer.comment(input);
        if ended {
            self.mode = Mode::Between;
        }
        sink(Piece::Space(&input[..length]))?;
        Ok(length)
    }

    fn line_comment<E>(
        &mut self,
        input: &[u8],
        sink: &mut impl FnMut(Piece<'_>) -> Result<(), E>,
    ) -> Result<usize, E> {
        let end = memchr2(b'\n', b'\r', input);
        if end.is_some() {
            self.mode = Mode::Between;
        }
        self.line(input, end, |line| sink(Piece::Comment(line)))
    }

    fn command<E>(
        &mut self,
        within: bool,
        input: &[u8],
        sink: &mut impl FnMut(Piece<'_>) -> Result<(), E>,
    ) -> Result<usize, E> {
        let end = memchr(b'\n', input);
        if end.is_some() {
            self.mode = match within {
                true => Mode::Statement,
                false => Mode::Between,
            };
        }
        let mut connects = false;
        let read = self.line(input, end, |line| {
            connects = matches!(command(line), Command::Connect(_));
            sink(Piece::Command(line))
        })?;
        if connects {
            self.lexer.reconnect();
        }
        Ok(read)
    }

    fn after_copy<E>(
        &mut self,
        input: &[u8],
        sink: &mut impl FnMut(Piece<'_>) -> Result<(), E>,
    ) -> Result<usize, E> {
        let end = memchr(b'\n', input);
        if end.is_some() {
            self.mode = Mode::Data(Row::Start);
            self.rows = 0;
        }
        self.line(input, end, |line| {
            sink(match line.iter().all(|byte| is_space(*byte)) {
                true => Piece::Space(line),
                false => Piece::Command(line),
            })
        })
    }

    /// Reads on in a line whose end is at `end`, and hands it out when it is whole or long.
    fn line<E>(
        &mut self,
        input: &[u8],
        end: Option<usize>,
        give: impl FnOnce(&[u8]) -> Result<(), E>,
    ) -> Result<usize, E> {
        let length = end.map_or(input.len(), |at| at + 1);
        let part = &input[..length];
        if end.is_none() && self.held.len() + length <= HEAD_LIMIT {
            self.held.extend_from_slice(part);
            return Ok(length);
        }
        if self.held.is_empty() {
            give(part)?;
        } else {
            self.held.extend_from_slice(part);
            give(&self.held)?;
            self.held.clear();
        }
        Ok(length)
    }

    fn statement<E>(
        &mut self,
        input: &[u8],
        sink: &mut impl FnMut(Piece<'_>) -> Result<(), E>,
    ) -> Result<usize, E> {
        let (length, ends, cut) = match self.lexer.statement(input) {
            Stop::Never => (input.len(), false, false),
            Stop::End(length) => (length, true, false),
            Stop::Backslash(length) => (length, false, true),
        };
        let whole = ends || cut;
        let mut part = &input[..length];
        if !self.headed {
            let room = HEAD_LIMIT - self.held.len();
            if part.len() <= room && !whole {
                self.held.extend_from_slice(part);
                return Ok(length);
            }
            if part.len() <= room {
                let ended = self.end(ends, part);
                let part = self.put_together(part);
                if !part.is_empty() {
                    sink(Piece::Statement(part))?;
                }
                self.held.clear();
                self.after_statement(ended, cut);
                return Ok(length);
            }
            let (head, rest) = part.split_at(room);
            sink(Piece::Head(self.put_together(head)))?;
            self.held.clear();
            self.headed = true;
            part = rest;
        }
        if whole || !part.is_empty() {
            sink(Piece::Body {
                bytes: part,
                last: whole,
            })?;
        }
        if whole {
            let ended = self.end(ends, b"");
            self.after_statement(ended, cut);
        }
        Ok(length)
    }

    /// `held` and what follows it, together.
    fn put_together<'a>(&'a mut self, part: &'a [u8]) -> &'a [u8] {
        if self.held.is_empty() {
            return part;
        }
        self.held.extend_from_slice(part);
        &self.held
    }

    /// What a statement whose `;` has come was; `last` is what is not held of it.
    fn end(&mut self, ends: bool, last: &[u8]) -> Ended {
        if !ends {
            return Ended::Other;
        }
        let ended = self.lexer.end();
        if ended == Ended::StandardStrings {
            let text = [self.held.as_slice(), last].concat();
            self.lexer.set_standard_strings(!turns_off(&text));
        }
        ended
    }

    fn after_statement(&mut self, ended: Ended, cut: bool) {
        self.headed = false;
        self.mode = match ended {
            _ if cut => Mode::Command { within: true },
            Ended::CopyFromStdin => Mode::AfterCopy,
            _ => Mode::Between,
        };
    }

    fn data<E>(
        &mut self,
        row: Row,
        input: &[u8],
        sink: &mut impl FnMut(Piece<'_>) -> Result<(), E>,
    ) -> Result<usize, E> {
        let next = match (row, input[0]) {
            (Row::Within, _) => return self.rows(input, sink),
            (Row::Start, b'\\') => Row::Backslash,
            (Row::Backslash, b'.') => Row::Dot,
            (Row::Dot, b'\r') => Row::DotReturn,
            (Row::Dot | Row::DotReturn, b'\n') => {
                self.held.push(b'\n');
                sink(Piece::DataEnd {
                    line: &self.held,
                    rows: self.rows,
                })?;
                self.held.clear();
                self.mode = Mode::Between;
                return Ok(1);
            }
            _ => {
                // An ordinary row after all.
                if !self.held.is_empty() {
                    sink(Piece::Data(&self.held))?;
                    self.held.clear();
                }
                self.mode = Mode::Data(Row::Within);
                return Ok(0);
            }
        };
        self.held.push(input[0]);
        self.mode = Mode::Data(next);
        Ok(1)
    }

    /// Rows, up to the start of what may be their end, as fast as memory can be read.
    fn rows<E>(
        &mut self,
        input: &[u8],
        sink: &mut impl FnMut(Piece<'_>) -> Result<(), E>,
    ) -> Result<usize, E> {
        let (length, next) = match self.end_of_data.find(input) {
            Some(at) => (at + 1, Row::Start),
            None if input.ends_with(b"\n\\") => (input.len() - 1, Row::Start),
            None if input.ends_with(b"\n") => (input.len(), Row::Start),
            None => (input.len(), Row::Within),
        };
        let part = &input[..length];
        self.rows += memchr_iter(b'\n', part).count() as u64;
        self.mode = Mode::Data(next);
        sink(Piece::Data(part))?;
        Ok(length)
    }
}

/// White space as psql's lexer knows it.
fn is_space(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t' | b'\n' | b'\r' | 0x0b | 0x0c)
}

/// Whether a `SET standard_conforming_strings` sets it to off.
fn turns_off(statement: &[u8]) -> bool {
    let value = tokens(statement).find_map(|spanned| match spanned.token {
        Token::Text(value) => Some(value),
        Token::Word(word) if ["on", "off", "true", "false", "default"].contains(&&*word) => {
            Some(word)
        }
        _ => None,
    });
    matches!(value.as_deref(), Some("off" | "false" | "no" | "0" | "f"))
}
