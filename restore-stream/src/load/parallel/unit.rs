//! What one session does at a time: some rows, or an index.

use std::ops::Range;
use std::sync::Arc;

use backup_file::CopyBlock;
use dump_text::{Piece, QualifiedName, copied_table};
use job::{Error, Progress};

use super::relations::Copying;
use crate::edit::{DatabaseEdit, SessionSettings};
use crate::load::part::Load;
use crate::source::error::unfinished;
use crate::source::ranges::SectionRanges;

/// Rows of less SQL than this many bytes are not frozen. A table that is emptied gets new files, and VACUUM reads such a
/// small one in no time.
const FREEZE_FROM: u64 = 64 << 10;

/// Statements that one session runs one after the other, under these settings of the dump.
#[derive(Debug)]
pub(super) struct Unit {
    pub(super) settings: Arc<SessionSettings>,
    pub(super) work: Work,
}

#[derive(Debug)]
pub(super) enum Work {
    /// These blocks of rows, which follow each other.
    Rows {
        blocks: Range<usize>,
        copying: Copying,
    },
    /// These statements.
    Statements(Vec<Vec<u8>>),
}

impl Unit {
    /// How much memory its text takes.
    pub(super) fn size(&self) -> usize {
        match &self.work {
            Work::Rows { .. } => 0,
            Work::Statements(all) => all.iter().map(Vec::len).sum(),
        }
    }

    /// Runs it in a session, and returns when psql has done it.
    pub(super) fn run(
        &self,
        load: &mut Load<DatabaseEdit>,
        ranges: &SectionRanges<'_>,
        progress: &Progress,
    ) -> Result<(), Error> {
        load.adopt(&self.settings)?;
        match &self.work {
            Work::Rows { blocks, copying } => {
                copy(load, ranges, blocks.clone(), *copying, progress)?;
            }
            Work::Statements(all) => {
                for statement in all {
                    load.piece(Piece::Statement(statement))?;
                }
            }
        }
        load.settle()
    }
}

fn copy(
    load: &mut Load<DatabaseEdit>,
    ranges: &SectionRanges<'_>,
    blocks: Range<usize>,
    copying: Copying,
    progress: &Progress,
) -> Result<(), Error> {
    let blocks = &ranges.layout().copies[blocks];
    let (Some(first), Some(last)) = (blocks.first(), blocks.last()) else {
        return Ok(());
    };
    let mut rows = ExpectedRows {
        at: first.sql.start,
        blocks: blocks.iter(),
        current: None,
    };
    let mut scanner = load.scanner();
    // It begins in the middle of the dump, and reads on under the dump's settings.
    scanner.feed(&load.reading(), &mut |_| Ok::<_, Error>(()))?;
    let mut piece = |piece: Piece<'_>| {
        if !rows.pass(piece) {
            return Err(ranges.untrue());
        }
        let is_copy = matches!(piece, Piece::Statement(_));
        if is_copy && copying == Copying::Frozen && rows.is_worth_freezing() {
            load.freeze_next();
        }
        load.piece(piece)
    };
    ranges.read(first.sql.start..last.sql.end, 1, |sql| {
        scanner.feed(sql, &mut piece)?;
        progress.advance(sql.len() as u64);
        Ok(())
    })?;
    let ended = scanner.finish(&mut piece)?;
    ended.map_err(|how| unfinished(&ranges.label(), how))?;
    match rows.is_at_end() {
        true => Ok(()),
        false => Err(ranges.untrue()),
    }
}

/// Whether a block has more rows than it takes to empty a table.
pub(super) fn is_worth_freezing(block: &CopyBlock) -> bool {
    block.sql.end - block.sql.start >= FREEZE_FROM
}

/// The blocks that the map says are there.
struct ExpectedRows<'a> {
    /// The place in the section's SQL.
    at: u64,
    blocks: std::slice::Iter<'a, CopyBlock>,
    current: Option<&'a CopyBlock>,
}

impl ExpectedRows<'_> {
    /// Whether a piece is what the map says. Anything but comments and rows is not: it might depend on other rows.
    fn pass(&mut self, piece: Piece<'_>) -> bool {
        let at = self.at;
        self.at += piece.bytes().len() as u64;
        match piece {
            // The line of a COPY ends in some.
            Piece::Space(_) => true,
            Piece::Comment(_) => self.current.is_none(),
            // One with very many columns is a long statement.
            Piece::Statement(sql) | Piece::Head(sql) => {
                let before = self.current.take();
                self.current = self.blocks.next();
                before.is_none()
                    && self.current.is_some_and(|block| {
                        let named = QualifiedName::parse(block.table.as_bytes());
                        block.statement == at && copied_table(sql) == named
                    })
            }
            Piece::Data(_) | Piece::Body { .. } => self.current.is_some(),
            Piece::DataEnd { rows, .. } => {
                let block = self.current.take();
                block.is_some_and(|it| it.rows.is_none_or(|known| known == rows))
            }
            _ => false,
        }
    }

    /// Whether the rows that come are worth freezing.
    fn is_worth_freezing(&self) -> bool {
        self.current.is_some_and(is_worth_freezing)
    }

    fn is_at_end(&self) -> bool {
        self.current.is_none() && self.blocks.len() == 0
    }
}

#[cfg(test)]
mod tests {
    use backup_file::CopyTarget;
    use dump_text::Scanner;

    use super::*;

    const TEXT: &str = "--\n-- Data\n--\n\nCOPY s.a (x) FROM stdin;\n1\n2\n\\.\n\n\nCOPY s.b (x) FROM stdin;\n\\.\n";

    fn block(table: &str, rows: u64) -> CopyBlock {
        let statement = format!("COPY {table} ");
        let at = TEXT.find(&statement).unwrap_or_default() as u64;
        CopyBlock {
            table: table.into(),
            target: CopyTarget::Table,
            rows: Some(rows),
            sql: at..at,
            statement: at,
            data: at,
        }
    }

    fn passes(text: &str, blocks: &[CopyBlock]) -> bool {
        let mut rows = ExpectedRows {
            at: 0,
            blocks: blocks.iter(),
            current: None,
        };
        let mut scanner = Scanner::new();
        let mut good = true;
        let mut piece = |piece: Piece<'_>| {
            good &= rows.pass(piece);
            Ok::<_, Error>(())
        };
        scanner.feed(text.as_bytes(), &mut piece).unwrap();
        let _ = scanner.finish(&mut piece).unwrap();
        good && rows.is_at_end()
    }

    #[test]
    fn rows_are_what_the_map_says_or_the_map_is_not_true() {
        let both = [block("s.a", 2), block("s.b", 0)];
        assert!(passes(TEXT, &both));
        assert!(!passes(TEXT, &both[..1]));
        assert!(!passes(TEXT, &[block("s.a", 3), block("s.b", 0)]));
        assert!(!passes(TEXT, &[block("s.b", 0), block("s.a", 2)]));
        assert!(!passes(&TEXT.replace("s.a", "s.c"), &both));
        assert!(!passes(&format!("{TEXT}SELECT 1;\n"), &both));
        assert!(!passes(&format!("\n{TEXT}"), &both));
        assert!(!passes(&TEXT[..TEXT.len() - 3], &both));
    }

    #[test]
    fn a_copy_may_have_any_number_of_columns() {
        let columns = vec!["column"; 20_000].join(", ");
        let text = TEXT.replace("(x)", &format!("({columns})"));
        let mut both = [block("s.a", 2), block("s.b", 0)];
        both[1].statement = text.find("COPY s.b").unwrap() as u64;
        assert!(passes(&text, &both));
    }
}
