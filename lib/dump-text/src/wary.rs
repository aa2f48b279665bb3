//! What is not let stand where nothing but this crate keeps a dump from running commands in psql.

use crate::change::{Change, Value, changes};
use crate::encoding::Encoding;
use crate::token::{Token, tokens};

/// Names of settings that psql reads text by. In a function's body they stand in strings, or in pieces.
const NAMES: [&[u8]; 2] = [b"standard_conforming_strings", b"client_encoding"];
const LONGEST: usize = NAMES[0].len();

/// Looks for those names in a statement while it passes by in parts.
#[derive(Debug, Default)]
pub(crate) struct Mentions {
    found: bool,
    /// The end of what has passed by, in lower case.
    tail: Vec<u8>,
}

impl Mentions {
    pub(crate) fn see(&mut self, part: &[u8]) {
        let known = self.tail.len();
        self.tail.extend(part.iter().map(u8::to_ascii_lowercase));
        let mut names = NAMES.iter();
        self.found |= names.any(|name| memchr::memmem::find(&self.tail, name).is_some());
        let kept = (LONGEST - 1).min(known + part.len());
        self.tail.drain(..self.tail.len() - kept);
    }

    /// Whether they were in the statement that has ended; the next one may begin.
    pub(crate) fn take(&mut self) -> bool {
        self.tail.clear();
        std::mem::take(&mut self.found)
    }
}

/// Whether a statement may change by what psql reads text to what no dump has.
pub(crate) fn is_suspect(statement: &[u8], mentions: bool) -> bool {
    let suspect = changes(statement).into_iter().any(|change| match change {
        Change::Set { value, .. } => !matches!(
            value,
            Some(Value::StandardStrings(true) | Value::ClientEncoding(Encoding::Safe))
        ),
        Change::ResetAll
        | Change::DiscardAll
        | Change::Database { .. }
        | Change::Elsewhere
        | Change::Unknown => true,
        _ => false,
    });
    suspect || updates_settings(statement) || mentions && !is_pg_dump_s(statement)
}

/// `UPDATE pg_settings` is another way to set them, by any condition on their names.
fn updates_settings(statement: &[u8]) -> bool {
    let mut words = tokens(statement).map(|spanned| spanned.token);
    words.next().is_some_and(|word| word.is("update"))
        && words.any(|word| match word {
            Token::Word(name) | Token::Name(name) => name == "pg_settings",
            _ => false,
        })
}

/// `SET standard_conforming_strings = on;`, `SET client_encoding = 'UTF8';`.
fn is_pg_dump_s(statement: &[u8]) -> bool {
    let words: Vec<Token> = tokens(statement).map(|spanned| spanned.token).collect();
    let [set, name, Token::Symbol(b'='), value, Token::Symbol(b';')] = words.as_slice() else {
        return false;
    };
    let strings = name.is("standard_conforming_strings") && value.is("on");
    let encoding = name.is("client_encoding") && matches!(value, Token::Text(_));
    set.is("set") && (strings || encoding)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_found_however_they_are_cut() {
        let text = b"x'STANDARD_conforming_strings'";
        for size in 1..text.len() {
            let mut mentions = Mentions::default();
            text.chunks(size).for_each(|part| mentions.see(part));
            assert!(mentions.take(), "{size}");
            assert!(!mentions.take());
        }
        let mut mentions = Mentions::default();
        mentions.see(b"standard_conforming");
        assert!(!mentions.take());
        mentions.see(b"_strings");
        assert!(!mentions.take());
    }
}
