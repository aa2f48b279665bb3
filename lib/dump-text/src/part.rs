use crate::{Command, Piece, Scanner, Unfinished, command};

/// A part of a cluster's dump.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Part {
    /// Roles, memberships, tablespaces: all up to the first database.
    Globals,
    /// A database, by its name, from its `-- Database "…" dump` comment (the line `--` above it
    /// included) or, where there is none, from the `\connect` to it on.
    Database(String),
    /// The closing lines of `pg_dumpall`, from the `--` above `-- PostgreSQL database cluster dump
    /// complete` on.
    End,
}

/// What a [`PartScanner`] hands out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Event<'a> {
    /// A part begins, with the next piece. The globals begin without being announced.
    Begin(&'a Part),
    /// A piece of it.
    Piece(Piece<'a>),
}

/// Takes a cluster's dump to pieces and says to which part they belong.
#[derive(Debug, Default)]
pub struct PartScanner {
    scanner: Scanner,
    divider: Divider,
}

impl PartScanner {
    /// Begins at the beginning of a dump.
    pub fn new() -> Self {
        Self::default()
    }

    /// One that hands out [`Piece::Ambiguous`]: see [`Scanner::wary`].
    pub fn wary() -> Self {
        Self {
            scanner: Scanner::wary(),
            divider: Divider::default(),
        }
    }

    /// Reads on, and hands what it finds to `sink`.
    ///
    /// # Errors
    /// What `sink` returns; the scanner is of no use after that.
    pub fn feed<E>(
        &mut self,
        input: &[u8],
        sink: &mut impl FnMut(Event<'_>) -> Result<(), E>,
    ) -> Result<(), E> {
        let Self { scanner, divider } = self;
        scanner.feed(input, &mut |piece| divider.piece(piece, sink))
    }

    /// The dump has ended: hands out what is held.
    ///
    /// # Errors
    /// What `sink` returns.
    pub fn finish<E>(
        &mut self,
        sink: &mut impl FnMut(Event<'_>) -> Result<(), E>,
    ) -> Result<Result<(), Unfinished>, E> {
        let Self { scanner, divider } = self;
        let ended = scanner.finish(&mut |piece| divider.piece(piece, sink))?;
        divider.release(sink)?;
        Ok(ended)
    }
}

/// How much of a line `--` is held.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Dashes {
    None,
    /// `--` and a line feed.
    Line,
    /// `--` and a carriage return; the line feed is a piece of its own.
    Return,
    /// All of a line that ends in CRLF.
    ReturnLine,
}

#[derive(Debug)]
struct Divider {
    part: Part,
    /// Whether the part's own `\connect` has come.
    connected: bool,
    /// A line `--` that may be the first of a part.
    dashes: Dashes,
    /// Whether the last piece was cut before its line's end.
    in_line: bool,
}

impl Default for Divider {
    fn default() -> Self {
        Self {
            part: Part::Globals,
            connected: false,
            dashes: Dashes::None,
            in_line: false,
        }
    }
}

impl Divider {
    fn piece<E>(
        &mut self,
        piece: Piece<'_>,
        sink: &mut impl FnMut(Event<'_>) -> Result<(), E>,
    ) -> Result<(), E> {
        let begins = match piece {
            Piece::Comment(dashes @ (b"--\n" | b"--\r")) if !self.in_line => {
                self.release(sink)?;
                self.dashes = match dashes {
                    b"--\n" => Dashes::Line,
                    _ => Dashes::Return,
                };
                return Ok(());
            }
            Piece::Space(b"\n") if self.dashes == Dashes::Return => {
                self.dashes = Dashes::ReturnLine;
                return Ok(());
            }
            Piece::Comment(line) if !self.in_line => announced(line),
            Piece::Command(line) => self.connects_to(line),
            _ => None,
        };
        if let Piece::Comment(line) | Piece::Command(line) = piece {
            let forced = matches!(line, b"\\;" | b"\\:");
            self.in_line = !line.ends_with(b"\n") && !line.ends_with(b"\r") && !forced;
        }
        if let Some(part) = begins {
            self.connected = matches!(piece, Piece::Command(_));
            self.part = part;
            sink(Event::Begin(&self.part))?;
        }
        self.release(sink)?;
        sink(Event::Piece(piece))
    }

    /// The database that a `\connect` begins, where no comment has.
    fn connects_to(&mut self, line: &[u8]) -> Option<Part> {
        let Command::Connect(database) = command(line) else {
            return None;
        };
        let part = Part::Database(database);
        let known = self.part == part || matches!(self.part, Part::Database(_)) && !self.connected;
        self.connected = true;
        (!known).then_some(part)
    }

    /// Hands out a held line.
    fn release<E>(&mut self, sink: &mut impl FnMut(Event<'_>) -> Result<(), E>) -> Result<(), E> {
        let (comment, space): (&[u8], &[u8]) =
            match std::mem::replace(&mut self.dashes, Dashes::None) {
                Dashes::None => return Ok(()),
                Dashes::Line => (b"--\n", b""),
                Dashes::Return => (b"--\r", b""),
                Dashes::ReturnLine => (b"--\r", b"\n"),
            };
        sink(Event::Piece(Piece::Comment(comment)))?;
        match space {
            [] => Ok(()),
            space => sink(Event::Piece(Piece::Space(space))),
        }
    }
}

/// The part that a comment of `pg_dumpall` announces.
fn announced(line: &[u8]) -> Option<Part> {
    let [line @ .., b'\n' | b'\r'] = line else {
        return None;
    };
    if line == b"-- PostgreSQL database cluster dump complete" {
        return Some(Part::End);
    }
    let name = line
        .strip_prefix(b"-- Database \"")?
        .strip_suffix(b"\" dump")?;
    Some(Part::Database(String::from_utf8_lossy(name).into_owned()))
}
