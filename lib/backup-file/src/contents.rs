use serde::{Deserialize, Serialize};

/// What the dump of a database held, counted while it was written: what a restore of it must bring back.
/// `docs/format.md` says of each number what it counts, and what a restored database says to it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Contents {
    /// Its tables, in the dump's order. None where the list would have been too long: only the numbers
    /// are kept then. A table whose name is not UTF-8 is not in it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tables: Option<Vec<TableRows>>,
    /// How many tables it has, those that the list leaves out included.
    pub table_count: u64,
    /// How many rows all of its tables have. None where that of one is not known.
    pub rows: Option<u64>,
    /// How many `CREATE INDEX` it has. The index of a constraint is no such.
    pub indexes: u64,
    /// How many primary keys, unique, exclusion and foreign key constraints it adds.
    pub constraints: u64,
    /// The extensions that it creates, by their names (not quoted), in the dump's order.
    pub extensions: Vec<String>,
    /// How many large objects it creates.
    pub large_objects: u64,
}

/// A table of a dump. In JSON `["public.a",12]`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "(String, Option<u64>)", into = "(String, Option<u64>)")]
pub struct TableRows {
    /// Its name as SQL: with its schema (unless the dump does not say it), quoted where the dump quotes it
    /// (`public."Größe"`).
    pub name: String,
    /// How many rows the dump has for it itself (`FROM ONLY`). None where they are not counted.
    pub rows: Option<u64>,
}

impl TableRows {
    /// A table with so many rows.
    pub fn new(name: impl Into<String>, rows: impl Into<Option<u64>>) -> Self {
        Self {
            name: name.into(),
            rows: rows.into(),
        }
    }

    /// At least as many as its bytes in the index.
    fn weight(&self) -> usize {
        let escaped = |byte: &u8| byte.is_ascii_control() || matches!(byte, b'"' | b'\\');
        let escapes = self.name.bytes().filter(|byte| escaped(byte)).count();
        // `\u0001`; a number of 20 digits, and `["",],`.
        self.name.len() + 5 * escapes + 26
    }
}

impl From<(String, Option<u64>)> for TableRows {
    fn from((name, rows): (String, Option<u64>)) -> Self {
        Self { name, rows }
    }
}

impl From<TableRows> for (String, Option<u64>) {
    fn from(table: TableRows) -> Self {
        (table.name, table.rows)
    }
}

/// What all lists of tables may take in an index, so that it stays below its limit.
const MOST: usize = 8 << 20;

/// Leaves out the longest lists until the rest takes at most 8 MiB. What is left depends on the contents alone,
/// not on the order in which they came.
pub(crate) fn shorten<'a>(contents: impl Iterator<Item = &'a mut Contents>) {
    let weight = |it: &Contents| it.tables.iter().flatten().map(TableRows::weight).sum();
    let mut lists: Vec<(usize, &mut Contents)> = contents.map(|it| (weight(it), it)).collect();
    // Equal ones stay in the file's order.
    lists.sort_by_key(|(weight, _)| *weight);
    let mut sum: usize = lists.iter().map(|(weight, _)| weight).sum();
    while sum > MOST
        && let Some((weight, longest)) = lists.pop()
    {
        longest.tables = None;
        sum -= weight;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with_tables(count: usize, length: usize) -> Contents {
        let name = "n".repeat(length);
        Contents {
            tables: Some(vec![TableRows::new(name, 1); count]),
            table_count: count as u64,
            ..Contents::default()
        }
    }

    #[test]
    fn the_longest_lists_are_left_out() {
        let mut all = [
            with_tables(50_000, 40),
            with_tables(100_000, 40),
            with_tables(10, 40),
            with_tables(50_000, 40),
        ];
        shorten(all.iter_mut());
        let left: Vec<bool> = all.iter().map(|it| it.tables.is_some()).collect();
        assert_eq!(left, [true, false, true, true]);
        assert_eq!(all[1].table_count, 100_000);
    }

    #[test]
    fn what_fits_stays() {
        let mut all = [with_tables(50_000, 40), with_tables(50_000, 40)];
        shorten(all.iter_mut());
        assert!(all.iter().all(|it| it.tables.is_some()));
    }
}
