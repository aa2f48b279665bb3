//! `-- COMMAND`.

use std::fs::{self, File};
use std::io::Read;
use std::process::{Command, Stdio};

use crate::program::{Seen, TestDir, gunzip};

const DATABASE: &str = "--\n-- PostgreSQL database dump\n--\n\n\\restrict key\n\n\
    -- Dumped from database version 14.5\n-- Dumped by pg_dump version 15.18\n\n\
    CREATE TABLE t (a text);\nCOPY t (a) FROM stdin;\n-- Database \"evil\" dump\n\\\\connect evil\n\\.\n\n\
    --\n-- PostgreSQL database dump complete\n--\n\n\\unrestrict key\n\n";

fn cluster() -> String {
    format!(
        "--\n-- PostgreSQL database cluster dump\n--\n\n\\restrict key\n\nCREATE ROLE a;\n\n\\unrestrict key\n\n\
         --\n-- Databases\n--\n\n\
         --\n-- Database \"template1\" dump\n--\n\n\\connect template1\n\n{DATABASE}\
         --\n-- Database \"it's\" dump\n--\n\n{DATABASE}\
         --\n-- PostgreSQL database cluster dump complete\n--\n\n"
    )
}

fn wrapped(place: &TestDir, text: &str) -> Seen {
    let file = place.path("text");
    fs::write(&file, text).unwrap();
    let output = place
        .program(["--", "cat"])
        .stdin(File::open(file).unwrap())
        .output()
        .unwrap();
    Seen::of(output)
}

#[test]
fn any_output_gets_the_marker() {
    let place = TestDir::new();
    let seen = place.sh("echo hello; echo 'some words' >&2").done();
    assert_eq!(seen.text(), "hello\n");
    assert!(
        seen.stderr
            .starts_with("some words\npgdump-gz: standard output: "),
        "{seen}"
    );
    assert!(
        seen.stderr.contains("without an index, from 'sh'"),
        "{seen}"
    );
}

/// Held to a rate, faster than any test would notice: whether it is a dump that is read, or anything else.
#[test]
fn a_rate_changes_nothing_else() {
    let place = TestDir::new();
    for text in [cluster(), "0123456789\n".repeat(100_000)] {
        fs::write(place.path("text"), &text).unwrap();
        let words = ["--max-rate", "1000G", "--", "cat", "text"];
        let seen = place.run(words).done();
        assert!(seen.text().starts_with(&text), "{seen}");
    }
    let wrong = place.run(["--max-rate", "1", "--", "true"]);
    wrong.failed(2, "is no rate from 64K on");
}

#[test]
fn a_dump_is_batch_work() {
    // The 41st field of /proc/PID/stat (proc(5), sched(7)): 3 is SCHED_BATCH, 5 SCHED_IDLE.
    let script = "cut -d ' ' -f 41 /proc/$PPID/stat /proc/self/stat";
    let place = TestDir::new();
    assert_eq!(place.sh(script).done().text(), "3\n3\n");
    let program = ["--no-sched-batch", "--", "sh", "-c", script];
    assert_eq!(place.run(program).done().text(), "0\n0\n");
    // A policy that somebody has chosen stays.
    let program = place.program(["--", "sh", "-c", script]);
    let mut chosen = Command::new("chrt");
    chosen.args(["--idle", "0"]).arg(program.get_program());
    let output = chosen.args(program.get_args()).output().unwrap();
    assert_eq!(Seen::of(output).done().text(), "5\n5\n");
}

#[test]
fn a_large_output_is_the_same_afterwards() {
    let place = TestDir::new();
    let script = "i=0; while [ $i -lt 40000 ]; do echo \"line $i of many\"; i=$((i+1)); done";
    let seen = place
        .run(["--threads", "3", "--", "sh", "-c", script])
        .done();
    let wanted: String = (0..40000)
        .map(|at| format!("line {at} of many\n"))
        .collect();
    assert!(seen.text() == wanted);
}

#[test]
fn a_command_that_fails() {
    let place = TestDir::new();
    place
        .sh("echo data; echo 'cannot go on' >&2; exit 5")
        .failed(1, "'sh' failed with exit code 5: cannot go on");
    place
        .sh("echo data; kill -KILL $$")
        .failed(1, "'sh' was killed by SIGKILL");
    place.sh("exit 0").failed(1, "'sh' wrote nothing");
    place
        .run(["--", "no-such-command"])
        .failed(1, "cannot run 'no-such-command'");
    assert_eq!(place.stored(), [""; 0]);
}

#[test]
fn a_command_that_fails_leaves_no_file() {
    let place = TestDir::new();
    for script in ["echo data; exit 5", "echo data; kill -KILL $$", "exit 0"] {
        let seen = place.run(["--dir", "store", "--", "sh", "-c", script]);
        seen.failed(1, "'sh'");
        assert!(seen.stdout.is_empty(), "{seen}");
        assert_eq!(place.stored(), [""; 0], "{script}");
    }
}

#[test]
fn a_dump_of_one_database() {
    let place = TestDir::new();
    assert_eq!(wrapped(&place, DATABASE).done().text(), DATABASE);
    for cut in [DATABASE.len() - 2, DATABASE.len() / 2, 60] {
        wrapped(&place, &DATABASE[..cut - 20]).failed(1, "what 'cat' wrote is not whole");
    }
}

#[test]
fn a_dump_of_a_cluster_gets_an_index() {
    let place = TestDir::new();
    let cluster = cluster();
    let seen = wrapped(&place, &cluster).done();
    assert!(seen.stderr.contains("2 databases, from 'cat'"), "{seen}");
    let text = seen.text();
    let index = text.strip_prefix(&cluster).unwrap();
    assert!(index.contains("\"server_version\":\"14.5\""), "{index}");
    assert!(index.contains("\"client_version\":\"15.18\""), "{index}");
    assert!(index.contains("\"name\":\"template1\""), "{index}");
    assert!(index.contains("\"name\":\"it's\""), "{index}");
    assert!(!index.contains("evil"), "{index}");
    for cut in [cluster.len() - 60, cluster.len() / 2, 50] {
        wrapped(&place, &cluster[..cut]).failed(1, "what 'cat' wrote is not whole");
    }
}

#[test]
fn a_dump_that_was_changed_on_the_way() {
    let place = TestDir::new();
    for (text, said) in [
        (cluster().replace('\n', "\r\n"), "end in CRLF"),
        (
            format!("Pager usage is off.\n{}", cluster()),
            "first 20 bytes are no SQL",
        ),
        (DATABASE.replace('\n', "\r\n"), "end in CRLF"),
        (format!("\u{feff}{DATABASE}"), "without an index"),
    ] {
        let seen = wrapped(&place, &text).done();
        // As it came.
        assert_eq!(seen.text(), text);
        assert!(seen.stderr.contains(said), "{seen}");
        assert!(seen.stderr.contains("without an index"), "{seen}");
        for cut in [text.len() - 30, text.len() / 2, 200] {
            wrapped(&place, &text[..cut]).failed(1, "what 'cat' wrote is not whole");
        }
    }
}

#[test]
fn a_dump_that_psql_cannot_read_is_refused_at_once() {
    let place = TestDir::new();
    // It would never end.
    let script = "printf -- '-\\0-\\0\\n\\0-\\0-\\0 \\0'; for c in P o s t g r e S Q L ' ' d a t a b a s e ' ' d u m p; \
        do printf \"$c\\0\"; done; printf -- '\\n\\0-\\0-\\0\\n\\0'; yes";
    place
        .sh(script)
        .failed(1, "its dump is in UTF-16, which psql cannot read");
}

#[test]
fn the_command_reads_our_standard_input() {
    let place = TestDir::new();
    let seen = wrapped(&place, "from outside").done();
    assert_eq!(seen.text(), "from outside");
}

#[test]
fn the_command_has_no_terminal() {
    let place = TestDir::new();
    // What would ask for a password there must fail, not be stopped in the background.
    let try_it = "(exec < /dev/tty) 2> /dev/null && echo terminal || echo none";
    fs::write(place.path("try"), try_it).unwrap();
    let program = env!("CARGO_BIN_EXE_pgdump-gz");
    let on_a_terminal = format!("sh ./try > without; '{program}' -- sh ./try > with");
    let script = Command::new("script")
        .args([
            "--quiet",
            "--return",
            "--command",
            &on_a_terminal,
            "/dev/null",
        ])
        .current_dir(place.path("."))
        .stdin(Stdio::null())
        .output()
        .unwrap();
    assert!(script.status.success(), "{script:?}");
    assert_eq!(
        fs::read_to_string(place.path("without")).unwrap(),
        "terminal\n"
    );
    assert_eq!(gunzip(&fs::read(place.path("with")).unwrap()), "none\n");
}

#[test]
fn a_full_disk() {
    let place = TestDir::new();
    let full = File::options().write(true).open("/dev/full").unwrap();
    let mut program = place.program(["--", "echo", "hello"]);
    let seen = Seen::of(
        program
            .stdout(full)
            .stderr(Stdio::piped())
            .output()
            .unwrap(),
    );
    seen.failed(
        1,
        "cannot write to standard output: No space left on device",
    );
}

#[test]
fn a_broken_pipe_is_a_failure() {
    let place = TestDir::new();
    let mut child = place
        .program(["--", "sh", "-c", "head -c 100000000 /dev/urandom"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdout = child.stdout.take().unwrap();
    stdout.read_exact(&mut [0; 1000]).unwrap();
    drop(stdout);
    Seen::end_of(child).failed(1, "cannot write to standard output: Broken pipe");
}
