//! What the dump of a database holds: tables and their rows, indexes, constraints, extensions, large objects.

use std::collections::HashMap;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::iter::Peekable;
use std::ops::Range;

use pg_text::PgText;

use crate::data::{Block, Brings, DataPlaces, Target};
use crate::search_path::SearchPath;
use crate::token::{Spanned, Token, tokens};
use crate::{Command, Piece, command};

/// What the names of the tables may take, in bytes: past it only numbers are kept.
const NAMES_LIMIT: usize = 16 << 20;
/// What a list takes for a table besides its name.
const ENTRY: usize = 26;

/// Counts what one database's dump holds while its [`Piece`]s pass by, and takes note of where the data are. What it makes
/// of a dump does not depend on how that was cut. It takes 17 MiB for names at most, and less than 250 bytes for each
/// table.
#[derive(Debug, Default)]
pub struct Inventory {
    tables: Vec<Table>,
    /// A table's place in the list, by the hash of its name.
    places: HashMap<u64, usize>,
    /// What the names take in a list.
    names: usize,
    data: DataPlaces,
    /// Where names without a schema lead.
    search_path: SearchPath,
    /// Whether rows came for a partitioned table: which partitions they go to cannot be seen.
    by_the_root: bool,
    /// How many `CREATE INDEX` there are.
    pub indexes: u64,
    /// How many primary keys, unique, exclusion and foreign key constraints are added to tables.
    pub constraints: u64,
    /// The extensions that are created, by their names, in order.
    pub extensions: Vec<PgText>,
    /// How many large objects are created.
    pub large_objects: u64,
}

#[derive(Debug)]
struct Table {
    /// As the dump writes it, with the schema that its search path says. None if the list would be too long.
    name: Option<PgText>,
    /// How many came by COPY.
    rows: u64,
    /// Whether it has a COPY.
    copied: bool,
    /// Whether rows came as INSERT, which are not counted.
    inserts: bool,
    partitioned: bool,
}

impl Inventory {
    /// The next piece.
    pub fn see(&mut self, piece: Piece<'_>) {
        let brings = match piece {
            Piece::Statement(text) | Piece::Head(text) => self.statement(text),
            Piece::Command(line) if matches!(command(line), Command::Connect(_)) => {
                self.search_path = SearchPath::default();
                Brings::NoData
            }
            _ => Brings::NoData,
        };
        let before = self.data.blocks.len();
        self.data.see(piece, brings);
        if let Some(Block {
            target: Target::Created(place),
            rows,
            ..
        }) = self.data.blocks.get(before)
        {
            let table = &mut self.tables[*place];
            table.rows += rows;
            table.copied = true;
            self.by_the_root |= table.partitioned;
        }
    }

    /// The `COPY` blocks, in order. None if there are so many tables that their names take more than 16 MiB, or if the
    /// dump has what no dump has, so that it is not known which rows are whose.
    pub fn copies(&self) -> Option<impl Iterator<Item = CopiedRows<'_>>> {
        let named = self.data.blocks.iter().filter_map(|block| {
            let (table, kind, counted) = match &block.target {
                Target::NotCreated(name) => (name, TableKind::NotCreated, true),
                Target::Created(place) => {
                    let table = &self.tables[*place];
                    let kind = match table.partitioned {
                        true => TableKind::Partitioned,
                        false => TableKind::Plain,
                    };
                    (table.name.as_ref()?, kind, !table.inserts)
                }
            };
            Some(CopiedRows {
                table,
                kind,
                rows: counted.then_some(block.rows),
                sql: block.sql.clone(),
                statement: block.statement,
                data: block.data,
            })
        });
        (self.names <= NAMES_LIMIT && self.data.is_known()).then_some(named)
    }

    /// The tables that the dump creates and that have no `COPY` block, in order, as [`CopiedRows::table`] names them; each
    /// with how many rows of its own it has, if that is known.
    pub fn others(&self) -> impl Iterator<Item = (&PgText, Option<u64>)> {
        let others = self.tables.iter().filter(|table| !table.copied);
        others.filter_map(|table| {
            let elsewhere = self.by_the_root && !table.partitioned;
            let known = !table.inserts && !elsewhere;
            Some((table.name.as_ref()?, known.then_some(0)))
        })
    }

    /// From the first statement that brings data, with the comments before it, to the end of the last one: bytes from the
    /// first piece on. None if there are none.
    pub fn data(&self) -> Option<Range<u64>> {
        self.data.data()
    }

    /// From the first statement that writes a large object, with the `BEGIN` and the comments before it, to the `COMMIT`
    /// after the last one. None
    /// if there is none, or if anything else comes between.
    pub fn large_objects(&self) -> Option<Range<u64>> {
        self.data.large_objects()
    }

    /// How many tables there are.
    pub fn table_count(&self) -> u64 {
        self.tables.len() as u64
    }

    /// How many rows all tables have, if it is known.
    pub fn rows(&self) -> Option<u64> {
        let mut tables = self.tables.iter();
        let known = !tables.any(|table| table.inserts);
        known.then(|| self.tables.iter().map(|table| table.rows).sum())
    }

    fn statement(&mut self, text: &[u8]) -> Brings {
        let mut words = Words::of(text);
        match words.word().as_ref().map(PgText::ascii) {
            Some("create") => self.create(words),
            Some("copy") => {
                return match words.name() {
                    Some(name) => Brings::Copy(match self.place(name) {
                        Some(place) => Target::Created(place),
                        None => Target::NotCreated(name.into()),
                    }),
                    None => Brings::NoData,
                };
            }
            Some("insert") => {
                words.skip("into");
                if let Some(place) = words.name().and_then(|name| self.place(name)) {
                    self.tables[place].inserts = true;
                }
                return Brings::Data;
            }
            Some("alter") => self.constraints += u64::from(words.adds_constraint()),
            Some("select") => match words.name() {
                Some(b"pg_catalog.lo_create" | b"lo_create") => self.large_objects += 1,
                Some(b"pg_catalog.setval" | b"setval") => return Brings::Data,
                Some(
                    b"pg_catalog.lo_open"
                    | b"pg_catalog.lowrite"
                    | b"pg_catalog.lo_close"
                    | b"lo_open"
                    | b"lowrite"
                    | b"lo_close",
                ) => return Brings::LargeObject,
                _ => self.search_path.see(text),
            },
            Some("set" | "reset" | "discard") => self.search_path.see(text),
            Some("begin" | "commit") => return Brings::Bracket,
            _ => {}
        }
        Brings::NoData
    }

    fn create(&mut self, mut words: Words<'_>) {
        words.skip("unlogged");
        words.skip("unique");
        match words.word().as_ref().map(PgText::ascii) {
            Some("table") => {
                if let Some(name) = words.name() {
                    self.table(name, words.partitions());
                }
            }
            Some("index") => self.indexes += 1,
            Some("extension") => {
                for keyword in ["if", "not", "exists"] {
                    words.skip(keyword);
                }
                if let Some(Token::Word(name) | Token::Name(name)) = words.next() {
                    self.extensions.push(name);
                }
            }
            _ => {}
        }
    }

    fn table(&mut self, name: &[u8], partitioned: bool) {
        let name = &*self.search_path.created(name);
        let listed = self.names <= NAMES_LIMIT;
        self.names += name.len() + ENTRY;
        if listed && self.names > NAMES_LIMIT {
            self.tables.iter_mut().for_each(|table| table.name = None);
        }
        self.places.insert(hash(name), self.tables.len());
        self.tables.push(Table {
            name: (self.names <= NAMES_LIMIT).then(|| name.into()),
            rows: 0,
            copied: false,
            inserts: false,
            partitioned,
        });
    }

    /// Where a table stands in the list; none if its `CREATE TABLE` is not in the dump, as that of an
    /// extension's is not.
    fn place(&self, name: &[u8]) -> Option<usize> {
        let mut names = self.search_path.candidates(name);
        names.find_map(|name| self.places.get(&hash(&name)).copied())
    }
}

/// A `COPY … FROM stdin` with its rows. Places count bytes from the first piece on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CopiedRows<'a> {
    /// The table as the dump writes it, with the schema that its search path says where it writes none.
    pub table: &'a PgText,
    /// What kind of table that is.
    pub kind: TableKind,
    /// How many rows. None if rows of the table come as `INSERT` too.
    pub rows: Option<u64>,
    /// The comments before the statement, the statement, the rows and the line `\.`.
    pub sql: Range<u64>,
    /// Where the statement begins.
    pub statement: u64,
    /// Where the rows begin.
    pub data: u64,
}

/// What kind of table rows are copied into.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TableKind {
    /// One that the same dump creates, and keeps its rows itself.
    Plain,
    /// One that the same dump creates, and has partitions that the rows go to.
    Partitioned,
    /// One that the dump does not create: an extension's.
    NotCreated,
}

fn hash(name: &[u8]) -> u64 {
    let mut hasher = DefaultHasher::new();
    name.hash(&mut hasher);
    hasher.finish()
}

/// The tokens of a statement, read from its beginning.
struct Words<'a> {
    text: &'a [u8],
    tokens: Peekable<Box<dyn Iterator<Item = Spanned> + 'a>>,
}

impl<'a> Words<'a> {
    fn of(text: &'a [u8]) -> Self {
        let tokens: Box<dyn Iterator<Item = Spanned>> = Box::new(tokens(text));
        let tokens = tokens.peekable();
        Self { text, tokens }
    }

    fn next(&mut self) -> Option<Token> {
        self.tokens.next().map(|it| it.token)
    }

    fn word(&mut self) -> Option<PgText> {
        match self.next() {
            Some(Token::Word(word)) => Some(word),
            _ => None,
        }
    }

    fn skip(&mut self, keyword: &str) {
        let _ = self.tokens.next_if(|it| it.token.is(keyword));
    }

    /// A name with its schema, as it is written.
    fn name(&mut self) -> Option<&'a [u8]> {
        let is_name = |it: &Spanned| matches!(it.token, Token::Word(_) | Token::Name(_));
        let mut at = self.tokens.next_if(is_name)?.at;
        while self
            .tokens
            .next_if(|it| it.token == Token::Symbol(b'.'))
            .is_some()
        {
            at.end = self.tokens.next_if(is_name)?.at.end;
        }
        Some(&self.text[at])
    }

    /// The rest of `CREATE TABLE name … PARTITION BY …`.
    fn partitions(mut self) -> bool {
        let mut depth = 0_u32;
        while let Some(token) = self.next() {
            match token {
                Token::Symbol(b'(') => depth += 1,
                Token::Symbol(b')') => depth = depth.saturating_sub(1),
                Token::Word(word) if depth == 0 && word == "partition" => {
                    return self.word().is_some_and(|it| it == "by");
                }
                _ => {}
            }
        }
        false
    }

    /// The rest of `ALTER TABLE ONLY name ADD CONSTRAINT name FOREIGN KEY …`.
    fn adds_constraint(mut self) -> bool {
        if self.word().is_none_or(|it| it != "table") {
            return false;
        }
        self.skip("only");
        let adds = self.name().is_some()
            && self.word().is_some_and(|it| it == "add")
            && self.word().is_some_and(|it| it == "constraint")
            && self.name().is_some();
        let kinds = ["primary", "unique", "exclude", "foreign"];
        adds && self
            .word()
            .is_some_and(|kind| kinds.contains(&kind.ascii()))
    }
}
