use std::collections::BTreeSet;

use pg_text::PgText;

use super::*;
use crate::edit::GlobalsEdit;
use crate::edit::definition::Definition;
use crate::edit::options::Options;
use crate::edit::tests::edited;
use crate::server::name_converter::NameConverter;
use crate::server::target::{Destination, Transactions};

const DUMP: &str = r#"--
-- Database "sh""op" dump
--
\restrict abc
SET statement_timeout = 0;
SELECT pg_catalog.set_config('search_path', '', false);
CREATE DATABASE "sh""op" WITH TEMPLATE = template0 ENCODING = 'UTF8';
ALTER DATABASE "sh""op" OWNER TO bob;
\unrestrict abc
\encoding SQL_ASCII
\connect -reuse-previous=on "dbname='sh""op'"
\restrict abc
COMMENT ON DATABASE "sh""op" IS 'the "sh""op"';
ALTER ROLE bob IN DATABASE "sh""op" SET x TO 'y';
UPDATE pg_catalog.pg_database SET datistemplate = 't' WHERE datname = 'sh"op';
BEGIN;
SELECT pg_catalog.lo_create('1');
COMMIT;
COPY t FROM stdin;
CREATE DATABASE "sh""op";
\.
\unrestrict abc
"#;

fn options(server: u32) -> Options {
    Options {
        wary: false,
        server,
        settings: "SET a = b;\n".into(),
        maintenance: "m".into(),
        owners: true,
        goes_on: false,
        names: NameConverter::default(),
        encoding: None,
    }
}

/// What the roles of an older dump say of databases.
fn definitions(statements: &[&str]) -> Vec<Definition> {
    let mut globals = GlobalsEdit::new(BTreeSet::new(), BTreeSet::new(), false, false);
    let mut out = Vec::new();
    for statement in statements {
        let piece = Piece::Statement(statement.as_bytes());
        globals.piece(piece, &mut out).unwrap();
    }
    globals.take_definitions()
}

fn beside(name: Option<&str>) -> DatabaseEdit {
    let place = Destination::Beside("w's".into());
    DatabaseEdit::new(name.map(PgText::from), place, options(17))
}

fn in_place(options: Options) -> DatabaseEdit {
    let place = Destination::InPlace(Transactions::One);
    DatabaseEdit::new(Some("sh\"op".into()), place, options)
}

/// Two sessions.
#[derive(Default)]
struct Two {
    main: Vec<u8>,
    aside: Vec<u8>,
    /// Whether a COPY fails.
    fails: bool,
}

impl Out for Two {
    fn write(&mut self, sql: &[u8]) -> Result<(), Error> {
        self.main.write(sql)
    }

    fn connect(&mut self, database: &PgText) -> Result<(), Error> {
        self.main.connect(database)
    }

    fn copy(&mut self, statement: &[u8]) -> Result<bool, Error> {
        self.main.write(statement)?;
        Ok(!self.fails)
    }

    fn take_name(&mut self, working: &str) -> Result<(), Error> {
        self.main.take_name(working)
    }

    fn large_objects(&mut self) -> Result<&mut dyn Out, Error> {
        Ok(&mut self.aside)
    }
}

/// What each of two sessions gets.
fn in_two(dump: &str, edit: &mut DatabaseEdit, fails: bool) -> Result<[String; 2], Error> {
    let mut out = Two {
        fails,
        ..Two::default()
    };
    let mut scanner = dump_text::Scanner::new();
    let mut sink = |piece: Piece<'_>| edit.piece(piece, &mut out);
    scanner.feed(dump.as_bytes(), &mut sink)?;
    scanner.finish(&mut sink)?.unwrap();
    edit.close(&mut out)?;
    edit.last(&mut out)?;
    assert!(edit.take_tally().is_balanced());
    Ok([out.main, out.aside].map(|it| String::from_utf8(it).unwrap()))
}

#[test]
fn a_database_gets_another_name() {
    let wanted = DUMP
        .replace(
            "\\connect -reuse-previous=on \"dbname='sh\"\"op'\"\n",
            "\\connect -reuse-previous=on \"dbname='w\\'s'\"\nSET a = b;\n",
        )
        .replace("DATABASE \"sh\"\"op\" ", "DATABASE \"w's\" ")
        .replace("'sh\"op'", "'w''s'")
        .replace("\\encoding SQL_ASCII", "SET client_encoding = 'SQL_ASCII';");
    // What comes last is tried where it stood.
    let tried = |text: String, statement: &str| {
        text.replace(statement, &format!("BEGIN;\n{statement}\nROLLBACK;\n"))
    };
    let settings = [
        "ALTER ROLE bob IN DATABASE \"w's\" SET x TO 'y';",
        "UPDATE pg_catalog.pg_database SET datistemplate = 't' WHERE datname = 'w''s';",
    ];
    let mut wanted = settings.iter().fold(wanted, |text, it| tried(text, it));
    for line in ["\\restrict abc\n", "\\unrestrict abc\n"] {
        wanted = wanted.replace(line, "");
    }
    let plain = "RESET client_encoding;\nSET standard_conforming_strings = on;\n";
    for setting in settings {
        wanted += &format!("{plain}{setting}\n");
    }
    let text = edited(DUMP, &mut beside(Some("sh\"op"))).unwrap();
    assert_eq!(text, wanted);
    assert!(text.contains("COPY t FROM stdin;\nCREATE DATABASE \"sh\"\"op\";\n"));
}

#[test]
fn an_older_server_is_spared_what_it_does_not_know() {
    let dump = DUMP.replace(
        "SET statement_timeout = 0;\n",
        "SET statement_timeout = 0;\nSET transaction_timeout = 0;\n",
    );
    for (server, there) in [(15, false), (16, false), (17, true), (18, true)] {
        let mut edit = in_place(options(server));
        let text = edited(&dump, &mut edit).unwrap();
        assert_eq!(text.contains("transaction_timeout"), there, "{server}");
        assert!(text.contains("SET statement_timeout = 0;"));
    }
}

#[test]
fn without_owners_no_role_is_named() {
    let owners = false;
    let mut edit = in_place(Options {
        owners,
        ..options(17)
    });
    let text = edited(DUMP, &mut edit).unwrap();
    assert!(!text.contains("bob"), "{text}");
    assert!(text.contains("COMMENT ON DATABASE"), "{text}");
    assert_eq!(edit.ownerless(), 2);
}

#[test]
fn an_older_server_has_one_provider_of_locales() {
    let dump = "CREATE DATABASE a WITH ENCODING = 'UTF8' LOCALE_PROVIDER = libc LOCALE = 'C';";
    let icu = dump.replace("libc", "icu");
    for (dump, server, there) in [(dump, 14, false), (dump, 15, true), (&icu, 14, true)] {
        let place = Destination::Beside("locale_provider".into());
        let mut edit = DatabaseEdit::new(None, place, options(server));
        let text = edited(dump, &mut edit).unwrap();
        assert_eq!(text.contains("LOCALE_PROVIDER"), there, "{server}: {text}");
        let ends = text.contains(" LOCALE = 'C';\\connect");
        assert!(
            text.starts_with("CREATE DATABASE \"locale_provider\" WITH") && ends,
            "{text}"
        );
    }
}

#[test]
fn in_place_it_is_one_transaction() {
    let mut edit = in_place(options(17));
    let [text, aside] = in_two(DUMP, &mut edit, false).unwrap();
    for gone in [
        "\\connect",
        "CREATE DATABASE \"sh\"\"op\" WITH",
        "BEGIN",
        "COMMIT;",
        "restrict",
        "lo_create",
    ] {
        assert!(!text.contains(gone), "{gone}: {text}");
    }
    assert!(text.contains("COMMENT ON DATABASE \"sh\"\"op\" IS"));
    let ends = "BEGIN;\nSELECT pg_catalog.lo_create('1');\nCOMMIT;\n";
    assert!(
        aside.starts_with("SET a = b;\n\n") && aside.ends_with(ends),
        "{aside}"
    );
    assert_eq!(edit.end(), "COMMIT;");
}

/// What `pg_dump --clean` drops first is not there.
#[test]
fn large_objects_are_not_unlinked_in_place() {
    let dump = "SET a = b;\nDROP TABLE public.t;\nSELECT pg_catalog.lo_unlink('16398');\nSELECT pg_catalog.lo_create('16398');\nSELECT pg_catalog.lo_unlink('1');\n";
    let [main, aside] = in_two(dump, &mut in_place(options(17)), false).unwrap();
    assert!(main.contains("DROP TABLE IF EXISTS public.t;"), "{main}");
    assert!(
        !aside.contains("16398');\nSELECT pg_catalog.lo_create")
            && aside.contains("lo_create('16398')"),
        "{aside}"
    );
    assert!(
        !main.contains("lo_unlink") && aside.ends_with("SELECT pg_catalog.lo_unlink('1');\n"),
        "{aside}"
    );
}

/// Their session is told what the main one was: how strings are read, and as whom.
#[test]
fn large_objects_in_place_go_aside() {
    let long = format!("COMMENT ON LARGE OBJECT 1 IS '{}';\n", "x".repeat(70_000));
    let dump = format!(
        "SET client_encoding = 'LATIN1';\nCREATE TABLE t (a int);\nSELECT pg_catalog.lo_create('1');\n\nALTER LARGE OBJECT 1 OWNER TO bob;\n{long}\
         SET SESSION AUTHORIZATION 'bob';\nGRANT ALL ON LARGE OBJECT 1 TO ann;\nGRANT ALL ON TABLE t TO ann;\nRESET SESSION AUTHORIZATION;\n\
         REVOKE ALL ON LARGE OBJECT 1 FROM ann;\nCREATE TABLE u (a int);\n"
    );
    let [main, aside] = in_two(&dump, &mut in_place(options(17)), false).unwrap();
    assert!(
        !main.contains("LARGE OBJECT") && !main.contains("xxx"),
        "{main}"
    );
    for there in [
        "TABLE t (",
        "TO ann;",
        "'bob';",
        "RESET SESSION",
        "TABLE u (",
    ] {
        assert!(main.contains(there), "{main}");
    }
    let context = "SET client_encoding = 'LATIN1';\nSET standard_conforming_strings = on;\n";
    let wanted = format!(
        "SET a = b;\n\n{context}SELECT pg_catalog.lo_create('1');\nALTER LARGE OBJECT 1 OWNER TO bob;\n{long}\
         SET SESSION AUTHORIZATION 'bob';\nGRANT ALL ON LARGE OBJECT 1 TO ann;\nRESET SESSION AUTHORIZATION;\nREVOKE ALL ON LARGE OBJECT 1 FROM ann;\n"
    );
    assert_eq!(aside, wanted);
    for odd in ["SELECT lo_create(f());\n", "SELECT lo_create(1), f();\n"] {
        let error = in_two(odd, &mut in_place(options(17)), false).unwrap_err();
        assert_eq!(error.exit().code(), 3, "{odd}");
    }
}

#[test]
fn in_several_transactions_all_is_as_psql_would_have_it() {
    let place = Destination::InPlace(Transactions::Several);
    let mut edit = DatabaseEdit::new(Some("sh\"op".into()), place, options(17));
    let [main, aside] = in_two(DUMP, &mut edit, false).unwrap();
    let ends = "BEGIN;\nSELECT pg_catalog.lo_create('1');\nCOMMIT;\n";
    assert!(main.contains(ends) && aside.is_empty(), "{main}");
    assert_eq!(edit.end(), "");
}

#[test]
fn a_name_is_taken_before_it_is_filled() {
    let place = Destination::NamedEarly {
        working: "w".into(),
        name: "sh\"op".into(),
    };
    let mut edit = DatabaseEdit::new(Some("sh\"op".into()), place, options(17));
    let [text, _] = in_two(DUMP, &mut edit, false).unwrap();
    let (before, after) = text.split_once("-- w gets its name\n").unwrap();
    assert!(before.contains("CREATE DATABASE \"w\" WITH"), "{before}");
    assert!(before.contains("ALTER DATABASE \"w\" OWNER"), "{before}");
    assert!(
        after.starts_with("\\connect -reuse-previous=on \"dbname='sh\"\"op'\"\n"),
        "{after}"
    );
    assert!(
        after.contains("COMMENT ON DATABASE \"sh\"\"op\" IS"),
        "{after}"
    );
    assert!(!after.contains("\"w\""), "{after}");
}

/// psql would read them as SQL.
#[test]
fn rows_of_a_copy_that_failed_are_left_out() {
    let dump = "\\connect a\nCOPY t (\"from\", b) FROM stdin;\nDROP TABLE u;\n\\.\n\nALTER DATABASE a SET x TO 'y';\nSELECT 1;\n";
    for (fails, there) in [(true, false), (false, true)] {
        let mut edit = beside(Some("a"));
        edit.options.goes_on = true;
        let [text, _] = in_two(dump, &mut edit, fails).unwrap();
        assert_eq!(text.contains("DROP TABLE u;\n\\.\n"), there, "{text}");
        assert!(text.contains("SELECT 1;"), "{text}");
        // What is tried would be listed twice.
        assert!(!text.contains("ROLLBACK"), "{text}");
    }
    let mut edit = beside(Some("a"));
    edit.options.goes_on = true;
    let dump = "\\connect a\nBEGIN;\nCOPY t FROM stdin;\n1\n\\.\nCOMMIT;\n";
    assert_eq!(in_two(dump, &mut edit, false).unwrap_err().exit().code(), 1);
}

#[test]
fn a_database_that_nothing_creates_is_created() {
    let dump = "\\connect a\nSELECT 1;\n";
    let text = edited(dump, &mut beside(Some("a"))).unwrap();
    assert!(
        text.starts_with("CREATE DATABASE \"w's\" TEMPLATE template0;\n\\connect"),
        "{text}"
    );
    let mut edit = beside(Some("a"));
    edit.define(definitions(&[
        "SET client_encoding = 'LATIN1';",
        "CREATE DATABASE a ENCODING 'LATIN1';",
        "GRANT ALL ON DATABASE a TO b;",
    ]));
    let text = edited(dump, &mut edit).unwrap();
    let context = "SET client_encoding = 'LATIN1';\nSET standard_conforming_strings = on;\n";
    let plain = "RESET client_encoding;\nSET standard_conforming_strings = on;\n";
    let wanted = format!(
        "{context}CREATE DATABASE \"w's\" ENCODING 'LATIN1';\n{context}GRANT ALL ON DATABASE \"w's\" TO b;\n{plain}\\connect"
    );
    assert!(text.starts_with(&wanted), "{text}");
}

#[test]
fn other_databases_are_left_alone() {
    for dump in [
        "\\connect b\n",
        "DROP DATABASE b;",
        "ALTER DATABASE b SET x TO 'y';",
        "ALTER ROLE r IN DATABASE b SET x TO 'y';",
        "CREATE TABLE before_it_connects (a int);",
        "\\! id\n",
    ] {
        let error = edited(dump, &mut beside(Some("a"))).unwrap_err();
        assert_eq!(error.exit().code(), 3, "{dump}");
    }
    let text = edited("DROP DATABASE a;", &mut beside(Some("a"))).unwrap();
    assert!(!text.contains("DROP"), "{text}");
}

#[test]
fn its_own_settings_come_last_and_hold_for_computed_values() {
    let dump = "CREATE DATABASE a;\nALTER DATABASE a SET array_nulls TO 'off';\nALTER DATABASE a SET \"app.x\" TO 'y';\n\\connect a\nCREATE TABLE t (a int);\n";
    let text = edited(dump, &mut beside(Some("a"))).unwrap();
    let connected = text.find("\\connect").unwrap();
    let (before, after) = text.split_at(connected);
    assert!(before.contains("BEGIN;\nALTER DATABASE \"w's\" SET array_nulls TO 'off';\nROLLBACK;"));
    let filled = after.find("CREATE TABLE").unwrap();
    assert!(after[..filled].contains("SET \"app.x\" TO 'y';"), "{after}");
    assert!(!after[..filled].contains("array_nulls"), "{after}");
    assert!(after[filled..].contains("ALTER DATABASE \"w's\" SET array_nulls TO 'off';"));
}

#[test]
fn in_place_settings_wait_for_the_commit() {
    let mut edit = in_place(options(17));
    edit.name = Some("postgres".into());
    let dump = "\\connect postgres\nALTER DATABASE postgres SET role TO 'x';\nSELECT 1;\n";
    let text = edited(dump, &mut edit).unwrap();
    assert!(text.contains("SAVEPOINT before_setting;\nALTER DATABASE postgres SET role TO 'x';\nROLLBACK TO SAVEPOINT before_setting;"));
    assert!(text.trim_end().ends_with("SET role TO 'x';"), "{text}");
}

#[test]
fn definitions_reach_a_database_in_place() {
    let mut edit = in_place(options(17));
    edit.define(definitions(&[
        "REVOKE ALL ON DATABASE \"sh\"\"op\" FROM PUBLIC;",
    ]));
    let text = edited("SELECT 1;\n", &mut edit).unwrap();
    assert!(text.find("REVOKE ALL").unwrap() < text.find("SELECT 1").unwrap());
}

#[test]
fn without_owners_a_database_is_created_without_one() {
    let mut edit = beside(Some("a"));
    edit.options.owners = false;
    let dump = "CREATE DATABASE a WITH TEMPLATE = template0 OWNER = bob ENCODING = 'UTF8';\n";
    let text = edited(dump, &mut edit).unwrap();
    assert!(
        !text.contains("OWNER") && text.contains("ENCODING = 'UTF8'"),
        "{text}"
    );
}

#[test]
fn transactions_that_no_dump_has() {
    for control in [
        "END;",
        "COMMIT;",
        "COMMIT /* a comment that makes it longer than forty bytes */;",
        "ROLLBACK;",
        "ABORT;",
        "SAVEPOINT a;",
        "PREPARE TRANSACTION 'x';",
        "BEGIN;\nCREATE TABLE t (a int);\nCOMMIT;",
        "BEGIN;\nCOMMIT;",
        "START TRANSACTION;\nSELECT pg_catalog.lo_create('1');\nCOMMIT AND CHAIN;",
        "BEGIN;\nSELECT pg_catalog.lo_create('1');",
    ] {
        let error = edited(
            &format!("SELECT 1;\n{control}\n"),
            &mut in_place(options(17)),
        );
        assert_eq!(error.unwrap_err().exit().code(), 3, "{control}");
    }
    for control in [
        "ROLLBACK;",
        "ABORT;",
        "BEGIN;\nSELECT 1;",
        "PREPARE TRANSACTION 'x';",
        "COMMIT;",
    ] {
        let dump = format!("\\connect a\n{control}\n");
        let error = edited(&dump, &mut beside(Some("a")));
        assert_eq!(error.unwrap_err().exit().code(), 3, "{control}");
    }
    let whole = "\\connect a\nBEGIN;\nCREATE TABLE t (a int);\nEND;\n";
    assert!(edited(whole, &mut beside(Some("a"))).is_ok());
}

#[test]
fn a_psql_without_restricted_mode_is_told_how_to_read() {
    let mut edit = in_place(options(17));
    edit.options.wary = true;
    let dump = "SET client_encoding = 'UTF8';\nSELECT 1;\nSELECT 'ö';\nSELECT E'\\\\';\n";
    let text = edited(dump, &mut edit).unwrap();
    let told = "SET client_encoding = 'UTF8';\nSET standard_conforming_strings = on;\n";
    for statement in ["SELECT 'ö';", "SELECT E'\\\\';"] {
        assert!(text.contains(&format!("{told}{statement}")), "{text}");
    }
    assert!(!text.contains(&format!("{told}SELECT 1;")), "{text}");
}
