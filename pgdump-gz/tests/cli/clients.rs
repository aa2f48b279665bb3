//! The dump of a cluster, by clients made up here: a server that answers and fails as the test wants.

use std::fs;
use std::process::Stdio;

use rustix::process::Signal;
use serde_json::Value;

use crate::program::{Seen, TestDir, pid_in, runs, signal, until};

const GLOBALS: &str = "--\n-- PostgreSQL database cluster dump\n--\n\nCREATE ROLE a;\n\n\n";
const CLOSING: &str = "--\n-- PostgreSQL database cluster dump complete\n--\n\n";
const OPENING: &str = "--\n-- PostgreSQL database dump\n--\n\n";
const COMPLETE: &str = "--\n-- PostgreSQL database dump complete\n--\n\n";

/// A server whose databases are `one`, `template1` and `two`, and clients of version 15.18.
fn cluster() -> TestDir {
    let place = TestDir::new();
    place.client("pg_isready", "exit 0");
    answer(
        &place,
        "150018",
        "t",
        "one\\377t\\377t\\377UTF8\\0template1\\377t\\377t\\377UTF8\\0two\\377t\\377t\\377LATIN1\\0",
    );
    let globals = format!("{GLOBALS}{CLOSING}").replace('\n', "\\n");
    place.client(
        "pg_dumpall",
        &format!("echo \"$@\" > globals-arguments; printf -- '{globals}'"),
    );
    dump(&place, "");
    place
}

/// What psql prints (with `\\377` between fields), first that the setting which a pooler would not hand on came from its
/// client.
fn answer(place: &TestDir, version: &str, passwords: &str, databases: &str) {
    let server = format!("off\\377client\\000{version}\\37715.18\\377{passwords}\\0");
    place.client(
        "psql",
        &format!("{MARK}cat > question; printf '{server}{databases}' | {MARKED}"),
    );
}

/// What is to stand between fields is an argument.
const MARK: &str = "for argument; do case $before in --field-separator) mark=$argument;; esac; before=$argument; done\n";
const MARKED: &str = "sed \"s/\\xff/$mark/g\"";

/// pg_dump says which database it is, after it has done `first`; `$name` is its name.
fn dump(place: &TestDir, first: &str) {
    let text = format!("{OPENING}SELECT '$name';\n\n{COMPLETE}").replace('\n', "\\n");
    place.client(
        "pg_dump",
        &format!(
            "[ \"$1\" = --version ] && {{ echo 'pg_dump (PostgreSQL) 15.18'; exit; }}\n\
             for argument; do case $argument in --dbname=*) name=${{argument##*dbname=\\'}}; name=${{name%\\'}};; esac; done\n\
             echo \"$@\" > \"arguments-$name\"\n{first}\nprintf -- \"{text}\""
        ),
    );
}

fn expected() -> String {
    let database = |name: &str, connect: &str| {
        format!(
            "--\n-- Database \"{name}\" dump\n--\n\n{connect}{OPENING}SELECT '{name}';\n\n{COMPLETE}"
        )
    };
    [
        GLOBALS,
        "--\n-- Databases\n--\n\n",
        &database("one", ""),
        &database("template1", "\\connect template1\n\n"),
        &database("two", ""),
        CLOSING,
    ]
    .concat()
}

#[test]
fn the_dump_is_put_together_as_pg_dumpall_does() {
    let place = cluster();
    let seen = place.run(["--restrict-key", "k3y"]).done();
    let text = seen.text();
    let index = text.strip_prefix(&expected()).expect(&text);
    assert_eq!(index.matches("\"kind\":\"database\"").count(), 3, "{index}");
    assert!(seen.stderr.contains("3 databases"), "{seen}");
    let arguments = |name: &str| fs::read_to_string(place.path(name)).unwrap();
    assert!(arguments("arguments-one").contains("--create"));
    assert!(arguments("arguments-one").contains("--encoding=UTF8"));
    assert!(arguments("arguments-two").contains("--encoding=LATIN1"));
    assert!(arguments("arguments-one").contains("--restrict-key=k3y"));
    assert!(!arguments("arguments-template1").contains("--create"));
    assert!(!arguments("globals-arguments").contains("--no-role-passwords"));
}

#[test]
fn a_script_gets_the_databases_in_a_document() {
    let place = cluster();
    let seen = place.run(["--dir", "store", "--json"]).done();
    let said: Value = serde_json::from_slice(&seen.stdout).unwrap();
    assert_eq!(said["server_version"], "15.18", "{seen}");
    assert_eq!(said["client_version"], "15.18", "{seen}");
    let databases = said["databases"].as_array().unwrap();
    let names: Vec<_> = databases.iter().map(|it| it["name"].as_str()).collect();
    assert_eq!(names, [Some("one"), Some("template1"), Some("two")]);
    for database in databases {
        assert_eq!(database["tables"], 0, "{seen}");
        assert_eq!(database["rows"], 0, "{seen}");
        assert!(database["size"].as_u64() > Some(0), "{seen}");
    }
    let all: u64 = databases
        .iter()
        .filter_map(|it| it["sql_size"].as_u64())
        .sum();
    assert!(all > 0 && Some(all) < said["sql_size"].as_u64(), "{seen}");
}

#[test]
fn jobs_do_not_change_the_text() {
    let place = cluster();
    // The first one is ready last.
    dump(
        &place,
        "[ $name != one ] || until [ -e arguments-two ]; do sleep 0.01; done",
    );
    for jobs in ["2", "3", "9"] {
        let seen = place.run(["--jobs", jobs]).done();
        assert!(seen.text().starts_with(&expected()), "{seen}");
    }
    assert_eq!(fs::read_dir(place.path("tmp")).unwrap().count(), 0);
}

#[test]
fn a_dump_that_fails() {
    for jobs in ["1", "3"] {
        let place = cluster();
        for (first, words) in [
            (
                "[ $name != two ] || { echo data; echo 'pg_dump: error: no luck' >&2; exit 1; }",
                "cannot dump database \"two\": pg_dump: error: no luck",
            ),
            (
                "[ $name != two ] || { echo data; kill -KILL $$; }",
                "cannot dump database \"two\": 'pg_dump' was killed by SIGKILL",
            ),
            (
                "[ $name != two ] || exit 0",
                "the dump of database \"two\" is not whole",
            ),
            (
                "[ $name != two ] || { printf -- '--\\n-- PostgreSQL database dump\\n--\\n\\nSELECT'; exit 0; }",
                "the dump of database \"two\" is not whole",
            ),
        ] {
            dump(&place, first);
            place.run(["--jobs", jobs]).failed(1, words);
            place
                .run(["--jobs", jobs, "--dir", "store"])
                .failed(1, words);
            assert_eq!(place.stored(), [""; 0]);
        }
    }
}

#[test]
fn a_failure_stops_the_other_jobs() {
    let place = cluster();
    let script = "case $name in\n\
        two) until [ -s pid-one ] && [ -s pid-template1 ]; do sleep 0.01; done; echo 'pg_dump: error: no luck' >&2; exit 1;;\n\
        *) echo $$ > pid-$name; exec sleep 1000;;\nesac";
    dump(&place, script);
    place
        .run(["--jobs", "3"])
        .failed(1, "\"two\": pg_dump: error: no luck");
    for name in ["pid-one", "pid-template1"] {
        let pid = pid_in(&place.path(name));
        until("the other dump is gone", || !runs(&pid));
    }
}

#[test]
fn a_signal_stops_all_jobs() {
    let place = cluster();
    dump(&place, "echo $$ > pid-$name; exec sleep 1000");
    let child = place
        .program(["--jobs", "2", "--dir", "store"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let pids = ["pid-one", "pid-template1"].map(|name| pid_in(&place.path(name)));
    signal(&child, Signal::TERM);
    Seen::end_of(child).failed(143, "stopped by SIGTERM");
    assert_eq!(place.stored(), [""; 0]);
    for pid in pids {
        until("the dump is gone", || !runs(&pid));
    }
}

#[test]
fn warnings_of_pg_dump_are_handed_on() {
    let place = cluster();
    dump(
        &place,
        "echo 'pg_dump: warning: there are circular foreign keys' >&2",
    );
    let seen = place.run(["--jobs=1"]).done();
    assert!(
        seen.stderr
            .contains("\npg_dump: warning: there are circular foreign keys\n"),
        "{seen}"
    );
}

#[test]
fn globals_that_are_not_whole() {
    let place = cluster();
    place.client(
        "pg_dumpall",
        "printf -- '--\\n-- PostgreSQL database cluster dump\\n'",
    );
    place
        .run([""; 0])
        .failed(1, "the dump of the globals is not whole");
    place.client(
        "pg_dumpall",
        "echo 'pg_dumpall: error: no luck' >&2; exit 1",
    );
    place
        .run([""; 0])
        .failed(1, "cannot dump the globals: pg_dumpall: error: no luck");
}

#[test]
fn globals_that_fail_stop_the_first_dump_beside_them() {
    let place = cluster();
    dump(&place, "echo $$ > pid-$name; exec sleep 1000");
    place.client(
        "pg_dumpall",
        "until [ -s pid-one ]; do sleep 0.01; done; echo 'pg_dumpall: error: no luck' >&2; exit 1",
    );
    place
        .run(["--dir", "store"])
        .failed(1, "cannot dump the globals: pg_dumpall: error: no luck");
    let pid = pid_in(&place.path("pid-one"));
    until("the first dump is gone", || !runs(&pid));
    assert_eq!(place.stored(), [""; 0]);
}

#[test]
fn passwords_that_may_not_be_read() {
    let place = cluster();
    answer(&place, "150018", "f", "one\\377t\\377t\\377UTF8\\0");
    let seen = place.run(["--jobs=1"]);
    seen.failed(1, "permission denied for table pg_authid");
    assert!(seen.stderr.contains("--no-role-passwords"), "{seen}");
    assert!(seen.stdout.is_empty(), "{seen}");
    place.run(["--no-role-passwords"]).done();
    let arguments = fs::read_to_string(place.path("globals-arguments")).unwrap();
    assert!(arguments.contains("--no-role-passwords"), "{arguments}");
}

/// Where the catalogs do not tell: the server's words may be in any language, its code is the same in all.
#[test]
fn passwords_that_are_refused_when_they_are_read() {
    let hint = "hint: on a managed server";
    for (word, words) in [
        ("ERROR", "permission denied for table pg_authid"),
        ("FEHLER", "keine Berechtigung für Tabelle pg_authid"),
        ("ERROR", "テーブルへのアクセスが拒否されました"),
    ] {
        let place = cluster();
        let failing =
            format!("echo 'pg_dumpall: error: query failed: {word}:  {words}' >&2; exit 1");
        place.client("pg_dumpall", &failing);
        let seen = place.run(["--jobs=1"]);
        seen.failed(1, "cannot dump the globals: pg_dumpall: error: ");
        assert!(!seen.stderr.contains(hint), "{seen}");
        let psql = fs::read_to_string(place.path("bin/psql")).unwrap();
        let asked = "cat > question;";
        let refusing = format!(
            "{asked} grep -q rolpassword question && {{ echo '{word}:  42501: {words}' >&2; exit 3; }};"
        );
        place.client("psql", &psql.replacen(asked, &refusing, 1));
        let seen = place.run(["--jobs=1"]);
        seen.failed(1, "cannot dump the roles' passwords: pg_dumpall: error: ");
        assert!(
            seen.stderr.contains(words) && seen.stderr.contains(hint),
            "{seen}"
        );
    }
}

#[test]
fn a_server_that_is_newer() {
    let place = cluster();
    answer(&place, "180006", "t", "one\\377t\\377t\\377UTF8\\0");
    let seen = place.run(["--dir", "store"]);
    seen.failed(1, "newer");
    assert!(seen.stderr.contains("postgresql-client-18"), "{seen}");
    assert_eq!(place.stored(), [""; 0]);
}

/// As PgBouncer does where `ignore_startup_parameters` lets it.
#[test]
fn a_pooler_is_refused() {
    let place = cluster();
    place.client(
        "psql",
        &format!("{MARK}cat > question; printf 'on\\377default\\000150018\\37715.18\\377t\\0one\\377t\\377t\\377UTF8\\0' | {MARKED}"),
    );
    let seen = place.run(["--dir", "store"]);
    seen.failed(4, "a connection pooler");
    assert!(
        seen.stderr.contains("hint: connect to PostgreSQL"),
        "{seen}"
    );
    assert_eq!(place.stored(), [""; 0]);
}

#[test]
fn databases_that_are_left_out() {
    let place = cluster();
    // After the four columns of each database, one for each pattern.
    answer(
        &place,
        "150018",
        "t",
        "one\\377t\\377t\\377U\\377f\\377f\\0template0\\377t\\377t\\377U\\377f\\377f\\0template1\\377t\\377t\\377U\\377f\\377f\\0\
         two\\377t\\377f\\377U\\377t\\377f\\0three\\377f\\377t\\377U\\377f\\377f\\0",
    );
    let seen = place
        .run(["--exclude-database", "T*o", "--exclude-database", "x"])
        .done();
    let text = seen.text();
    assert!(
        text.contains("\"one\" dump") && text.contains("\"template1\" dump"),
        "{text}"
    );
    for name in ["two", "three", "template0"] {
        assert!(!text.contains(&format!("\"{name}\" dump")), "{text}");
    }
    assert!(
        seen.stderr
            .contains("--exclude-database 'x' matches no database"),
        "{seen}"
    );
    let question = fs::read_to_string(place.path("question")).unwrap();
    assert!(question.contains("'^(t.*o)$'"), "{question}");
}

#[test]
fn databases_that_cannot_be_dumped_are_named_first() {
    let place = cluster();
    answer(&place, "150018", "t", "one\\377t\\377f\\377UTF8\\0");
    place.run(["--jobs=1"]).failed(
        1,
        "cannot dump database \"one\": the role has no CONNECT privilege",
    );
    answer(&place, "150018", "t", "new\nline\\377t\\377t\\377UTF8\\0");
    place.run(["--jobs=1"]).failed(1, "line break");
}

#[test]
fn a_server_that_does_not_answer() {
    let place = cluster();
    place.client("pg_isready", "exit 2");
    place.client(
        "psql",
        "cat > question; echo 'psql: error: connection refused' >&2; exit 2",
    );
    let seen = place.run(["--wait", "0s"]);
    seen.failed(1, "psql: error: connection refused");
    assert!(seen.stdout.is_empty(), "{seen}");
}

#[test]
fn a_server_that_is_starting_is_waited_for() {
    let place = cluster();
    let psql = fs::read_to_string(place.path("bin/psql")).unwrap();
    // Asked for the third time, it has started.
    place.client(
        "pg_isready",
        "echo x >> asked; [ $(wc -l < asked) -ge 3 ] && { touch started; exit 0; }; exit 1",
    );
    let late = "[ -e started ] || { cat > question; echo 'psql: error: FATAL:  the database system is starting up' >&2; exit 2; }";
    place.client("psql", &psql.replacen("#!/bin/sh", late, 1));
    let seen = place.run(["--wait", "10m"]).done();
    assert!(seen.stderr.contains("waiting for the server"), "{seen}");
}

#[test]
fn what_waiting_does_not_help_is_said_at_once() {
    let place = cluster();
    place.client("psql", "cat > question; echo 'psql: error: FATAL:  password authentication failed for user \"x\"' >&2; exit 2");
    let seen = place.run(["--wait", "10000w"]);
    seen.failed(1, "password authentication failed");
    assert!(seen.stderr.contains("PGPASSWORD"), "{seen}");
}

#[test]
fn no_client_is_installed() {
    let place = TestDir::new();
    let output = place
        .program(["--jobs=1"])
        .env("PATH", place.path("bin"))
        .output();
    let seen = Seen::of(output.unwrap());
    seen.failed(1, "cannot run 'pg_dump'");
    assert!(seen.stderr.contains("postgresql-client"), "{seen}");
}

#[test]
fn no_room_for_waiting_databases() {
    let place = cluster();
    dump(
        &place,
        "[ $name != one ] || until [ -e arguments-two ]; do sleep 0.01; done",
    );
    let output = place
        .program(["--jobs", "2"])
        .env("TMPDIR", "/nowhere")
        .output();
    let seen = Seen::of(output.unwrap());
    seen.failed(1, "cannot write a temporary file in '/nowhere'");
    assert!(seen.stderr.contains("TMPDIR"), "{seen}");
}

#[test]
fn a_password_is_on_no_command_line() {
    let place = cluster();
    dump(
        &place,
        "cat /proc/$$/cmdline > seen-dump; echo \"$PGPASSWORD\" > password",
    );
    let seen = place.run(["-d", "postgresql://me:s3cret@db/start"]).done();
    assert!(!seen.stderr.contains("s3cret"), "{seen}");
    let read =
        |name: &str| String::from_utf8_lossy(&fs::read(place.path(name)).unwrap()).into_owned();
    for name in ["seen-dump", "arguments-one", "globals-arguments"] {
        assert!(!read(name).contains("s3cret"), "{name}");
    }
    assert_eq!(read("password"), "s3cret\n");
    assert!(read("arguments-one").contains("user='me' host='db'"));
    assert!(read("globals-arguments").contains("--database=dbname='start'"));
}

#[test]
fn clients_that_say_more_than_the_dump() {
    // A script in pg_dump's place, with kubectl in it: what it says would stand in a section of the backup.
    let greeting = "printf 'Defaulted container \"db\" out of: db, web\\n'";
    let place = cluster();
    dump(&place, &format!("[ $name != two ] || {greeting}"));
    place.run(["--dir", "store"]).failed(
        1,
        "the dump of database \"two\" does not begin as such a dump begins",
    );
    let place = cluster();
    let globals = format!("{GLOBALS}{CLOSING}").replace('\n', "\\n");
    place.client("pg_dumpall", &format!("{greeting}; printf -- '{globals}'"));
    place.run(["--dir", "store"]).failed(
        1,
        "the dump of the globals does not begin as such a dump begins",
    );
    assert_eq!(place.stored(), [""; 0]);
}
