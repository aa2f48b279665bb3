//! Where the data are in a database's dump: rows, values of sequences, large objects.

use std::ops::Range;

use pg_text::PgText;

use crate::Piece;

/// The table of a `COPY` block.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Target {
    /// By its place among those that the dump creates.
    Created(usize),
    /// As the dump names it.
    NotCreated(PgText),
}

/// What a statement brings.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Brings {
    /// Rows that follow it.
    Copy(Target),
    /// Rows, or a sequence's value.
    Data,
    /// A large object's bytes.
    LargeObject,
    /// `BEGIN` or `COMMIT`, which stand around large objects.
    Bracket,
    /// Nothing of the kind.
    NoData,
}

/// A `COPY` block. Places count bytes from the beginning of what was seen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Block {
    pub(crate) target: Target,
    pub(crate) rows: u64,
    /// With the comments before it, to the end of the line `\.`.
    pub(crate) sql: Range<u64>,
    pub(crate) statement: u64,
    pub(crate) data: u64,
}

/// A `COPY` whose rows come, or are still to come.
#[derive(Debug)]
struct Open {
    target: Target,
    start: u64,
    statement: u64,
    data: Option<u64>,
}

/// Takes note of where data are, while the pieces of a dump pass by.
#[derive(Debug, Default)]
pub(crate) struct DataPlaces {
    /// How many bytes have passed.
    passed: u64,
    /// Where the last piece ended that is neither white space nor a comment.
    settled: u64,
    /// What the statement brings that may go on.
    goes_on: Option<Brings>,
    /// Where a `BEGIN` begins, if it was the last statement.
    bracket: Option<u64>,
    open: Option<Open>,
    pub(crate) blocks: Vec<Block>,
    /// What the names in `blocks` take.
    names: usize,
    data: Option<Range<u64>>,
    objects: Option<Range<u64>>,
    /// Where the last statement ended that has nothing to do with large objects.
    others: u64,
    /// Whether such came between large objects.
    mixed: bool,
    /// Whether something came that is in no dump: then it is not known which rows are whose.
    odd: bool,
}

/// What the names of tables that are not created may take.
const NAMES_LIMIT: usize = 1 << 20;

impl DataPlaces {
    /// The next piece, and what it brings if a statement begins with it.
    pub(crate) fn see(&mut self, piece: Piece<'_>, brings: Brings) {
        let begin = self.passed;
        self.passed += piece.bytes().len() as u64;
        match piece {
            Piece::Space(_) | Piece::Comment(_) => return,
            Piece::Statement(_) | Piece::Head(_) => self.statement(begin, brings),
            Piece::Body { .. } => {
                if let Some(brings) = self.goes_on.take() {
                    self.brought(begin, &brings);
                    self.goes_on = Some(brings);
                } else {
                    self.others = self.passed;
                }
            }
            // Behind a COPY on its line there is nothing in a dump.
            Piece::Command(_) => self.odd |= self.open.is_some(),
            Piece::Ambiguous(_) => self.odd = true,
            Piece::Data(_) => self.rows(begin),
            Piece::DataEnd { rows, .. } => self.end(begin, rows),
        }
        self.settled = self.passed;
    }

    fn statement(&mut self, begin: u64, brings: Brings) {
        // One that no rows followed was no `FROM stdin`.
        self.open = None;
        let before = self.goes_on.take();
        let bracket = self.bracket.take();
        match brings {
            Brings::Bracket if before == Some(Brings::LargeObject) => {
                self.brought(begin, &Brings::LargeObject);
            }
            Brings::Bracket => self.bracket = Some(self.settled),
            Brings::Copy(target) => {
                self.open = Some(Open {
                    target,
                    start: self.settled,
                    statement: begin,
                    data: None,
                });
            }
            Brings::NoData => self.others = self.passed,
            brings => {
                let within = bracket.filter(|_| brings == Brings::LargeObject);
                self.brought(within.unwrap_or(self.settled), &brings);
                self.goes_on = Some(brings);
            }
        }
    }

    /// Data came from `begin` on, up to what has passed.
    fn brought(&mut self, begin: u64, brings: &Brings) {
        let end = self.passed;
        self.data.get_or_insert(begin..end).end = end;
        if *brings == Brings::LargeObject {
            let objects = self.objects.get_or_insert(begin..end);
            self.mixed |= self.others > objects.start;
            objects.end = end;
        } else {
            self.others = end;
        }
    }

    fn rows(&mut self, begin: u64) {
        match &mut self.open {
            Some(open) => _ = open.data.get_or_insert(begin),
            None => self.odd = true,
        }
    }

    fn end(&mut self, begin: u64, rows: u64) {
        self.rows(begin);
        let Some(Open {
            target,
            start,
            statement,
            data: Some(data),
        }) = self.open.take()
        else {
            return;
        };
        self.names += match &target {
            Target::Created(_) => 0,
            Target::NotCreated(name) => name.len(),
        };
        if self.names > NAMES_LIMIT {
            self.odd = true;
            return;
        }
        self.brought(start, &Brings::Data);
        self.blocks.push(Block {
            target,
            rows,
            sql: start..self.passed,
            statement,
            data,
        });
    }

    /// Whether it is known where all data are, and whose.
    pub(crate) fn is_known(&self) -> bool {
        !self.odd
    }

    /// From the first statement that brings data, with the comments before it, to the end of the last one.
    pub(crate) fn data(&self) -> Option<Range<u64>> {
        self.data.clone()
    }

    /// From the first statement that writes a large object to the end of the last one, if nothing else comes between.
    pub(crate) fn large_objects(&self) -> Option<Range<u64>> {
        self.objects.clone().filter(|_| !self.mixed)
    }
}
