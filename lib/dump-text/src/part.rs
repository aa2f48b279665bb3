use pg_text::PgText;

use crate::boundary::Boundary;
use crate::opening::Text;
use crate::{Command, Piece, Scanner, Unfinished, command, is_setting, subject};

/// How many bytes of a dump are held, at most, until it is clear which database it is of.
const HELD: usize = 1 << 20;

/// A part of a dump, or of several that follow each other.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Part {
    /// Roles, memberships, tablespaces: all up to the first database.
    Globals,
    /// A database, by its name: from its `-- Database "…" dump` comment (the line `--` above it included), from the
    /// opening of a dump of `pg_dump --create` or, where there is neither, from the `\connect` to it on. A dump that
    /// does not say of which database it is belongs to the one before it, as with psql.
    Database(PgText),
    /// The dump of a database that does not say its name, where none is connected to.
    Unnamed,
    /// The closing lines of `pg_dumpall`, from the `--` above `-- PostgreSQL database cluster dump
    /// complete` on.
    End,
}

/// What a [`PartScanner`] hands out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Event<'a> {
    /// A part begins, with the next piece. The globals that a text begins with are not announced.
    Begin(&'a Part),
    /// A piece of it.
    Piece(Piece<'a>),
}

/// Takes a cluster's dump, or dumps that follow each other, to pieces and says to which part they belong.
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

    /// One that hands out [`Piece::Ambiguous`]: see [`Scanner::reporting_ambiguity`].
    pub fn reporting_ambiguity() -> Self {
        Self {
            scanner: Scanner::reporting_ambiguity(),
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
        divider.decide(None, sink)?;
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
    /// What the part's own `\connect` has called its database, if that has come: pg_dump may speak another encoding than
    /// pg_dumpall, whose comment announced it.
    connected: Option<PgText>,
    /// A line `--` that may be the first of a part.
    dashes: Dashes,
    /// Whether the last piece was cut before its line's end.
    in_line: bool,
    /// Whether a cluster's dump has begun, which says itself where its databases begin.
    in_cluster: bool,
    /// Whether anything but settings has come.
    begun: bool,
    /// What has come of a dump of which it is not clear yet to which part it belongs.
    held: Option<Held>,
}

/// Pieces that are kept.
#[derive(Debug, Default)]
struct Held {
    pieces: Vec<(HeldKind, Vec<u8>)>,
    size: usize,
}

/// A piece of those that stand before a dump's first statement.
#[derive(Debug, Clone, Copy)]
enum HeldKind {
    Space,
    Comment,
    Command,
    Setting,
}

impl HeldKind {
    fn of(piece: Piece<'_>) -> Option<Self> {
        match piece {
            Piece::Space(_) => Some(Self::Space),
            Piece::Comment(_) => Some(Self::Comment),
            Piece::Command(_) => Some(Self::Command),
            Piece::Statement(sql) if is_setting(sql) => Some(Self::Setting),
            _ => None,
        }
    }

    fn piece(self, bytes: &[u8]) -> Piece<'_> {
        match self {
            Self::Space => Piece::Space(bytes),
            Self::Comment => Piece::Comment(bytes),
            Self::Command => Piece::Command(bytes),
            Self::Setting => Piece::Statement(bytes),
        }
    }
}

impl Default for Divider {
    fn default() -> Self {
        Self {
            part: Part::Globals,
            connected: None,
            dashes: Dashes::None,
            in_line: false,
            in_cluster: false,
            begun: false,
            held: None,
        }
    }
}

impl Divider {
    fn piece<E>(
        &mut self,
        piece: Piece<'_>,
        sink: &mut impl FnMut(Event<'_>) -> Result<(), E>,
    ) -> Result<(), E> {
        match piece {
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
            Piece::Comment(line) if !self.in_line => self.comment(line, sink)?,
            Piece::Command(line) => self.connect(line, sink)?,
            Piece::Space(_) | Piece::Comment(_) => {}
            Piece::Statement(sql) | Piece::Head(sql) => self.statement(sql, sink)?,
            _ => self.decide(None, sink)?,
        }
        if let Piece::Comment(line) | Piece::Command(line) = piece {
            let forced = matches!(line, b"\\;" | b"\\:");
            self.in_line = !line.ends_with(b"\n") && !line.ends_with(b"\r") && !forced;
        }
        self.release(sink)?;
        self.give(piece, sink)
    }

    /// What a comment says of the dumps of which the text is made.
    fn comment<E>(
        &mut self,
        line: &[u8],
        sink: &mut impl FnMut(Event<'_>) -> Result<(), E>,
    ) -> Result<(), E> {
        if let Some(name) = announced(line) {
            self.decide(None, sink)?;
            self.connected = None;
            return self.begin(Part::Database(name), sink);
        }
        let Some(boundary) = Boundary::of(line) else {
            return Ok(());
        };
        match boundary {
            // It is the part that was announced.
            Boundary::Opening(Text::Database) if self.in_cluster => return Ok(()),
            Boundary::Closing(Text::Database) if self.in_cluster => return Ok(()),
            _ => self.decide(None, sink)?,
        }
        match boundary {
            Boundary::Opening(Text::Cluster) => {
                self.in_cluster = true;
                match self.begun {
                    true => self.begin(Part::Globals, sink),
                    false => Ok(()),
                }
            }
            Boundary::Opening(_) => {
                self.held = Some(Held::default());
                Ok(())
            }
            Boundary::Closing(Text::Cluster) => {
                self.in_cluster = false;
                self.begin(Part::End, sink)
            }
            Boundary::Closing(_) => Ok(()),
        }
    }

    /// A `\connect` tells which database a dump is of, or begins a database where nothing else has.
    fn connect<E>(
        &mut self,
        line: &[u8],
        sink: &mut impl FnMut(Event<'_>) -> Result<(), E>,
    ) -> Result<(), E> {
        let Command::Connect(database) = command(line) else {
            return Ok(());
        };
        if self.held.is_some() {
            self.decide(Some(database.clone()), sink)?;
        } else {
            let before = self.connected.as_ref();
            let same = before.is_none_or(|before| *before == database);
            let is_its_own = matches!(self.part, Part::Database(_)) && same;
            let part = Part::Database(database.clone());
            if self.part != part && !is_its_own {
                self.begin(part, sink)?;
            }
        }
        self.connected = Some(database);
        Ok(())
    }

    /// A statement about a database tells which one a dump is of; any other, that it does not say it.
    fn statement<E>(
        &mut self,
        sql: &[u8],
        sink: &mut impl FnMut(Event<'_>) -> Result<(), E>,
    ) -> Result<(), E> {
        if is_setting(sql) {
            return Ok(());
        }
        self.begun = true;
        if self.held.is_some() {
            let about = subject(sql);
            let database = about.as_ref().and_then(|about| about.database());
            return self.decide(database.map(|it| it.name.clone()), sink);
        }
        let sets_back = sql.trim_ascii_start().get(..5);
        if self.part == Part::End && !sets_back.is_some_and(|it| it.eq_ignore_ascii_case(b"reset"))
        {
            // More follows the cluster's dump.
            self.begin(Part::Globals, sink)?;
        }
        Ok(())
    }

    fn begin<E>(
        &mut self,
        part: Part,
        sink: &mut impl FnMut(Event<'_>) -> Result<(), E>,
    ) -> Result<(), E> {
        self.begun = true;
        self.part = part;
        sink(Event::Begin(&self.part))
    }

    /// It is clear of which database the dump is that is held.
    fn decide<E>(
        &mut self,
        database: Option<PgText>,
        sink: &mut impl FnMut(Event<'_>) -> Result<(), E>,
    ) -> Result<(), E> {
        let Some(held) = self.held.take() else {
            return Ok(());
        };
        let part = match (database, &self.part) {
            (Some(name), Part::Database(same)) if *same == name => None,
            (Some(name), _) => {
                self.connected = None;
                Some(Part::Database(name))
            }
            (None, Part::Database(_) | Part::Unnamed) => None,
            (None, _) => Some(Part::Unnamed),
        };
        if let Some(part) = part {
            self.begin(part, sink)?;
        }
        for (kind, bytes) in &held.pieces {
            sink(Event::Piece(kind.piece(bytes)))?;
        }
        Ok(())
    }

    /// Hands out a piece, or keeps it.
    fn give<E>(
        &mut self,
        piece: Piece<'_>,
        sink: &mut impl FnMut(Event<'_>) -> Result<(), E>,
    ) -> Result<(), E> {
        let Some((held, kind)) = self.held.as_mut().zip(HeldKind::of(piece)) else {
            return sink(Event::Piece(piece));
        };
        held.size += piece.bytes().len();
        held.pieces.push((kind, piece.bytes().to_vec()));
        match held.size > HELD {
            true => self.decide(None, sink),
            false => Ok(()),
        }
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
        self.give(Piece::Comment(comment), sink)?;
        match space {
            [] => Ok(()),
            space => self.give(Piece::Space(space), sink),
        }
    }
}

/// The database that a comment of `pg_dumpall` announces.
fn announced(line: &[u8]) -> Option<PgText> {
    let [line @ .., b'\n' | b'\r'] = line else {
        return None;
    };
    let name = line
        .strip_prefix(b"-- Database \"")?
        .strip_suffix(b"\" dump")?;
    Some(PgText::from(name))
}
