//! Which tables' rows are restored.

use std::collections::{HashMap, HashSet};
use std::ops::Range;

use backup_file::{CopyBlock, Layout};
use dump_text::{Ddl, Piece, QualifiedName, copied_table, ddl, inserted_table};
use job::{Error, say};
use pg_text::PgText;

use crate::cli::Args;

use super::table_pattern::TablePattern;
use super::tally::Tally;

/// How many names a message has.
const NAMES: usize = 5;
/// What lies between two ranges of SQL is read too, if it is less: to begin anew takes as much.
const NEAR: u64 = 1 << 20;

/// How deep partitions may be within partitions. More is in no dump of a server.
const DEPTH: usize = 64;
/// How pg_dump sets a sequence's value.
const SEQUENCE_VALUE: &[u8] = b"SELECT pg_catalog.setval(";

/// What the command line says of tables.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum TableChoice {
    /// The rows of these tables and their partitions, and no large objects.
    Only(Vec<TablePattern>),
    /// All but the rows of these tables and their partitions.
    AllBut(Vec<TablePattern>),
    /// No rows at all, no values of sequences, no large objects.
    Schema,
}

impl TableChoice {
    /// What the command line says; none if all rows are restored.
    ///
    /// # Errors
    /// It has what is no pattern for a table (exit code 2).
    pub(crate) fn of(args: &Args) -> Result<Option<Self>, Error> {
        let patterns = |texts: &[PgText]| -> Result<Vec<_>, Error> {
            texts.iter().map(TablePattern::new).collect()
        };
        Ok(if args.schema_only {
            Some(Self::Schema)
        } else if !args.table.is_empty() {
            Some(Self::Only(patterns(&args.table)?))
        } else if !args.exclude_table_data.is_empty() {
            Some(Self::AllBut(patterns(&args.exclude_table_data)?))
        } else {
            None
        })
    }

    fn patterns(&self) -> &[TablePattern] {
        match self {
            Self::Only(patterns) | Self::AllBut(patterns) => patterns,
            Self::Schema => &[],
        }
    }

    /// Whether one of its patterns is for a table that has no rows of its own, whose partitions may have some.
    pub(crate) fn may_be_partitioned(&self, layout: &Layout) -> bool {
        let mut others = layout.other_tables.iter();
        others.any(|table| {
            let name = QualifiedName::parse(table.name.as_bytes());
            let mut patterns = self.patterns().iter();
            name.is_some_and(|name| patterns.any(|pattern| pattern.matches(&name)))
        })
    }

    /// Checks that each pattern is for one of these tables.
    ///
    /// # Errors
    /// There is no such table.
    pub(crate) fn check(&self, layout: &Layout, database: &PgText) -> Result<(), Error> {
        let copied = layout.copies.iter().map(|it| &it.table);
        let all = copied.chain(layout.other_tables.iter().map(|it| &it.name));
        let names: Vec<QualifiedName> = all
            .filter_map(|name| QualifiedName::parse(name.as_bytes()))
            .collect();
        let is_there = |pattern: &TablePattern| names.iter().any(|name| pattern.matches(name));
        match self.patterns().iter().find(|it| !is_there(it)) {
            Some(pattern) => Err(no_table(pattern, database, &names)),
            None => Ok(()),
        }
    }
}

/// The error of a pattern that is for no table.
fn no_table(pattern: &TablePattern, database: &PgText, names: &[QualifiedName]) -> Error {
    let error = Error::failed(format!(
        "there is no table '{}' in database '{database}' of the backup",
        pattern.text()
    ));
    let mut near: Vec<String> = names
        .iter()
        .filter(|name| pattern.is_near(name))
        .map(shown)
        .collect();
    near.dedup();
    let more = near.len().saturating_sub(NAMES);
    near.truncate(NAMES);
    match (near.is_empty(), more) {
        (true, _) => error.hint(format!(
            "it has {} tables, none with a name like that",
            names.len()
        )),
        (false, 0) => error.hint(format!("it has {}", near.join(", "))),
        (false, more) => error.hint(format!(
            "it has {} and {more} more like it",
            near.join(", ")
        )),
    }
}

fn shown(name: &QualifiedName) -> String {
    format!("'{}.{}'", name.schema, name.name)
}

/// Leaves out what was not chosen, piece by piece: rows, and foreign keys that would not find their rows.
#[derive(Debug)]
pub(crate) struct TableFilter {
    choice: TableChoice,
    /// Of each partition, the table that it is a part of.
    parents: HashMap<QualifiedName, QualifiedName>,
    partitions: HashMap<QualifiedName, Vec<QualifiedName>>,
    /// Which patterns have been for a table.
    matched: Vec<bool>,
    /// Whether the statement that goes on is kept, and the rows that come.
    statement: bool,
    copied: bool,
    /// Constraints that were left out, each with its table.
    without: HashSet<(QualifiedName, QualifiedName)>,
    tally: Tally,
    /// How many rows have been kept, by COPY.
    rows: u64,
}

impl TableFilter {
    pub(crate) fn new(choice: TableChoice) -> Self {
        Self {
            parents: HashMap::new(),
            partitions: HashMap::new(),
            matched: vec![false; choice.patterns().len()],
            statement: true,
            copied: true,
            without: HashSet::new(),
            tally: Tally::default(),
            rows: 0,
            choice,
        }
    }

    /// Whether a piece is restored. They come in the dump's order.
    pub(crate) fn keeps(&mut self, piece: Piece<'_>) -> bool {
        match piece {
            Piece::Statement(sql) | Piece::Head(sql) => {
                self.statement = self.keeps_statement(sql);
                self.statement
            }
            Piece::Body { .. } => self.statement,
            Piece::Data(_) => self.copied,
            Piece::DataEnd { rows, .. } => {
                if self.copied {
                    self.rows += rows;
                }
                self.copied
            }
            Piece::Space(_) | Piece::Comment(_) | Piece::Command(_) | Piece::Ambiguous(_) => true,
        }
    }

    fn keeps_statement(&mut self, sql: &[u8]) -> bool {
        if sql.starts_with(b"COPY ") {
            self.copied = self.takes_rows_of(copied_table(sql));
            return self.copied;
        }
        if sql.starts_with(b"INSERT ") {
            return self.takes_rows_of(inserted_table(sql));
        }
        if sql.starts_with(b"SELECT ") {
            let schema_only = self.choice == TableChoice::Schema;
            let large_objects = !matches!(self.choice, TableChoice::AllBut(_));
            return !(schema_only && sql.starts_with(SEQUENCE_VALUE)
                || large_objects && writes_large_object(sql));
        }
        if sql.starts_with(b"CREATE ") || sql.starts_with(b"ALTER ") || sql.starts_with(b"COMMENT ")
        {
            return self.keeps_definition(ddl(sql));
        }
        true
    }

    fn takes_rows_of(&mut self, table: Option<QualifiedName>) -> bool {
        match table {
            Some(table) => self.is_chosen(&table),
            // pg_dump 10 and older leave the schema out.
            None => matches!(self.choice, TableChoice::AllBut(_)),
        }
    }

    fn keeps_definition(&mut self, definition: Ddl) -> bool {
        match definition {
            Ddl::Table(table) => {
                for parent in table.parents.iter().filter(|_| table.parents.len() == 1) {
                    // A table that inherits from another has rows of its own: only a partition is a part of it.
                    if self.partitions.contains_key(parent) {
                        self.attach(parent.clone(), table.name.clone());
                    }
                }
                if table.partitioned {
                    self.partitions.entry(table.name.clone()).or_default();
                }
                self.is_chosen(&table.name);
                true
            }
            Ddl::Partition { parent, partition } => {
                self.attach(parent, partition);
                true
            }
            Ddl::ForeignKey {
                name,
                table,
                references,
            } => {
                let finds_rows = !self.has_rows(&table, 0) || self.is_complete(&references, 0);
                if !finds_rows {
                    self.leave_out(name, table, &references);
                }
                finds_rows
            }
            Ddl::Detail {
                of,
                table: Some(table),
            } => {
                let without = self.without.contains(&(of.clone(), table.clone()));
                if without {
                    self.tally.read();
                    self.tally
                        .leave_out(what(&of, &table), "the constraint is left out");
                }
                !without
            }
            _ => true,
        }
    }

    fn attach(&mut self, parent: QualifiedName, partition: QualifiedName) {
        let partitions = self.partitions.entry(parent.clone()).or_default();
        partitions.push(partition.clone());
        self.parents.insert(partition, parent);
    }

    fn leave_out(&mut self, name: QualifiedName, table: QualifiedName, references: &QualifiedName) {
        let why = format!("not all rows of {} are restored", shown(references));
        self.tally.read();
        self.tally.leave_out(what(&name, &table), why);
        self.without.insert((name, table));
    }

    /// Whether a pattern is for this table itself.
    pub(crate) fn names(&self, table: &QualifiedName) -> bool {
        self.choice.patterns().iter().any(|it| it.matches(table))
    }

    /// Whether the rows of a table itself are restored.
    fn is_chosen(&mut self, table: &QualifiedName) -> bool {
        let mut found = false;
        let patterns = self.choice.patterns().iter();
        for (pattern, matched) in patterns.zip(&mut self.matched) {
            let above = std::iter::successors(Some(table), |it| self.parents.get(*it));
            if above.take(DEPTH).any(|table| pattern.matches(table)) {
                (found, *matched) = (true, true);
            }
        }
        match self.choice {
            TableChoice::Only(_) => found,
            TableChoice::AllBut(_) => !found,
            TableChoice::Schema => false,
        }
    }

    /// Whether any rows are restored of a table or of its partitions.
    fn has_rows(&mut self, table: &QualifiedName, depth: usize) -> bool {
        let partitions = self.partitions.get(table).cloned().unwrap_or_default();
        let deeper = depth < DEPTH;
        self.is_chosen(table) || deeper && partitions.iter().any(|it| self.has_rows(it, depth + 1))
    }

    /// Whether all rows are.
    fn is_complete(&mut self, table: &QualifiedName, depth: usize) -> bool {
        let partitions = self.partitions.get(table).cloned().unwrap_or_default();
        match partitions.is_empty() {
            true => self.is_chosen(table),
            false if depth == DEPTH => false,
            false => partitions.iter().all(|it| self.is_complete(it, depth + 1)),
        }
    }

    /// Whether the rows of a block are restored. What comes before the data must have passed.
    fn takes_block(&mut self, block: &CopyBlock) -> bool {
        self.takes_rows_of(QualifiedName::parse(block.table.as_bytes()))
    }

    /// Which ranges of a section's SQL are needed from the place on where its data begin.
    pub(crate) fn ranges(&mut self, layout: &Layout, sql_length: u64) -> Vec<Range<u64>> {
        let Some(data) = layout.data.clone() else {
            return Vec::new();
        };
        let mut ranges = Ranges::default();
        if self.choice == TableChoice::Schema {
            ranges.add(data.end..sql_length);
            return ranges.0;
        }
        let mut left_out: Vec<Range<u64>> = Vec::new();
        for block in &layout.copies {
            if !self.takes_block(block) {
                left_out.push(block.sql.clone());
            }
        }
        if matches!(self.choice, TableChoice::Only(_)) {
            left_out.extend(layout.large_objects.clone());
            left_out.sort_by_key(|it| it.start);
        }
        let mut at = data.start;
        for left_out in left_out {
            ranges.add(at..left_out.start);
            at = left_out.end;
        }
        ranges.add(at..sql_length);
        ranges.0
    }

    /// The blocks whose rows are restored.
    pub(crate) fn blocks<'a>(&mut self, layout: &'a Layout) -> Vec<&'a CopyBlock> {
        let blocks = layout.copies.iter();
        blocks.filter(|block| self.takes_block(block)).collect()
    }

    /// Whether as many rows have come as the map says.
    pub(crate) fn has_all_rows_of(&mut self, layout: &Layout) -> bool {
        let blocks = self.blocks(layout);
        let rows: Option<u64> = blocks.iter().map(|it| it.rows).sum();
        rows.is_none_or(|rows| rows == self.rows)
    }

    /// All has passed. A pattern that was for no table is an error, or said.
    pub(crate) fn finish(&self, database: &PgText) -> Result<(), Error> {
        let patterns = self.choice.patterns().iter().zip(&self.matched);
        for (pattern, _) in patterns.filter(|(_, matched)| !**matched) {
            match self.choice {
                TableChoice::Only(_) => return Err(no_table(pattern, database, &[])),
                _ => say!("'{}' is no table of '{database}'", pattern.text()),
            }
        }
        Ok(())
    }

    /// What it has left out that somebody should know of.
    pub(crate) fn take_tally(&mut self) -> Tally {
        std::mem::take(&mut self.tally)
    }
}

fn what(constraint: &QualifiedName, table: &QualifiedName) -> String {
    format!("foreign key '{}' of {}", constraint.name, shown(table))
}

fn writes_large_object(sql: &[u8]) -> bool {
    let calls = [&b"lo_open("[..], b"lowrite(", b"lo_close("];
    let call = sql.strip_prefix(b"SELECT pg_catalog.");
    call.is_some_and(|call| calls.iter().any(|it| call.starts_with(it)))
}

/// Ranges in order, of which those that are near to each other are one.
#[derive(Default)]
struct Ranges(Vec<Range<u64>>);

impl Ranges {
    fn add(&mut self, range: Range<u64>) {
        if range.is_empty() {
            return;
        }
        match self.0.last_mut() {
            Some(last) if range.start - last.end < NEAR => last.end = range.end,
            _ => self.0.push(range),
        }
    }
}

#[cfg(test)]
mod tests {
    use backup_file::CopyTarget;
    use dump_text::Scanner;

    use super::*;

    const DUMP: &str = "\
CREATE TABLE public.users (id integer);
CREATE TABLE public.parts (id integer)
PARTITION BY RANGE (id);
CREATE TABLE public.low (id integer);
ALTER TABLE ONLY public.parts ATTACH PARTITION public.low FOR VALUES FROM (0) TO (9);
CREATE TABLE public.orders (id integer);
COPY public.low (id) FROM stdin;
low
\\.
COPY public.orders (id) FROM stdin;
order
\\.
COPY public.users (id) FROM stdin;
user
\\.
SELECT pg_catalog.setval('public.s', 7, true);
SELECT pg_catalog.lo_open('1', 131072);
ALTER TABLE ONLY public.users ADD CONSTRAINT users_pkey PRIMARY KEY (id);
ALTER TABLE ONLY public.orders
    ADD CONSTRAINT of_user FOREIGN KEY (id) REFERENCES public.users(id);
COMMENT ON CONSTRAINT of_user ON public.orders IS 'x';
ALTER TABLE ONLY public.orders
    ADD CONSTRAINT of_part FOREIGN KEY (id) REFERENCES public.parts(id);
";

    fn choice(only: &[&str]) -> TableChoice {
        let patterns = only.iter().map(|it| TablePattern::new(&(*it).into()));
        TableChoice::Only(patterns.collect::<Result<_, _>>().unwrap())
    }

    /// What is left of the dump, and what is said.
    fn kept(choice: TableChoice) -> (String, Vec<String>, TableFilter) {
        let mut filter = TableFilter::new(choice);
        let (mut scanner, mut kept) = (Scanner::new(), Vec::new());
        let mut sink = |piece: Piece<'_>| {
            if filter.keeps(piece) {
                kept.extend_from_slice(piece.bytes());
            }
            Ok::<_, Error>(())
        };
        scanner.feed(DUMP.as_bytes(), &mut sink).unwrap();
        scanner.finish(&mut sink).unwrap().unwrap();
        let tally = filter.take_tally();
        assert!(tally.is_balanced());
        let said = tally.skipped().iter().map(|it| it.what.clone()).collect();
        (String::from_utf8(kept).unwrap(), said, filter)
    }

    #[test]
    fn what_is_chosen_is_kept() {
        for (only, rows, said) in [
            (&["users"][..], &["user"][..], &[][..]),
            (&["orders"], &["order"], &["of_user", "of_user", "of_part"]),
            (&["orders", "users"], &["order", "user"], &["of_part"]),
            (
                &["orders", "users", "parts"],
                &["low", "order", "user"],
                &[],
            ),
            (&["orders", "users", "low"], &["low", "order", "user"], &[]),
            (&["parts"], &["low"], &[]),
            (&["public.*"], &["low", "order", "user"], &[]),
        ] {
            let (kept, left_out, filter) = kept(choice(only));
            for row in ["low", "order", "user"] {
                let there = kept.contains(&format!("\n{row}\n"));
                assert_eq!(there, rows.contains(&row), "{only:?}: {kept}");
            }
            assert_eq!(left_out.len(), said.len(), "{only:?}: {left_out:?}");
            for name in said {
                assert!(!kept.contains(&format!(" {name} ")), "{kept}");
            }
            assert!(kept.contains("users_pkey") && kept.contains("setval"));
            assert!(!kept.contains("lo_open"));
            assert_eq!(filter.rows, rows.len() as u64);
            assert!(filter.finish(&"shop".into()).is_ok());
        }
        let (_, _, filter) = kept(choice(&["users", "none"]));
        let error = filter.finish(&"shop".into()).unwrap_err().to_string();
        assert_eq!(
            error,
            "there is no table 'none' in database 'shop' of the backup"
        );
    }

    #[test]
    fn all_but_rows() {
        let (schema, said, _) = kept(TableChoice::Schema);
        for rows in ["COPY", "setval", "lo_open", "\norder\n"] {
            assert!(!schema.contains(rows), "{schema}");
        }
        assert!(said.is_empty() && schema.contains("of_user"));
        let all_but = TableChoice::AllBut(vec![TablePattern::new(&"users".into()).unwrap()]);
        let (most, said, _) = kept(all_but);
        assert!(
            most.contains("\norder\n") && most.contains("lo_open"),
            "{most}"
        );
        assert!(
            !most.contains("\nuser\n") && !most.contains("of_user"),
            "{most}"
        );
        assert_eq!(said.len(), 2);
    }

    #[test]
    fn ranges_that_are_read() {
        let far = 10 * NEAR;
        let block = |name: &str, at: u64| CopyBlock {
            table: name.into(),
            target: CopyTarget::Table,
            rows: Some(1),
            sql: far * at..far * (at + 1),
            statement: far * at,
            data: far * at + 100,
        };
        let layout = Layout {
            data: Some(far..far * 6),
            large_objects: Some(far * 5..far * 6),
            copies: vec![block("s.a", 1), block("s.b", 2), block("s.c", 3)],
            ..Layout::default()
        };
        let ranges = |choice: TableChoice| TableFilter::new(choice).ranges(&layout, far * 7);
        let all_but = TableChoice::AllBut(vec![TablePattern::new(&"b".into()).unwrap()]);
        for (choice, wanted) in [
            (choice(&["b"]), vec![(2, 3), (4, 5), (6, 7)]),
            (choice(&["b", "c"]), vec![(2, 5), (6, 7)]),
            (all_but, vec![(1, 2), (3, 7)]),
            (TableChoice::Schema, vec![(6, 7)]),
        ] {
            let wanted: Vec<_> = wanted
                .into_iter()
                .map(|it| far * it.0..far * it.1)
                .collect();
            assert_eq!(ranges(choice), wanted);
        }
    }
}
