use std::ops::Range;

use memchr::memchr;
use memchr::memmem;

/// A token of SQL.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Token {
    /// A keyword or an unquoted name, in lower case as the server folds it.
    Word(String),
    /// A quoted name, without its quotes.
    Name(String),
    /// A string's value.
    Text(String),
    /// A number, `$1`.
    Number,
    /// One other character.
    Symbol(u8),
}

impl Token {
    /// Whether it is this keyword (given in lower case).
    pub fn is(&self, keyword: &str) -> bool {
        matches!(self, Self::Word(word) if word == keyword)
    }
}

/// A token and where it stands in the statement, in bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Spanned {
    /// The token.
    pub token: Token,
    /// Its bytes, quotes included.
    pub at: Range<usize>,
}

/// The tokens of a statement, without white space and comments. Backslashes in `'…'` are taken as
/// ordinary characters, as pg_dump and pg_dumpall set it for names. What is cut off ends the last token.
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
            [byte, ..] if byte.is_ascii_whitespace() || *byte == 0x0b => 1,
            [b'-', b'-', ..] => memchr(b'\n', rest).unwrap_or(rest.len()),
            [b'/', b'*', ..] => block_comment(rest),
            _ => return at,
        };
    }
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
            let (value, length) = quoted(text, b'"', false);
            (Token::Name(value), length)
        }
        [b'\'', ..] => {
            let (value, length) = quoted(text, b'\'', false);
            (Token::Text(value), length)
        }
        [b'e' | b'E', b'\'', ..] => {
            let (value, length) = quoted(&text[1..], b'\'', true);
            (Token::Text(value), length + 1)
        }
        [first, ..] if first.is_ascii_alphabetic() || *first == b'_' || *first >= 0x80 => {
            let length = text
                .iter()
                .position(|byte| !in_word(*byte))
                .unwrap_or(text.len());
            let word = String::from_utf8_lossy(&text[..length]).to_ascii_lowercase();
            (Token::Word(word), length)
        }
        [b'0'..=b'9', ..] => {
            let length = text
                .iter()
                .position(|byte| !byte.is_ascii_alphanumeric() && *byte != b'.')
                .unwrap_or(text.len());
            (Token::Number, length)
        }
        [b'$', ..] => dollar(text),
        [symbol, ..] => (Token::Symbol(*symbol), 1),
    };
    Some(found)
}

fn in_word(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'$' || byte >= 0x80
}

/// What stands between the quote that `text` begins with and its end, and the length of both.
fn quoted(text: &[u8], quote: u8, escapes: bool) -> (String, usize) {
    let mut value = Vec::new();
    let mut at = 1;
    while at < text.len() {
        match &text[at..] {
            [first, second, ..] if *first == quote && *second == quote => {
                value.push(quote);
                at += 2;
            }
            [first, ..] if *first == quote => {
                at += 1;
                break;
            }
            // Good for the two that names need (`\\`, `\'`); others are not met in them.
            [b'\\', second, ..] if escapes => {
                value.push(*second);
                at += 2;
            }
            [first, ..] => {
                value.push(*first);
                at += 1;
            }
            [] => break,
        }
    }
    (String::from_utf8_lossy(&value).into_owned(), at)
}

fn dollar(text: &[u8]) -> (Token, usize) {
    let tag = text[1..]
        .iter()
        .position(|byte| *byte == b'$' || !in_word(*byte))
        .map_or(text.len(), |at| at + 1);
    if text.get(tag) != Some(&b'$') {
        return (Token::Number, tag);
    }
    let delimiter = &text[..=tag];
    let body = &text[tag + 1..];
    let length = memmem::find(body, delimiter).unwrap_or(body.len());
    let value = String::from_utf8_lossy(&body[..length]).into_owned();
    let end = (tag + 1 + length + delimiter.len()).min(text.len());
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

    #[test]
    fn names_are_read_as_the_server_reads_them() {
        assert_eq!(
            all(r#"CREATE  ROLE /* x /* y */ "no" */ "Odd ""one""; --" -- end"#),
            [
                Token::Word("create".into()),
                Token::Word("role".into()),
                Token::Name(r#"Odd "one"; --"#.into()),
            ]
        );
        assert_eq!(all("Größe$1;")[0], Token::Word("größe$1".into()));
    }

    #[test]
    fn strings_have_values() {
        let texts = all(r"'it''s' E'a\'b' $$x$$ $t$ $$ $t$ 'open");
        let wanted = ["it's", "a'b", "x", " $$ ", "open"].map(|text| Token::Text(text.into()));
        assert_eq!(texts, wanted);
    }
}
