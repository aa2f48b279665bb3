//! The scanner on all that could fool it, cut in any way.
#![expect(clippy::unwrap_used, clippy::panic, reason = "test code, all of it")]

use std::convert::Infallible;

use dump_text::{Event, HEAD_LIMIT, Part, PartScanner, Piece, Scanner, Unfinished};
use proptest::prelude::*;

/// A piece that is kept, with parts put together.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Kept {
    Space(String),
    Comment(String),
    Command(String),
    Statement(String),
    Long(String, bool),
    Data(String),
    Ambiguous(String),
    DataEnd(u64),
}

impl Kept {
    /// Its text, of which each character was a byte.
    fn decoded(mut self) -> Self {
        match &mut self {
            Self::Space(text)
            | Self::Comment(text)
            | Self::Command(text)
            | Self::Statement(text)
            | Self::Long(text, _)
            | Self::Data(text)
            | Self::Ambiguous(text) => {
                let bytes: Vec<u8> = text.chars().map(|c| u8::try_from(c).unwrap()).collect();
                *text = String::from_utf8_lossy(&bytes).into_owned();
            }
            Self::DataEnd(_) => {}
        }
        self
    }
}

fn keep(kept: &mut Vec<Kept>, piece: Piece<'_>) {
    // A part may end within a character.
    let text: String = piece.bytes().iter().map(|byte| char::from(*byte)).collect();
    match (piece, kept.last_mut()) {
        (Piece::Space(_), Some(Kept::Space(last))) | (Piece::Data(_), Some(Kept::Data(last))) => {
            last.push_str(&text);
        }
        (Piece::Body { last: ends, .. }, Some(Kept::Long(last, ended))) => {
            last.push_str(&text);
            *ended = ends;
        }
        (Piece::Comment(_), Some(Kept::Comment(last)))
        | (Piece::Command(_), Some(Kept::Command(last)))
            if !last.ends_with(['\n', '\r']) =>
        {
            last.push_str(&text);
        }
        (Piece::Space(_), _) => kept.push(Kept::Space(text)),
        (Piece::Comment(_), _) => kept.push(Kept::Comment(text)),
        (Piece::Command(_), _) => kept.push(Kept::Command(text)),
        (Piece::Statement(_), _) => kept.push(Kept::Statement(text)),
        (Piece::Head(_), _) => {
            assert_eq!(text.len(), HEAD_LIMIT);
            kept.push(Kept::Long(text, false));
        }
        (Piece::Body { .. }, _) => panic!("a body without a head"),
        (Piece::Data(_), _) => kept.push(Kept::Data(text)),
        (Piece::Ambiguous(_), _) => kept.push(Kept::Ambiguous(text)),
        (Piece::DataEnd { rows, .. }, _) => kept.push(Kept::DataEnd(rows)),
    }
}

fn scan_parts<'a>(
    parts: impl Iterator<Item = &'a [u8]>,
) -> (Vec<Kept>, Vec<u8>, Result<(), Unfinished>) {
    scan_parts_with(Scanner::new(), parts)
}

fn scan_parts_with<'a>(
    mut scanner: Scanner,
    parts: impl Iterator<Item = &'a [u8]>,
) -> (Vec<Kept>, Vec<u8>, Result<(), Unfinished>) {
    let mut kept = Vec::new();
    let mut bytes = Vec::new();
    let mut sink = |piece: Piece<'_>| {
        bytes.extend_from_slice(piece.bytes());
        keep(&mut kept, piece);
        Ok::<(), Infallible>(())
    };
    for part in parts {
        scanner.feed(part, &mut sink).unwrap();
    }
    let ended = scanner.finish(&mut sink).unwrap();
    let kept = kept.into_iter().map(Kept::decoded).collect();
    (kept, bytes, ended)
}

fn scan(dump: &str) -> Vec<Kept> {
    let (kept, bytes, ended) = scan_parts(std::iter::once(dump.as_bytes()));
    assert_eq!(String::from_utf8_lossy(&bytes), dump);
    assert_eq!(ended, Ok(()), "{dump}");
    kept
}

/// The statements and commands of a dump.
fn said(dump: &str) -> Vec<String> {
    let kept = scan(dump).into_iter();
    kept.filter_map(|piece| match piece {
        Kept::Statement(text) | Kept::Command(text) => Some(text),
        _ => None,
    })
    .collect()
}

#[test]
fn rows_of_a_copy_are_data_whatever_they_say() {
    let rows = "\\\\connect x\n-- no comment;\n'\"$$/*\n\\N\t.\n\n\\\\.\nCREATE ROLE x;\n.\n";
    let dump = format!("COPY public.t (a, \"from\") FROM stdin;\n{rows}\\.\n\nSELECT 1;\n");
    assert_eq!(
        scan(&dump),
        [
            Kept::Statement("COPY public.t (a, \"from\") FROM stdin;".into()),
            Kept::Space("\n".into()),
            Kept::Data(rows.into()),
            Kept::DataEnd(8),
            Kept::Space("\n".into()),
            Kept::Statement("SELECT 1;".into()),
            Kept::Space("\n".into()),
        ]
    );
}

#[test]
fn a_copy_without_rows_ends_at_once() {
    let kept = scan("COPY t FROM stdin;\n\\.\nCOPY u FROM STDIN WITH (FORMAT csv);\r\n\\.\r\n");
    let ends = kept.iter().filter(|it| **it == Kept::DataEnd(0)).count();
    assert_eq!(ends, 2);
}

#[test]
fn only_a_copy_from_stdin_has_rows() {
    for statement in [
        "COPY t TO stdout;",
        "COPY (SELECT 1 FROM stdin) TO stdout;",
        "COPY t FROM '/stdin';",
        "COPY t FROM \"stdin\";",
        "CREATE TABLE copy (x text DEFAULT 'FROM stdin');",
        "SELECT copy FROM stdin;",
    ] {
        assert_eq!(
            said(&format!("{statement}\nSELECT 2;")),
            [statement, "SELECT 2;"]
        );
    }
}

#[test]
fn nothing_in_a_string_ends_a_statement() {
    for statement in [
        "SELECT ';\n\\connect x\n-- Database \"x\" dump\n';",
        "SELECT 'a'';' || 'b\\';",
        "SELECT E'a\\';\\\\', e'b\\''';';",
        "SELECT U&'a\\';",
        "SELECT N'a\\', b'1', x'f', type'a\\';",
        "SELECT \"a;\"\";\\connect\";",
        "SELECT U&\"a;\";",
        "SELECT $$a;'\"\n\\.\n$$;",
        "SELECT $a$ $b$ ; $a $a$;",
        "SELECT $a$ $$ ; $a$$a$ ';' $a$;",
        "SELECT $ö_1$;$1$;$ö_1$;",
        "SELECT a$b$, $1, 1;",
        "SELECT /* ; ' /* \" */ $$ */ 1;",
        "SELECT 1 -- ; '\n;",
        "SELECT 1-1 /*/ ; */ / 2;",
        "SELECT 2*/* ; */3;",
        "SELECT 2 **/* ; **/3;",
        "CREATE RULE r AS ON INSERT TO t DO ALSO (SELECT 1; SELECT 2;);",
        "CREATE FUNCTION f() RETURNS int LANGUAGE sql BEGIN ATOMIC SELECT 1; SELECT CASE WHEN true THEN 1 END; END;",
        "CREATE OR REPLACE PROCEDURE p() BEGIN ATOMIC SELECT ';'; BEGIN; END; END;",
        "create function \"begin\"() returns int language sql return (select 1);",
        "CREATE TABLE begin (\"case\" int, \"end\" int);",
        ";",
        "-1;",
        "/2;",
    ] {
        assert_eq!(
            said(&format!("\n{statement}\nSELECT 2;\n")),
            [statement, "SELECT 2;"]
        );
    }
}

#[test]
fn strings_follow_the_setting() {
    for off in [
        "SET standard_conforming_strings = off;",
        "set Standard_Conforming_Strings TO 'off';",
    ] {
        let statements = [off, "SELECT 'a\\';';", "SELECT b'\\';"];
        assert_eq!(said(&statements.join("\n")), statements);
    }
    let statements = [
        "SET standard_conforming_strings = off;",
        "SELECT 'a\\';';",
        "SET standard_conforming_strings = on;",
        "SELECT 'a\\';",
        "SET standard_conforming_strings = off;",
    ];
    let dump = statements.join("\n") + "\n\\connect x\nSELECT 'a\\';\n";
    assert_eq!(said(&dump)[5..], ["\\connect x\n", "SELECT 'a\\';"]);
}

#[test]
fn commands_are_lines() {
    assert_eq!(
        said("\\restrict abc\n\\connect \"a;'b\"\nSELECT 1;\n\\unrestrict abc"),
        [
            "\\restrict abc\n",
            "\\connect \"a;'b\"\n",
            "SELECT 1;",
            "\\unrestrict abc"
        ]
    );
    // What no dump has, but psql would do.
    assert_eq!(said("SELECT 1 \\g\n;"), ["SELECT 1 ", "\\g\n", ";"]);
    assert_eq!(
        said("COPY t FROM stdin; \\! id\nx\n\\.\n"),
        ["COPY t FROM stdin;", " \\! id\n"]
    );
    assert_eq!(said("-- a\r\\! id\n"), ["\\! id\n"]);
}

#[test]
fn comments_between_statements_are_told_apart() {
    assert_eq!(
        scan("--\n-- Name: x; 'y\n/* a; /* b */ */SELECT 1;-- c"),
        [
            Kept::Comment("--\n".into()),
            Kept::Comment("-- Name: x; 'y\n".into()),
            Kept::Space("/* a; /* b */ */".into()),
            Kept::Statement("SELECT 1;".into()),
            Kept::Comment("-- c".into()),
        ]
    );
}

#[test]
fn a_long_statement_comes_in_parts() {
    let long = format!("SELECT '{};';", "x".repeat(3 * HEAD_LIMIT));
    let exact = format!("SELECT '{}';", "x".repeat(HEAD_LIMIT - 10));
    assert_eq!(exact.len(), HEAD_LIMIT);
    assert_eq!(
        scan(&format!("{long}{exact}")),
        [
            Kept::Long(long.clone(), true),
            Kept::Statement(exact.clone())
        ]
    );
    let (kept, _, _) = scan_parts(format!("{long}{exact}").as_bytes().chunks(1000));
    assert_eq!(kept, [Kept::Long(long, true), Kept::Statement(exact)]);
}

#[test]
fn what_ends_too_early_is_said() {
    for (dump, unfinished) in [
        ("SELECT 1", Unfinished::Statement),
        ("SELECT 'x;", Unfinished::Statement),
        ("-", Unfinished::Statement),
        (
            "CREATE FUNCTION f() BEGIN ATOMIC SELECT 1;",
            Unfinished::Statement,
        ),
        ("/* x", Unfinished::Comment),
        ("COPY t FROM stdin;", Unfinished::Data),
        ("COPY t FROM stdin;\n1\n2\n", Unfinished::Data),
        ("COPY t FROM stdin;\n1\n\\.", Unfinished::Data),
    ] {
        let (_, bytes, ended) = scan_parts(std::iter::once(dump.as_bytes()));
        assert_eq!(ended, Err(unfinished), "{dump}");
        assert_eq!(bytes, dump.as_bytes());
    }
}

/// Each part's name and its text.
fn parts(dump: &str, cut: usize) -> Vec<(String, String)> {
    let mut parts = vec![("globals".to_owned(), String::new())];
    let mut sink = |event: Event<'_>| {
        match event {
            Event::Begin(Part::Database(name)) => parts.push((name.to_string(), String::new())),
            Event::Begin(Part::End) => parts.push(("end".into(), String::new())),
            Event::Begin(Part::Unnamed) => parts.push(("unnamed".into(), String::new())),
            Event::Begin(Part::Globals) => parts.push(("more globals".into(), String::new())),
            Event::Piece(piece) => {
                let text = std::str::from_utf8(piece.bytes()).unwrap();
                parts.last_mut().unwrap().1.push_str(text);
            }
        }
        Ok::<(), Infallible>(())
    };
    let mut scanner = PartScanner::new();
    for piece in dump.as_bytes().chunks(cut) {
        scanner.feed(piece, &mut sink).unwrap();
    }
    scanner.finish(&mut sink).unwrap().unwrap();
    parts
}

#[test]
fn databases_begin_at_their_comment() {
    let globals = "--\n-- PostgreSQL database cluster dump\n--\n\nCREATE ROLE x;\n\n";
    let first = "--\n-- Database \"template1\" dump\n--\n\n\\connect template1\n\nSELECT 1;\n";
    let second = "--\n-- Database \"a \" dump\" dump\n--\n\nCREATE DATABASE \"a \"\" dump\";\n\
                  \\connect -reuse-previous=on \"dbname='a \"\" dump'\"\n\
                  COPY t FROM stdin;\n-- Database \"fake\" dump\n\\\\connect fake\n\\.\n\
                  SELECT '\n-- Database \"fake\" dump\n\\connect fake\n';\n\
                  \\connect -reuse-previous=on \"dbname='a \"\" dump'\"\n";
    let end = "--\n-- PostgreSQL database cluster dump complete\n--\n\n";
    for (line_end, cut) in ["\n", "\r\n"].iter().flat_map(|end| {
        let cuts = [1, 2, 3, 7, 1000].into_iter();
        cuts.map(move |cut| (end, cut))
    }) {
        let wanted = [
            ("globals", globals),
            ("template1", first),
            ("a \" dump", second),
            ("end", end),
        ];
        let wanted = wanted.map(|(name, text)| (name.to_owned(), text.replace('\n', line_end)));
        let dump: String = wanted.iter().map(|(_, text)| text.as_str()).collect();
        assert_eq!(parts(&dump, cut), wanted);
    }
}

#[test]
fn databases_of_old_dumps_begin_at_their_connect() {
    let dump = "CREATE ROLE x;\nCREATE DATABASE a;\n\n\\connect a\nSELECT 1;\n--\n-- x\n\\connect b\nSELECT 2;\n";
    let wanted = [
        ("globals", "CREATE ROLE x;\nCREATE DATABASE a;\n\n"),
        ("a", "\\connect a\nSELECT 1;\n--\n-- x\n"),
        ("b", "\\connect b\nSELECT 2;\n"),
    ];
    let wanted = wanted.map(|(name, text)| (name.to_owned(), text.to_owned()));
    assert_eq!(parts(dump, 5), wanted);
}

#[test]
fn a_wary_scanner_of_parts_is_one() {
    let mut ambiguous = Vec::new();
    let mut sink = |event: Event<'_>| {
        if let Event::Piece(Piece::Ambiguous(bytes)) = event {
            ambiguous.push(String::from_utf8_lossy(bytes).into_owned());
        }
        Ok::<(), Infallible>(())
    };
    let mut scanner = PartScanner::reporting_ambiguity();
    scanner
        .feed(b"\\connect x\nSELECT :y;\n", &mut sink)
        .unwrap();
    scanner.finish(&mut sink).unwrap().unwrap();
    assert_eq!(ambiguous, ["SELECT :y"]);
}

/// Bits of dumps that mean something to the scanner.
fn bit() -> impl Strategy<Value = String> {
    prop_oneof![
        4 => proptest::sample::select(vec![
            "COPY t FROM stdin;", "copy t (a) from STDIN;\n", "\\.\n", "\\.\r\n", "\\.", "\\", "\n", "\n\\.",
            ";", "'", "''", "\"", "$$", "$a$", "$a", "$", "E'", "e'\\'", "U&'", "U&", "--", "-", "/*", "*/",
            "/", "*", "(", ")", "BEGIN", " ATOMIC ", "END", "CASE ", "CREATE FUNCTION ", "\\connect x\n",
            "\\restrict x\n", "SET standard_conforming_strings = off;", "-- Database \"x\" dump\n", "--\n",
            "\r", " ", "\t", "1", "FROM", " stdin", "\\N\n", "\u{feff}", "\x0b", "1e", "1_", "1.", ".", "e", "u&\"",
            "$1", ":", ":e", "b'0'", "'\r'", "'a'\n", "\\;", "\\:", "SET client_encoding = 'SJIS';\n",
            "\\encoding GBK\n", "SELECT set_config('client_encoding','gb18030',false);", "SET NAMES;", "BEGIN;",
            "COMMIT;", "copy t from stdin\\;", "\u{295}\\", "é",
        ]).prop_map(str::to_owned),
        1 => "[a-z0-9 \n]{0,12}",
    ]
}

proptest! {
    #[test]
    fn how_it_is_cut_makes_no_difference(
        bits in proptest::collection::vec(bit(), 0..40),
        cuts in proptest::collection::vec(1_usize..9, 1..20),
    ) {
        let dump = bits.concat();
        for scanner in [Scanner::new, Scanner::reporting_ambiguity] {
            let (whole, bytes, ended) = scan_parts_with(scanner(), std::iter::once(dump.as_bytes()));
            prop_assert_eq!(String::from_utf8_lossy(&bytes), dump.as_str());
            let mut rest = dump.as_bytes();
            let mut cuts = cuts.iter().cycle();
            let pieces = std::iter::from_fn(|| {
                let length = (*cuts.next()?).min(rest.len());
                let (piece, left) = rest.split_at(length);
                rest = left;
                (!piece.is_empty()).then_some(piece)
            });
            let (cut, bytes, cut_ended) = scan_parts_with(scanner(), pieces);
            prop_assert_eq!(String::from_utf8_lossy(&bytes), dump.as_str());
            prop_assert_eq!(cut, whole);
            prop_assert_eq!(cut_ended, ended);
        }
    }

    #[test]
    fn a_string_of_anything_is_one_statement(text in any::<String>(), tail in "[a-z;']{0,3}") {
        let text = text.replace(['\0', '\r'], "");
        let quoted = text.replace('\'', "''");
        let escaped = text.replace('\\', "\\\\").replace('\'', "\\'");
        let name = text.replace('"', "\"\"");
        for statement in [
            format!("SELECT '{quoted}';"),
            format!("SELECT E'{escaped}';"),
            format!("SELECT \"x{name}\";"),
            format!("SELECT $q_{}$ {text} $q_{}$;", tail.len(), tail.len()),
        ] {
            let dump = format!("{statement}SELECT 2;");
            prop_assert_eq!(said(&dump), [statement.as_str(), "SELECT 2;"]);
        }
    }
}
