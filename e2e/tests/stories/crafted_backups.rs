//! Backups that somebody has made to do more than to be restored: psql carries out no command of them, a database in place is
//! restored whole or not at all, and the role that restores stays as it is.

use std::path::Path;

use e2e::{Cluster, Program, Scratch, Seen, crafted, tool};

/// Where psql ends a string that a reader of the text may take to go on: what stands behind it is a command for one of the
/// two only. `HERE` is that command.
const FORMS: [(&str, &[u8]); 30] = [
    ("a plain command", b"HERE\n"),
    ("set_config", b"SELECT pg_catalog.set_config('standard_conforming_strings','off',false);\nSELECT '\\'' HERE\n-- '\n;\n"),
    ("SET SESSION", b"SET SESSION standard_conforming_strings = off;\nSELECT '\\'' HERE\n-- '\n;\n"),
    ("SET of a quoted name", b"SET \"standard_conforming_strings\" = off;\nSELECT '\\'' HERE\n-- '\n;\n"),
    ("SET LOCAL", b"BEGIN;\nSET LOCAL standard_conforming_strings = off;\nSELECT '\\'' HERE\n-- '\n;\nCOMMIT;\n"),
    ("a name in Unicode escapes", b"SET U&\"standard\\005fconforming\\005fstrings\" = off;\nSELECT '\\'' HERE\n-- '\n;\n"),
    ("a DO block", b"DO 'BEGIN PERFORM set_config(''standard_conforming_strings'', ''off'', false); END';\nSELECT '\\'' HERE\n-- '\n;\n"),
    ("a function", b"CREATE FUNCTION f() RETURNS text LANGUAGE sql AS 'select set_config(''standard_'' || ''conforming_strings'', ''off'', false)';\nSELECT f();\nSELECT '\\'' HERE\n-- '\n;\n"),
    ("a default", b"CREATE TABLE t (a text DEFAULT set_config('standard_conforming_strings', 'off', false));\nINSERT INTO t DEFAULT VALUES;\nSELECT '\\'' HERE\n-- '\n;\n"),
    ("backslash_quote", b"SET backslash_quote = on;\nSELECT E'\\'' HERE\n;\n"),
    ("a carriage return", b"SELECT E'a'\r'\\' ' HERE\n-- '\n;\n"),
    ("a comment between two parts", b"SELECT E'a' -- x\n'\\' ' HERE\n-- '\n;\n"),
    ("junk after a number", b"SELECT 1e'\\' HERE\n-- '\n;\n"),
    ("junk after a hexadecimal number", b"SELECT 0xe'\\' HERE\n-- '\n;\n"),
    ("junk after a parameter", b"SELECT $1e'\\' HERE\n-- '\n;\n"),
    ("a dollar before a string", b"SELECT $e'\\' ' HERE\n-- '\n;\n"),
    ("a number and a dollar quote", b"SELECT 1_$$ HERE\n-- $$\n;\n"),
    ("a word and a dollar quote", b"SELECT a$$ HERE\n-- $$\n;\n"),
    ("a second part of b'...'", b"SET standard_conforming_strings = off;\nSELECT b'0''\\' ' HERE\n-- '\n;\n"),
    ("a national string", b"SET standard_conforming_strings = off;\nSELECT n'\\'' HERE\n-- '\n;\n"),
    ("a Unicode string", b"SELECT U&'\\' HERE\n-- '\n;\n"),
    ("SJIS", b"SET client_encoding TO 'SJIS';\nSELECT E'\x95\x5c' HERE\n-- '\n;\n"),
    ("a quote in SJIS", b"SET client_encoding TO 'SJIS';\nSELECT '\x95' ' HERE\n-- '\n;\n"),
    ("SET NAMES", b"SET NAMES 'BIG5';\nSELECT '\xa4' ' HERE\n-- '\n;\n"),
    ("GBK by psql", b"\\encoding GBK\nSELECT E'\x95\x5c' HERE\n-- '\n;\n"),
    ("UHC by a function", b"SELECT set_config('client_encoding', 'UHC', false);\nSELECT '\x95' ' HERE\n-- '\n;\n"),
    ("a comment's end", b"/* /* */ HERE\n*/\n;\n"),
    ("in a statement", b"SELECT 1 HERE\n;\n"),
    ("behind an escaped semicolon", b"SELECT 1 \\; SELECT 2 HERE\n;\n"),
    ("behind the rows of a COPY", b"CREATE TABLE t (a int);\nCOPY t FROM stdin; HERE\n1\n\\.\n"),
];

/// A dump of a cluster with a database `evil`.
fn dump(body: &[u8]) -> Vec<u8> {
    [
        b"--\n-- PostgreSQL database cluster dump\n--\n\nSET client_encoding = 'UTF8';\nSET standard_conforming_strings = on;\n\n--\n-- Database \"evil\" dump\n--\n\n--\n-- PostgreSQL database dump\n--\n\nCREATE DATABASE evil WITH TEMPLATE = template0;\n\\connect evil\n\n",
        body,
        b"\n--\n-- PostgreSQL database dump complete\n--\n\n--\n-- PostgreSQL database cluster dump complete\n--\n\n",
    ]
    .concat()
}

fn restore(backup: &Path, cluster: &Cluster) -> Program {
    Program::new("restore-stream").arg(backup).on(cluster)
}

/// psql's commands are those of its session, not of the backup, whatever text is between them.
#[test]
fn no_form_of_a_command_is_carried_out() {
    let cluster = Cluster::start();
    for (form, body) in FORMS {
        let dir = Scratch::new();
        let ran = dir.join("ran");
        let command = format!("\\! touch {}", ran.display());
        let body = replaced(body, b"HERE", command.as_bytes());
        for backup in crafted::both_of(&dir, dump(&body)) {
            for old in [false, true] {
                let mut restore = restore(&backup, &cluster).in_dir(dir.path());
                if old {
                    restore = restore.env("PATH", tool::path_with(&[tool::old_psql()]));
                }
                let seen = restore.run();
                assert!(
                    !ran.exists(),
                    "{form}, psql without \\restrict: {old}\n{seen}"
                );
                let meant = !executes(form) || old && is_told_again(form);
                assert!(seen.code() == Some(3) || meant, "{form} {old}\n{seen}");
                assert_eq!(old, seen.err().contains("no restricted mode"), "{seen}");
                if seen.code() == Some(0) {
                    cluster.sql("postgres", "drop database evil");
                }
                assert_eq!(cluster.databases(), ["postgres"], "{form}\n{seen}");
            }
            // A psql that goes on after errors carries out no command either.
            let seen = restore(&backup, &cluster)
                .args(["--on-error", "continue"])
                .in_dir(dir.path())
                .run();
            assert!(!ran.exists(), "{form}, going on\n{seen}");
            let meant = !executes(form);
            assert!(seen.code() == Some(3) || meant, "{form}, going on\n{seen}");
            for name in cluster.databases().iter().filter(|it| *it != "postgres") {
                assert!(name == "evil" && meant, "{form}, going on: {name}\n{seen}");
                cluster.sql("postgres", "drop database evil");
            }
        }
    }
}

/// Whether psql would carry the command out; in the others it is text for psql too, or the server refuses what is around it.
fn executes(form: &str) -> bool {
    ![
        "backslash_quote",
        "a word and a dollar quote",
        "a Unicode string",
        "a comment's end",
        "a comment between two parts",
    ]
    .contains(&form)
}

/// Whether the server is told by code how to read: a psql without `\restrict` is told again, before each statement of which it
/// could make something else, and then reads what was meant.
fn is_told_again(form: &str) -> bool {
    ["a DO block", "a function", "a default", "UHC by a function"].contains(&form)
}

fn replaced(text: &[u8], from: &[u8], to: &[u8]) -> Vec<u8> {
    match text.windows(from.len()).position(|it| it == from) {
        Some(at) => [&text[..at], to, &text[at + from.len()..]].concat(),
        None => text.to_vec(),
    }
}

/// A database's name becomes text where psql puts the value of its variable DBNAME in.
#[test]
fn a_variable_of_psql_s_is_no_way_in() {
    let cluster = Cluster::start();
    let dir = Scratch::new();
    let odd = String::from_utf8(dump(b"SELECT 1 AS :DBNAME\n;\nSELECT :'DBNAME'\n;\n")).unwrap();
    let odd = odd
        .replace("\"evil\"", "\"x\\! touch ran;#\"")
        .replace("DATABASE evil", "DATABASE \"x\\! touch ran;#\"")
        .replace(
            "\\connect evil",
            r#"\connect -reuse-previous=on "dbname='x\\! touch ran;#'""#,
        );
    for backup in crafted::both_of(&dir, odd.as_bytes()) {
        restore(&backup, &cluster).in_dir(dir.path()).run();
        assert!(!dir.join("ran").exists());
        for name in cluster.databases() {
            if name != "postgres" {
                let name = e2e::sample::identifier(&name);
                cluster.sql("postgres", &format!("drop database {name}"));
            }
        }
    }
}

/// psql never comes to its `\q` then: it is found out, and ended.
#[test]
fn a_backup_that_leaves_psql_within_something() {
    let off = "SELECT pg_catalog.set_config('standard_' || 'conforming_strings', 'off', false);\n";
    // For a reader that takes backslashes as they are, each has two strings; psql has been told otherwise.
    let open = [
        ("a string", format!("{off}SELECT 'a\\';\n")),
        (
            "a string, for a while",
            format!("{off}SELECT 'a\\';\nCREATE TABLE t (a int);\n"),
        ),
        ("a name", format!("{off}SELECT 'a\\', '\"';\n")),
        ("a dollar quote", format!("{off}SELECT 'a\\', '$$';\n")),
        ("a comment", format!("{off}SELECT 'a\\', '/*';\n")),
        ("parentheses", format!("{off}SELECT 'a\\', '( --';\n")),
    ];
    let cluster = Cluster::start();
    for (number, (what, body)) in open.into_iter().enumerate() {
        let dir = Scratch::new();
        // Each takes its seconds: half of them have an index.
        for backup in crafted::both_of(&dir, dump(body.as_bytes()))
            .iter()
            .skip(number % 2)
            .take(1)
        {
            let seen = restore(backup, &cluster).run();
            assert_eq!(seen.code(), Some(3), "{what}\n{seen}");
            assert_eq!(cluster.databases(), ["postgres"], "{what}\n{seen}");
            let sessions = "select count(*) from pg_stat_activity where application_name like 'restore-stream%'";
            e2e::wait_for("the sessions to end", || {
                (cluster.sql("postgres", sessions) == "0").then_some(())
            });
        }
    }
}

/// In place, all is one transaction that is committed last, whatever a dump says of transactions.
#[test]
fn a_transaction_in_place_is_not_ended_early() {
    let cluster = Cluster::start();
    for control in [
        "COMMIT",
        "END",
        "END TRANSACTION",
        "COMMIT /* a comment that makes it longer than forty bytes */",
        "commit and chain",
        "ROLLBACK",
        "ABORT",
        "BEGIN;\nCREATE TABLE more (a int);\nCOMMIT",
        "PREPARE TRANSACTION 'x'",
        "BEGIN;\nSELECT pg_catalog.lo_create('4711');\nCOMMIT;\nCOMMIT",
    ] {
        let body = format!("CREATE TABLE left_behind (a int);\n{control};\nSELECT 1/0;\n");
        let dump = String::from_utf8(dump(body.as_bytes())).unwrap();
        let dump = dump.replace("CREATE DATABASE evil WITH TEMPLATE = template0;\n", "");
        let dir = Scratch::new();
        for backup in crafted::both_of(&dir, dump.replace("evil", "postgres").as_bytes()) {
            let seen = restore(&backup, &cluster).run();
            assert_eq!(seen.code(), Some(3), "{control}\n{seen}");
            let left = "select count(*) from pg_class where relname in ('left_behind', 'more')";
            assert_eq!(cluster.sql("postgres", left), "0", "{control}\n{seen}");
        }
    }
    // Large objects are wrapped in transactions of their own, and come back.
    let first = Cluster::start();
    first.sql(
        "postgres",
        "select lo_from_bytea(4711, 'a large object'); comment on large object 4711 is 'x'",
    );
    let dir = Scratch::new();
    let path = e2e::backup::dump(&first, dir.path());
    restore(&path, &cluster).succeeds();
    assert_eq!(
        cluster.sql("postgres", "select convert_from(lo_get(4711), 'UTF8')"),
        "a large object"
    );
}

/// What is never committed would be lost without a word.
#[test]
fn a_transaction_that_is_never_committed() {
    let cluster = Cluster::start();
    for body in [
        "BEGIN;\nCREATE TABLE t (a int);\n",
        "CREATE TABLE t (a int);\nSTART TRANSACTION;\nINSERT INTO t VALUES (1);\n",
        "BEGIN;\nCREATE TABLE t (a int);\nROLLBACK;\n",
    ] {
        let dir = Scratch::new();
        for backup in crafted::both_of(&dir, dump(body.as_bytes())) {
            let seen = restore(&backup, &cluster).run();
            assert_eq!(seen.code(), Some(3), "{body}\n{seen}");
            assert_eq!(cluster.databases(), ["postgres"], "{body}\n{seen}");
        }
    }
    let dir = Scratch::new();
    let whole = dump(b"BEGIN;\nCREATE TABLE t AS SELECT 7 AS a;\nEND;\n");
    for backup in crafted::both_of(&dir, &whole) {
        restore(&backup, &cluster).succeeds();
        assert_eq!(cluster.sql("evil", "select a from t"), "7");
        cluster.sql("postgres", "drop database evil");
    }
}

#[test]
fn the_role_that_restores_is_not_changed() {
    let cluster = Cluster::start();
    let secret = "select rolpassword || rolconnlimit || rolvaliduntil from pg_authid where rolname = 'postgres'";
    cluster.sql(
        "postgres",
        "alter role postgres password 'before' connection limit 7 valid until '2099-01-01'",
    );
    let before = cluster.sql("postgres", secret);
    for statement in [
        "ALTER ROLE CURRENT_USER WITH PASSWORD 'mine';",
        "ALTER USER SESSION_USER PASSWORD 'mine' CONNECTION LIMIT 1;",
        "ALTER ROLE current_role VALID UNTIL '2000-01-01';",
        "CREATE ROLE mallory;\nGRANT CURRENT_USER TO mallory;",
    ] {
        let dump = String::from_utf8(dump(b"SELECT 1;\n")).unwrap();
        let dump = dump.replace(
            "\n\n--\n-- Database",
            &format!("\n\n{statement}\n\n--\n-- Database"),
        );
        let dir = Scratch::new();
        for backup in crafted::both_of(&dir, dump.as_bytes()) {
            for options in [&[][..], &["--role-passwords"]] {
                let seen: Seen = restore(&backup, &cluster).args(options).succeeds();
                assert!(seen.err().contains("left out: "), "{statement}\n{seen}");
                assert_eq!(
                    cluster.sql("postgres", secret),
                    before,
                    "{statement}\n{seen}"
                );
                let members = "select count(*) from pg_auth_members where roleid = 10";
                assert_eq!(cluster.sql("postgres", members), "0", "{statement}\n{seen}");
                cluster.sql("postgres", "drop database evil");
                cluster.sql("postgres", "drop role if exists mallory");
            }
        }
    }
}
