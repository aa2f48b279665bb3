use super::error_listener::{ErrorListener, KEPT};
use super::meaning::{Failure, SHOWN};
use super::statement::name_of;

fn heard(said: &str) -> Option<Failure> {
    let listener = ErrorListener::default();
    for line in said.lines() {
        listener.hear(line);
    }
    listener.failure()
}

/// What psql says of a server that speaks German.
const LOST: &str = "\
FEHLER:  42P01: Relation »t« existiert nicht
LINE 1: (select count(*) from t)
                              ^
QUERY:  (select count(*) from t)
CONTEXT:  PL/pgSQL-Funktion f() Zeile 2 bei RETURN
LOCATION:  parserOpenTable, parse_relation.c:1392
STATEMENT:  REFRESH MATERIALIZED VIEW public.m;
";

#[test]
fn an_error_in_another_language() {
    let failure = heard(LOST).unwrap();
    assert_eq!(failure.sqlstate, "42P01");
    assert_eq!(failure.statement, "REFRESH MATERIALIZED VIEW public.m");
    assert!(failure.within);
    let error = failure.error();
    assert_eq!(
        error.to_string(),
        "REFRESH MATERIALIZED VIEW public.m: FEHLER:  Relation »t« existiert nicht; \
         LINE 1: (select count(*) from t); CONTEXT:  PL/pgSQL-Funktion f() Zeile 2 bei RETURN"
    );
    assert!(error.hint_text().unwrap().contains("SET search_path"));
    // Not a function's: the dump itself names what is not there.
    let own = LOST.replace("QUERY:", "HINT:").replace("CONTEXT:", "HINT:");
    assert_eq!(heard(&own).unwrap().error().hint_text(), None);
}

#[test]
fn hints_do_not_depend_on_the_language() {
    for (said, hint) in [
        (
            "エラー:  42704: ロール\"bob\"は存在しません\nLOCATION:  get_role_oid, acl.c:5203\nSTATEMENT:  ALTER TABLE public.t OWNER TO bob;",
            "restore the roles first",
        ),
        (
            "エラー:  58P01: 拡張\nLOCATION:  x, extension.c:1\nSTATEMENT:  CREATE EXTENSION IF NOT EXISTS rare WITH SCHEMA public;",
            "install that extension's package",
        ),
        (
            "FEHLER:  P0001: pg_cron\nLOCATION:  x, y.c:1\nSTATEMENT:  CREATE EXTENSION pg_cron;",
            "see what the extension wants of its server",
        ),
        (
            "FEHLER:  42809: Locale\nLOCATION:  createdb, dbcommands.c:1028\nSTATEMENT:  CREATE DATABASE shop WITH TEMPLATE = template0;",
            "generate that locale",
        ),
        (
            "FEHLER:  22023: »fast«\nDETAIL:  nicht da\nLOCATION:  x, guc.c:1\nSTATEMENT:  SET default_tablespace = fast;",
            "restore the tablespaces first",
        ),
        (
            "FEHLER:  53200: Shared Memory aufgebraucht\nHINT:  max_locks_per_transaction\nLOCATION:  x, lock.c:1\nSTATEMENT:  DROP TABLE t;",
            "raise max_locks_per_transaction",
        ),
    ] {
        let error = heard(said).unwrap().error();
        assert!(error.hint_text().unwrap().contains(hint), "{error:?}");
    }
}

#[test]
fn a_warning_is_no_failure() {
    let listener = ErrorListener::default();
    let warnings = listener.hear("WARNUNG:  01000: Vorsicht");
    assert_eq!(warnings, ["WARNUNG:  Vorsicht"]);
    assert!(listener.hear("LOCATION:  f, x.c:1").is_empty());
    assert_eq!(listener.failure(), None);
    assert_eq!(listener.last_warning(), None);
    // It has the code of an error: only what follows shows that it is none.
    assert!(
        listener
            .hear("WARNUNG:  25P01: keine Transaktion")
            .is_empty()
    );
    listener.hear("LOCATION:  f, x.c:1");
    assert_eq!(
        listener.last_warning().as_deref(),
        Some("WARNUNG:  keine Transaktion")
    );
    let warnings = listener.hear("WARNUNG:  01000: Vorsicht");
    assert_eq!(
        warnings,
        ["WARNUNG:  keine Transaktion", "WARNUNG:  Vorsicht"]
    );
    listener.hear("LOCATION:  f, x.c:1");
    // psql's own error, after it.
    listener.hear("error: backslash commands are restricted; only \\unrestrict is allowed");
    assert_eq!(listener.failure(), None);
    for line in LOST.lines() {
        assert!(listener.hear(line).is_empty());
    }
    assert_eq!(listener.failure().unwrap().sqlstate, "42P01");
}

#[test]
fn what_a_backup_says_itself_is_a_message_and_no_more() {
    let forged = "ERROR:  P0001: no\nERROR:  53100: way\nCONTEXT:  PL/pgSQL function f()\nLOCATION:  x, pl_exec.c:1\n\
                  STATEMENT:  DO $$begin raise exception 'no\nERROR:  53100: way\nLOCATION:  x'; end$$;\n";
    let failure = heard(forged).unwrap();
    assert_eq!(failure.sqlstate, "P0001");
    assert_eq!(failure.message, "ERROR:  no\nERROR:  53100: way");
    assert_eq!(failure.statement, "DO");
}

#[test]
fn names_of_statements_hold_no_secret() {
    for (statement, name) in [
        (
            "ALTER ROLE bob WITH LOGIN PASSWORD 's3cret';",
            "ALTER ROLE bob",
        ),
        (
            "CREATE ROLE a PASSWORD 's3cret' LOGIN;",
            "CREATE ROLE a PASSWORD",
        ),
        (
            "CREATE USER MAPPING FOR a SERVER b OPTIONS (password 's3cret');",
            "CREATE USER MAPPING FOR a SERVER b OPTIONS",
        ),
        (
            "CREATE SUBSCRIPTION s CONNECTION 'password=s3cret';",
            "CREATE SUBSCRIPTION s CONNECTION",
        ),
        ("COPY public.\"a b\" (a) FROM stdin;", "COPY public.\"a b\""),
        ("SET default_tablespace = fast;", "SET default_tablespace"),
        (
            "-- of x\nALTER TABLE ONLY public.t\n    ADD CONSTRAINT k CHECK ((a > 0));",
            "ALTER TABLE ONLY public.t ADD CONSTRAINT k CHECK",
        ),
        (
            "CREATE VIEW public.v AS\n SELECT 1;",
            "CREATE VIEW public.v",
        ),
        ("(", "a statement"),
    ] {
        assert_eq!(name_of(statement), name);
    }
    let said = "ERROR:  42601: syntax error\nLINE 1: ALTER ROLE bob PASWORD 's3cret';\n   ^\nLOCATION:  y, scan.l:1\n\
                STATEMENT:  ALTER ROLE bob PASWORD 's3cret';";
    let error = heard(said).unwrap().error();
    assert_eq!(
        error.to_string(),
        "ALTER ROLE bob PASWORD: ERROR:  syntax error"
    );
}

#[test]
fn long_statements_and_messages_are_cut() {
    let long = "line\n".repeat(1000);
    let said =
        format!("ERROR:  22P02: {long}LOCATION:  f, x.c:1\nSTATEMENT:  COPY t FROM stdin;\n{long}");
    let failure = heard(&said).unwrap();
    assert_eq!(failure.location, "f, x.c:1");
    assert_eq!(failure.message.lines().count(), KEPT);
    assert!(failure.error().to_string().matches("line").count() <= SHOWN);
}

#[test]
fn a_session_that_the_server_ends() {
    let listener = ErrorListener::default();
    listener.hear("WARNING:  01000: x");
    listener.hear("LOCATION:  f, x.c:1");
    assert_eq!(listener.farewell(), None);
    for line in [
        "FATAL:  57P01: Verbindung wird abgebrochen",
        "LOCATION:  ProcessInterrupts, postgres.c:3211",
        "server closed the connection unexpectedly",
    ] {
        listener.hear(line);
    }
    assert_eq!(listener.failure(), None);
    let said = listener.farewell();
    assert_eq!(said.as_deref(), Some("FATAL:  Verbindung wird abgebrochen"));
}
