//! What a restored database has, against what the index says was dumped (`docs/format.md`, Contents).

use std::collections::BTreeMap;

use backup_file::{Contents, TableRows};
use job::Error;
use pg_client::Server;
use pg_text::PgText;

use super::inspection;
use super::lookup::{TableFound, look_up};

/// How many names a message has.
const NAMES: usize = 5;

/// The relations that a dump made: not those of the catalog or of an extension.
const OURS: &str = "\
WITH ours AS (
 SELECT c.oid, c.relkind FROM pg_class AS c
 WHERE c.oid >= 16384 AND c.relkind IN ('r', 'p', 'm') AND c.relpersistence <> 't' AND NOT EXISTS (
  SELECT FROM pg_depend AS d
  WHERE d.classid = 'pg_class'::regclass AND d.objid = c.oid AND d.deptype = 'e'))
";

/// The questions that count something, by the word that comes back with the number.
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

/// The questions whose answers are names, each with the word for what it is.
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

/// What a restored database has.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Inventory {
    /// `tables`, `indexes`, `constraints`, `large objects`.
    counts: BTreeMap<String, u64>,
    extensions: Vec<String>,
    /// Indexes that do not work.
    invalid: Vec<String>,
    /// Indexes of partitioned tables that some partition lacks.
    incomplete: Vec<String>,
    /// Constraints that existing rows were not checked against.
    unchecked: Vec<String>,
    /// The triggers that run when something is created or altered, as in a restore.
    event_triggers: Vec<String>,
    /// How the tables of the index were found, in its order.
    tables: Vec<TableFound>,
}

/// How a restored database compares with the dumped one.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Verdict {
    /// Differences that make the backup bad.
    pub(crate) bad: Vec<String>,
    /// Differences that somebody should know of.
    pub(crate) remarks: Vec<String>,
}

impl Inventory {
    /// Asks a restored database.
    ///
    /// # Errors
    /// The server's: it could not be looked at.
    pub(crate) fn ask(
        server: &Server,
        database: &PgText,
        tables: Option<&[TableRows]>,
    ) -> Result<Self, Error> {
        let mut inventory = Self::default();
        for row in inspection::ask(server, database, facts())? {
            if let [Some(kind), Some(value)] = row.as_slice() {
                inventory.fact(kind.ascii(), &value.to_string());
            }
        }
        // A count without an answer is not 0.
        if let Some((kind, _)) = COUNTED
            .iter()
            .find(|it| !inventory.counts.contains_key(it.0))
        {
            return Err(Error::failed(format!("the server does not say its {kind}")));
        }
        if let Some(tables) = tables {
            inventory.tables = look_up(server, database, tables)?;
        }
        Ok(inventory)
    }

    /// Takes an answer: a name or a number, by the word for it.
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

    /// The counts, for a person.
    pub(crate) fn words(&self) -> String {
        let rows = |table: &TableFound| match table {
            TableFound::Rows(rows) => *rows,
            TableFound::Missing | TableFound::Ambiguous => 0,
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
    pub(crate) fn compare(
        &self,
        contents: Option<&Contents>,
        tables: Option<&[TableRows]>,
    ) -> Verdict {
        let mut verdict = Verdict::default();
        self.judge_validity(&mut verdict);
        if let Some(contents) = contents {
            self.compare_rows(tables, &mut verdict);
            self.compare_counts(contents, &mut verdict);
            let missing = missing(&contents.extensions, &self.extensions);
            verdict.bad_if_any("extensions are missing", &missing);
        }
        verdict
    }

    fn judge_validity(&self, verdict: &mut Verdict) {
        verdict.bad_if_any("indexes are invalid", &self.invalid);
        // Either may have been so in the dumped database: its dump then has ON ONLY, or NOT VALID.
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

    fn compare_rows(&self, tables: Option<&[TableRows]>, verdict: &mut Verdict) {
        let Some(tables) = tables else {
            let why = "it has no map: the rows of its tables were not compared";
            return verdict.remarks.push(why.into());
        };
        let (mut missing, mut differing) = (Vec::new(), Vec::new());
        let (mut uncounted, mut unclear) = (Vec::new(), Vec::new());
        let mut added = Vec::new();
        for (table, came) in tables.iter().zip(&self.tables) {
            let name = table.name.to_string();
            match (table.rows, came) {
                (_, TableFound::Missing) => missing.push(name),
                (_, TableFound::Ambiguous) => unclear.push(name),
                (Some(dumped), TableFound::Rows(found)) if dumped != *found => {
                    // Statements that come after an event trigger in the dump may have set it off.
                    let more = *found > dumped && !self.event_triggers.is_empty();
                    let list = if more { &mut added } else { &mut differing };
                    list.push(format!("{name} has {found} rows, and {dumped} were dumped"));
                }
                (None, TableFound::Rows(_)) => uncounted.push(name),
                (Some(_), TableFound::Rows(_)) => {}
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

/// The names that are wanted and not there.
pub(crate) fn missing(wanted: &[String], there: &[String]) -> Vec<String> {
    let wanted = wanted.iter().filter(|it| !there.contains(it));
    wanted.cloned().collect()
}

/// The first few names, and how many more there are.
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
    use super::*;

    fn contents() -> Contents {
        Contents {
            table_count: 3,
            rows: Some(17),
            indexes: 2,
            constraints: 1,
            extensions: vec!["hstore".into()],
            large_objects: 0,
        }
    }

    fn tables() -> [TableRows; 3] {
        [
            TableRows::new("public.a", 10),
            TableRows::new("public.b", 0),
            TableRows::new("public.c", 7),
        ]
    }

    fn found() -> Inventory {
        let mut found = Inventory::default();
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
        found.tables = [10, 0, 7].map(TableFound::Rows).into();
        found
    }

    #[test]
    fn as_it_was_dumped() {
        assert_eq!(
            found().compare(Some(&contents()), Some(&tables())),
            Verdict::default()
        );
        let words = "tables: 3 with 17 rows, indexes: 2, constraints: 1";
        assert_eq!(found().words(), words);
    }

    #[test]
    fn what_is_lost_is_named() {
        type Change = fn(&mut Inventory);
        let changes: [(Change, &str); 5] = [
            (
                |it| it.tables[0] = TableFound::Rows(9),
                "rows: public.a has 9 rows, and 10 were dumped",
            ),
            (
                |it| it.tables[1] = TableFound::Missing,
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
            assert_eq!(
                found.compare(Some(&contents()), Some(&tables())).bad,
                [words]
            );
        }
    }

    #[test]
    fn what_may_have_been_so_is_a_remark() {
        let mut found = found();
        found.fact("large objects", "4");
        found.fact("unchecked", "k of public.a");
        found.fact("incomplete", "public.i");
        found.tables[2] = TableFound::Ambiguous;
        let verdict = found.compare(Some(&contents()), Some(&tables()));
        assert_eq!(verdict.bad, Vec::<String>::new());
        assert_eq!(verdict.remarks.len(), 4, "{:?}", verdict.remarks);
    }

    #[test]
    fn more_rows_are_a_remark_where_event_triggers_write() {
        let mut found = found();
        found.tables[1] = TableFound::Rows(1);
        let words = "public.b has 1 rows, and 0 were dumped";
        let verdict = found.compare(Some(&contents()), Some(&tables()));
        assert_eq!(verdict.bad, [format!("rows: {words}")]);
        found.fact("event trigger", "log");
        let verdict = found.compare(Some(&contents()), Some(&tables()));
        assert_eq!(verdict.bad, [""; 0]);
        let remark = format!("event triggers may have added rows: {words}");
        assert_eq!(verdict.remarks, [remark]);
        found.tables[0] = TableFound::Rows(9);
        assert_eq!(
            found.compare(Some(&contents()), Some(&tables())).bad.len(),
            1
        );
    }

    #[test]
    fn what_is_not_known_is_not_compared() {
        let contents = contents();
        let uncounted = [TableRows::new("public.a", None)];
        let verdict = found().compare(Some(&contents), Some(&uncounted));
        assert_eq!(
            verdict.remarks,
            ["rows were not counted in the dump: public.a"]
        );
        let verdict = found().compare(Some(&contents), None);
        assert!(verdict.remarks[0].contains("were not compared"));
        assert_eq!(found().compare(None, None), Verdict::default());
    }

    #[test]
    fn long_lists_are_cut() {
        let names: Vec<String> = (0..7).map(|it| it.to_string()).collect();
        assert_eq!(list(&names), "0, 1, 2, 3, 4 and 2 more");
        assert_eq!(list(&names[..1]), "0");
    }
}
