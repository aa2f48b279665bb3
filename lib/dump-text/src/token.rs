use std::ops::Range;

use memchr::{memchr2, memmem};
use pg_text::PgText;

use crate::bytes::{continues_tag, continues_word, is_space, starts_word};
use crate::escape::{escaped, unicode};
use crate::number::{Next, Number};

/// Names are cut to this many bytes by the server.
const NAME_LIMIT: usize = 63;

/// A token of SQL.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Token {
    /// A keyword or an unquoted name, in lower case as the server folds it.
    Word(PgText),
    /// A quoted name, without its quotes.
    Name(PgText),
    /// A string's value.
    Text(PgText),
    /// A number, `$1`, a bit string.
    Number,
    /// One other character; or a name or a string that the server refuses for what is escaped in it, by its
    /// first.
    Symbol(u8),
}

impl Token {
    /// Whether it is this keyword (given in lower case).
    pub fn is(&self, keyword: &str) -> bool {
        matches!(self, Self::Word(word) if *word == *keyword)
    }
}

/// A token and where it stands in the statement, in bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Spanned {
    /// The token.
    pub token: Token,
    /// Its bytes, quotes included, and the `UESCAPE` that belongs to it.
    pub at: Range<usize>,
}

/// The tokens of a statement as the server reads them, without white space and comments. Backslashes in
/// `'…'` are taken as ordinary characters, as pg_dump and pg_dumpall set it for names. What is cut off ends
/// the last token.
pub fn tokens(statement: &[u8]) -> impl Iterator<Item = Spanned> + '_ {
    let mut at = 0;
    std::iter::from_fn(move || {
        at += blank(&statement[at..]);
        let rest = &statement[at..];
        let (token, length) = token(rest)?;
        let start = at;
        at += length;
        Some(Spanned {
            token,
            at: start..at,
        })
    })
}

/// The length of the white space and comments that `text` begins with.
fn blank(text: &[u8]) -> usize {
    let mut at = 0;
    loop {
        let rest = &text[at..];
        at += match rest {
            [byte, ..] if is_space(*byte) => 1,
            [b'-', b'-', ..] => line_comment(rest),
            [b'/', b'*', ..] => block_comment(rest),
            _ => return at,
        };
    }
}

/// Its length, without the line's end.
fn line_comment(text: &[u8]) -> usize {
    memchr2(b'\n', b'\r', text).unwrap_or(text.len())
}

fn block_comment(text: &[u8]) -> usize {
    let mut depth = 0;
    let mut at = 0;
    while at < text.len() {
        match &text[at..] {
            [b'/', b'*', ..] => (depth, at) = (depth + 1, at + 2),
            [b'*', b'/', ..] if depth == 1 => return at + 2,
            [b'*', b'/', ..] => (depth, at) = (depth - 1, at + 2),
            _ => at += 1,
        }
    }
    at
}

fn token(text: &[u8]) -> Option<(Token, usize)> {
    let found = match text {
        [] => return None,
        [b'"', ..] => {
            let (name, length) = quoted_name(text);
            (Token::Name(cut(name)), length)
        }
        [b'\'', ..] => string(text, |value| Some(value.to_vec())),
        [b'n' | b'N', b'\'', ..] => after(1, string(&text[1..], |value| Some(value.to_vec()))),
        [b'e' | b'E', b'\'', ..] => after(1, escape_string(&text[1..])),
        [b'b' | b'B' | b'x' | b'X', b'\'', ..] => (Token::Number, 1 + bits(&text[1..])),
        [b'u' | b'U', b'&', b'"' | b'\'', ..] => unicode_escaped(text),
        [first, ..] if starts_word(*first) => {
            let length = length_of(text, continues_word);
            let word = text[..length].to_ascii_lowercase();
            (Token::Word(cut(word)), length)
        }
        [b'0'..=b'9', ..] => (Token::Number, number(Number::integer(), text, 1)),
        [b'.', b'0'..=b'9', ..] => (Token::Number, number(Number::fraction(), text, 2)),
        [b'.', b'.', ..] => (Token::Symbol(b'.'), 2),
        [b'$', ..] => dollar(text),
        [symbol, ..] => (Token::Symbol(*symbol), 1),
    };
    Some(found)
}

fn after(prefix: usize, (token, length): (Token, usize)) -> (Token, usize) {
    (token, prefix + length)
}

fn length_of(text: &[u8], belongs: impl Fn(u8) -> bool) -> usize {
    let end = text.iter().position(|&byte| !belongs(byte));
    end.unwrap_or(text.len())
}

/// A name as the server keeps it.
fn cut(mut name: Vec<u8>) -> PgText {
    if name.len() > NAME_LIMIT {
        let mut end = NAME_LIMIT;
        // Not within a character.
        while end > 0 && name[end] & 0xc0 == 0x80 {
            end -= 1;
        }
        name.truncate(end);
    }
    name.into()
}

/// What stands in `"…"`, and the length of all.
fn quoted_name(text: &[u8]) -> (Vec<u8>, usize) {
    let mut name = Vec::new();
    let mut at = 1;
    while at < text.len() {
        match &text[at..] {
            [b'"', b'"', ..] => at += 1,
            [b'"', ..] => return (name, at + 1),
            _ => {}
        }
        name.push(text[at]);
        at += 1;
    }
    (name, at)
}

/// A string that may come in parts, with a line end between them; `value` is what its text means.
fn string(text: &[u8], value: impl Fn(&[u8]) -> Option<Vec<u8>>) -> (Token, usize) {
    let (raw, length) = parts(text, |_| 1);
    let token = value(&raw).map_or(Token::Symbol(b'\''), |value| Token::Text(value.into()));
    (token, length)
}

fn escape_string(text: &[u8]) -> (Token, usize) {
    // A doubled quote is escaped as the others are, so that one pass reads all.
    let (raw, length) = parts(text, |text| match text {
        [b'\\', _, ..] => 2,
        _ => 1,
    });
    let token = escaped(&raw).map_or(Token::Symbol(b'\''), |value| Token::Text(value.into()));
    (token, length)
}

/// The text within a string's quotes, all parts of it, doubled quotes as one; `one` is how much belongs
/// together where the text begins.
fn parts(text: &[u8], one: impl Fn(&[u8]) -> usize) -> (Vec<u8>, usize) {
    let mut raw = Vec::new();
    let mut at = 1;
    while at < text.len() {
        let rest = &text[at..];
        match rest {
            [b'\'', b'\'', ..] => {
                raw.push(b'\'');
                at += 2;
            }
            [b'\'', ..] => match continuation(&rest[1..]) {
                Some(length) => at += 1 + length,
                None => return (raw, at + 1),
            },
            _ => {
                let length = one(rest);
                raw.extend_from_slice(&rest[..length]);
                at += length;
            }
        }
    }
    (raw, at)
}

/// How far it is to the next part of a string that ends before `text`, its quote included.
fn continuation(text: &[u8]) -> Option<usize> {
    let mut at = 0;
    let mut lines = false;
    loop {
        match &text[at..] {
            [b'\'', ..] if lines => return Some(at + 1),
            [byte, ..] if is_space(*byte) => {
                lines |= matches!(byte, b'\n' | b'\r');
                at += 1;
            }
            [b'-', b'-', ..] => at += line_comment(&text[at..]),
            _ => return None,
        }
    }
}

/// The length of `'…'` in which two quotes are no quote.
fn bits(text: &[u8]) -> usize {
    let mut at = 1;
    loop {
        at += length_of(&text[at.min(text.len())..], |byte| byte != b'\'') + 1;
        match text.get(at..).and_then(continuation) {
            Some(length) => at += length,
            None => return at.min(text.len()),
        }
    }
}

/// `U&"…"`, `U&'…'`, and `UESCAPE '!'` behind it.
fn unicode_escaped(text: &[u8]) -> (Token, usize) {
    let is_name = text[2] == b'"';
    let (raw, length) = match is_name {
        true => quoted_name(&text[2..]),
        false => parts(&text[2..], |_| 1),
    };
    let length = 2 + length;
    let (escape, more) = uescape(&text[length..]);
    let token = match escape.and_then(|escape| unicode(&raw, escape)) {
        Some(value) if is_name => Token::Name(cut(value)),
        Some(value) => Token::Text(value.into()),
        None => Token::Symbol(text[0]),
    };
    (token, length + more)
}

/// The character that escapes by what follows, none if that is none; and how long that is.
fn uescape(text: &[u8]) -> (Option<u8>, usize) {
    let at = blank(text);
    let word = length_of(&text[at..], continues_word);
    if !text[at..at + word].eq_ignore_ascii_case(b"uescape") {
        return (Some(b'\\'), 0);
    }
    let at = at + word;
    let at = at + blank(&text[at..]);
    let Some((token, length)) = token(&text[at..]) else {
        return (None, at);
    };
    let escape = match token {
        Token::Text(escape) => match escape.as_bytes() {
            &[byte] if !byte.is_ascii_hexdigit() && !is_space(byte) => Some(byte),
            _ => None,
        },
        _ => None,
    };
    let escape = escape.filter(|byte| !matches!(byte, b'+' | b'\'' | b'"'));
    (escape, at + length)
}

/// The length of a number of which `at` bytes have been read.
fn number(mut number: Number, text: &[u8], mut at: usize) -> usize {
    while let Some(byte) = text.get(at) {
        match number.next(*byte) {
            Next::More(more) => number = more,
            Next::Ended => break,
            Next::Dots => return at - 1,
        }
        at += 1;
    }
    at
}

fn dollar(text: &[u8]) -> (Token, usize) {
    let rest = &text[1..];
    let tag = match rest {
        [first, ..] if starts_word(*first) => length_of(rest, continues_tag),
        [first, ..] if first.is_ascii_digit() => {
            let digits = length_of(rest, |byte| byte.is_ascii_digit());
            let junk = rest.get(digits).is_some_and(|byte| starts_word(*byte));
            let length = match junk {
                true => length_of(rest, continues_word),
                false => digits,
            };
            return (Token::Number, 1 + length);
        }
        _ => 0,
    };
    if rest.get(tag) != Some(&b'$') {
        return (Token::Symbol(b'$'), 1);
    }
    let (delimiter, body) = text.split_at(tag + 2);
    let length = memmem::find(body, delimiter).unwrap_or(body.len());
    let value = body[..length].into();
    let end = (2 * delimiter.len() + length).min(text.len());
    (Token::Text(value), end)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all(statement: &str) -> Vec<Token> {
        tokens(statement.as_bytes())
            .map(|spanned| spanned.token)
            .collect()
    }

    fn texts<const N: usize>(values: [&str; N]) -> [Token; N] {
        values.map(|value| Token::Text(value.into()))
    }

    fn name(name: &str) -> Token {
        Token::Name(name.into())
    }

    #[test]
    fn names_are_read_as_the_server_reads_them() {
        assert_eq!(
            all(r#"CREATE  ROLE /* x /* y */ "no" */ "Odd ""one""; --" -- end"#),
            [
                Token::Word("create".into()),
                Token::Word("role".into()),
                name(r#"Odd "one"; --"#),
            ]
        );
        assert_eq!(all("Größe$1;")[0], Token::Word("größe$1".into()));
        assert_eq!(all("-- a\r\"b\""), [name("b")]);
        let long = "ä".repeat(40);
        assert_eq!(all(&format!("\"{long}\"")), [name(&"ä".repeat(31))]);
        assert_eq!(all(&"x".repeat(70)), [Token::Word("x".repeat(63).into())]);
    }

    #[test]
    fn names_may_be_escaped() {
        assert_eq!(all(r#"U&"\0441\+000442\\""""#), [name("ст\\\"")]);
        let at: Vec<Spanned> = tokens(
            br#"u&"!0441" -- x
            uescape '!' y"#,
        )
        .collect();
        assert_eq!(at[0].token, name("с"));
        assert_eq!(at[1].token, Token::Word("y".into()));
        assert_eq!(at[0].at, 0..38);
        assert_eq!(all(r#"U&"\D83D\DE00""#), [name("😀")]);
        for refused in [
            r#"U&"\04""#,
            r#"U&"\D83Dx""#,
            r#"U&"\DE00""#,
            r#"U&"\0000""#,
            r#"U&"a" UESCAPE '+'"#,
            r#"U&"a" UESCAPE 'ab'"#,
            r#"U&"a" UESCAPE b"#,
        ] {
            assert_eq!(all(refused), [Token::Symbol(b'U')], "{refused}");
        }
        assert_eq!(all("u & \"a\"").len(), 3);
    }

    #[test]
    fn strings_have_values() {
        assert_eq!(
            all(r"'it''s' E'a\'b' $$x$$ $t$ $$ $t$ N'n' U&'\0441' 'open"),
            texts(["it's", "a'b", "x", " $$ ", "n", "с", "open"])
        );
        assert_eq!(
            all(r"E'\x41\101\u0042\U00000043\n\q\\\'''' e'\xd1\201'"),
            texts(["AABC\nq\\''", "с"])
        );
        assert_eq!(all(r"E'\uD83D\uDE00'"), texts(["😀"]));
        for refused in [r"E'\uD83D'", r"E'\u12'", r"E'\000'", r"E'\uD83Dx\uDE00'"] {
            assert_eq!(all(refused), [Token::Symbol(b'\'')], "{refused}");
        }
    }

    #[test]
    fn strings_come_in_parts() {
        assert_eq!(all("'a'\n 'b' -- x\n 'c' 'd'"), texts(["abc", "d"]));
        assert_eq!(all("E'a'\r'\\'' U&'a'\n'\\0062'"), texts(["a'", "ab"]));
        assert_eq!(all("'a' /* */ \n 'b'"), texts(["a", "b"]));
        assert_eq!(
            all("b'0'\n'1' 'x'"),
            [Token::Number, texts(["x"])[0].clone()]
        );
    }

    #[test]
    fn numbers_take_what_follows_them() {
        for (text, count) in [
            ("1e", 1),
            ("1_$$;", 2),
            ("$1e;", 2),
            ("1..2", 3),
            ("1.5e-3+x", 3),
            ("0x1g$$", 1),
            ("$1$$;$$", 2),
            (".5a", 1),
        ] {
            assert_eq!(all(text).len(), count, "{text}: {:?}", all(text));
        }
    }
}
