//! Forms that psql reads otherwise than one would think: what is a command in them, and what is not.
use std::convert::Infallible;

use dump_text::{Piece, Scanner};

/// The commands in a text, and the first piece that is ambiguous.
fn read(mut scanner: Scanner, text: &[u8]) -> (Vec<String>, Option<String>) {
    let mut commands = Vec::new();
    let mut ambiguous = None;
    let mut sink = |piece: Piece<'_>| {
        let bytes = String::from_utf8_lossy(piece.bytes()).into_owned();
        match piece {
            Piece::Command(_) => commands.push(bytes),
            Piece::Ambiguous(_) => ambiguous = ambiguous.take().or(Some(bytes)),
            _ => {}
        }
        Ok::<(), Infallible>(())
    };
    let Ok(()) = scanner.feed(text, &mut sink);
    let Ok(_) = scanner.finish(&mut sink);
    (commands, ambiguous)
}

fn commands(text: &[u8]) -> Vec<String> {
    read(Scanner::new(), text).0
}

fn ambiguous(text: &str) -> Option<String> {
    read(Scanner::reporting_ambiguity(), text.as_bytes()).1
}

/// What closes a string for the one that takes the command for a part of it.
const END: &[u8] = b" \\! id\n-- '$$\n;\n";

#[test]
fn what_stands_before_a_command_does_not_hide_it() {
    for form in [
        &b"SELECT E'a'\r'\\' ' "[..],
        b"SELECT E'a' \x0c--x\r\r'\\' ' ",
        b"SELECT E'a'\n\n\r'\\' ' ",
        b"SELECT E'a' \n\r'\\' ",
        b"SELECT E'a'\n'\\' ",
        b"SELECT E'a'\r-'\\' ",
        b"SELECT 1e'\\' ",
        b"SELECT 1.5ee'\\' ",
        b"SELECT 1e+5e'\\' ",
        b"SELECT 0x1ge'\\' ",
        b"SELECT $1e'\\' ",
        b"SELECT $e'\\' ' ",
        b"SELECT $b '\\' ",
        b"SELECT 1_$$ ",
        b"SELECT $1_$$ ",
        b"SELECT :e'\\' ",
        b"SELECT :1e'\\' ",
        b"SELECT u&'\\' ",
        b"SELECT b'0''\\' ",
        b"SELECT x'0'\r'\\' ",
        b"SELECT /*/* */*/ ",
        b"SELECT /* *\n/ */ ",
        b"SELECT \"a\"\"b\" ",
        b"SET standard_conforming_strings = off;\nSELECT b'0''\\' ' ",
        b"SELECT pg_catalog.set_config('standard_conforming_strings','off',false);\nSELECT '\\'' ",
        b"SET SESSION standard_conforming_strings = off;\nSELECT '\\'' ",
        b"SET \"standard_conforming_strings\" = off;\nSELECT '\\'' ",
        b"SET /* x */ U&\"standard_conforming_string!0073\" UESCAPE '!' TO 'f';\nSELECT '\\'' ",
        b"SET standard_conforming_strings \\! x\n= off;\nSELECT '\\'' ",
        b"SET standard_conforming_strings = off\\;\nSELECT '\\'' ",
        b"BEGIN; SET standard_conforming_strings = off; ROLLBACK;\nSELECT '\\' ",
        b"ALTER DATABASE evil SET standard_conforming_strings = off;\n\\connect evil\nSELECT '\\'' ",
        b"SET client_encoding TO 'SJIS';\nSELECT E'\x95\x5c' ",
        b"SET client_encoding TO 'SJIS';\nSELECT '\x95' ' ",
        b"SET client_encoding TO 'SJIS';\n--\x95\r\n",
        b"SET NAMES 'gb18030';\nSELECT '\x810\x81' ' ",
        b"\\encoding GBK\nSELECT E'\x95\x5c' ",
        b"\\encoding GBK\n\\encoding UTF8\nSELECT E'\x95\x5c' ' ",
        b"\\encoding GBK\n\\connect x\nSELECT E'\x95\x5c' ' ",
        b"SELECT '\\' \\;",
        b"\xef\xbb\xbf/* */",
    ] {
        let text = [form, END].concat();
        let found = commands(&text);
        assert_eq!(found.last().map(String::as_str), Some("\\! id\n"), "{}", text.escape_ascii());
    }
}

#[test]
fn what_is_no_command_is_none() {
    for text in [
        &b"SELECT E'a'\r'\\' \\! id\n';"[..],
        b"SELECT 1..e'\\' \\! id\n';",
        b"SELECT 1$$ \\! id\n$$;",
        b"SELECT ::e'\\' \\! id\n';",
        b"SELECT :a$$ \\! id\n$$;",
        // Settings are looked at once a line.
        b"SET standard_conforming_strings = off; SELECT '\\' || ' \\! id\n';",
        b"SET LOCAL standard_conforming_strings = off;\nSELECT '\\' || ' \\! id\n';",
        b"SET client_encoding TO 'SJIS';\nSELECT '\x95' \\! id\n';",
        b"SET client_encoding TO 'SJIS';\nSELECT E'\xb1\\' \\! id\n';",
        b"COPY public.from FROM STDIN ;\n \\! id\n\\.\n",
        b"COPY \"a\"\"b\".c (x, \"from\") FROM stdout;\n \\! id\n\\.\n",
    ] {
        assert_eq!(commands(text), [""; 0], "{}", text.escape_ascii());
    }
    // Nor is what follows a COPY data if that has none.
    for text in [
        "COPY t FROM '/x' WHERE a IS DISTINCT FROM stdin;\n\\! id\n",
        "COPY t FROM \"stdin\";\n\\! id\n",
        "COPY t TO stdin;\n\\! id\n",
    ] {
        assert_eq!(commands(text.as_bytes()), ["\\! id\n"], "{text}");
    }
    assert_eq!(
        commands(b"COPY t FROM stdin\\; COPY t FROM stdin;\n\\! a\n\\.\n\\! b\n\\.\n\\! id\n"),
        ["\\;", "\\! id\n"]
    );
}

#[test]
fn a_wary_scanner_says_what_may_be_read_in_two_ways() {
    for form in [
        "SELECT :name;",
        "SELECT :'name';",
        "SELECT :\"name\";",
        "SELECT :{?name};",
        "SELECT a[1:b];",
        "SELECT :1b;",
        "SELECT 1e'x';",
        "SELECT 1_000;",
        "SELECT 0x1F;",
        "SELECT 1e-- x\n;",
        "SELECT 1_$$ $$;",
        "SELECT $1e'x';",
        "SELECT $e'x';",
        "SELECT 'a'\x0b\r'b';",
        "\x0bSELECT 1;",
        " \x0b \\echo x\n",
        "SELECT\x0b1;",
        "SET standard_conforming_strings = off;",
        "SET standard_conforming_strings TO on;",
        "SET LOCAL standard_conforming_strings = on;",
        "RESET ALL;",
        "DISCARD ALL;",
        "SET client_encoding = 'SJIS';",
        "SET client_encoding TO 'UTF8';",
        "SET U&\"client_encodin\\0067\" = 'gbk';",
        "SET NAMES 'big5';",
        "\\encoding SJIS\n",
        "SELECT set_config('standard_conforming_strings', 'on', false);",
        "SELECT set_config(name, 'off', false) FROM pg_settings;",
        "SELECT set_config('client_' || 'encoding', 'sjis', false);",
        "SELECT \"set_config\"(E'client\\x5fencoding', 'sjis', false);",
        "UPDATE pg_settings SET setting = 'off' WHERE name LIKE 'standard_conf%';",
        "ALTER DATABASE x SET standard_conforming_strings = off;",
        "ALTER ROLE x SET client_encoding = 'sjis';",
        "CREATE FUNCTION f() RETURNS void LANGUAGE sql AS $$SET Standard_Conforming_Strings = off$$;",
        "CREATE (x) FUNCTION f BEGIN ; END ;",
        "1 COPY t FROM stdin;\n\\.\n",
        "COPY public.from FROM stdin;\n\\.\n",
        "\u{feff}SELECT 1;",
    ] {
        let text = format!("SELECT 0;\n{form}");
        let found = ambiguous(if form.starts_with('\u{feff}') {
            form
        } else {
            &text
        });
        assert!(found.is_some(), "{form}");
    }
    let long = format!(
        "CREATE FUNCTION f() AS $$ {} client_encoding $$;",
        "x".repeat(200_000)
    );
    assert!(ambiguous(&long).is_some());
}

#[test]
fn a_wary_scanner_takes_what_pg_dump_writes() {
    for text in [
        "SET client_encoding = 'UTF8';\nSET client_encoding = 'LATIN1';\nSET standard_conforming_strings = on;\n",
        "SET escape_string_warning = off;\nSET row_security = off;\n",
        "SELECT pg_catalog.set_config('search_path', '', false);\n",
        "SELECT pg_catalog.setval('public.\"S\"', 1, true);\n",
        "\\encoding UTF8\n\\connect -reuse-previous=on \"dbname='a b'\"\n\\restrict x\n",
        "CREATE VIEW v AS SELECT x::text, a[1:2], a[(1):(n)], 1.5e-10, 1e5, $1, 'C:\\dir' FROM t;",
        "INSERT INTO t VALUES (1, -1.5, '2024-01-01 00:00:00', ':x', '1e''x', E'\\\\x');",
        "COPY \"a\"\"b\".\"c\" (id, \"from\", x) FROM stdin;\n:x 1e'\n\\.\n",
        "COPY t FROM stdin WITH (FORMAT csv);\n\\.\n",
        "CREATE FUNCTION f() RETURNS text LANGUAGE sql AS $_$ SELECT :x, $1e'', 1_$$ $_$;",
        "CREATE FUNCTION f(a integer) RETURNS integer LANGUAGE sql\n BEGIN ATOMIC\n SELECT CASE WHEN a > 1 THEN 1 END;\nEND;\n",
        "ALTER DATABASE x SET search_path TO 'a', 'b';\nALTER ROLE x SET work_mem TO '1GB';\n",
        "BEGIN;\nSELECT pg_catalog.lo_open('1', 131072);\nCOMMIT;\n",
        "COMMENT ON DATABASE x IS 'é: '' $1e';\n-- client_encoding :x\n",
        "CREATE OPERATOR s.-> (FUNCTION = f);\nALTER DOMAIN d ADD CONSTRAINT c CHECK ((VALUE >= '-1'::integer));",
    ] {
        assert_eq!(ambiguous(text), None, "{text}");
    }
}

#[test]
fn what_newer_psqls_take_for_rows_is_for_no_psql() {
    let copy = "COPY t FROM stdin;\n\\.\n";
    for text in [";", "1;", "'x';", "(select 1);", "\"x\";", "SELECT 1;1;"] {
        let (_, found) = read(Scanner::new(), format!("{copy}{text}\n").as_bytes());
        let expected = (!text.starts_with("SELECT")).then(|| text.to_owned());
        assert_eq!(found, expected, "{text}");
    }
    // Nor is what the server refuses, before newer psqls skip its rows.
    for statement in [
        "1a COPY t FROM stdin;",
        "'x' COPY t FROM stdin;",
        ":{?a} COPY t FROM stdin;",
        ":b COPY t FROM stdin;",
        "COPY t FROM stdin x;",
        "COPY FROM stdin;",
        "COPY t u FROM stdin;",
        "COPY public.from FROM stdin;",
    ] {
        let (_, found) = read(Scanner::new(), format!("{statement}\n1\n\\.\n").as_bytes());
        assert_eq!(found.as_deref(), Some(statement));
    }
    for statement in [
        "COPY BINARY t FROM stdin;",
        "COPY t FROM stdin WITH CSV;",
        "COPY t (a) FROM stdin (FORMAT csv) WHERE a > 1;",
        "COPY t FROM stdin USING DELIMITERS ',';",
        "COPY \"t\".\"a\"\"b\" FROM stdin;",
        "COPY U&\"a\" FROM stdout;",
    ] {
        let text = format!("{statement}\n\\! id\n\\.\n");
        assert_eq!(
            read(Scanner::new(), text.as_bytes()),
            (Vec::new(), None),
            "{statement}"
        );
    }
}

#[test]
fn a_tag_without_end_is_for_no_psql() {
    let text = format!("SELECT ${}$ x", "a".repeat(1 << 20));
    let (_, found) = read(Scanner::new(), text.as_bytes());
    assert!(found.is_some());
}
