//! `backup-verify --restore-test` and whose fault it is: what a server lacks, in whatever language it says so, or what a database
//! does to whoever restores it, is not said to be the backup's.

use std::path::Path;

use e2e::crafted::{indexed, part, taken};
use e2e::{Cluster, Program, Scratch, Version, backup};
use serde_json::Value;

/// A test on a server of its own, of this version, made in `scratch`.
fn own(scratch: &Scratch, version: &Version, backup: &Path) -> Program {
    backup::restore_test(backup)
        .arg("--pg-bindir")
        .arg(version.bin())
        .env("TMPDIR", scratch.make("servers"))
}

fn into(cluster: &Cluster, backup: &Path) -> Program {
    backup::restore_test(backup)
        .args(["--into", "dbname=postgres"])
        .on(cluster)
}

/// Databases called `d0`, `d1`, … with this SQL each.
fn databases<'a>(sql: impl IntoIterator<Item = &'a str>) -> String {
    let parts = sql.into_iter().enumerate();
    let parts = parts.map(|(number, sql)| part(&format!("d{number}"), sql));
    parts.collect()
}

/// What the server or its machine lacks: how the statement begins, as it is shown, and all of it.
const LACKING: [(&str, &str); 11] = [
    (
        "CREATE COLLATION public.c",
        "CREATE COLLATION public.c (provider = libc, locale = 'xx_XX.UTF-8');",
    ),
    (
        "CREATE TABLE public.t",
        "CREATE TABLE public.t (a text COLLATE pg_catalog.\"xx_XX.utf8\");",
    ),
    (
        "CREATE FUNCTION public.f",
        "CREATE FUNCTION public.f() RETURNS integer LANGUAGE c AS '$libdir/rare', 'f';",
    ),
    ("SET default_tablespace", "SET default_tablespace = fast;"),
    (
        "CREATE TEXT SEARCH DICTIONARY public.d",
        "CREATE TEXT SEARCH DICTIONARY public.d (TEMPLATE = pg_catalog.simple, stopwords = 'rare');",
    ),
    (
        "SECURITY LABEL FOR anon ON SCHEMA public",
        "SECURITY LABEL FOR anon ON SCHEMA public IS 'x';",
    ),
    (
        "CREATE SERVER s FOREIGN DATA WRAPPER file_fdw",
        "CREATE EXTENSION file_fdw;\nSET ROLE pg_monitor;\nCREATE SERVER s FOREIGN DATA WRAPPER file_fdw;",
    ),
    ("SET gone", "SET gone = on;"),
    ("ALTER DATABASE ", "ALTER DATABASE d8 SET gone = 'x';"),
    (
        "REFRESH MATERIALIZED VIEW public.m",
        "CREATE EXTENSION pg_stat_statements WITH SCHEMA public;\n\
         CREATE MATERIALIZED VIEW public.m AS SELECT count(*) FROM public.pg_stat_statements WITH NO DATA;\n\
         REFRESH MATERIALIZED VIEW public.m;",
    ),
    (
        "CREATE INDEX i ON public.t USING btree",
        "CREATE TABLE public.t (a integer);\n\
         CREATE FUNCTION public.f(integer) RETURNS integer IMMUTABLE LANGUAGE plpgsql AS 'begin perform pg_sleep(9); return 1; end';\n\
         INSERT INTO public.t VALUES (1);\nSET statement_timeout = 1;\nCREATE INDEX i ON public.t USING btree (public.f(a));",
    ),
];

/// What a backup that is damaged has.
const DAMAGED: [&str; 6] = [
    "CREATE TABLE public.t (a public.mood);",
    "COPY public.t (a) FROM stdin;\n1\n\\.\n",
    "CREATE TABLE public.t (a integer);\nCOPY public.t (a) FROM stdin;\nx\n\\.\n",
    "CREATE TABEL public.t (a integer);",
    "CREATE TABLE public.t (a integer);\nCREATE INDEX i ON public.t USING btree (public.f(a));",
    "CREATE TABLE public.t (a integer);\nCOPY public.t (a) FROM stdin;\n1\n1\n\\.\n\
     ALTER TABLE ONLY public.t ADD CONSTRAINT t_pkey PRIMARY KEY (a);",
];

#[test]
fn a_server_of_any_language_is_understood() {
    for (locale, word) in [("de_DE", "existiert nicht"), ("ja_JP", "は存在しません")] {
        let scratch = Scratch::new();
        let cluster = Cluster::speaking(locale);
        let lacking = taken(&scratch, &databases(LACKING.map(|it| it.1)));
        let seen = into(&cluster, &lacking).fails(1);
        for (number, (statement, _)) in LACKING.iter().enumerate() {
            let line = format!("bad restore database 'd{number}' could not be tested: {statement}");
            seen.prints(&line);
        }
        seen.prints(word);
        seen.says("11 of 11 databases could not be tested");
        tells_a_script(&cluster, &lacking);
        let damaged = taken(&scratch, &databases(DAMAGED));
        let seen = into(&cluster, &damaged).fails(3);
        for number in 0..DAMAGED.len() {
            seen.prints(&format!("bad restore database 'd{number}': "));
        }
        seen.prints(word);
        assert!(!seen.out().contains("could not be tested"), "{seen}");
        seen.says("6 of 6 databases did not come back as they were dumped");
        assert_eq!(cluster.databases(), ["postgres"], "{seen}");
    }
}

/// What restore-stream says of the statement that failed, for the judgement to rest on.
fn tells_a_script(cluster: &Cluster, lacking: &Path) {
    let seen = Program::new("restore-stream")
        .arg(lacking)
        .args(["--json", "--database", "d2"])
        .on(cluster)
        .fails(1);
    let said: Value = serde_json::from_slice(&seen.stdout).unwrap_or_default();
    let failed = &said["failure"];
    assert_eq!(failed["sqlstate"], "58P01", "{seen}");
    assert_eq!(failed["statement"], "CREATE FUNCTION public.f", "{seen}");
    assert_eq!(failed["within"], false, "{seen}");
    seen.says("restore-stream: database 'd2': CREATE FUNCTION public.f: ");
}

#[test]
fn a_role_that_may_not_do_it_is_no_fault_of_the_backup() {
    let scratch = Scratch::new();
    let cluster = Cluster::speaking("de_DE");
    cluster.sql("postgres", "create role tester login createdb");
    let forbidden = [
        "CREATE FUNCTION public.f() RETURNS integer LANGUAGE c AS 'x', 'f';",
        "CREATE TYPE public.t;\nCREATE FUNCTION public.i(cstring) RETURNS public.t LANGUAGE internal AS 'textin';",
        "CREATE FUNCTION public.f() RETURNS event_trigger LANGUAGE plpgsql AS 'begin end';\n\
         CREATE EVENT TRIGGER e ON ddl_command_end EXECUTE FUNCTION public.f();",
        "ALTER DATABASE d3 SET session_preload_libraries = 'x';",
    ];
    let backup = taken(&scratch, &databases(forbidden));
    let seen = into(&cluster, &backup).env("PGUSER", "tester").fails(1);
    for number in 0..forbidden.len() {
        seen.prints(&format!(
            "bad restore database 'd{number}' could not be tested: "
        ));
    }
    assert_eq!(cluster.databases(), ["postgres"], "{seen}");
}

#[test]
fn a_locale_that_is_not_there_is_the_machine_s() {
    let scratch = Scratch::new();
    let windows = "ENCODING = 'UTF8' LOCALE = 'German_Germany.1252'";
    let sql = part("shop", "CREATE TABLE public.t (a integer);\n");
    let backup = taken(&scratch, &sql.replace("ENCODING = 'UTF8'", windows));
    let speaker = Cluster::speaking("de_DE");
    for program in [
        own(&scratch, &Version::debian(), &backup),
        own(&scratch, &Version::of(18), &backup),
        into(&speaker, &backup),
    ] {
        let seen = program.fails(1);
        seen.prints("bad restore database 'shop' could not be tested: CREATE DATABASE ");
        seen.says("hint: generate that locale on the server's machine");
    }
}

/// Functions that find what they name by a search path only, and what calls them in a restore.
const PATHLESS: [&str; 4] = [
    "CREATE MATERIALIZED VIEW public.m AS SELECT public.f(1) WITH NO DATA;\n\
     REFRESH MATERIALIZED VIEW public.m;",
    "CREATE INDEX i ON public.t USING btree (public.f(a));",
    "CREATE TABLE public.u (a integer, CONSTRAINT k CHECK ((public.f(a) > 0)));\n\
     COPY public.u (a) FROM stdin;\n1\n\\.\n",
    "CREATE TABLE public.u (a integer, b integer GENERATED ALWAYS AS (public.f(a)) STORED);\n\
     COPY public.u (a) FROM stdin;\n1\n\\.\n",
];

#[test]
fn what_needs_a_search_path_is_told_apart_from_damage() {
    let databases = |settings: &str| {
        let function = format!(
            "SELECT pg_catalog.set_config('search_path', '', false);\nSET check_function_bodies = false;\n\
             CREATE FUNCTION public.f(a integer) RETURNS integer IMMUTABLE LANGUAGE plpgsql {settings}\n\
             AS 'begin return (select count(*) from t); end';\n\
             CREATE TABLE public.t (a integer);\nCOPY public.t (a) FROM stdin;\n1\n2\n\\.\n"
        );
        let all = PATHLESS.map(|sql| format!("{function}{sql}\n"));
        databases(all.iter().map(String::as_str))
    };
    let scratch = Scratch::new();
    for version in [Version::debian(), Version::of(18)] {
        let pathless = taken(&scratch, &databases(""));
        let seen = own(&scratch, &version, &pathless).fails(1);
        for (number, statement) in [
            "REFRESH MATERIALIZED VIEW public.m",
            "CREATE INDEX i ON public.t",
            "COPY public.u",
            "COPY public.u",
        ]
        .iter()
        .enumerate()
        {
            let line = format!("bad restore database 'd{number}' could not be tested: {statement}");
            seen.prints(&line);
        }
        seen.says("ALTER FUNCTION … SET search_path = …");
        let good = taken(&scratch, &databases("SET search_path = public"));
        let seen = own(&scratch, &version, &good).succeeds();
        seen.prints("ok restore 'd3' tables: 2 with 3 rows");
    }
}

/// A trigger on DDL that writes down what is done, and what older dumps have after it.
const LOGGED: &str = "\
CREATE TABLE public.log (what text);
CREATE FUNCTION public.log() RETURNS event_trigger LANGUAGE plpgsql
 AS 'begin insert into public.log values (tg_tag); end';
CREATE TABLE public.t (a integer);
COPY public.t (a) FROM stdin;
1
2
\\.
CREATE EVENT TRIGGER log ON ddl_command_end EXECUTE FUNCTION public.log();
CREATE INDEX i ON public.t USING btree (a);
";

#[test]
fn rows_that_an_event_trigger_adds_are_a_warning() {
    let scratch = Scratch::new();
    for major in [14, 18] {
        let backup = indexed(&scratch, LOGGED, &[("public.log", 0), ("public.t", 2)]);
        let seen = own(&scratch, &Version::of(major), &backup).succeeds();
        seen.prints("event triggers may have added rows: public.log has 1 rows, and 0 were dumped");
    }
    // Fewer are lost.
    let backup = indexed(&scratch, LOGGED, &[("public.log", 0), ("public.t", 3)]);
    let seen = own(&scratch, &Version::debian(), &backup).fails(3);
    seen.prints("rows: public.t has 2 rows, and 3 were dumped");
    // Where there is none, more rows are not what was dumped.
    let without = LOGGED.replace("CREATE EVENT TRIGGER log", "--");
    let without = without.replace("(a);\n", "(a);\nINSERT INTO public.log VALUES ('x');\n");
    let backup = indexed(&scratch, &without, &[("public.log", 0), ("public.t", 2)]);
    let seen = own(&scratch, &Version::debian(), &backup).fails(3);
    seen.prints("rows: public.log has 1 rows, and 0 were dumped");
}

#[test]
fn an_event_trigger_that_forbids_what_comes_after_it_is_the_database_s_own() {
    let scratch = Scratch::new();
    let forbidden = LOGGED.replace(
        "insert into public.log values (tg_tag)",
        "raise exception ''no % without a ticket'', tg_tag",
    );
    let backup = indexed(&scratch, &forbidden, &[]);
    let seen = own(&scratch, &Version::debian(), &backup).fails(1);
    seen.prints("database 'shop' could not be tested: CREATE INDEX i ON public.t USING btree: ERROR: no CREATE INDEX without a ticket",
    );
}

/// In the database that everything connects to: nobody comes in any more.
const CLOSED: &str = "\
CREATE TABLE public.visits (who text);
CREATE FUNCTION public.login() RETURNS event_trigger LANGUAGE plpgsql
 AS 'begin insert into public.visits values (session_user); raise exception ''nobody comes in''; end';
CREATE EVENT TRIGGER login ON login EXECUTE FUNCTION public.login();
ALTER EVENT TRIGGER login ENABLE ALWAYS;
";

#[test]
fn what_keeps_everybody_out_of_every_database_does_not_keep_the_test_out() {
    let scratch = Scratch::new();
    let shop = part("shop", "CREATE TABLE public.t (a integer);\n");
    let everywhere = |sql: &str| {
        let template = part("template1", &sql.replace("postgres", "template1"));
        format!("{template}{}{shop}", part("postgres", sql))
    };
    let library = "ALTER DATABASE postgres SET session_preload_libraries = 'no_such_library';\n";
    let backup = taken(&scratch, &everywhere(library));
    let seen = own(&scratch, &Version::debian(), &backup).succeeds();
    seen.prints("ok restore 'shop' tables: 1 with 0 rows");
    let parts = everywhere(CLOSED) + &part("visited", CLOSED);
    let backup = taken(&scratch, &parts);
    for major in [17, 18] {
        let version = Version::of(major);
        let seen = own(&scratch, &version, &backup).succeeds();
        seen.prints("ok restore 'postgres' tables: 1 with 0 rows");
        seen.prints("ok restore 'shop' tables: 1 with 0 rows");
        seen.prints("ok restore 'visited' tables: 1 with 0 rows");
        let cluster = Cluster::of(version);
        let seen = into(&cluster, &backup).succeeds();
        seen.prints("ok restore 'visited' tables: 1 with 0 rows");
        assert_eq!(cluster.databases(), ["postgres"], "{seen}");
    }
}

/// Of a cluster that belongs to `zoe`: another superuser may grant because she lets it.
const GRANTED: &str = "\
CREATE ROLE aaron;
ALTER ROLE aaron WITH SUPERUSER LOGIN;
CREATE ROLE postgres;
ALTER ROLE postgres WITH SUPERUSER LOGIN;
CREATE ROLE zoe;
ALTER ROLE zoe WITH SUPERUSER LOGIN;
CREATE ROLE app;
CREATE ROLE bob;
GRANT app TO aaron WITH ADMIN OPTION, INHERIT TRUE GRANTED BY zoe;
GRANT app TO postgres WITH ADMIN OPTION, INHERIT TRUE GRANTED BY aaron;
GRANT app TO bob WITH INHERIT TRUE GRANTED BY postgres;
";

#[test]
fn the_first_superuser_is_found_by_what_it_grants() {
    let scratch = Scratch::new();
    let shop = part("shop", "CREATE TABLE public.t (a integer);\n");
    let backup = taken(&scratch, &format!("{GRANTED}\n{shop}"));
    for major in [16, 18] {
        let seen = own(&scratch, &Version::of(major), &backup).succeeds();
        seen.prints("ok restore 'shop' tables: 1 with 0 rows");
    }
}

#[test]
fn an_extension_that_wants_one_database_s_name_cannot_be_tested_elsewhere() {
    let scratch = Scratch::new();
    let extensions = scratch.make("share/extension");
    let write = |name: &str, text: &str| {
        std::fs::write(extensions.join(name), text).expect("an extension");
    };
    write(
        "bound.control",
        "default_version = '1'\nrelocatable = true\n",
    );
    write(
        "bound--1.sql",
        "do $$begin if current_database() <> 'shop' then raise 'only in shop'; end if; end$$;\n",
    );
    let settings = format!(
        "extension_control_path = '{}:$system'",
        scratch.join("share").display()
    );
    let cluster = Cluster::with(Version::of(18), &[], &settings);
    let sql = "CREATE EXTENSION IF NOT EXISTS bound WITH SCHEMA public;\n";
    let other = part("other", "CREATE TABLE public.t (a integer);\n");
    let backup = taken(&scratch, &format!("{}{other}", part("shop", sql)));
    let seen = into(&cluster, &backup).fails(1);
    seen.prints("database 'shop' could not be tested: CREATE EXTENSION IF NOT EXISTS bound: ERROR: only in shop",
    );
    seen.prints("ok restore 'other' tables: 1 with 0 rows");
    seen.says("hint: see what the extension wants of its server")
        .says("1 of 2 databases could not be tested");
    assert_eq!(cluster.databases(), ["postgres"], "{seen}");
}
