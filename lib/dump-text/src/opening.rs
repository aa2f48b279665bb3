//! Where in a text a dump begins, whatever stands before it: a greeting of the shell or of kubectl, a byte
//! order mark, comments of the job that made it.

use std::convert::Infallible;

use crate::{Piece, Scanner, Token, tokens};

/// The opening begins within this many characters.
const WITHIN: usize = 1024;
/// The first bytes of a text that tell what it is: in the widest encoding, with the opening and the
/// `\restrict` line that follows it.
pub(crate) const HEAD: usize = 4 * (WITHIN + 256);

/// This much of an opening at a text's end is no coincidence: `--`, a line end, `-- P`.
const TELLING: usize = 8;

const UTF_8_BOM: &[u8] = b"\xef\xbb\xbf";
/// What a byte order mark becomes where characters are read.
const BOM: u8 = 0xfe;
/// What all other characters become that are not ASCII.
const OTHER: u8 = 0xff;

/// The encodings that a terminal or a shell may turn a dump into, and psql cannot read: the name, how many
/// bytes a character has, and whether the first of them is the highest.
const WIDE: [(&str, usize, bool); 4] = [
    ("UTF-16", 2, false),
    ("UTF-16", 2, true),
    ("UTF-32", 4, false),
    ("UTF-32", 4, true),
];

/// Words that SQL before a dump begins with. A greeting may end in `;` too.
const VERBS: [&str; 9] = [
    "set", "select", "begin", "create", "alter", "drop", "grant", "revoke", "comment",
];

/// What a text is, by its opening lines.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Text {
    /// A dump by pg_dumpall.
    Cluster,
    /// A dump of one database by pg_dump.
    Database,
    /// Anything else, which does not say where it ends.
    Other,
}

/// How the lines of a dump end.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum LineEnds {
    /// As pg_dump writes them.
    Lf,
    /// As a terminal or Windows writes them. psql and COPY read them too.
    CrLf,
    /// Carriage returns alone, or several of them: COPY reads other rows then.
    Odd,
}

impl LineEnds {
    /// Of a line end with this many carriage returns.
    pub(crate) fn of(returns: usize, line_feed: bool) -> Self {
        match (returns, line_feed) {
            (0, _) => Self::Lf,
            (1, true) => Self::CrLf,
            _ => Self::Odd,
        }
    }
}

/// What the first bytes of a text tell.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Opening {
    /// No dump.
    None,
    /// The text ends before an opening does.
    Cut,
    /// A dump that psql cannot read, for it is in this encoding.
    Wide(Text, &'static str),
    /// A dump.
    Dump(Dump),
}

/// Where a dump begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Dump {
    pub(crate) text: Text,
    /// Where its opening is.
    pub(crate) start: usize,
    /// How many bytes at the text's beginning are no SQL: what psql must not be given.
    pub(crate) foreign: usize,
    /// Whether these are more than a byte order mark.
    pub(crate) greeting: bool,
    pub(crate) ends: LineEnds,
}

impl Opening {
    /// Looks at the first [`HEAD`] bytes of a text, or all it has: then it has `ended`.
    pub(crate) fn of(head: &[u8], ended: bool) -> Self {
        let bom = if head.starts_with(UTF_8_BOM) {
            UTF_8_BOM.len()
        } else {
            0
        };
        let narrow = find(head, bom, ended);
        if let Found::Whole { text, start, ends } = narrow {
            let greeting = !is_sql(&head[bom..start]);
            return Self::Dump(Dump {
                text,
                start,
                foreign: if greeting { start } else { bom },
                greeting,
                ends,
            });
        }
        let mut cut = !head.is_empty() && matches!(narrow, Found::Cut);
        for (name, width, big) in WIDE {
            // Behind a greeting of another encoding a character may begin anywhere.
            for shift in 0..width {
                let characters = characters(head, width, big, shift);
                let bom = usize::from(characters.first() == Some(&BOM));
                match find(&characters, bom, ended) {
                    Found::Whole { text, .. } => return Self::Wide(text, name),
                    Found::Cut => cut |= !characters.is_empty(),
                    Found::Nothing => {}
                }
            }
        }
        match cut {
            true => Self::Cut,
            false => Self::None,
        }
    }
}

/// The characters of a text in a wide encoding: those of ASCII, and marks for the others.
fn characters(text: &[u8], width: usize, big: bool, shift: usize) -> Vec<u8> {
    // Text of a wide encoding that has letters of ASCII has zero bytes.
    if !text.contains(&0) && !text.starts_with(b"\xff\xfe") && !text.starts_with(b"\xfe\xff") {
        return Vec::new();
    }
    let text = text.get(shift..).unwrap_or_default();
    let character = |unit: &[u8]| {
        let value = unit.iter().enumerate().fold(0_u32, |value, (at, byte)| {
            let place = if big { width - 1 - at } else { at };
            value | u32::from(*byte) << (8 * place)
        });
        match value {
            0xfeff => BOM,
            _ => u8::try_from(value)
                .ok()
                .filter(u8::is_ascii)
                .unwrap_or(OTHER),
        }
    };
    text.chunks_exact(width).map(character).collect()
}

/// What a search for an opening found.
enum Found {
    Nothing,
    /// The text ends within one.
    Cut,
    Whole {
        text: Text,
        start: usize,
        ends: LineEnds,
    },
}

/// Looks for the first opening. `first` is where the text begins after its byte order mark: what ends there
/// within an opening, however early, is a cut dump.
fn find(text: &[u8], first: usize, ended: bool) -> Found {
    let mut cut = false;
    for start in first..=text.len().min(first + WITHIN - 1) {
        let rest = &text[start..];
        // A zero byte is in no text.
        if rest.first() == Some(&0) {
            break;
        }
        if start != first && !rest.starts_with(b"--") {
            continue;
        }
        let mut lines = Lines {
            rest,
            ends: LineEnds::Lf,
        };
        match lines.opening() {
            Ok(kind) => {
                return Found::Whole {
                    text: kind,
                    start,
                    ends: lines.ends,
                };
            }
            Err(Stop::End) => cut |= ended && (start == first || rest.len() >= TELLING),
            Err(Stop::Differs) => {}
        }
    }
    match cut {
        true => Found::Cut,
        false => Found::Nothing,
    }
}

/// Why a text is no opening.
enum Stop {
    /// It ends too early.
    End,
    /// It is something else.
    Differs,
}

/// Reads the lines of an opening.
struct Lines<'a> {
    rest: &'a [u8],
    /// The oddest so far.
    ends: LineEnds,
}

impl Lines<'_> {
    fn opening(&mut self) -> Result<Text, Stop> {
        self.word(b"--")?;
        self.end()?;
        self.word(b"-- PostgreSQL database ")?;
        let text = match self.word(b"dump") {
            Ok(()) => Text::Database,
            Err(Stop::End) => return Err(Stop::End),
            Err(Stop::Differs) => self.word(b"cluster dump").map(|()| Text::Cluster)?,
        };
        self.end()?;
        self.word(b"--")?;
        self.end()?;
        Ok(text)
    }

    fn word(&mut self, word: &[u8]) -> Result<(), Stop> {
        match self.rest.strip_prefix(word) {
            Some(rest) => {
                self.rest = rest;
                Ok(())
            }
            None if word.starts_with(self.rest) => Err(Stop::End),
            None => Err(Stop::Differs),
        }
    }

    /// A line's end, with any number of carriage returns.
    fn end(&mut self) -> Result<(), Stop> {
        let returns = self.rest.iter().take_while(|byte| **byte == b'\r').count();
        let rest = &self.rest[returns..];
        let line_feed = rest.first() == Some(&b'\n');
        if rest.is_empty() {
            return Err(Stop::End);
        }
        if returns == 0 && !line_feed {
            return Err(Stop::Differs);
        }
        self.ends = self.ends.max(LineEnds::of(returns, line_feed));
        self.rest = &rest[usize::from(line_feed)..];
        Ok(())
    }
}

/// Whether what stands before a dump is SQL or a command of psql's, which is restored, or refused, with it:
/// comments, settings, the database that it is of.
fn is_sql(before: &[u8]) -> bool {
    let mut proper = true;
    let mut look = |piece: Piece<'_>| {
        proper &= match piece {
            Piece::Space(_) | Piece::Comment(_) | Piece::Command(_) => true,
            Piece::Statement(statement) => is_statement(statement),
            _ => false,
        };
        Ok::<(), Infallible>(())
    };
    let mut scanner = Scanner::new();
    let Ok(()) = scanner.feed(before, &mut look);
    let Ok(ended) = scanner.finish(&mut look);
    proper && ended.is_ok()
}

fn is_statement(text: &[u8]) -> bool {
    let first = tokens(text).next().map(|spanned| spanned.token);
    match first {
        Some(Token::Word(word)) => text.ends_with(b";") && VERBS.contains(&word.ascii()),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LF: &str = "--\n-- PostgreSQL database dump\n--\n\nSET a = 1;\n";

    fn dump(head: &[u8]) -> Dump {
        match Opening::of(head, true) {
            Opening::Dump(dump) => dump,
            other => panic!("{other:?}: {}", String::from_utf8_lossy(head)),
        }
    }

    #[test]
    fn what_stands_before_it() {
        let (sql, words) = (0, usize::MAX);
        for (before, foreign) in [
            ("", sql),
            ("-- made by the nightly job\n", sql),
            ("-- made by the nightly job\r\n\r\n", sql),
            ("SET client_min_messages = warning;\n", sql),
            ("CREATE DATABASE shop;\n\\connect shop\n\n", sql),
            ("/* site 7 */\n", sql),
            ("\u{feff}", 3),
            ("\u{feff}-- made by a job\n", 3),
            (
                "Defaulted container \"postgres\" out of: postgres, exporter\n",
                words,
            ),
            ("\u{feff}Welcome to db1!\r\n", words),
            ("Pager usage is off.\n", words),
            ("NOTICE:  nothing to do\n", words),
            ("Welcome; have fun;\n", words),
            ("SET\n", words),
            ("it's here\n", words),
            ("\x1b[?2004l\r", words),
            ("Password: ", words),
            ("spawn pg_dump shop\r\n\r\n", words),
            ("-- \u{1b}[0m\nfor your eyes only\n", words),
            ("Grüß Gott\n", words),
        ] {
            let found = dump(format!("{before}{LF}").as_bytes());
            assert_eq!(found.start, before.len(), "{before:?}");
            assert_eq!(found.foreign, foreign.min(before.len()), "{before:?}");
        }
    }

    #[test]
    fn line_ends() {
        for (end, ends) in [
            ("\n", LineEnds::Lf),
            ("\r\n", LineEnds::CrLf),
            ("\r\r\n", LineEnds::Odd),
            ("\r", LineEnds::Odd),
        ] {
            assert_eq!(dump(LF.replace('\n', end).as_bytes()).ends, ends, "{end:?}");
        }
    }

    #[test]
    fn only_the_first_kibibyte_counts() {
        for (length, found) in [(1022, true), (1023, true), (1024, false), (5000, false)] {
            let text = format!("{}\n{LF}", "x".repeat(length - 1));
            let opening = Opening::of(&text.as_bytes()[..text.len().min(HEAD)], false);
            assert_eq!(matches!(opening, Opening::Dump(_)), found, "{length}");
        }
    }

    #[test]
    fn what_is_no_dump() {
        for text in [
            &b"hello\n"[..],
            b"-- PostgreSQL database dump\n",
            b"--\n-- PostgreSQL database dump or what\n--\n",
            b"> --\n> -- PostgreSQL database dump\n> --\n",
            b"const OPENING: &str = \"--\\n-- PostgreSQL database dump\\n--\\n\";\n",
            b"PGDMP\x01\x0e\0\x04\x08\x01",
            b"\0\0\0",
            b"see you\n--\n",
            b"\0",
            b"",
        ] {
            let opening = Opening::of(text, true);
            assert_eq!(opening, Opening::None, "{}", String::from_utf8_lossy(text));
        }
        // An archive of dumps: its header has zero bytes.
        let archive = [b"dump.sql\0\0\0\0ustar  \0\n", LF.as_bytes()].concat();
        assert_eq!(Opening::of(&archive, true), Opening::None);
    }

    #[test]
    fn a_text_that_ends_within_an_opening_is_cut() {
        let opening = LF.find("\n\n").unwrap();
        for before in ["", "\u{feff}", "Welcome\n"] {
            let shortest = if before == "Welcome\n" { TELLING } else { 1 };
            for length in shortest..=opening {
                let text = format!("{before}{}", &LF[..length]);
                assert_eq!(Opening::of(text.as_bytes(), true), Opening::Cut, "{text:?}");
                assert_eq!(
                    Opening::of(text.as_bytes(), false),
                    Opening::None,
                    "{text:?}"
                );
            }
        }
    }
}
