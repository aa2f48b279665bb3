//! What is suspect in a dump for a psql without restricted mode: there, only this crate keeps the dump from running psql's
//! commands.

use crate::change::{Change, Value, changes};
use crate::encoding::Encoding;
use crate::token::{Token, tokens};

/// The settings that change how psql reads text. In a function's body their names stand in strings.
const NAMES: [&[u8]; 2] = [b"standard_conforming_strings", b"client_encoding"];
const LONGEST: usize = NAMES[0].len();

/// Looks for those names in a statement while it passes by in parts.
#[derive(Debug, Default)]
pub(crate) struct SettingMentions {
    found: bool,
    /// The end of what has passed by, in lower case.
    tail: Vec<u8>,
}

impl SettingMentions {
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

/// Whether a statement may change how psql reads text, in a way that no dump does.
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

/// `UPDATE pg_settings` sets them too; its condition may name them in any way.
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
            let mut mentions = SettingMentions::default();
            text.chunks(size).for_each(|part| mentions.see(part));
            assert!(mentions.take(), "{size}");
            assert!(!mentions.take());
        }
        let mut mentions = SettingMentions::default();
        mentions.see(b"standard_conforming");
        assert!(!mentions.take());
        mentions.see(b"_strings");
        assert!(!mentions.take());
    }
}
