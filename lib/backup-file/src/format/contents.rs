//! What the dump of a database held.

use pg_text::PgText;
use serde::{Deserialize, Serialize};

/// What the dump of a database held, counted while it was written. A restore must bring all of it back. `docs/format.md`
/// says what each number counts, and how to ask a restored database for the same number.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "ContentsLine", into = "ContentsLine")]
pub struct Contents {
    /// Its tables in the dump's order, those with names in UTF-8 before the others. None where the list would have been too
    /// long: then there are only the numbers.
    pub tables: Option<Vec<TableRows>>,
    /// How many tables it has, also where there is no list of them.
    pub table_count: u64,
    /// How many rows all its tables have. None where the number of one table is not known.
    pub rows: Option<u64>,
    /// How many `CREATE INDEX` it has. The index of a constraint does not count.
    pub indexes: u64,
    /// How many primary keys, unique, exclusion and foreign key constraints it adds.
    pub constraints: u64,
    /// The names (not quoted) of the extensions that it creates, in the dump's order.
    pub extensions: Vec<String>,
    /// How many large objects it creates.
    pub large_objects: u64,
}

/// A table of a dump.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TableRows {
    /// Its name as the dump has it: with its schema (unless the dump leaves that out), quoted where the dump quotes it
    /// (`public."Größe"`).
    pub name: PgText,
    /// How many rows of its own (`FROM ONLY`) the dump has. None where they were not counted.
    pub rows: Option<u64>,
}

impl TableRows {
    /// A table with this many rows.
    pub fn new(name: impl Into<PgText>, rows: impl Into<Option<u64>>) -> Self {
        Self {
            name: name.into(),
            rows: rows.into(),
        }
    }

    /// How many bytes it takes in the index at most.
    fn weight(&self) -> usize {
        let escaped = |byte: &u8| byte.is_ascii_control() || matches!(byte, b'"' | b'\\');
        let bytes = self.name.as_bytes();
        // `\u0001`; and two hexadecimal digits for each byte of a name that is not UTF-8.
        let escapes = 5 * bytes.iter().filter(|byte| escaped(byte)).count();
        let more = match self.name.utf8() {
            Some(_) => escapes,
            None => bytes.len(),
        };
        // A number of 20 digits, and `["",],`.
        bytes.len() + more + 26
    }
}

/// The same as it stands in the index.
#[derive(Serialize, Deserialize)]
struct ContentsLine {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    tables: Option<Vec<(String, Option<u64>)>>,
    /// Those whose names are not UTF-8, with these in hexadecimal digits.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    tables_hex: Vec<(String, Option<u64>)>,
    table_count: u64,
    rows: Option<u64>,
    indexes: u64,
    constraints: u64,
    extensions: Vec<String>,
    large_objects: u64,
}

impl From<Contents> for ContentsLine {
    fn from(contents: Contents) -> Self {
        let (mut tables, mut tables_hex) = (Vec::new(), Vec::new());
        let listed = contents.tables.is_some();
        for TableRows { name, rows } in contents.tables.into_iter().flatten() {
            match name.utf8() {
                Some(text) => tables.push((text.to_owned(), rows)),
                None => tables_hex.push((name.hex(), rows)),
            }
        }
        Self {
            tables: listed.then_some(tables),
            tables_hex,
            table_count: contents.table_count,
            rows: contents.rows,
            indexes: contents.indexes,
            constraints: contents.constraints,
            extensions: contents.extensions,
            large_objects: contents.large_objects,
        }
    }
}

impl TryFrom<ContentsLine> for Contents {
    type Error = String;

    fn try_from(line: ContentsLine) -> Result<Self, String> {
        let text = line.tables.map(|tables| {
            let tables = tables.into_iter();
            tables.map(|(name, rows)| TableRows::new(name, rows))
        });
        let in_hex = line.tables_hex.into_iter().map(|(hex, rows)| {
            let name = PgText::from_hex(&hex);
            let name = name.ok_or_else(|| format!("'{hex}' is no name in hexadecimal digits"))?;
            Ok(TableRows::new(name, rows))
        });
        let in_hex = in_hex.collect::<Result<Vec<_>, String>>()?;
        Ok(Self {
            tables: text.map(|tables| tables.chain(in_hex).collect()),
            table_count: line.table_count,
            rows: line.rows,
            indexes: line.indexes,
            constraints: line.constraints,
            extensions: line.extensions,
            large_objects: line.large_objects,
        })
    }
}

/// How many bytes all lists of tables may take in an index, so that the index stays below its own limit.
const MOST_LISTS: usize = 8 << 20;

/// Leaves out the longest lists until the rest takes at most 8 MiB. Which lists are left depends on the contents alone,
/// not on the order in which the databases were dumped.
pub(crate) fn shorten<'a>(contents: impl Iterator<Item = &'a mut Contents>) {
    let weight = |it: &Contents| it.tables.iter().flatten().map(TableRows::weight).sum();
    let mut lists: Vec<(usize, &mut Contents)> = contents.map(|it| (weight(it), it)).collect();
    // Equal ones stay in the file's order.
    lists.sort_by_key(|(weight, _)| *weight);
    let mut sum: usize = lists.iter().map(|(weight, _)| weight).sum();
    while sum > MOST_LISTS
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
