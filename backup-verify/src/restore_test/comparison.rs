//! What came of a restore, beside what the index says was dumped (`docs/format.md`, Contents).

use std::collections::BTreeMap;

use backup_file::Contents;
use job::Error;
use pg_client::Server;
use pg_text::PgText;

use super::lookup::{Came, look_up};
use super::session;

/// How many names a sentence has.
const NAMES: usize = 5;

/// What a restored database has that its dump made: nothing of the catalog, nothing of an extension.
const OURS: &str = "\
WITH ours AS (
 SELECT c.oid, c.relkind FROM pg_class AS c
 WHERE c.oid >= 16384 AND c.relkind IN ('r', 'p', 'm') AND c.relpersistence <> 't' AND NOT EXISTS (
  SELECT FROM pg_depend AS d
  WHERE d.classid = 'pg_class'::regclass AND d.objid = c.oid AND d.deptype = 'e'))
";

/// What is counted of them, by the word that comes back.
const COUNTED: [(&str, &str); 4] = [
    (
        "tables",
        "SELECT 'tables', count(*) FROM ours WHERE relkind IN ('r', 'p')",
    ),
    (
        "indexes",
        "SELECT 'indexes', count(*) FROM pg_index AS i JOIN ours AS t ON t.oid = i.indrelid
 WHERE NOT EXISTS (
  SELECT FROM pg_constraint AS k WHERE k.conindid = i.indexrelid AND k.contype IN ('p', 'u', 'x'))",
    ),
    (
        "constraints",
        "SELECT 'constraints', count(*) FROM pg_constraint AS k JOIN ours AS t ON t.oid = k.conrelid
 WHERE k.contype IN ('p', 'u', 'x') OR k.contype = 'f' AND k.conparentid = 0",
    ),
    (
        "large objects",
        "SELECT 'large objects', count(*) FROM pg_largeobject_metadata",
    ),
];

/// What is named.
const NAMED: [&str; 4] = [
    "SELECT 'event trigger', evtname FROM pg_event_trigger WHERE evtenabled <> 'D'",
    "SELECT 'extension', extname FROM pg_extension",
    "SELECT CASE c.relkind WHEN 'I' THEN 'incomplete' ELSE 'invalid' END, i.indexrelid::regclass
 FROM pg_index AS i JOIN ours AS t ON t.oid = i.indrelid JOIN pg_class AS c ON c.oid = i.indexrelid
 WHERE NOT i.indisvalid",
    "SELECT 'unchecked', format('%I of %s', k.conname, k.conrelid::regclass)
 FROM pg_constraint AS k JOIN ours AS t ON t.oid = k.conrelid
 WHERE NOT k.convalidated AND coalesce(to_jsonb(k) ->> 'conenforced', 'true') = 'true'",
];

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
    /// What runs when something is created or altered, as a restore does.
    event_triggers: Vec<String>,
    /// What became of the tables of the index, in its order.
    tables: Vec<Came>,
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
        database: &PgText,
        contents: Option<&Contents>,
    ) -> Result<Self, Error> {
        let mut found = Self::default();
        for row in session::ask(server, database, facts())? {
            if let [Some(kind), Some(value)] = row.as_slice() {
                found.fact(kind.ascii(), &value.to_string());
            }
        }
        // What was not answered is not 0.
        if let Some((kind, _)) = COUNTED.iter().find(|it| !found.counts.contains_key(it.0)) {
            return Err(Error::failed(format!("the server does not say its {kind}")));
        }
        if let Some(tables) = contents.and_then(|it| it.tables.as_deref()) {
            found.tables = look_up(server, database, tables)?;
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
            "event trigger" => self.event_triggers.push(value),
            count => {
                if let Ok(number) = value.parse() {
                    self.counts.insert(count.to_owned(), number);
                }
            }
        }
    }

    fn count(&self, what: &str) -> u64 {
        self.counts.get(what).copied().unwrap_or(0)
    }

    /// For a person.
    pub(crate) fn words(&self) -> String {
        let rows = |came: &Came| match came {
            Came::Rows(rows) => *rows,
            Came::Not | Came::OneOfSeveral => 0,
        };
        let rows: u64 = self.tables.iter().map(rows).sum();
        let rows = match self.tables.is_empty() {
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
        let (mut uncounted, mut unclear) = (Vec::new(), Vec::new());
        let mut added = Vec::new();
        for (table, came) in tables.iter().zip(&self.tables) {
            let name = table.name.to_string();
            match (table.rows, came) {
                (_, Came::Not) => missing.push(name),
                (_, Came::OneOfSeveral) => unclear.push(name),
                (Some(dumped), Came::Rows(found)) if dumped != *found => {
                    // What the dump had after an event trigger may have set it off.
                    let more = *found > dumped && !self.event_triggers.is_empty();
                    let list = if more { &mut added } else { &mut differing };
                    list.push(format!("{name} has {found} rows, and {dumped} were dumped"));
                }
                (None, Came::Rows(_)) => uncounted.push(name),
                (Some(_), Came::Rows(_)) => {}
            }
        }
        verdict.bad_if_any("tables are missing", &missing);
        verdict.bad_if_any("rows", &differing);
        for (what, names) in [
            ("event triggers may have added rows", &added),
            ("rows were not counted in the dump", &uncounted),
            (
                "rows were not compared, for the index does not say the schema and several have such a table",
                &unclear,
            ),
        ] {
            if !names.is_empty() {
                verdict.remarks.push(format!("{what}: {}", list(names)));
            }
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

/// All questions but those about the tables of the index.
fn facts() -> String {
    let counted = COUNTED.iter().map(|it| it.1);
    let questions = counted.chain(NAMED).map(|it| format!("{OURS}{it};\n"));
    questions.collect()
}

#[cfg(test)]
mod tests {
    use backup_file::TableRows;

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
        found.tables = [10, 0, 7].map(Came::Rows).into();
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
                |it| it.tables[0] = Came::Rows(9),
                "rows: public.a has 9 rows, and 10 were dumped",
            ),
            (
                |it| it.tables[1] = Came::Not,
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
        found.tables[2] = Came::OneOfSeveral;
        let verdict = found.compare(Some(&contents()));
        assert_eq!(verdict.bad, Vec::<String>::new());
        assert_eq!(verdict.remarks.len(), 4, "{:?}", verdict.remarks);
    }

    #[test]
    fn more_rows_are_a_remark_where_event_triggers_write() {
        let mut found = found();
        found.tables[1] = Came::Rows(1);
        let words = "public.b has 1 rows, and 0 were dumped";
        let verdict = found.compare(Some(&contents()));
        assert_eq!(verdict.bad, [format!("rows: {words}")]);
        found.fact("event trigger", "log");
        let verdict = found.compare(Some(&contents()));
        assert_eq!(verdict.bad, [""; 0]);
        let remark = format!("event triggers may have added rows: {words}");
        assert_eq!(verdict.remarks, [remark]);
        found.tables[0] = Came::Rows(9);
        assert_eq!(found.compare(Some(&contents())).bad.len(), 1);
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
