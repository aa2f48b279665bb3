//! Whatever comes, and however much of it: the scanner keeps little.
#![expect(clippy::unwrap_used, reason = "test code, all of it")]

use std::convert::Infallible;
use std::fs;

use dump_text::{Piece, Scanner};

/// The most memory that this process has had, in KiB.
fn most() -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let line = status
        .lines()
        .find(|line| line.starts_with("VmHWM"))
        .unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}

#[test]
fn endless_texts_take_little_memory() {
    const LENGTH: usize = 4 << 20;
    for (begin, repeated) in [
        ("SELECT $", "a"),
        ("SELECT $a$", "$"),
        ("SELECT ", "a"),
        ("SELECT ", "1_"),
        ("SELECT '", "a"),
        ("SELECT \"", "a"),
        ("SELECT ", "("),
        ("SELECT /*", "/*"),
        ("/*", "/*"),
        ("--", "-"),
        ("\\connect ", "a"),
        ("SELECT ", "1 \\! x\n"),
        ("SET ", "x \\; "),
        ("COPY t FROM stdin;", " "),
        ("BEGIN;", "SAVEPOINT a;"),
        ("COPY t FROM stdin;\n\\", "\\"),
        ("SET client_encoding = 'gbk';\n'", "\u{95}"),
    ] {
        for scanner in [Scanner::new, Scanner::reporting_ambiguity] {
            let before = most();
            let mut scanner = scanner();
            let mut sink = |_: Piece<'_>| Ok::<(), Infallible>(());
            scanner.feed(begin.as_bytes(), &mut sink).unwrap();
            let chunk = repeated.repeat(4096);
            for _ in 0..LENGTH / chunk.len() {
                scanner.feed(chunk.as_bytes(), &mut sink).unwrap();
            }
            let more = most() - before;
            assert!(more < 1024, "{begin}{repeated}…: {more} KiB more");
        }
    }
    let mut scanner = Scanner::new();
    let mut sink = |_: Piece<'_>| Ok::<(), Infallible>(());
    let before = most();
    for number in 0..100_000 {
        let alter = format!("ALTER DATABASE x{number} SET client_encoding = 'gbk';\n");
        scanner.feed(alter.as_bytes(), &mut sink).unwrap();
    }
    let more = most() - before;
    assert!(more < 1024, "databases: {more} KiB more");
}
