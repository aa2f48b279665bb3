//! What the dump of a database holds, for the index.

use std::convert::Infallible;

use backup_file::{Contents, TableRows};
use dump_text::{Inventory, Piece, Scanner};
use pg_text::PgText;

/// Counts what the dump of one database holds, while it passes by.
#[derive(Debug, Default)]
pub(crate) struct ContentsCounter {
    scanner: Scanner,
    inventory: Inventory,
}

impl ContentsCounter {
    /// The next bytes of the dump.
    pub(crate) fn see(&mut self, sql: &[u8]) {
        let Self { scanner, inventory } = self;
        let Ok(()) = scanner.feed(sql, &mut |piece| seen(inventory, piece));
    }

    /// What it held. None if the dump did not end where a dump ends: then the counts are wrong.
    pub(crate) fn contents(mut self) -> Option<Contents> {
        let Self { scanner, inventory } = &mut self;
        let Ok(ended) = scanner.finish(&mut |piece| seen(inventory, piece));
        ended.ok().map(|()| contents(&self.inventory))
    }
}

fn seen(inventory: &mut Inventory, piece: Piece<'_>) -> Result<(), Infallible> {
    inventory.see(piece);
    Ok(())
}

/// As the index has it.
pub(crate) fn contents(inventory: &Inventory) -> Contents {
    let tables = inventory.tables().map(|tables| {
        let tables = tables.map(|(name, rows)| TableRows::new(name.clone(), rows));
        let (mut text, others): (Vec<_>, Vec<_>) = tables.partition(|it| it.name.utf8().is_some());
        text.extend(others);
        text
    });
    let extensions = inventory.extensions.iter();
    Contents {
        tables,
        table_count: inventory.table_count(),
        rows: inventory.rows(),
        indexes: inventory.indexes,
        constraints: inventory.constraints,
        extensions: extensions.map(PgText::to_string).collect(),
        large_objects: inventory.large_objects,
    }
}
