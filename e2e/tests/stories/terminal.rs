//! What others say, or call themselves, does nothing to the terminal of whoever reads it.

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::thread;

use e2e::{Cluster, Program, Scratch, Seen, scratch};

const NAME: &str = "postgresql_backup_20250101_000000.sql.gz";
/// A window's title, by ESC and by its C1 form; a line that is written over; a name that reads backwards, one that
/// looks like another.
const EVIL: &str = "\x1b]0;owned\x07 \u{9b}31m \r\x08 \u{202e}lqs\u{2066} sh\u{200b}op\u{feff}";
const TOKEN: &str = "se=2999-01-01&sr=c&sp=rwdlc&sig=NotARealSignature00";

/// Nothing of the kind is in what it said.
fn is_harmless(seen: &Seen) {
    for stream in [&seen.stdout, &seen.stderr] {
        if stream.starts_with(&[0x1f, 0x8b]) {
            // A backup.
            continue;
        }
        let text = String::from_utf8(stream.clone()).unwrap();
        let obeyed: Vec<char> = text
            .chars()
            .filter(|char| {
                let hides = "\u{202e}\u{2066}\u{200b}\u{feff}\u{2028}".contains(*char);
                hides || char.is_control() && !matches!(char, '\n' | '\t')
            })
            .collect();
        assert!(obeyed.is_empty(), "{obeyed:?}\n{text:?}");
    }
}

/// It is harmless, and yet it was said.
fn shows_escaped(seen: &Seen) {
    is_harmless(seen);
    assert!(shows(seen), "{seen}");
}

fn shows(seen: &Seen) -> bool {
    let said = seen.out() + &seen.err();
    let escaped = ["\\u{9b}", "\\u009b"];
    escaped.iter().any(|it| said.contains(it))
}

/// A service that refuses everything in words of its own.
fn hostile_service() -> u16 {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let port = listener.local_addr().unwrap().port();
    let answer = |stream: TcpStream| -> std::io::Result<()> {
        let mut lines = BufReader::new(&stream).lines();
        while !lines.next().transpose()?.unwrap_or_default().is_empty() {}
        let evil = "&#27;]0;owned&#7;\u{9b}31m\u{202e}";
        let body = format!(
            "<Error><Code>A{evil}</Code><Message>B{evil}</Message><AuthenticationErrorDetail>C{evil}</AuthenticationErrorDetail></Error>"
        );
        let length = body.len();
        let head =
            format!("HTTP/1.1 403 X\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n");
        (&stream).write_all((head + &body).as_bytes())
    };
    thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            // Who hangs up early has heard enough.
            let _ = answer(stream);
        }
    });
    port
}

#[test]
fn a_service_says_it() {
    let port = hostile_service();
    let dir = Scratch::new();
    let file = dir.write("a.sql.gz", "no backup").display().to_string();
    let url = format!("http://127.0.0.1:{port}/acc/backups");
    let blob = format!("{url}/{NAME}");
    for (program, args) in [
        ("restore-stream", vec![&*url, "--list"]),
        ("restore-stream", vec![&url, "--latest", "--json"]),
        ("restore-stream", vec![&blob]),
        ("backup-verify", vec![&url]),
        ("backup-verify", vec![&blob, "--json"]),
        ("blob-prune", vec![&url, "--keep-days", "1"]),
        ("blob-put", vec![&file, &blob, "--raw"]),
    ] {
        let seen = Program::new(program)
            .args(args)
            .env("AZURE_STORAGE_SAS_TOKEN", TOKEN)
            .fails(1);
        match seen.err().contains("cannot look at") {
            // A HEAD is answered without words.
            true => is_harmless(&seen),
            false => shows_escaped(&seen),
        }
    }
}

/// A backup whose database, versions and SQL are called so.
fn hostile_backup(dir: &Scratch) -> String {
    let name = format!("e{EVIL}").replace('\r', "");
    let dump = format!(
        "--\n-- PostgreSQL database cluster dump\n--\n\n--\n-- Database \"{name}\" dump\n--\n\n--\n-- PostgreSQL database dump\n--\n\n\
         -- Dumped from database version 15.1 {name}\n-- Dumped by pg_dump version 15.1\n\n\
         CREATE DATABASE \"{name}\" WITH TEMPLATE = template0;\n\\connect -reuse-previous=on \"dbname='{name}'\"\n\n\
         DO $$ BEGIN RAISE WARNING 'x%', E'\\x1b[31mred\\u202e'; END $$;\nSELECT \"no{name}\";\n\
         \n--\n-- PostgreSQL database dump complete\n--\n\n--\n-- PostgreSQL database cluster dump complete\n--\n\n"
    );
    let seen = Program::new("pgdump-gz")
        .args(["--", "cat"])
        .stdin(dump)
        .succeeds();
    is_harmless(&seen);
    dir.write(NAME, &seen.stdout).display().to_string()
}

#[test]
fn a_backup_holds_it() {
    let dir = Scratch::new();
    let file = hostile_backup(&dir);
    let cluster = Cluster::start();
    for (program, args, code) in [
        ("restore-stream", vec![&*file, "--list"], 0),
        ("restore-stream", vec![&file, "--list", "--json"], 0),
        (
            "restore-stream",
            vec![&file, "--database", "nix", "--", "cat"],
            1,
        ),
        ("restore-stream", vec![&file], 1),
        ("restore-stream", vec![&file, "--json"], 1),
        ("backup-verify", vec![&file, "--json"], 0),
        ("backup-verify", vec![&file, "--restore-test"], 3),
        ("backup-verify", vec![&file, "--restore-test", "--json"], 3),
    ] {
        let seen = Program::new(program).args(args).on(&cluster).run();
        shows_escaped(&seen);
        assert_eq!(seen.code(), Some(code), "{seen}");
    }
}

/// Files and directories, commands, options, and what a command says.
#[test]
fn a_command_line_holds_it() {
    let dir = Scratch::new();
    let store = dir.make(EVIL.replace('/', ""));
    let store = store.display().to_string();
    let nothing = format!("{store}/{EVIL}");
    let evil = format!("--{EVIL}");
    let list = format!("printf '%s' '{EVIL}' >&2; exit 1");
    let mut shown = 0;
    for (program, args) in [
        ("pgdump-gz", vec!["--dir", &*store, "--", "echo", "x"]),
        ("pgdump-gz", vec!["--", &nothing]),
        ("pgdump-gz", vec!["--", "sh", "-c", &list]),
        ("pgdump-gz", vec![&evil]),
        ("blob-put", vec![&nothing, &store]),
        ("blob-put", vec![&evil, &evil]),
        ("blob-prune", vec![&store, "--keep-days", "0"]),
        ("blob-prune", vec![&store, "--keep-days", &evil]),
        ("backup-verify", vec![&store]),
        ("backup-verify", vec![&store, "--json"]),
        ("backup-verify", vec![&store, "--metrics", "-"]),
        ("backup-verify", vec![&store, "--now", &evil]),
        ("restore-stream", vec![&store, "--latest"]),
        ("restore-stream", vec![&nothing, "--json"]),
        ("restore-stream", vec![&store, "--before", &evil]),
    ] {
        let seen = Program::new(program).args(args).run();
        is_harmless(&seen);
        shown += usize::from(shows(&seen));
    }
    // Some have nothing to say of it.
    assert!(shown >= 10, "{shown}");
    assert_eq!(
        scratch::names(&store).len(),
        2,
        "the first one's backup and its SHA-256"
    );
    assert!(fs::metadata(&store).unwrap().is_dir());
}
