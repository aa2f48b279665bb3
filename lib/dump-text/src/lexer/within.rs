//! Reading on in what has begun.

use memchr::{memchr, memchr2};

use super::{Lexer, LexerState, Quote};
use crate::bytes::{continues_tag, continues_word, starts_word};
use crate::number::{Next, Number};

/// Longer than any word that is looked at.
pub(super) const WORD_LIMIT: usize = 32;
/// A dollar quote's tag that is longer is none that a dump has. psql keeps one of any length.
const TAG_LIMIT: usize = 64 << 10;

impl Lexer {
    pub(super) fn in_word(&mut self, input: &[u8]) -> usize {
        let end = input.iter().position(|&byte| !continues_word(byte));
        let length = end.unwrap_or(input.len());
        let room = WORD_LIMIT.saturating_sub(self.word.len());
        let kept = &input[..length.min(room)];
        self.word.extend(kept.iter().map(u8::to_ascii_lowercase));
        if end.is_none() {
            return length;
        }
        // `E'` and `U&` are prefixes: the word and what follows it are one.
        if let Some(state) = self.prefix(input[length]) {
            if state != LexerState::UnicodePrefix {
                self.token(input[length]);
            }
            return self.go_after(length, state);
        }
        let outside = self.parens == 0;
        self.query.word(&self.word, outside);
        if outside {
            self.body.word(&self.word, true);
        }
        if self.reports_ambiguity {
            self.older_body.word(&self.word, outside);
        }
        self.state = LexerState::Base;
        length
    }

    /// What a word of one letter and the byte behind it begin.
    pub(super) fn prefix(&self, byte: u8) -> Option<LexerState> {
        let &[letter] = self.word.as_slice() else {
            return None;
        };
        match (letter, byte) {
            (b'e', b'\'') => Some(LexerState::Quote(Quote::Escapes)),
            (b'b' | b'x', b'\'') => Some(LexerState::Quote(Quote::Bits)),
            (b'n', b'\'') => Some(LexerState::Quote(self.ordinary())),
            (b'u', b'&') => Some(LexerState::UnicodePrefix),
            _ => None,
        }
    }

    pub(super) fn in_number(&mut self, number: Number, input: &[u8]) -> usize {
        if number.is_integer() {
            let digits = input.iter().position(|byte| !byte.is_ascii_digit());
            if digits != Some(0) {
                return digits.unwrap_or(input.len());
            }
        }
        match number.next(input[0]) {
            Next::More(number) => self.go(LexerState::Number(number)),
            Next::Dots => self.go(LexerState::Base),
            Next::Ended => {
                self.ambiguous = self.reports_ambiguity && !number.is_plain();
                self.ended()
            }
        }
    }

    pub(super) fn in_parameter(&mut self, junk: bool, byte: u8) -> usize {
        let more = match junk {
            true => continues_word(byte),
            false => continues_tag(byte),
        };
        if !more {
            return self.ended();
        }
        let junk = junk || !byte.is_ascii_digit();
        self.ambiguous = self.reports_ambiguity && junk;
        self.go(LexerState::Parameter { junk })
    }

    /// psql puts TRUE or FALSE in for `:{?name}`, so that the name is no word of the statement.
    pub(super) fn in_test(&mut self, byte: u8) -> usize {
        if continues_tag(byte) && self.delimiter.len() < TAG_LIMIT {
            self.delimiter.push(byte);
            return 1;
        }
        if byte == b'}' && !self.delimiter.is_empty() {
            return self.go(LexerState::Base);
        }
        // It was nothing of that kind.
        self.state = LexerState::Base;
        let name = std::mem::take(&mut self.delimiter);
        let mut at = 0;
        while at < name.len() {
            at += self.step(&name[at..]);
        }
        0
    }

    pub(super) fn after_dollar(&mut self, byte: u8) -> usize {
        self.delimiter.clear();
        self.delimiter.extend([b'$', byte]);
        match byte {
            b'$' => self.go(LexerState::DollarBody { matched: 0 }),
            b'0'..=b'9' => self.go(LexerState::Parameter { junk: false }),
            _ if starts_word(byte) => self.go(LexerState::Tag),
            _ => self.ended(),
        }
    }

    pub(super) fn in_tag(&mut self, byte: u8) -> usize {
        if byte != b'$' && !continues_tag(byte) {
            // It was a dollar and a word.
            let kept = self.delimiter.len().min(WORD_LIMIT);
            self.word.clear();
            let letters = self.delimiter[1..kept].iter();
            self.word.extend(letters.map(u8::to_ascii_lowercase));
            self.state = LexerState::Word;
            self.ambiguous = self.reports_ambiguity;
            return 0;
        }
        if self.delimiter.len() >= TAG_LIMIT {
            self.ambiguous = true;
            self.word.clear();
            return self.go(LexerState::Word);
        }
        self.delimiter.push(byte);
        match byte {
            b'$' => self.go(LexerState::DollarBody { matched: 0 }),
            _ => 1,
        }
    }

    pub(super) fn in_dollar_body(&mut self, matched: usize, input: &[u8]) -> usize {
        if matched == 0 {
            return match memchr(b'$', input) {
                Some(at) => self.go_after(at, LexerState::DollarBody { matched: 1 }),
                None => input.len(),
            };
        }
        let byte = input[0];
        let wanted = self.delimiter.get(matched) == Some(&byte);
        self.go(match (wanted, byte) {
            (true, _) if matched + 1 == self.delimiter.len() => LexerState::Base,
            (true, _) => LexerState::DollarBody {
                matched: matched + 1,
            },
            // The end of another tag may be the beginning of the right one.
            (false, b'$') => LexerState::DollarBody { matched: 1 },
            (false, _) => LexerState::DollarBody { matched: 0 },
        })
    }

    pub(super) fn in_comment_body(&mut self, depth: u32, last: u8, input: &[u8]) -> usize {
        if last == 0 {
            return match memchr2(b'*', b'/', input) {
                Some(at) => {
                    let last = input[at];
                    self.go_after(at, LexerState::Comment { depth, last })
                }
                None => input.len(),
            };
        }
        let (depth, last) = match (last, input[0]) {
            (b'*', b'/') => (depth - 1, 0),
            (b'/', b'*') => (depth.saturating_add(1), 0),
            (_, byte @ (b'*' | b'/')) => (depth, byte),
            _ => (depth, 0),
        };
        self.go(match depth {
            0 => LexerState::Base,
            _ => LexerState::Comment { depth, last },
        })
    }
}
