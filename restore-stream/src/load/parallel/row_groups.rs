//! Blocks of rows as units: small ones that follow each other are one.

use std::ops::Range;

use super::relations::{Copying, Resource, RowsUse};
use super::schedule::Use;

/// Small blocks are one unit of up to this many bytes of SQL, and this many blocks.
const SMALL: u64 = 512 << 10;
const MOST_BLOCKS: usize = 64;

/// Blocks that become one unit.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct RowGroup {
    pub(super) blocks: Range<usize>,
    /// Bytes of SQL.
    pub(super) length: u64,
    pub(super) copying: Copying,
    pub(super) uses: Vec<(Resource, Use)>,
    alone: bool,
}

/// Puts blocks together, in the dump's order.
#[derive(Debug, Default)]
pub(super) struct RowGroups {
    group: Option<RowGroup>,
}

impl RowGroups {
    /// Takes the next block, and returns the group before it, if that is complete.
    pub(super) fn take(&mut self, at: usize, length: u64, rows: RowsUse) -> Option<RowGroup> {
        if let Some(group) = self.group.as_mut().filter(|it| it.takes(length, &rows)) {
            group.blocks.end = at + 1;
            group.length += length;
            group.uses.extend(rows.uses);
            return None;
        }
        self.group.replace(RowGroup {
            blocks: at..at + 1,
            length,
            copying: rows.copying,
            uses: rows.uses,
            alone: rows.alone,
        })
    }

    /// The last group.
    pub(super) fn end(self) -> Option<RowGroup> {
        self.group
    }
}

impl RowGroup {
    fn takes(&self, length: u64, rows: &RowsUse) -> bool {
        !self.alone
            && !rows.alone
            && self.copying == rows.copying
            && self.length + length <= SMALL
            && self.blocks.len() < MOST_BLOCKS
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rows(table: usize, alone: bool) -> RowsUse {
        RowsUse {
            copying: match alone {
                true => Copying::AsDumped,
                false => Copying::Frozen,
            },
            alone,
            uses: vec![(Resource::Table(table), Use::Exclusive)],
        }
    }

    #[test]
    fn small_blocks_are_one_unit_and_others_stay_alone() {
        let blocks = [
            (10, false),
            (20, false),
            (5, true),
            (10, false),
            (SMALL, false),
            (1, false),
        ];
        let mut groups = RowGroups::default();
        let mut found = Vec::new();
        for (at, (length, alone)) in blocks.into_iter().enumerate() {
            found.extend(groups.take(at, length, rows(at, alone)));
        }
        found.extend(groups.end());
        let shown: Vec<_> = found
            .iter()
            .map(|it| (it.blocks.clone(), it.length, it.uses.len()))
            .collect();
        let wanted = [
            (0..2, 30, 2),
            (2..3, 5, 1),
            (3..4, 10, 1),
            (4..5, SMALL, 1),
            (5..6, 1, 1),
        ];
        assert_eq!(shown, wanted);
    }

    #[test]
    fn a_unit_has_not_too_many_blocks() {
        let mut groups = RowGroups::default();
        let complete = (0..1000).filter_map(|at| groups.take(at, 1, rows(at, false)));
        assert!(
            complete
                .map(|it| it.blocks.len())
                .all(|it| it == MOST_BLOCKS)
        );
    }
}
