//! Texts that psql reads in some way, whatever they mean: pieces of SQL, of strings and of commands, in any
//! order. Each has probes in it: lines `\echo @7@` that psql carries out where it takes them for commands.

use crate::Chance;

/// A text for psql.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Soup {
    /// What it is.
    pub text: Vec<u8>,
    /// Whether it is read up to the first error only, which would leave unknown what was carried out of it.
    pub strict: bool,
}

/// What any statement may consist of.
const BITS: &[&str] = &[
    "'",
    "''",
    "'a'",
    "\"",
    "\"\"",
    "$$",
    "$a$",
    "$b$",
    "$é$",
    "$",
    "$1",
    "$12",
    "E'",
    "e'",
    "U&'",
    "u&'",
    "u&\"",
    "U&",
    "B'",
    "b'0'",
    "x'",
    "N'",
    "n'",
    "--",
    "/*",
    "*/",
    "/",
    "*",
    "-",
    "(",
    ")",
    "\r",
    "\t",
    " ",
    "\n",
    "\n\n",
    "\x0c",
    "\\",
    "1",
    "1e",
    "1e5",
    "1e+",
    "0x1",
    "1.",
    "1..",
    ".5",
    "1a",
    "1_0",
    "1_",
    "0b",
    "a",
    "e",
    "E",
    "u",
    "&",
    "ab",
    "é",
    "select",
    "begin",
    "end",
    "case",
    "atomic",
    "create",
    "function",
    "create function f",
    "create or replace procedure p",
    "as",
    "or",
    "+",
    "@",
    "=",
    ".",
    "..",
    ":",
    "::",
    ":=",
    ":a",
    ":e",
    ":1",
    ":é",
    ":'",
    ":\"",
    ":{?a}",
    "{",
    "}",
    "[",
    "]",
    ";",
    ";",
    ";\n",
    " e",
    " E'",
    "copy",
    "from",
    "\r'",
    "'\r",
    "'\n\r'",
    "--a\r",
    "copy t",
    "set",
    ",",
];
/// Of these there is one now and then: what follows is no dump's.
const RARE: &[&str] = &["\\'", "\\;", "\\:", "\\.", "\x0b", "\x0b\r'"];
/// What begins a COPY, and what does not. No `COPY public.from FROM stdin`, at which newer psqls end.
const COPIES: &[&str] = &[
    "copy t from stdin;\n",
    "COPY public.t (x) FROM STDIN ;\n",
    "copy t from/**/stdin with (format text);\r\n",
    "copy t from stdout;\n",
    "copy public . --\n \"from\" FROM stdin;\n",
    "copy t from stdin where x is distinct from 'a';\n",
    "copy t from '/dev/null' where x is distinct from stdin;\n",
    "copy t to stdin;\n",
    "copy (select 'from stdin') to stdout;\n",
    "copy (select x from stdin) to stdout;\n",
    "copy t from stdin; ;\n",
    "select $$copy$$ from stdin;\n",
];
const ROWS: &[&str] = &[
    "a\n", "\\N\n", "\\.\n", "\\.\n", "\\.\r\n", "\\\\.\n", "'\n", "x\\.\n", "\n", "$$\n",
    "\r\\.\n",
];
/// What sets how psql reads.
const SETTINGS: &[&str] = &[
    "set standard_conforming_strings = off;",
    "set standard_conforming_strings to 'off';",
    "SET SESSION \"Standard_Conforming_Strings\" = f;",
    "set local standard_conforming_strings = off;",
    "set standard_conforming_strings = on;",
    "set standard_conforming_strings = default;",
    "set U&\"standard_conforming_string\\0073\" = 0;",
    "select set_config('standard_conforming_strings','off',false);",
    "select 1, pg_catalog.\"set_config\"('standard_conforming_strings', $$no$$, 'f');",
    "select set_config('standard_conforming_strings','off',true);",
    "values (set_config('standard_conforming_strings','on',false));",
    "set standard_conforming_strings \n= /* on */ off -- on\n;",
    "reset standard_conforming_strings;",
    "reset all;",
    "begin;",
    "start transaction isolation level serializable, read write;",
    "commit;",
    "end and chain;",
    "rollback;",
    "abort and chain;",
    "savepoint a;",
    "savepoint b;",
    "rollback to a;",
    "release a;",
    "rollback to savepoint b;",
];
/// And which bytes belong together.
const ENCODINGS: &[&str] = &[
    "set client_encoding = 'sjis';",
    "set client_encoding to \"Big5\";",
    "set names 'GBK';",
    "set names 'win949';",
    "set client_encoding = 'gb18030';",
    "set client_encoding = johab;",
    "set client_encoding = 'shift_jis_2004';",
    "set client_encoding = 'LATIN1';",
    "set local names 'uhc';",
    "select set_config('client_encoding','sjis',false);",
    "reset client_encoding;",
    "set names;",
    "\\encoding sjis\n",
    "\\encoding UTF8\n",
    "\\connect postgres\n",
];
/// For statements that the server takes, under one setting or another.
const STRINGS: &[&[u8]] = &[
    b"'a'",
    b"'\\'",
    b"'\\\\'",
    b"'\\'' \n'",
    b"e'\\''",
    b"'it''s'",
    b"$$\\$$",
    b"b'0'",
    b"n'\\'",
    b"'\x95\\'",
    b"e'\x95\\'",
    b"'\x95'",
    b"'\xb1\\'",
    b"e'\xb1'",
    b"$\x95$ $\x95$",
    b"\"\x95\"",
    b"'\x8f\\'",
    b"'\x8f''",
    b"'\x810\x81'",
    b"'\x81\\",
    b"/*\x81*/",
    b"--\x95\r",
    b"e'a'\r'\\''",
    b"'\x95\n",
    b"--\x81\n",
];

/// A text; its probes are numbered from 0. It changes what connections to a database of this name begin with.
pub fn soup(chance: &mut Chance, other: &str) -> Soup {
    let kind = chance.below(6);
    let mut text = Vec::new();
    if chance.below(50) == 0 {
        text.extend("\u{feff}".as_bytes());
    }
    let mut probes = 0;
    for _ in 0..chance.below(12) + 2 {
        match kind {
            0..=2 => bits(chance, &mut text),
            3 => copies(chance, &mut text),
            4 => settings(chance, &mut text),
            _ => statements(chance, other, &mut text),
        }
        if chance.below(2) == 0 {
            text.extend(format!(" \\echo @{probes}@\n").as_bytes());
            probes += 1;
        }
    }
    text.extend(format!(" \\echo @{probes}@\n").as_bytes());
    Soup {
        text,
        strict: kind == 5,
    }
}

fn bits(chance: &mut Chance, text: &mut Vec<u8>) {
    for _ in 0..chance.below(6) + 1 {
        let bit = match chance.below(60) {
            0 => chance.of(RARE),
            _ => chance.of(BITS),
        };
        // A backslash and a letter are a command, which might be any.
        if text.ends_with(b"\\") && bit.starts_with(|c: char| !"';: \n".contains(c)) {
            text.push(b'\'');
        }
        text.extend(bit.as_bytes());
    }
    if text.ends_with(b"\\") {
        text.push(b'\'');
    }
}

fn copies(chance: &mut Chance, text: &mut Vec<u8>) {
    match chance.below(3) {
        0 => text.extend(chance.of(COPIES).as_bytes()),
        1 => bits(chance, text),
        _ => {}
    }
    for _ in 0..chance.below(4) {
        text.extend(chance.of(ROWS).as_bytes());
    }
}

fn settings(chance: &mut Chance, text: &mut Vec<u8>) {
    bits(chance, text);
    if chance.below(2) == 0 {
        text.extend(chance.of(&[";", "; ", "';", "\n;\n"]).as_bytes());
        text.extend(chance.of(SETTINGS).as_bytes());
        text.extend(
            chance
                .of(&["\n", " ", "\r\n", "select '\\'';\n"])
                .as_bytes(),
        );
    }
}

fn statements(chance: &mut Chance, other: &str, text: &mut Vec<u8>) {
    match chance.below(12) {
        0..=2 => text.extend(chance.of(SETTINGS).as_bytes()),
        3..=5 => text.extend(chance.of(ENCODINGS).as_bytes()),
        6 => {
            let what = chance.of(&["set standard_conforming_strings = off", "reset all"]);
            text.extend(format!("alter database {other} {what};\n\\connect {other}\n").as_bytes());
        }
        _ => {
            text.extend(b"select ");
            for _ in 0..chance.below(3) + 1 {
                text.extend(*chance.of(STRINGS));
                text.extend(chance.of(&["", " ", "\r", " \r ", "\n", ","]).as_bytes());
            }
            // A probe may stand within a statement, before the server says what it thinks of that.
            if chance.below(2) == 0 {
                return;
            }
            text.extend(b";");
        }
    }
    text.extend(chance.of(&["\n", " ", "\r\n", "\n\n"]).as_bytes());
}
