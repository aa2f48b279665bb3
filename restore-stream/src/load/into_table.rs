//! Puts a table's rows into a new table of a live database, in one transaction. It touches nothing else there.

use dump_text::{Piece, QualifiedName, Table, Token, tokens};
use job::{Error, Progress, say};
use pg_client::{NEUTRAL_SETTINGS, quote_ident};
use pg_text::PgText;

use crate::cli::Args;
use crate::edit::{Out, TableChoice};
use crate::load::part::connection;
use crate::load::psql_output::PsqlOutput;
use crate::load::table_rows::{Definitions, TableRows};
use crate::report::Report;
use crate::server::cleanup::Cleanup;
use crate::server::cluster::Cluster;
use crate::server::session_group::SessionGroup;
use crate::server::undo::Undo;
use crate::source::chosen::ChosenBackup;

/// Creates the table `new` in the database that the command line names, and fills it with the rows of the one table that
/// it chooses of the backup.
///
/// # Errors
/// There is not that one table; the server refuses the new one; the backup is damaged. Then there is no new table.
pub(crate) fn run(chosen: &ChosenBackup, new: &PgText, args: &Args) -> Result<(), Error> {
    let choice =
        TableChoice::of(args)?.ok_or_else(|| Error::usage("--into-table needs --table"))?;
    let mut rows = TableRows::find(chosen, choice, args)?;
    let definitions = rows.definitions(args.threads())?;
    let (table, statement) = the_one(&definitions)?;
    let name = new_name(new, &table.name)?;
    let create = created_as(statement, table, &name)?;

    let cluster = Cluster::survey(args, Some(&[]))?;
    if !cluster.restrict {
        return Err(Error::refused(
            "--into-table needs a psql with a restricted mode (\\restrict)",
        )
        .hint("take psql 18, 17.6, 16.10, 15.14, 14.19 or 13.22, or a newer one of these"));
    }
    let database = cluster.name_on_server(rows.database(), None, chosen.encoding())?;
    say!(
        "rows of {} of '{}' go into the new table {name} of database '{database}'",
        shown(&table.name),
        chosen.label()
    );
    let report = Report::new(chosen.label());
    let sessions = SessionGroup::new(report.first_failure());
    let cleanup = Cleanup::new(&cluster);
    cleanup.undos().add(Undo::Table {
        database: database.clone(),
        name: name.clone(),
    });
    let what = format!("table {name}");
    let mut output = PsqlOutput::new(&connection(&cluster, &database), what, &sessions)?;
    for sql in [
        NEUTRAL_SETTINGS.as_bytes(),
        &definitions.settings,
        b"BEGIN;\n",
        &create,
    ] {
        output.write(sql)?;
    }
    let progress = Progress::new(format!("restoring {}", shown(&table.name)), None);
    let mut count = 0;
    rows.read(args.threads(), &progress, &mut |piece| {
        if let Piece::DataEnd { rows, .. } = piece {
            count += rows;
        }
        match piece {
            Piece::Statement(sql) => output.write(&copied_into(sql, &name)?),
            Piece::Head(_) | Piece::Body { .. } => Err(Error::failed(
                "the COPY statement is longer than any that pg_dump writes",
            )),
            piece => output.write(piece.bytes()),
        }
    })?;
    output.settle()?;
    drop(progress);
    // The server may have committed and be lost before it says so.
    output
        .end("COMMIT;\n")
        .map_err(|error| match error.hint_text() {
            Some(_) => error,
            None => error.hint(format!("see whether {name} is there: if so, it is whole")),
        })?;
    cleanup.keep_in_place(&database);
    say!("{name}: {count} rows");
    Ok(())
}

fn shown(name: &QualifiedName) -> String {
    format!("'{}.{}'", name.schema, name.name)
}

/// The table that was chosen, if it is one.
fn the_one(definitions: &Definitions) -> Result<(&Table, &[u8]), Error> {
    match definitions.tables.as_slice() {
        [(table, statement)] => Ok((table, statement)),
        [] => Err(Error::failed(
            "the backup does not create that table: it belongs to an extension, or its definition is of no known form",
        )
        .hint("restore it into a new database, with --as")),
        several => {
            let names: Vec<String> = several.iter().map(|it| shown(&it.0.name)).collect();
            Err(Error::usage(format!(
                "--into-table takes the rows of one table, and these are meant: {}",
                names.join(", ")
            ))
            .hint("say the one with its schema: --table SCHEMA.TABLE"))
        }
    }
}

/// The new table's name as SQL writes it, in the schema of the old one if it has none.
fn new_name(new: &PgText, old: &QualifiedName) -> Result<PgText, Error> {
    let name = match QualifiedName::parse(new.as_bytes()) {
        Some(name) => Some(name),
        None => match tokens(new.as_bytes()).collect::<Vec<_>>().as_slice() {
            [only] => match &only.token {
                Token::Word(name) | Token::Name(name) => Some(QualifiedName {
                    schema: old.schema.clone(),
                    name: name.clone(),
                }),
                _ => None,
            },
            _ => None,
        },
    };
    let name = name.ok_or_else(|| {
        Error::usage(format!("'{new}' is no name for a table"))
            .hint("say TABLE or SCHEMA.TABLE, in double quotes as SQL has it")
    })?;
    let parts = [quote_ident(&name.schema), quote_ident(&name.name)];
    Ok(PgText::join(parts, "."))
}

/// `CREATE TABLE` with another name. The new table is a part of no other, and has no partitions.
fn created_as(statement: &[u8], table: &Table, name: &PgText) -> Result<Vec<u8>, Error> {
    if !table.parents.is_empty() {
        return Err(Error::failed(format!(
            "{} inherits its columns from another table",
            shown(&table.name)
        ))
        .hint("restore it into a new database, with --as"));
    }
    let mut create = renamed(statement, name, &["create", "unlogged", "table"])?;
    if table.partitioned {
        let mut depth = 0_u32;
        let clause = tokens(&create).find(|it| {
            match it.token {
                Token::Symbol(b'(') => depth += 1,
                Token::Symbol(b')') => depth = depth.saturating_sub(1),
                _ => {}
            }
            depth == 0 && it.token.is("partition")
        });
        let at = clause.ok_or_else(|| unknown(&table.name))?.at.start;
        create.truncate(at);
        create.push(b';');
    }
    create.push(b'\n');
    Ok(create)
}

/// `COPY name (…) FROM stdin;` with another name.
fn copied_into(statement: &[u8], name: &PgText) -> Result<Vec<u8>, Error> {
    renamed(statement, name, &["copy"])
}

/// A statement with another name behind the words that it begins with.
fn renamed(statement: &[u8], name: &PgText, words: &[&str]) -> Result<Vec<u8>, Error> {
    let mut tokens = tokens(statement).peekable();
    while tokens
        .next_if(|it| words.iter().any(|word| it.token.is(word)))
        .is_some()
    {}
    let mut place = tokens.next().map(|it| it.at);
    while tokens
        .next_if(|it| it.token == Token::Symbol(b'.'))
        .is_some()
    {
        let last = tokens.next().map(|it| it.at.end);
        place = place.zip(last).map(|(place, end)| place.start..end);
    }
    let place = place.ok_or_else(|| Error::failed("a statement of the backup names no table"))?;
    let (before, after) = (&statement[..place.start], &statement[place.end..]);
    Ok([before, name.as_bytes(), after].concat())
}

fn unknown(name: &QualifiedName) -> Error {
    Error::failed(format!(
        "how {} is partitioned is of no known form",
        shown(name)
    ))
}

#[cfg(test)]
mod tests {
    use dump_text::{Ddl, ddl};

    use super::*;

    fn created(statement: &str) -> Result<String, Error> {
        let Ddl::Table(table) = ddl(statement.as_bytes()) else {
            panic!("{statement}");
        };
        let create = created_as(statement.as_bytes(), &table, &"\"s\".\"new\"".into())?;
        Ok(String::from_utf8(create).unwrap())
    }

    #[test]
    fn another_name() {
        for (statement, wanted) in [
            (
                "CREATE TABLE public.t (\n    a integer,\n    CONSTRAINT c CHECK ((a > 0))\n);",
                "CREATE TABLE \"s\".\"new\" (\n    a integer,\n    CONSTRAINT c CHECK ((a > 0))\n);\n",
            ),
            (
                "CREATE UNLOGGED TABLE \"A.b\".\"table\" (\n    a integer\n);",
                "CREATE UNLOGGED TABLE \"s\".\"new\" (\n    a integer\n);\n",
            ),
            (
                "CREATE TABLE public.p (\n    \"partition\" integer\n)\nPARTITION BY RANGE (\"partition\");",
                "CREATE TABLE \"s\".\"new\" (\n    \"partition\" integer\n)\n;\n",
            ),
        ] {
            assert_eq!(created(statement).unwrap(), wanted);
        }
        assert!(created("CREATE TABLE public.t (\n)\nINHERITS (public.u);").is_err());
        let name = PgText::from("\"s\".\"new\"");
        let copy = copied_into(b"COPY public.t (a, b) FROM stdin;", &name).unwrap();
        assert_eq!(copy, b"COPY \"s\".\"new\" (a, b) FROM stdin;");
    }

    #[test]
    fn names_of_the_new_table() {
        let old = QualifiedName::parse(b"shop.t").unwrap();
        for (new, wanted) in [
            ("u", Some("\"shop\".\"u\"")),
            ("Users", Some("\"shop\".\"users\"")),
            ("\"Users\"", Some("\"shop\".\"Users\"")),
            ("other.\"a.b\"", Some("\"other\".\"a.b\"")),
            ("\"a\"\"b\"", Some("\"shop\".\"a\"\"b\"")),
            ("a.b.c", None),
            ("", None),
            ("a b", None),
            ("a; drop table t", None),
        ] {
            let name = new_name(&new.into(), &old).ok();
            assert_eq!(name, wanted.map(PgText::from), "{new}");
        }
    }
}
