//! Dumps that were put into one file: roles, then each database; several clusters; files put together. All of them
//! must have ended, whatever stands in their rows and strings.
#![allow(clippy::unwrap_used, reason = "this is test code")]

use std::convert::Infallible;

use dump_text::{Event, Flaw, Outline, Part, PartScanner, Watch};
use proptest::prelude::*;

const CLUSTER_END: &str = "--\n-- PostgreSQL database cluster dump complete\n--\n\n";
const DATABASE_END: &str = "--\n-- PostgreSQL database dump complete\n--\n\n";

/// What a part says of itself, and whether it does so in restricted mode.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Made {
    /// `pg_dumpall --globals-only`
    Globals,
    /// `pg_dump --create NAME`
    Created(&'static str),
    /// `pg_dump`
    Unnamed,
    /// `pg_dumpall` of databases of these names
    Cluster(&'static [&'static str]),
}

const ALL: [Made; 6] = [
    Made::Globals,
    Made::Created("a"),
    Made::Created("b"),
    Made::Unnamed,
    Made::Cluster(&["c", "d"]),
    Made::Cluster(&[]),
];

/// What a dump holds in its tables, functions and values.
const HELD: [&str; 5] = [
    "COPY public.t (a, b) FROM stdin;\n1\tx\n2\ty\n\\.\n",
    "CREATE FUNCTION f() RETURNS text LANGUAGE sql AS $$select '\n'\n$$;\n",
    "INSERT INTO t VALUES ('it''s\nmore');\n",
    "COMMENT ON TABLE t IS '--\n-- PostgreSQL database dump complete\n--\n';\n",
    // A dump that is stored in a table, a line in each row.
    "COPY public.lines (line) FROM stdin;\n--\n-- PostgreSQL database dump\n--\n\n-- Dumped from database version 12.1\nSET a = 1;\n--\n-- PostgreSQL database dump complete\n--\n\\.\n",
];

/// `key`: of the restricted mode, none as older clients have it.
fn database(name: Option<&str>, held: &str, key: Option<&str>) -> String {
    let restrict = |word: &str| key.map_or_else(String::new, |key| format!("\\{word} {key}\n\n"));
    let create = name.map_or_else(String::new, |name| {
        format!(
            "CREATE DATABASE {name};\n\n{}\\connect {name}\n\n{}",
            restrict("unrestrict"),
            restrict("restrict")
        )
    });
    format!(
        "--\n-- PostgreSQL database dump\n--\n\n{}-- Dumped from database version 15.18\n-- Dumped by pg_dump version 15.18\n\nSET statement_timeout = 0;\nSELECT pg_catalog.set_config('search_path', '', false);\n\n{create}{held}\n\n{DATABASE_END}{}",
        restrict("restrict"),
        restrict("unrestrict")
    )
}

impl Made {
    /// `number` makes its keys its own.
    fn text(self, held: &str, keyed: bool, number: usize) -> String {
        let key = |place: usize| keyed.then(|| format!("k{number}x{place}"));
        let globals = || {
            let restrict =
                |word: &str| key(0).map_or_else(String::new, |key| format!("\\{word} {key}\n\n"));
            format!(
                "--\n-- PostgreSQL database cluster dump\n--\n\n{}SET client_encoding = 'UTF8';\n\nCREATE ROLE bob;\nALTER ROLE bob WITH LOGIN PASSWORD 'x';\n\n{}",
                restrict("restrict"),
                restrict("unrestrict")
            )
        };
        match self {
            Self::Globals => globals() + CLUSTER_END,
            Self::Created(name) => database(Some(name), held, key(1).as_deref()),
            Self::Unnamed => database(None, held, key(1).as_deref()),
            Self::Cluster(names) => {
                let mut text = globals();
                for (place, name) in names.iter().enumerate() {
                    let announced = format!("--\n-- Database \"{name}\" dump\n--\n\n");
                    text += &(announced + &database(Some(name), held, key(place + 2).as_deref()));
                }
                text + CLUSTER_END
            }
        }
    }
}

fn watched(text: &str, piece: usize) -> Watch {
    let mut watch = Watch::thorough();
    text.as_bytes().chunks(piece).for_each(|it| watch.see(it));
    watch
}

/// Each part's name and its text.
fn parts(text: &str, piece: usize) -> Vec<(String, String)> {
    let mut parts = vec![(String::new(), String::new())];
    let mut sink = |event: Event<'_>| {
        match event {
            Event::Begin(Part::Database(name)) => parts.push((name.to_string(), String::new())),
            Event::Begin(Part::Unnamed) => parts.push(("unnamed".into(), String::new())),
            Event::Begin(Part::Globals) => parts.push(("globals".into(), String::new())),
            Event::Begin(Part::End) => parts.push(("end".into(), String::new())),
            Event::Piece(piece) => {
                let last = parts.last_mut().unwrap();
                last.1 += std::str::from_utf8(piece.bytes()).unwrap();
            }
        }
        Ok::<(), Infallible>(())
    };
    let mut scanner = PartScanner::new();
    for piece in text.as_bytes().chunks(piece) {
        scanner.feed(piece, &mut sink).unwrap();
    }
    scanner.finish(&mut sink).unwrap().unwrap();
    parts
}

/// All pairs of them, of newer and older clients.
fn pairs() -> Vec<(String, [String; 2])> {
    let mut pairs = Vec::new();
    for first in ALL {
        for second in ALL {
            for (one, other) in [(true, true), (false, false), (true, false), (false, true)] {
                for held in HELD {
                    let texts = [first.text(held, one, 1), second.text(held, other, 2)];
                    pairs.push((
                        format!("{first:?}, {second:?}, {one} {other}, {held:?}"),
                        texts,
                    ));
                }
            }
        }
    }
    pairs
}

#[test]
fn whole_ones_are_whole_together() {
    for (said, [first, second]) in pairs() {
        let text = first.clone() + &second;
        for text in [&text, &text.replace('\n', "\r\n")] {
            for piece in [7, 1 << 20] {
                let watch = watched(text, piece);
                assert_eq!(watch.check(), Ok(()), "{said}");
                assert_eq!(watch.count(), 2, "{said}");
                assert_eq!(watch.flaw(), None, "{said}");
            }
        }
        assert!(watched(&first, 64).check().is_ok(), "{said}");
        assert_eq!(watched(&first, 64).count(), 1, "{said}");
    }
}

/// Behind which no dump that is cut is a whole one: its blank lines at the end may be missing.
fn needed(text: &str) -> usize {
    let last = text.trim_end();
    last.strip_suffix("\n--").unwrap_or(last).len() + 1
}

#[test]
fn one_that_is_cut_is_never_whole() {
    for (said, [first, second]) in pairs() {
        // From where on the first is known for a dump.
        let begun = first.find("--\n\n").unwrap() + 3;
        for at in (begun..needed(&first)).filter(|at| at.is_multiple_of(3)) {
            let text = format!("{}{second}", &first[..at]);
            let found = watched(&text, 4096).check();
            assert!(found.is_err(), "{said}: cut at {at}\n{text}");
        }
        for at in
            (second.find("--\n\n").unwrap()..needed(&second)).filter(|at| at.is_multiple_of(17))
        {
            let text = format!("{first}{}", &second[..at]);
            assert!(
                watched(&text, 4096).check().is_err(),
                "{said}: second at {at}"
            );
        }
    }
}

#[test]
fn one_that_is_cut_in_a_string_is_not_whole() {
    // Where psql reads the next dump as the rest of a string, up to a quote in that.
    for (cut, rest) in [
        (
            "INSERT INTO t VALUES ('abc",
            "INSERT INTO t VALUES ('x');\n",
        ),
        (
            "CREATE FUNCTION f() RETURNS text AS $$ select",
            "DO $$ begin end $$;\n",
        ),
        (
            "COPY one (line) FROM stdin;\nrow\n",
            "COPY one (line) FROM stdin;\nrow\n\\.\n",
        ),
        (
            "COPY one (line) FROM stdin;\nro",
            "COPY one (line) FROM stdin;\nrow\n\\.\n",
        ),
        ("COMMENT ON TABLE t IS E'\\", "SELECT '';\n"),
        ("CREATE TABLE t (\"a", "SELECT 1 AS \"a\";\n"),
        ("-- a comment", "SELECT 1;\n"),
    ] {
        for (one, other) in [(true, true), (false, false), (true, false), (false, true)] {
            for (first, second) in [
                (Made::Created("a"), Made::Created("b")),
                (Made::Unnamed, Made::Unnamed),
                (Made::Cluster(&["c"]), Made::Created("b")),
                (Made::Created("a"), Made::Cluster(&["c"])),
                (Made::Cluster(&["c"]), Made::Cluster(&["d"])),
            ] {
                let whole = first.text("@", one, 1);
                let (begun, _) = whole.split_once('@').unwrap();
                let text = format!("{begun}{cut}{}", second.text(rest, other, 2));
                for piece in [5, 4096, 1 << 20] {
                    let watch = watched(&text, piece);
                    let found = watch.check();
                    assert!(
                        found.is_err(),
                        "{cut:?} {one} {other} {first:?} {second:?}\n{text}"
                    );
                }
            }
        }
    }
}

#[test]
fn what_stands_between_them() {
    let [a, b] =
        [("a", 1), ("b", 2)].map(|(name, number)| Made::Created(name).text(HELD[0], true, number));
    for (between, flaw) in [
        ("\n\n-- the next one\n", None),
        (
            "SET client_min_messages = warning;\n\\connect postgres\n",
            None,
        ),
        ("CREATE DATABASE c;\n", None),
        (
            "Defaulted container \"db\" out of: db, web\n",
            Some(Flaw::Followed),
        ),
        ("\u{feff}", Some(Flaw::Followed)),
        ("logout\n", Some(Flaw::Followed)),
        ("it's here\n", Some(Flaw::Cut)),
    ] {
        let text = format!("{a}{between}{b}");
        assert_eq!(watched(&text, 100).check().err(), flaw, "{between:?}");
    }
}

#[test]
fn each_dump_belongs_to_its_database() {
    let text = |made: Made, number| made.text(HELD[0], true, number);
    let globals = text(Made::Globals, 1);
    let (roles, end) = globals.split_at(globals.len() - CLUSTER_END.len());
    let [a, b, c, unnamed] = [
        text(Made::Created("a"), 2),
        text(Made::Created("b"), 3),
        text(Made::Created("\"c \"\"d\"\"\""), 4),
        text(Made::Unnamed, 5),
    ];
    let again = format!("{unnamed}{unnamed}");
    let more = format!("{a}{unnamed}");
    let by_hand = "CREATE DATABASE x;\n\n";
    let connected = format!("\\connect x\n{unnamed}");
    for wanted in [
        &[("", ""), ("a", a.as_str()), ("b", &b)][..],
        &[("", roles), ("end", end), ("a", &a), ("b", &b)],
        &[
            ("", ""),
            ("a", &a),
            ("globals", roles),
            ("end", end),
            ("b", &b),
        ],
        &[("", ""), ("unnamed", &unnamed)],
        &[("", ""), ("unnamed", &again), ("a", &a)],
        &[("", ""), ("a", &more), ("b", &b)],
        &[("", roles), ("end", end), ("unnamed", &unnamed)],
        &[
            ("", roles),
            ("end", end),
            ("globals", by_hand),
            ("x", &connected),
        ],
        &[("", by_hand), ("x", &connected), ("a", &a)],
        &[("", ""), ("c \"d\"", &c), ("a", &a)],
    ] {
        let wanted: Vec<_> = wanted
            .iter()
            .map(|(name, text)| ((*name).to_owned(), (*text).to_owned()))
            .collect();
        let text: String = wanted.iter().map(|(_, text)| text.as_str()).collect();
        for piece in [1, 9, 1 << 20] {
            assert_eq!(parts(&text, piece), wanted, "{piece}");
        }
    }
}

#[test]
fn the_ends_tell_no_more_than_they_can() {
    let long = "COPY public.t (a) FROM stdin;\n".to_owned() + &"1\n".repeat(20_000) + "\\.\n";
    let text = |made: Made, keyed, number| made.text(&long, keyed, number);
    let seen = |text: &str| {
        Outline::of(
            &text.as_bytes()[..30_000],
            &text.as_bytes()[text.len() - 30_000..],
        )
    };
    let ones = [
        Made::Created("a"),
        Made::Unnamed,
        Made::Cluster(&["c", "d"]),
    ];
    for (first, keyed) in ones.into_iter().flat_map(|it| [(it, true), (it, false)]) {
        let one = text(first, keyed, 1);
        assert_eq!(seen(&one), Ok(Outline::Whole), "{first:?}");
        assert_eq!(seen(&one[..one.len() - 90]), Err(Flaw::Cut), "{first:?}");
        let globals = Made::Globals.text("", keyed, 7) + &one;
        assert_eq!(seen(&globals), Ok(Outline::Several), "{first:?}");
        assert_eq!(
            seen(&globals[..globals.len() - 90]),
            Err(Flaw::Cut),
            "{first:?}"
        );
    }
    for first in &ones[..2] {
        let two = text(*first, true, 1) + &text(Made::Created("b"), true, 2);
        assert_eq!(seen(&two), Ok(Outline::Several), "{first:?}");
    }
    // A cluster's dump that stops behind one of its databases.
    let cluster = text(Made::Cluster(&["c", "d"]), true, 1);
    let cut = &cluster[..cluster.len() - CLUSTER_END.len()];
    assert_eq!(seen(cut), Err(Flaw::Cut));
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_number_of_them_cut_in_any(
        made in proptest::collection::vec((proptest::sample::select(ALL.to_vec()), proptest::sample::select(HELD.to_vec()), any::<bool>()), 1..6),
        of in any::<proptest::sample::Index>(),
        at in any::<proptest::sample::Index>(),
        piece in 1_usize..5000,
    ) {
        let texts: Vec<String> = made
            .iter()
            .enumerate()
            .map(|(number, (made, held, keyed))| made.text(held, *keyed, number))
            .collect();
        prop_assert_eq!(watched(&texts.concat(), piece).check(), Ok(()));
        let whole: String = parts(&texts.concat(), piece).into_iter().map(|(_, text)| text).collect();
        prop_assert_eq!(whole, texts.concat());
        let of = of.index(texts.len());
        let begun = texts[of].find("--\n\n").unwrap() + 3;
        let at = begun + at.index(needed(&texts[of]) - begun);
        let mut cut = texts.clone();
        cut[of].truncate(at);
        prop_assert!(watched(&cut.concat(), piece).check().is_err(), "{}", cut.concat());
    }
}
