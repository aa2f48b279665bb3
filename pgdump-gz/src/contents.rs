//! What the dump of a database holds, for the index and its map.

use std::convert::Infallible;

use backup_file::{Contents, CopyBlock, CopyTarget, Layout, TableRows};
use dump_text::{Inventory, Piece, Scanner, TableKind};
use pg_text::PgText;

/// Counts what the section of one database holds, while it passes by from its first byte to its last.
#[derive(Debug, Default)]
pub(crate) struct ContentsCounter {
    scanner: Scanner,
    inventory: Inventory,
}

impl ContentsCounter {
    /// The next bytes of the section.
    pub(crate) fn see(&mut self, sql: &[u8]) {
        let Self { scanner, inventory } = self;
        let Ok(()) = scanner.feed(sql, &mut |piece| seen(inventory, piece));
    }

    /// What it held. None if the dump did not end where a dump ends: then the counts are wrong.
    pub(crate) fn finish(mut self) -> Option<Inventory> {
        let Self { scanner, inventory } = &mut self;
        let Ok(ended) = scanner.finish(&mut |piece| seen(inventory, piece));
        ended.ok().map(|()| self.inventory)
    }
}

fn seen(inventory: &mut Inventory, piece: Piece<'_>) -> Result<(), Infallible> {
    inventory.see(piece);
    Ok(())
}

/// As the index has it.
pub(crate) fn contents(inventory: &Inventory) -> Contents {
    let extensions = inventory.extensions.iter();
    Contents {
        table_count: inventory.table_count(),
        rows: inventory.rows(),
        indexes: inventory.indexes,
        constraints: inventory.constraints,
        extensions: extensions.map(PgText::to_string).collect(),
        large_objects: inventory.large_objects,
    }
}

/// As the map has it. None if it is not known where which rows are, or if that would be too much.
pub(crate) fn layout(inventory: &Inventory) -> Option<Layout> {
    let copies = inventory.copies()?.map(|copied| CopyBlock {
        table: copied.table.clone(),
        target: match copied.kind {
            TableKind::Plain => CopyTarget::Table,
            TableKind::Partitioned => CopyTarget::Partitioned,
            TableKind::NotCreated => CopyTarget::NotCreated,
        },
        rows: copied.rows,
        sql: copied.sql,
        statement: copied.statement,
        data: copied.data,
    });
    let others = inventory.others();
    Some(Layout {
        data: inventory.data(),
        large_objects: inventory.large_objects(),
        copies: copies.collect(),
        other_tables: others
            .map(|(name, rows)| TableRows::new(name.clone(), rows))
            .collect(),
    })
}
