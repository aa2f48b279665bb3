use std::collections::BTreeSet;

use super::*;
use crate::edit::GlobalsEdit;
use crate::edit::tests::edited;

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

fn manner(server: u32) -> Manner {
    Manner {
        wary: false,
        server,
        settings: "SET a = b;\n".into(),
        maintenance: "m".into(),
        owners: true,
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
    let place = Place::Beside("w's".into());
    DatabaseEdit::new(name.map(str::to_owned), place, manner(17))
}

fn in_place(manner: Manner) -> DatabaseEdit {
    DatabaseEdit::new(Some("sh\"op".into()), Place::InPlace, manner)
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
        let mut edit = in_place(manner(server));
        let text = edited(&dump, &mut edit).unwrap();
        assert_eq!(text.contains("transaction_timeout"), there, "{server}");
        assert!(text.contains("SET statement_timeout = 0;"));
    }
}

#[test]
fn without_owners_no_role_is_named() {
    let owners = false;
    let mut edit = in_place(Manner {
        owners,
        ..manner(17)
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
        let place = Place::Beside("locale_provider".into());
        let mut edit = DatabaseEdit::new(None, place, manner(server));
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
    let mut edit = in_place(manner(17));
    let text = edited(DUMP, &mut edit).unwrap();
    for gone in [
        "\\connect",
        "CREATE DATABASE \"sh\"\"op\" WITH",
        "BEGIN",
        "COMMIT;",
        "restrict",
    ] {
        assert!(!text.contains(gone), "{gone}: {text}");
    }
    assert!(text.contains("COMMENT ON DATABASE \"sh\"\"op\" IS"));
    assert!(text.contains("lo_create"));
    assert_eq!(edit.end(), "COMMIT;");
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
    let mut edit = in_place(manner(17));
    edit.name = Some("postgres".into());
    let dump = "\\connect postgres\nALTER DATABASE postgres SET role TO 'x';\nSELECT 1;\n";
    let text = edited(dump, &mut edit).unwrap();
    assert!(text.contains("SAVEPOINT before_setting;\nALTER DATABASE postgres SET role TO 'x';\nROLLBACK TO SAVEPOINT before_setting;"));
    assert!(text.trim_end().ends_with("SET role TO 'x';"), "{text}");
}

#[test]
fn definitions_reach_a_database_in_place() {
    let mut edit = in_place(manner(17));
    edit.define(definitions(&[
        "REVOKE ALL ON DATABASE \"sh\"\"op\" FROM PUBLIC;",
    ]));
    let text = edited("SELECT 1;\n", &mut edit).unwrap();
    assert!(text.find("REVOKE ALL").unwrap() < text.find("SELECT 1").unwrap());
}

#[test]
fn without_owners_a_database_is_created_without_one() {
    let mut edit = beside(Some("a"));
    edit.manner.owners = false;
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
            &mut in_place(manner(17)),
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
    let mut edit = in_place(manner(17));
    edit.manner.wary = true;
    let dump = "SET client_encoding = 'UTF8';\nSELECT 1;\nSELECT 'ö';\nSELECT E'\\\\';\n";
    let text = edited(dump, &mut edit).unwrap();
    let told = "SET client_encoding = 'UTF8';\nSET standard_conforming_strings = on;\n";
    for statement in ["SELECT 'ö';", "SELECT E'\\\\';"] {
        assert!(text.contains(&format!("{told}{statement}")), "{text}");
    }
    assert!(!text.contains(&format!("{told}SELECT 1;")), "{text}");
}
