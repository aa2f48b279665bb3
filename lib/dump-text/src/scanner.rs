mod commands;
mod rows;
mod statements;

use memchr::memmem::Finder;
use memchr::{memchr, memchr2};

use crate::encoding::{Blotter, Encoding};
use crate::lexer::Lexer;
use crate::settings::{Reading, Settings};
use crate::suspect::SettingMentions;
use crate::{Piece, Unfinished};
use rows::Row;

/// How many bytes of a statement are kept together: all of any that names a role or a database, except
/// for a very long comment on one.
pub const HEAD_LIMIT: usize = 64 << 10;

/// The byte order mark, which psql skips at the beginning of a file.
const MARK: &[u8] = b"\xef\xbb\xbf";

/// Where the scanner is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Mode {
    /// At the very beginning, where a byte order mark may stand; `held` is what has come of it.
    Start,
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

/// Text as it is, and as psql's lexer sees it: of the same length, and the same but in some encodings.
#[derive(Debug, Clone, Copy)]
struct Text<'a> {
    raw: &'a [u8],
    seen: &'a [u8],
}

impl<'a> Text<'a> {
    fn from(self, at: usize) -> Self {
        Self {
            raw: &self.raw[at..],
            seen: &self.seen[at..],
        }
    }

    /// Up to and with what is at `end`; all of it if that is not there.
    fn through(self, end: Option<usize>) -> &'a [u8] {
        &self.raw[..end.map_or(self.raw.len(), |at| at + 1)]
    }
}

/// Takes a dump to pieces, fed in parts of any size. How it is cut into parts makes no difference,
/// except for how [`Piece`]s that may come in parts do.
///
/// It reads as psql 15 to 18 does, and follows the settings that psql reads by as far as the text says
/// them. It takes no more than some hundred KiB of memory.
#[derive(Debug)]
pub struct Scanner {
    mode: Mode,
    lexer: Lexer,
    settings: Settings,
    /// The settings that the current line is read by: psql looks at them once a line.
    reading: Reading,
    blotter: Blotter,
    seen: Vec<u8>,
    /// The beginning of a piece that is handed out whole.
    held: Vec<u8>,
    /// The part of the statement that was handed out already, because a command cut it. None if it is long.
    cut: Option<Vec<u8>>,
    /// Whether the statement's head has been handed out.
    headed: bool,
    /// How many COPYs have been read whose rows are still to come.
    copies: u32,
    rows: u64,
    end_of_data: Finder<'static>,
    mentions: Option<SettingMentions>,
}

impl Default for Scanner {
    fn default() -> Self {
        Self::new()
    }
}

impl Scanner {
    /// Begins at the beginning of a dump, or of one section of it.
    pub fn new() -> Self {
        Self::with(None)
    }

    /// One for a psql that obeys commands anywhere in a dump, as it has no `\restrict`: text that versions of psql, or
    /// settings, read in different ways is handed out as [`Piece::Ambiguous`].
    pub fn reporting_ambiguity() -> Self {
        Self::with(Some(SettingMentions::default()))
    }

    fn with(mentions: Option<SettingMentions>) -> Self {
        Self {
            mode: Mode::Start,
            lexer: Lexer::new(mentions.is_some()),
            settings: Settings::default(),
            reading: Reading::default(),
            blotter: Blotter::default(),
            seen: Vec::new(),
            held: Vec::new(),
            cut: Some(Vec::new()),
            headed: false,
            copies: 0,
            rows: 0,
            end_of_data: Finder::new(b"\n\\."),
            mentions,
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
                Mode::Data(row) => self.data(row, rest, sink)?,
                _ if self.is_settled() => self.lines(
                    Text {
                        raw: rest,
                        seen: rest,
                    },
                    sink,
                )?,
                _ => {
                    let end = memchr(b'\n', rest).map_or(rest.len(), |at| at + 1);
                    let mut seen = std::mem::take(&mut self.seen);
                    self.blotter.blot(&rest[..end], &mut seen);
                    let line = Text {
                        raw: &rest[..end],
                        seen: &seen,
                    };
                    let read = self.lines(line, sink)?;
                    self.seen = seen;
                    if rest[..end].ends_with(b"\n") {
                        self.next_line();
                    }
                    read
                }
            };
            rest = &rest[read..];
        }
        Ok(())
    }

    /// Whether the next lines are read as this one is, byte by byte as they are.
    fn is_settled(&self) -> bool {
        self.reading == self.settings.now() && self.reading.encoding == Encoding::Safe
    }

    /// psql has read a line, and looks at its settings.
    fn next_line(&mut self) {
        self.reading = self.settings.now();
        self.lexer
            .set_standard_strings(self.reading.standard_strings);
        self.blotter = Blotter::new(self.reading.encoding);
    }

    /// Reads one line, or as many as are read in the same way, up to the rows of a COPY.
    fn lines<E>(
        &mut self,
        text: Text<'_>,
        sink: &mut impl FnMut(Piece<'_>) -> Result<(), E>,
    ) -> Result<usize, E> {
        let settled = self.is_settled();
        let mut at = 0;
        while at < text.raw.len() && (!settled || self.is_settled()) {
            let rest = text.from(at);
            at += match self.mode {
                Mode::Start => self.start(rest, sink)?,
                Mode::Between => self.between(rest, sink)?,
                Mode::BlockComment => self.block_comment(rest, sink)?,
                Mode::LineComment => self.line_comment(rest, sink)?,
                Mode::Command { within } => self.command(within, rest, sink)?,
                Mode::Statement => self.statement(rest, sink)?,
                Mode::AfterCopy => self.after_copy(rest, sink)?,
                Mode::Data(_) => break,
            };
        }
        Ok(at)
    }

    /// Whether it is between statements, where a text may end.
    pub(crate) fn is_between(&self) -> bool {
        match self.mode {
            Mode::Start | Mode::Between | Mode::LineComment => true,
            Mode::Command { within } => !within,
            Mode::Statement | Mode::BlockComment | Mode::AfterCopy | Mode::Data(_) => false,
        }
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
            Mode::Start | Mode::Between if self.held.is_empty() => Ok(()),
            Mode::Start | Mode::Between | Mode::Statement => Err(Unfinished::Statement),
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
            Mode::Start | Mode::Between | Mode::Statement => sink(Piece::Statement(left))?,
            Mode::LineComment => sink(Piece::Comment(left))?,
            Mode::Command { .. } => sink(Piece::Command(left))?,
            Mode::AfterCopy | Mode::BlockComment => sink(Piece::Space(left))?,
            Mode::Data(_) => sink(Piece::Data(left))?,
        }
        Ok(ended)
    }

    fn start<E>(
        &mut self,
        text: Text<'_>,
        sink: &mut impl FnMut(Piece<'_>) -> Result<(), E>,
    ) -> Result<usize, E> {
        let byte = text.raw[0];
        if byte != MARK[self.held.len()] {
            self.mode = Mode::Between;
            if !self.held.is_empty() {
                self.begin_with_what_is_held();
            }
            return Ok(0);
        }
        self.held.push(byte);
        if self.held == MARK {
            self.mode = Mode::Between;
            // psql passes over it in the first line of a file only, and only if it speaks UTF-8.
            match self.mentions {
                None => sink(Piece::Space(MARK))?,
                Some(_) => sink(Piece::Ambiguous(MARK))?,
            }
            self.held.clear();
        }
        Ok(1)
    }

    fn between<E>(
        &mut self,
        text: Text<'_>,
        sink: &mut impl FnMut(Piece<'_>) -> Result<(), E>,
    ) -> Result<usize, E> {
        match (self.held.as_slice(), text.seen[0]) {
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
                // It was no comment.
                self.begin_with_what_is_held();
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
        let blank = text.seen.iter().position(|byte| self.lexer.begins(*byte));
        match blank {
            Some(0) => self.mode = Mode::Statement,
            Some(length) => sink(Piece::Space(&text.raw[..length]))?,
            None => sink(Piece::Space(text.raw))?,
        }
        Ok(blank.unwrap_or(text.raw.len()))
    }

    /// A statement begins with it.
    fn begin_with_what_is_held(&mut self) {
        self.mode = Mode::Statement;
        self.lexer.statement(&self.held);
    }

    fn block_comment<E>(
        &mut self,
        text: Text<'_>,
        sink: &mut impl FnMut(Piece<'_>) -> Result<(), E>,
    ) -> Result<usize, E> {
        let (length, ended) = self.lexer.comment(text.seen);
        if ended {
            self.mode = Mode::Between;
        }
        sink(Piece::Space(&text.raw[..length]))?;
        Ok(length)
    }

    fn line_comment<E>(
        &mut self,
        text: Text<'_>,
        sink: &mut impl FnMut(Piece<'_>) -> Result<(), E>,
    ) -> Result<usize, E> {
        let end = memchr2(b'\n', b'\r', text.seen);
        if end.is_some() {
            self.mode = Mode::Between;
        }
        self.line(text.through(end), end.is_some(), |line| {
            sink(Piece::Comment(line))
        })
    }
}
