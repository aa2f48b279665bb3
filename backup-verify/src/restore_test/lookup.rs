//! The tables of an index, found in a restored database and counted.

use std::collections::{BTreeMap, BTreeSet};

use backup_file::TableRows;
use dump_text::{Token, tokens};
use job::Error;
use pg_client::{Row, Server, quote_literal, sql};
use pg_text::PgText;

use super::inspection;

/// How many tables one question is about: it must fit into a pipe.
const BATCH: usize = 500;

/// How a table of the index is found in the restored database.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum TableFound {
    /// There is no such table.
    Missing,
    /// It has this many rows.
    Rows(u64),
    /// The index has its name without its schema, and there are several of that name.
    Ambiguous,
}

/// A table's name. An index that an earlier release made lacks schemas, where the dump set a search path.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Name {
    schema: Option<PgText>,
    table: PgText,
}

impl Name {
    /// Reads an SQL identifier, with a schema or without. None if the text is no identifier: then there is no such table.
    fn parse(text: &PgText) -> Option<Self> {
        // psql reads no further than a NUL byte, and would take what follows it for something else.
        if text.as_bytes().contains(&0) {
            return None;
        }
        let mut words = tokens(text.as_bytes()).map(|it| it.token);
        let first = identifier(words.next()?)?;
        let name = match words.next() {
            None => Self {
                schema: None,
                table: first,
            },
            Some(Token::Symbol(b'.')) => Self {
                schema: Some(first),
                table: identifier(words.next()?)?,
            },
            Some(_) => return None,
        };
        words.next().is_none().then_some(name)
    }
}

fn identifier(token: Token) -> Option<PgText> {
    match token {
        Token::Word(name) | Token::Name(name) => Some(name),
        _ => None,
    }
}

/// How each of the tables is found, in their order.
///
/// # Errors
/// The server's: they could not be looked at.
pub(crate) fn look_up(
    server: &Server,
    database: &PgText,
    tables: &[TableRows],
) -> Result<Vec<TableFound>, Error> {
    let names: Vec<Option<Name>> = tables.iter().map(|it| Name::parse(&it.name)).collect();
    let twice = twice(&names);
    let mut all = Vec::with_capacity(tables.len());
    for batch in names.chunks(BATCH) {
        let mut found = match question(batch) {
            Some(sql) => answers(&inspection::ask(server, database, sql)?),
            None => BTreeMap::new(),
        };
        for (at, name) in batch.iter().enumerate() {
            all.push(match found.remove(&at) {
                Some(_) if name.as_ref().is_some_and(|it| twice.contains(it)) => {
                    TableFound::Ambiguous
                }
                found => found.unwrap_or(TableFound::Missing),
            });
        }
    }
    Ok(all)
}

/// The names that more than one table of the index has.
fn twice(names: &[Option<Name>]) -> BTreeSet<&Name> {
    let mut seen = BTreeSet::new();
    let names = names.iter().flatten();
    names.filter(|name| !seen.insert(*name)).collect()
}

/// Counts the rows of the tables that are there. The server itself puts their names into statements, which `\gexec` runs:
/// no name from the index becomes SQL.
///
/// It counts `FROM ONLY`, as the COPY of a table that others inherit from has its own rows only. Row security that is
/// forced on a table's owner is taken away: there was none when the table was dumped, and the database is dropped next.
fn question(names: &[Option<Name>]) -> Option<PgText> {
    let name = |(at, name): (usize, &Option<Name>)| {
        let Name { schema, table } = name.as_ref()?;
        let schema = schema.as_ref().map_or("NULL".into(), quote_literal);
        let at = at.to_string().into();
        Some(sql("({}, {}, {})", &[&at, &schema, &quote_literal(table)]))
    };
    let values: Vec<PgText> = names.iter().enumerate().filter_map(name).collect();
    (!values.is_empty()).then(|| {
        sql(
            "WITH found AS (
 SELECT at, c.oid, nspname, relname, count(*) OVER (PARTITION BY at) AS count
 FROM (VALUES {}) AS asked (at, schema, name)
 JOIN pg_class AS c ON c.relname = asked.name AND c.relkind IN ('r', 'p')
 JOIN pg_namespace AS n ON n.oid = c.relnamespace AND CASE WHEN asked.schema IS NOT NULL
  THEN n.nspname = asked.schema
  ELSE n.nspname !~ '^pg_' AND n.nspname <> 'information_schema' AND NOT EXISTS (
   SELECT FROM pg_depend AS d
   WHERE d.classid = 'pg_class'::regclass AND d.objid = c.oid AND d.deptype = 'e') END)
SELECT CASE WHEN count = 1 AND row_security_active(oid)
  THEN format('ALTER TABLE %I.%I NO FORCE ROW LEVEL SECURITY', nspname, relname) END,
 CASE count WHEN 1 THEN format('SELECT ''rows'', %s, count(*) FROM ONLY %I.%I', at, nspname, relname)
  ELSE format('SELECT ''several'', %s, 0', at) END
FROM found ORDER BY at
\\gexec
",
            &[&PgText::join(&values, ", ")],
        )
    })
}

fn answers(rows: &[Row]) -> BTreeMap<usize, TableFound> {
    let answer = |row: &Row| match row.as_slice() {
        [Some(kind), Some(at), Some(number)] => {
            let table = match kind.ascii() {
                "rows" => TableFound::Rows(number.parse()?),
                "several" => TableFound::Ambiguous,
                _ => return None,
            };
            Some((at.parse()?, table))
        }
        _ => None,
    };
    rows.iter().filter_map(answer).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(schema: Option<&str>, table: &str) -> Option<Name> {
        Some(Name {
            schema: schema.map(PgText::from),
            table: table.into(),
        })
    }

    #[test]
    fn names_of_tables() {
        for (text, wanted) in [
            ("public.a", name(Some("public"), "a")),
            ("Public.A", name(Some("public"), "a")),
            ("t", name(None, "t")),
            (r#""a.b""#, name(None, "a.b")),
            (r#""A b"."c ""d""""#, name(Some("A b"), "c \"d\"")),
            (r#"public."\! id""#, name(Some("public"), r"\! id")),
            ("", None),
            ("public.", None),
            ("a.b.c", None),
            ("public.t;drop", None),
            (r"t \! id", None),
            ("'t'", None),
            ("public.a\0", None),
            ("public.\"a\0b\"", None),
        ] {
            assert_eq!(Name::parse(&text.into()), wanted, "{text}");
        }
    }

    #[test]
    fn a_name_is_a_string_of_the_question_and_nothing_else() {
        let names = [name(None, r"it's\"), None, name(Some("s"), "t")];
        let sql = question(&names).unwrap().to_string();
        assert!(
            sql.contains(r"VALUES (0, NULL,  E'it''s\\'), (2, 's', 't')"),
            "{sql}"
        );
        assert_eq!(question(&[None]), None);
    }

    #[test]
    fn one_name_for_two_tables() {
        let names = [
            name(None, "t"),
            name(Some("a"), "t"),
            None,
            None,
            name(None, "t"),
        ];
        assert_eq!(twice(&names), [names[0].as_ref().unwrap()].into());
    }
}
