use super::*;
use crate::edit::tests::edited;

fn edit_with(role_passwords: bool) -> GlobalsEdit {
    let names = |names: &[&str]| names.iter().map(|name| PgText::from(*name)).collect();
    GlobalsEdit::new(
        names(&["postgres", "odd \"one\""]),
        names(&["fast"]),
        role_passwords,
        false,
    )
}

const DUMP: &str = "-- Roles\n\
    \\restrict abc\n\
    CREATE ROLE bob;\nALTER ROLE bob WITH LOGIN;\n\
    CREATE ROLE postgres;\nALTER ROLE postgres WITH PASSWORD 'x';\n\
    CREATE ROLE \"odd \"\"one\"\"\";\nCOMMENT ON ROLE \"odd \"\"one\"\"\" IS 'x';\n\
    ALTER ROLE postgres SET a TO 'b';\n\
    CREATE TABLESPACE fast OWNER bob LOCATION '/x';\nALTER TABLESPACE fast SET (a=1);\n\
    CREATE TABLESPACE slow OWNER bob LOCATION '/y';\n\
    GRANT bob TO postgres;\nDROP ROLE bob;\n\\unrestrict abc\n";

/// What is left out, and how many statements that are.
fn left_out(dump: &str, edit: &mut GlobalsEdit) -> Vec<(String, u64)> {
    let mut out = Vec::new();
    let mut scanner = dump_text::Scanner::new();
    let mut sink = |piece: Piece<'_>| edit.piece(piece, &mut out);
    scanner.feed(dump.as_bytes(), &mut sink).unwrap();
    let tally = edit.take_tally();
    let skipped = tally.skipped().iter();
    skipped.map(|it| (it.what.clone(), it.statements)).collect()
}

fn lines(text: &str) -> Vec<&str> {
    text.lines().filter(|line| !line.is_empty()).collect()
}

#[test]
fn what_is_there_is_left_as_it_is() {
    let mut edit = edit_with(false);
    assert_eq!(
        lines(&edited(DUMP, &mut edit).unwrap()),
        [
            "-- Roles",
            "CREATE ROLE bob;",
            "ALTER ROLE bob WITH LOGIN;",
            "CREATE TABLESPACE slow OWNER bob LOCATION '/y';",
            "GRANT bob TO postgres;",
        ]
    );
    assert_eq!(
        left_out(DUMP, &mut edit_with(false)),
        [
            ("role 'postgres'".to_owned(), 3),
            ("role 'odd \"one\"'".into(), 2),
            ("tablespace 'fast'".into(), 2),
            ("DROP of role 'bob'".into(), 1),
        ]
    );
}

#[test]
fn passwords_only_when_asked_for() {
    let text = edited(DUMP, &mut edit_with(true)).unwrap();
    assert!(text.contains("ALTER ROLE postgres WITH PASSWORD 'x';"));
    assert!(text.contains("COMMENT ON ROLE \"odd"));
    assert!(!text.contains("CREATE ROLE postgres"));
    assert!(!text.contains("ALTER TABLESPACE fast"));
}

#[test]
fn databases_of_old_dumps_wait_for_their_turn() {
    let mut edit = edit_with(false);
    let mut out = Vec::new();
    for statement in [
        "CREATE DATABASE a;",
        "ALTER ROLE ALL IN DATABASE a SET x TO 'y';",
        "DROP DATABASE b;",
    ] {
        let piece = Piece::Statement(statement.as_bytes());
        edit.piece(piece, &mut out).unwrap();
    }
    assert!(out.is_empty());
    let definitions = edit.take_definitions();
    let statements = definitions
        .iter()
        .map(|it| (it.database.ascii(), it.statement.as_slice()));
    assert_eq!(
        statements.collect::<Vec<_>>(),
        [
            ("a", &b"CREATE DATABASE a;"[..]),
            ("a", b"ALTER ROLE ALL IN DATABASE a SET x TO 'y';"),
        ]
    );
}

#[test]
fn whoever_restores_is_not_changed() {
    for statement in [
        "ALTER ROLE CURRENT_USER WITH PASSWORD 'x';",
        "alter user session_user password 'x';",
        "ALTER ROLE current_role SET search_path TO 'x';",
        "GRANT app TO CURRENT_USER;",
        "GRANT current_user TO app;",
    ] {
        for role_passwords in [false, true] {
            let text = edited_globals(statement, role_passwords);
            assert_eq!(text.trim(), "", "{statement}");
        }
    }
    let named = "ALTER ROLE \"current_user\" PASSWORD 'x';";
    assert_eq!(edited_globals(named, false), named);
    assert_eq!(edited_globals("ALTER ROLE postgres RENAME TO x;", true), "");
}

fn edited_globals(dump: &str, role_passwords: bool) -> String {
    let mut edit = edit_with(role_passwords);
    let mut out = Vec::new();
    edit.piece(Piece::Statement(dump.as_bytes()), &mut out)
        .unwrap();
    assert!(edit.take_tally().check().is_ok());
    String::from_utf8(out).unwrap()
}

#[test]
fn psql_s_commands_are_not_let_through() {
    for dump in [
        "\\! id\n",
        "\\o x\n",
        "SELECT 1 \\g x\n;",
        "\\connect x\n",
        "CREATE TABLE t (a int);",
        "CREATE ROLE a;-- \0\n",
        "COPY t FROM stdin;\n\\.\n",
    ] {
        let error = edited(dump, &mut edit_with(false)).unwrap_err();
        assert_eq!(error.exit().code(), 3, "{dump}");
    }
}
