//! What came of a restore, beside what the index says was dumped (`docs/format.md`, Contents).

use std::collections::BTreeMap;

use backup_file::{Contents, TableRows};
use job::Error;
use pg_client::{Row, Server, UNHINDERED, quote_literal};

/// How many tables are asked about at once: a question must fit into a pipe.
const BATCH: usize = 500;
/// How many names a sentence has.
const NAMES: usize = 5;

/// A row that is hidden from this user is an error, not one row less. The
/// encoding is the database's: names of tables are in the index as the dump has them, byte for byte.
const SETTINGS: &str = "\
SET search_path = pg_catalog;
SET row_security = off;
";

/// What a restored database has that its dump made: nothing of the catalog, nothing of an extension.
const FACTS: &str = "\
SET client_encoding = 'UTF8';
CREATE TEMPORARY VIEW ours AS
 SELECT c.oid FROM pg_class AS c
 WHERE c.oid >= 16384 AND c.relkind IN ('r', 'p', 'm') AND c.relpersistence <> 't' AND NOT EXISTS (
  SELECT FROM pg_depend AS d
  WHERE d.classid = 'pg_catalog.pg_class'::regclass AND d.objid = c.oid AND d.deptype = 'e');
SELECT 'tables', count(*) FROM ours JOIN pg_class USING (oid) WHERE relkind IN ('r', 'p');
SELECT 'indexes', count(*) FROM pg_index AS i JOIN ours AS t ON t.oid = i.indrelid
 WHERE NOT EXISTS (
  SELECT FROM pg_constraint AS k WHERE k.conindid = i.indexrelid AND k.contype IN ('p', 'u', 'x'));
SELECT 'constraints', count(*) FROM pg_constraint AS k JOIN ours AS t ON t.oid = k.conrelid
 WHERE k.contype IN ('p', 'u', 'x') OR k.contype = 'f' AND k.conparentid = 0;
SELECT 'large objects', count(*) FROM pg_largeobject_metadata;
SELECT 'extension', extname FROM pg_extension;
SELECT CASE c.relkind WHEN 'I' THEN 'incomplete' ELSE 'invalid' END, i.indexrelid::regclass
 FROM pg_index AS i JOIN ours AS t ON t.oid = i.indrelid JOIN pg_class AS c ON c.oid = i.indexrelid
 WHERE NOT i.indisvalid;
SELECT 'unchecked', format('%I of %s', k.conname, k.conrelid::regclass)
 FROM pg_constraint AS k JOIN ours AS t ON t.oid = k.conrelid
 WHERE NOT k.convalidated AND coalesce(to_jsonb(k) ->> 'conenforced', 'true') = 'true';
";

/// What a database was found to have.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Found {
    /// `tables`, `indexes`, `constraints`, `large objects`.
    counts: BTreeMap<String, u64>,
    extensions: Vec<String>,
    /// Indexes that do not work.
    invalid: Vec<String>,
    /// Indexes of partitioned tables that some partition has not.
    incomplete: Vec<String>,
    /// Constraints that existing rows were not checked against.
    unchecked: Vec<String>,
    /// By their names in the index, how many rows there are; none if there is no such table.
    rows: BTreeMap<String, Option<u64>>,
}

/// How a database came back.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Verdict {
    /// What is not as it was dumped.
    pub(crate) bad: Vec<String>,
    /// What somebody should know.
    pub(crate) remarks: Vec<String>,
}

impl Found {
    /// Asks a restored database.
    ///
    /// # Errors
    /// The server's: it could not be looked at.
    pub(crate) fn ask(
        server: &Server,
        database: &str,
        contents: Option<&Contents>,
    ) -> Result<Self, Error> {
        let ask = |sql: &str| server.query(Some(database), &format!("{UNHINDERED}{SETTINGS}{sql}"));
        let mut found = Self::default();
        for row in ask(FACTS)? {
            if let [Some(kind), Some(value)] = row.as_slice() {
                found.fact(kind, value);
            }
        }
        let tables = contents.and_then(|it| it.tables.as_deref());
        for batch in tables.unwrap_or(&[]).chunks(BATCH) {
            let there = ask(&which_are_there(batch))?;
            let there: Vec<usize> = numbers("there", &there).map(|it| it.0).collect();
            let counts = ask(&count_rows(batch, &there))?;
            let counts: BTreeMap<usize, u64> = numbers("rows", &counts).collect();
            for (at, table) in batch.iter().enumerate() {
                let rows = counts.get(&at).copied();
                found.rows.insert(table.name.clone(), rows);
            }
        }
        Ok(found)
    }

    fn fact(&mut self, kind: &str, value: &str) {
        let value = value.to_owned();
        match kind {
            "extension" => self.extensions.push(value),
            "invalid" => self.invalid.push(value),
            "incomplete" => self.incomplete.push(value),
            "unchecked" => self.unchecked.push(value),
            count => {
                let number = value.parse().unwrap_or(0);
                self.counts.insert(count.to_owned(), number);
            }
        }
    }

    fn count(&self, what: &str) -> u64 {
        self.counts.get(what).copied().unwrap_or(0)
    }

    /// For a person.
    pub(crate) fn words(&self) -> String {
        let rows: u64 = self.rows.values().flatten().sum();
        let rows = match self.rows.is_empty() {
            true => String::new(),
            false => format!(" with {rows} rows"),
        };
        let large_objects = match self.count("large objects") {
            0 => String::new(),
            count => format!(", large objects: {count}"),
        };
        format!(
            "tables: {}{rows}, indexes: {}, constraints: {}{large_objects}",
            self.count("tables"),
            self.count("indexes"),
            self.count("constraints")
        )
    }

    /// Compares with what was counted when it was dumped, where that is known.
    pub(crate) fn compare(&self, contents: Option<&Contents>) -> Verdict {
        let mut verdict = Verdict::default();
        self.judge_validity(&mut verdict);
        if let Some(contents) = contents {
            self.compare_rows(contents, &mut verdict);
            self.compare_counts(contents, &mut verdict);
            let missing = missing(&contents.extensions, &self.extensions);
            verdict.bad_if_any("extensions are missing", &missing);
        }
        verdict
    }

    fn judge_validity(&self, verdict: &mut Verdict) {
        verdict.bad_if_any("indexes are invalid", &self.invalid);
        // Both may have been so: a dump says NOT VALID then, and ON ONLY.
        for (what, names) in [
            (
                "indexes of partitioned tables lack partitions",
                &self.incomplete,
            ),
            ("constraints are not validated", &self.unchecked),
        ] {
            if !names.is_empty() {
                verdict.remarks.push(format!("{what}: {}", list(names)));
            }
        }
    }

    fn compare_rows(&self, contents: &Contents, verdict: &mut Verdict) {
        let Some(tables) = &contents.tables else {
            let why = "the index has no list of its tables: their rows were not compared";
            return verdict.remarks.push(why.into());
        };
        let (mut missing, mut differing) = (Vec::new(), Vec::new());
        let mut uncounted = Vec::new();
        for TableRows { name, rows } in tables {
            match (rows, self.rows.get(name).copied().flatten()) {
                (_, None) => missing.push(name.clone()),
                (Some(dumped), Some(found)) if *dumped != found => {
                    differing.push(format!("{name} has {found} rows, and {dumped} were dumped"));
                }
                (None, _) => uncounted.push(name.clone()),
                _ => {}
            }
        }
        verdict.bad_if_any("tables are missing", &missing);
        verdict.bad_if_any("rows", &differing);
        if !uncounted.is_empty() {
            let words = format!("rows were not counted in the dump: {}", list(&uncounted));
            verdict.remarks.push(words);
        }
    }

    fn compare_counts(&self, contents: &Contents, verdict: &mut Verdict) {
        for (what, dumped) in [
            ("tables", contents.table_count),
            ("indexes", contents.indexes),
            ("constraints", contents.constraints),
            ("large objects", contents.large_objects),
        ] {
            let found = self.count(what);
            let words = format!("{what}: there are {found}, and {dumped} were dumped");
            match found {
                _ if found < dumped => verdict.bad.push(words),
                _ if found > dumped => verdict.remarks.push(words),
                _ => {}
            }
        }
    }
}

impl Verdict {
    fn bad_if_any(&mut self, what: &str, names: &[String]) {
        if !names.is_empty() {
            self.bad.push(format!("{what}: {}", list(names)));
        }
    }
}

/// Those that are wanted and not there.
pub(crate) fn missing(wanted: &[String], there: &[String]) -> Vec<String> {
    let wanted = wanted.iter().filter(|it| !there.contains(it));
    wanted.cloned().collect()
}

/// The first few.
pub(crate) fn list(names: &[String]) -> String {
    let shown = names[..names.len().min(NAMES)].join(", ");
    match names.len().saturating_sub(NAMES) {
        0 => shown,
        more => format!("{shown} and {more} more"),
    }
}

/// The two numbers that rows with this first field have.
fn numbers<'a>(kind: &'a str, rows: &'a [Row]) -> impl Iterator<Item = (usize, u64)> + 'a {
    rows.iter().filter_map(move |row| match row.as_slice() {
        [Some(first), Some(at), Some(number)] if first == kind => {
            Some((at.parse().ok()?, number.parse().ok()?))
        }
        _ => None,
    })
}

/// Which of them are tables, by their places.
fn which_are_there(tables: &[TableRows]) -> String {
    let names = tables.iter().map(|it| quote_literal(&it.name)).enumerate();
    let values: Vec<String> = names.map(|(at, name)| format!("({at}, {name})")).collect();
    format!(
        "SELECT 'there', at, 1 FROM (VALUES {}) AS asked (at, name)
         JOIN pg_class AS c ON c.oid = to_regclass(name) AND c.relkind IN ('r', 'p');",
        values.join(", ")
    )
}

/// `FROM ONLY`, as the COPY of a table that others inherit from has its own rows only.
fn count_rows(tables: &[TableRows], there: &[usize]) -> String {
    let tables = there.iter().filter_map(|at| Some((at, tables.get(*at)?)));
    tables
        .map(|(at, table)| format!("SELECT 'rows', {at}, count(*) FROM ONLY {};\n", table.name))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn contents() -> Contents {
        Contents {
            tables: Some(vec![
                TableRows::new("public.a", 10),
                TableRows::new("public.b", 0),
                TableRows::new("public.c", 7),
            ]),
            table_count: 3,
            rows: Some(17),
            indexes: 2,
            constraints: 1,
            extensions: vec!["hstore".into()],
            large_objects: 0,
        }
    }

    fn found() -> Found {
        let mut found = Found::default();
        for (kind, value) in [
            ("tables", "3"),
            ("indexes", "2"),
            ("constraints", "1"),
            ("large objects", "0"),
            ("extension", "plpgsql"),
            ("extension", "hstore"),
        ] {
            found.fact(kind, value);
        }
        let rows = [("public.a", 10), ("public.b", 0), ("public.c", 7)];
        found.rows = rows.map(|(name, rows)| (name.into(), Some(rows))).into();
        found
    }

    #[test]
    fn as_it_was_dumped() {
        assert_eq!(found().compare(Some(&contents())), Verdict::default());
        let words = "tables: 3 with 17 rows, indexes: 2, constraints: 1";
        assert_eq!(found().words(), words);
    }

    #[test]
    fn what_is_lost_is_named() {
        type Change = fn(&mut Found);
        let changes: [(Change, &str); 5] = [
            (
                |it| _ = it.rows.insert("public.a".into(), Some(9)),
                "rows: public.a has 9 rows, and 10 were dumped",
            ),
            (
                |it| _ = it.rows.insert("public.b".into(), None),
                "tables are missing: public.b",
            ),
            (
                |it| _ = it.counts.insert("indexes".into(), 1),
                "indexes: there are 1, and 2 were dumped",
            ),
            (
                |it| _ = it.extensions.pop(),
                "extensions are missing: hstore",
            ),
            (
                |it| it.invalid.push("public.i".into()),
                "indexes are invalid: public.i",
            ),
        ];
        for (change, words) in changes {
            let mut found = found();
            change(&mut found);
            assert_eq!(found.compare(Some(&contents())).bad, [words]);
        }
    }

    #[test]
    fn what_may_have_been_so_is_a_remark() {
        let mut found = found();
        found.fact("large objects", "4");
        found.fact("unchecked", "k of public.a");
        found.fact("incomplete", "public.i");
        let verdict = found.compare(Some(&contents()));
        assert_eq!(verdict.bad, Vec::<String>::new());
        assert_eq!(verdict.remarks.len(), 3, "{:?}", verdict.remarks);
    }

    #[test]
    fn what_is_not_known_is_not_compared() {
        let mut contents = contents();
        contents.tables = Some(vec![TableRows::new("public.a", None)]);
        let verdict = found().compare(Some(&contents));
        assert_eq!(
            verdict.remarks,
            ["rows were not counted in the dump: public.a"]
        );
        contents.tables = None;
        let verdict = found().compare(Some(&contents));
        assert!(verdict.remarks[0].contains("were not compared"));
        assert_eq!(found().compare(None), Verdict::default());
    }

    #[test]
    fn long_lists_are_cut() {
        let names: Vec<String> = (0..7).map(|it| it.to_string()).collect();
        assert_eq!(list(&names), "0, 1, 2, 3, 4 and 2 more");
        assert_eq!(list(&names[..1]), "0");
    }
}
