//! The rows of a COPY.

use memchr::memchr_iter;

use super::{Mode, Scanner};
use crate::Piece;

/// Where in a row of a COPY.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Row {
    Start,
    Within,
    /// After `\` at its start, which is held.
    Backslash,
    /// After `\.` at its start, which is held.
    Dot,
    /// After `\.` and a carriage return.
    DotReturn,
}

impl Scanner {
    pub(super) fn data<E>(
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
                self.rows = 0;
                self.copies -= 1;
                self.mode = match self.copies {
                    0 => Mode::Between,
                    _ => Mode::Data(Row::Start),
                };
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
    pub(super) fn rows<E>(
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
