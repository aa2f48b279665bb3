//! Reads gzip of other programs (RFC 1952) as gunzip does: one member after the other, of any kind, BGZF blocks among
//! them, with zero bytes after the last one if there are any. A backup with its index is no such file.
//!
//! Nobody can decompress a member from its middle: only one thread does at any time, while another reads ahead.

use std::io::{self, Read};

use super::audit::Audit;
use super::batch::LastMember;
use super::inflater::{Inflater, Totals};
use super::report::Ending;
use crate::format::error::ReadError;
use crate::workers::read_ahead::{ReadAhead, Source};

/// How much SQL is handed out at once.
const PIECE: usize = 512 << 10;

/// What is left of a file, as SQL.
pub(super) struct Foreign {
    pieces: ReadAhead<Inflater>,
    audit: Audit,
}

/// Some SQL.
pub(super) struct Piece {
    sql: Box<[u8]>,
    filled: usize,
    /// Nothing comes after this piece: why, or what is wrong.
    end: Option<Result<Totals, ReadError>>,
}

impl Foreign {
    /// `audit` and `last` are of the BGZF members that were read before, if there are any.
    pub(super) fn new(
        input: Box<dyn Read + Send>,
        threads: usize,
        audit: Audit,
        last: Option<LastMember>,
    ) -> io::Result<Self> {
        // One reads, one decompresses; more have nothing to do.
        let threads = threads.min(2);
        let inflater = Inflater::new(input, threads, audit.size(), last)?;
        Ok(Self {
            pieces: ReadAhead::new(inflater, threads)?,
            audit,
        })
    }

    /// Gets the next piece; at the end says how the file has ended.
    pub(super) fn next(&mut self) -> Result<Option<Ending>, ReadError> {
        let piece = self.pieces.next().map_err(ReadError::Io)?;
        let Some(end) = piece.end.take() else {
            return Ok(None);
        };
        let totals = end?;
        self.audit.add_foreign(&totals);
        Ok(Some(totals.ending))
    }

    /// The piece that came last.
    pub(super) fn sql(&self) -> &[u8] {
        self.pieces
            .current()
            .map_or(&[], |piece| &piece.sql[..piece.filled])
    }

    pub(super) fn into_audit(self) -> Audit {
        self.audit
    }
}

impl Source for Inflater {
    type Item = Piece;
    type Tool = ();
    const THREAD: &'static str = "inflate";

    fn new_item() -> Piece {
        Piece {
            // Takes no memory before it is written to.
            sql: vec![0; PIECE].into_boxed_slice(),
            filled: 0,
            end: None,
        }
    }

    fn new_tool() {}

    fn fetch(&mut self, piece: &mut Piece) -> bool {
        let filled = self.fill(&mut piece.sql);
        piece.filled = *filled.as_ref().unwrap_or(&0);
        piece.end = match filled {
            Ok(0) => Some(Ok(self.totals())),
            Ok(_) => None,
            Err(error) => Some(Err(error)),
        };
        piece.end.is_none()
    }

    /// All was done at the source: what comes next depends on it.
    fn finish(_: &mut Piece, (): &mut ()) {}
}
