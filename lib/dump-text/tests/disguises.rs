//! Dumps that did not come as they were written: through a terminal, after a greeting, with a byte order mark, in
//! another encoding. A whole one is whole or refused for what it is; a cut one is never whole.

use dump_text::{Flaw, Oddity, Text, Watch};
use proptest::prelude::*;

const OLD: &str = "--\n-- PostgreSQL database dump\n--\n\nSET statement_timeout = 0;\n\n\
    COPY public.t (a) FROM stdin;\n1\t-- PostgreSQL database dump complete\n2\n\\.\n\n\n\
    --\n-- PostgreSQL database dump complete\n--\n\n";

/// Dumps of pg_dump and pg_dumpall: their name, their text.
fn dumps() -> Vec<(&'static str, String)> {
    let new = OLD.replacen(
        "--\n\nSET",
        "--\n\n\\restrict k3y\n\n-- Dumped from database version 15.18\n\nSET",
        1,
    ) + "\\unrestrict k3y\n\n";
    let long = new.replacen("2\n", &"2\n".repeat(6000), 1);
    let globals = "--\n-- PostgreSQL database cluster dump\n--\n\n\\restrict a\n\nCREATE ROLE x;\n\n\\unrestrict a\n\n";
    let end = "--\n-- PostgreSQL database cluster dump complete\n--\n\n";
    let cluster =
        format!("{globals}--\n-- Databases\n--\n\n--\n-- Database \"shop\" dump\n--\n\n{new}{end}");
    vec![
        ("of one database", new),
        ("of an older client", OLD.to_owned()),
        ("of a large database", long),
        ("of a cluster", cluster),
        ("of the globals", format!("{globals}{end}")),
    ]
}

const GREETINGS: [&str; 7] = [
    "Defaulted container \"postgres\" out of: postgres, exporter\n",
    "Welcome to db1 (Debian 12)\n\n3 updates can be applied; run apt.\nLast login: Mon\n",
    "Pager usage is off.\n",
    "NOTICE:  there is nothing to be seen\n",
    "mysql  Ver 8.0\nType 'help;' or '\\h' for help.\n\n",
    "spawn pg_dump shop\nPassword: \n",
    "\u{1b}[?2004l\u{1b}[0m\r",
];

/// What may be done to a dump. All bytes but the dump's own are `before` it.
#[derive(Debug, Clone, Copy)]
struct Disguise {
    crlf: bool,
    bom: bool,
    before: &'static str,
    /// Bytes of a character, and whether the first is the highest.
    wide: Option<(usize, bool)>,
}

impl Disguise {
    fn all() -> Vec<Self> {
        let mut all = Vec::new();
        let comments = [
            "",
            "-- made by the nightly job\n",
            "SET client_min_messages = warning;\n",
        ];
        for before in comments.into_iter().chain(GREETINGS) {
            for crlf in [false, true] {
                for bom in [false, true] {
                    for wide in [None, Some((2, false)), Some((2, true)), Some((4, false))] {
                        all.push(Self {
                            crlf,
                            bom,
                            before,
                            wide,
                        });
                    }
                }
            }
        }
        all
    }

    fn of(self, dump: &str) -> Vec<u8> {
        let bom = if self.bom { "\u{feff}" } else { "" };
        let mut text = format!("{bom}{}{dump}", self.before);
        if self.crlf {
            text = text.replace('\n', "\r\n");
        }
        let Some((width, big)) = self.wide else {
            return text.into_bytes();
        };
        let unit = |character: char| {
            let value = u32::from(character);
            match big {
                true => value.to_be_bytes()[4 - width..].to_vec(),
                false => value.to_le_bytes()[..width].to_vec(),
            }
        };
        text.chars().flat_map(unit).collect()
    }

    fn greets(self) -> bool {
        GREETINGS.contains(&self.before)
    }
}

fn watched(text: &[u8], piece: usize) -> Watch {
    let ends = fed(Watch::default(), text, piece);
    let all = fed(Watch::thorough(), text, piece);
    // Of one dump both see the same.
    assert_eq!(ends.check(), all.check());
    all
}

fn fed(mut watch: Watch, text: &[u8], piece: usize) -> Watch {
    for piece in text.chunks(piece) {
        watch.see(piece);
    }
    watch
}

/// Where the last line that a dump needs has ended: only blank lines come after it.
fn needed(dump: &str) -> usize {
    let last = dump.trim_end();
    // The comment's own last line says nothing.
    last.strip_suffix("\n--").unwrap_or(last).len() + 1
}

#[test]
fn a_whole_one_is_known_for_what_it_is() {
    for (name, dump) in dumps() {
        for disguise in Disguise::all() {
            let text = disguise.of(&dump);
            for piece in [1, 7, 1024, 1 << 20] {
                let watch = watched(&text, piece);
                let said = format!("{name}, {disguise:?}, {piece}");
                let kind = match name {
                    "of a cluster" | "of the globals" => Text::Cluster,
                    _ => Text::Database,
                };
                assert_eq!(watch.text(), kind, "{said}");
                match disguise.wide {
                    Some((2, _)) => {
                        assert_eq!(watch.check(), Err(Flaw::Encoding("UTF-16")), "{said}");
                    }
                    Some(_) => assert_eq!(watch.check(), Err(Flaw::Encoding("UTF-32")), "{said}"),
                    None => assert_eq!(watch.check(), Ok(()), "{said}"),
                }
                let readable = disguise.wide.is_none();
                let oddities = watch.oddities();
                let greeting = oddities
                    .iter()
                    .any(|odd| matches!(odd, Oddity::Greeting(_)));
                assert_eq!(greeting, readable && disguise.greets(), "{said}");
                assert_eq!(
                    oddities.contains(&Oddity::CrLf),
                    readable && disguise.crlf,
                    "{said}"
                );
                let plain = disguise.of("").is_empty() && !disguise.crlf && readable;
                assert_eq!(watch.is_plain(), plain, "{said}");
            }
        }
    }
}

#[test]
fn a_cut_one_is_never_whole() {
    // What stands before makes no difference to the wide ones: two of each are enough.
    let few = ["", GREETINGS[0]];
    for (name, dump) in dumps() {
        for disguise in Disguise::all() {
            if disguise.wide.is_some() && !few.contains(&disguise.before) {
                continue;
            }
            let before = disguise.of("").len();
            let whole = disguise.of(&dump);
            let end = disguise.of(&dump[..needed(&dump)]).len();
            // Behind other words some characters tell nothing yet.
            let width = disguise.wide.map_or(1, |(width, _)| width);
            let first = if disguise.before.is_empty() {
                before.max(width)
            } else {
                before + 8 * width
            };
            // Of the middle of a long one some places are enough.
            let middle = |at: &usize| *at < 1500 || *at + 1500 > end || at.is_multiple_of(997);
            for at in (first..end).filter(middle) {
                let watch = watched(&whole[..at], 4096);
                assert!(
                    watch.check().is_err(),
                    "{name}, {disguise:?}, cut at {at} of {end}"
                );
            }
            let watch = watched(&whole[..end], 4096);
            assert_eq!(
                watch.check().is_ok(),
                disguise.wide.is_none(),
                "{name}, {disguise:?}"
            );
        }
    }
}

#[test]
fn what_follows_the_closing_line_is_not_passed_over() {
    for (name, dump) in dumps() {
        for (after, flaw) in [
            ("", None),
            ("\r\n \t\n-- made by a job\n", None),
            ("RESET ALL;\n", None),
            ("RESET ALL;\r\n-- done\r\n", None),
            ("RESET ALL", Some(Flaw::Followed)),
            ("RESET ALL; SELECT 1;\n", Some(Flaw::Followed)),
            ("SET statement_timeout = 0;\n", Some(Flaw::Followed)),
            ("exit\n", Some(Flaw::Followed)),
            ("logout\r\n", Some(Flaw::Followed)),
            (
                "command terminated with exit code 0\n",
                Some(Flaw::Followed),
            ),
            ("postgres@db1:~$ \n", Some(Flaw::Followed)),
            ("postgres@db1:~$ ", Some(Flaw::Followed)),
            ("SELECT 2;\n", Some(Flaw::Followed)),
            ("\0\0\0\0\n", Some(Flaw::Followed)),
            ("\u{1a}\n", Some(Flaw::Followed)),
        ] {
            let text = format!("{dump}{after}");
            assert_eq!(
                watched(text.as_bytes(), 64).check().err(),
                flaw,
                "{name}: {after:?}"
            );
        }
    }
}

#[test]
fn carriage_returns_that_make_rows_are_refused() {
    for (name, dump) in dumps() {
        for end in ["\r", "\r\r\n", "\r\r\r\n"] {
            let text = dump.replace('\n', end);
            let watch = watched(text.as_bytes(), 100);
            assert_eq!(watch.check(), Err(Flaw::LineEnds), "{name}: {end:?}");
            assert_eq!(
                watch.check_opening(),
                Err(Flaw::LineEnds),
                "{name}: {end:?}"
            );
        }
    }
}

proptest! {
    #[test]
    fn cut_anywhere_in_pieces_of_any_size(
        dump in proptest::sample::select(dumps()),
        disguise in proptest::sample::select(Disguise::all()),
        at in any::<proptest::sample::Index>(),
        sizes in proptest::collection::vec(1_usize..9000, 1..8),
    ) {
        let (_, dump) = dump;
        let whole = disguise.of(&dump);
        let first = disguise.of("").len() + 4 * 8;
        let end = disguise.of(&dump[..needed(&dump)]).len();
        let cut = first + at.index(end - first);
        for (length, complete) in [(cut, false), (whole.len(), disguise.wide.is_none())] {
            let mut watch = Watch::default();
            let mut rest = &whole[..length];
            let mut sizes = sizes.iter().cycle();
            while !rest.is_empty() {
                let (piece, left) = rest.split_at(rest.len().min(*sizes.next().unwrap()));
                watch.see(piece);
                rest = left;
            }
            prop_assert_eq!(watch.is_complete(), complete, "{:?} {}", disguise, length);
            prop_assert_eq!(watch.length(), length as u64);
        }
    }
}
