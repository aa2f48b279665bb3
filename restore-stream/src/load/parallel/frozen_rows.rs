//! Which rows one session may freeze, as it gets a database's SQL in the dump's order. The map says how often each table
//! gets rows; as soon as the SQL is not what the map says, no more rows are frozen.

use backup_file::Layout;
use dump_text::{Command, Ddl, Piece, QualifiedName, command, copied_table, ddl};

use super::relations::{Copying, Relations};
use super::unit::is_worth_freezing;

/// What has passed of a database's SQL.
#[derive(Debug)]
pub(super) struct FrozenRows<'a> {
    layout: &'a Layout,
    relations: Relations,
    /// The place in the section's SQL of the next piece.
    at: u64,
    /// The block of rows that comes next.
    next: usize,
    /// Whether all that passed was what the map says, and recognised as pg_dump's.
    known: bool,
}

impl<'a> FrozenRows<'a> {
    /// By the map of a section of which nothing has passed yet.
    pub(super) fn new(layout: &'a Layout) -> Self {
        let copies = layout.copies.iter();
        let tables: Vec<_> = copies
            .map(|block| QualifiedName::parse(block.table.as_bytes()))
            .collect();
        let lengths = layout.copies.iter();
        let lengths = lengths.map(|block| block.sql.end - block.sql.start);
        let mut relations = Relations::default();
        relations.expect(tables.iter().zip(lengths));
        Self {
            layout,
            relations,
            at: 0,
            next: 0,
            known: true,
        }
    }

    /// Takes note of the next piece. Returns whether it is a COPY whose rows may be frozen, in a table that is emptied
    /// before.
    pub(super) fn see(&mut self, piece: Piece<'_>) -> bool {
        let at = self.at;
        self.at += piece.bytes().len() as u64;
        if !self.known {
            return false;
        }
        match piece {
            Piece::Statement(sql) => match copied_table(sql) {
                Some(table) => self.copy(&table, at),
                None => {
                    self.statement(sql);
                    false
                }
            },
            // One with very many columns is a long statement. Of others not all is seen.
            Piece::Head(sql) => {
                match copied_table(sql) {
                    Some(table) => _ = self.copy(&table, at),
                    None => self.known = ddl(sql) == Ddl::Other,
                }
                false
            }
            Piece::Command(line) => {
                let harmless =
                    matches!(command(line), Command::Restrict(_) | Command::Unrestrict(_));
                // The connection to the database itself comes before its rows.
                self.known = harmless || self.next == 0;
                false
            }
            _ => false,
        }
    }

    fn copy(&mut self, table: &QualifiedName, at: u64) -> bool {
        let block = self.layout.copies.get(self.next);
        self.next += 1;
        let Some(block) = block.filter(|it| {
            let named = QualifiedName::parse(it.table.as_bytes());
            it.statement == at && named.as_ref() == Some(table)
        }) else {
            self.known = false;
            return false;
        };
        is_worth_freezing(block) && self.relations.rows(Some(table)).copying == Copying::Frozen
    }

    fn statement(&mut self, sql: &[u8]) {
        let found = ddl(sql);
        self.known = found != Ddl::Unknown;
        self.relations.see(&found, sql);
    }
}

#[cfg(test)]
mod tests {
    use backup_file::{CopyBlock, CopyTarget};
    use dump_text::Scanner;

    use super::*;

    const CREATE: &str =
        "CREATE TABLE s.a (\n    x integer\n);\nCREATE TABLE s.b (\n    x integer\n);\n";

    fn rows(table: &str, count: usize) -> String {
        format!(
            "COPY {table} (x) FROM stdin;\n{}\\.\n",
            "1234567\n".repeat(count)
        )
    }

    fn layout(text: &str, tables: &[&str]) -> Layout {
        let mut at = 0;
        let mut copies = Vec::new();
        for table in tables {
            let statement = at + text[at..].find(&format!("COPY {table} ")).unwrap();
            at = statement + text[statement..].find("\\.\n").unwrap() + 3;
            copies.push(CopyBlock {
                table: (*table).into(),
                target: CopyTarget::Table,
                rows: None,
                sql: statement as u64..at as u64,
                statement: statement as u64,
                data: statement as u64,
            });
        }
        Layout {
            copies,
            ..Layout::default()
        }
    }

    /// The tables whose rows are frozen.
    fn frozen(text: &str, tables: &[&str]) -> Vec<String> {
        let layout = layout(text, tables);
        let mut rows = FrozenRows::new(&layout);
        let mut found = Vec::new();
        let mut scanner = Scanner::new();
        let mut piece = |piece: Piece<'_>| {
            if rows.see(piece) {
                found.push(copied_table(piece.bytes()).unwrap().name.to_string());
            }
            Ok::<_, ()>(())
        };
        scanner.feed(text.as_bytes(), &mut piece).unwrap();
        scanner.finish(&mut piece).unwrap().unwrap();
        found
    }

    #[test]
    fn rows_that_came_with_their_table() {
        let many = [rows("s.a", 20_000), rows("s.b", 20_000)].concat();
        let text = [CREATE, &many].concat();
        assert_eq!(frozen(&text, &["s.a", "s.b"]), ["a", "b"]);
        // Small ones are not worth it.
        let text = [CREATE, &rows("s.a", 10), &rows("s.b", 20_000)].concat();
        assert_eq!(frozen(&text, &["s.a", "s.b"]), ["b"]);
        // A table that was there before, and one that gets rows twice.
        assert_eq!(frozen(&many, &["s.a", "s.b"]), [""; 0]);
        let twice = [CREATE, &many, &rows("s.a", 20_000)].concat();
        assert_eq!(frozen(&twice, &["s.a", "s.b", "s.a"]), ["b"]);
    }

    #[test]
    fn nothing_more_once_the_sql_is_not_what_the_map_says() {
        let many = [rows("s.a", 20_000), rows("s.b", 20_000)].concat();
        // A map that does not have the first of them, or names another.
        let twice = [CREATE, &rows("s.a", 20_000), &many].concat();
        let mut layout = layout(&twice, &["s.a", "s.a", "s.b"]);
        layout.copies.remove(0);
        let mut seen = FrozenRows::new(&layout);
        let mut scanner = Scanner::new();
        let mut piece = |piece: Piece<'_>| {
            assert!(!seen.see(piece));
            Ok::<_, ()>(())
        };
        scanner.feed(twice.as_bytes(), &mut piece).unwrap();
        // A statement that nobody knows may have put rows anywhere.
        for unknown in ["SELECT fill();\n", "INSERT INTO s.b VALUES (1);\n"] {
            let text = [CREATE, &rows("s.a", 20_000), unknown, &rows("s.b", 20_000)].concat();
            assert_eq!(frozen(&text, &["s.a", "s.b"]), ["a"], "{unknown}");
        }
    }
}
