//! The state within a statement, byte by byte: the rules of psql's `psqlscan.l`. Nothing looks ahead,
//! so that a statement may come in pieces cut anywhere.

use memchr::{memchr, memchr2};

/// Longer than any word that is looked at, and than a dollar quote's tag needs to be to be told apart.
const WORD_LIMIT: usize = 32;

/// Where the lexer is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Base,
    /// In a keyword or an unquoted name.
    Word,
    Number,
    /// After `-`.
    Dash,
    /// After `/`.
    Slash,
    /// After `$`, in what may be a dollar quote's tag.
    Tag,
    /// After `U&`.
    UnicodePrefix,
    /// In `'…'`.
    Quote {
        escapes: bool,
    },
    /// After a backslash in `E'…'`.
    Escaped,
    /// After a quote in `'…'`: its end, or the first of two.
    QuoteEnd {
        escapes: bool,
    },
    /// In `"…"`; two quotes within are an end and a beginning, which comes to the same.
    Name,
    /// In `$tag$ … $tag$`, of whose end this much has come.
    DollarBody {
        matched: usize,
    },
    LineComment,
    /// In `/* … */`.
    Comment {
        depth: u32,
        last: u8,
    },
}

/// Why the lexer stopped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Stop {
    /// All bytes belong to the statement.
    Never,
    /// The statement ends with this many bytes, the last of which is its `;`.
    End(usize),
    /// After this many bytes there is a backslash: a command of psql's.
    Backslash(usize),
}

/// What a statement turned out to be when its `;` came.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Ended {
    /// `COPY … FROM stdin`: rows follow.
    CopyFromStdin,
    /// `SET standard_conforming_strings`.
    StandardStrings,
    Other,
}

#[derive(Debug)]
pub(crate) struct Lexer {
    state: State,
    /// Whether backslashes in `'…'` are ordinary characters; psql is told by the server.
    standard_strings: bool,
    word: Vec<u8>,
    /// A dollar quote's delimiter, both `$` included.
    delimiter: Vec<u8>,
    parens: u32,
    /// How deep in `BEGIN … END` of a function's body that is SQL.
    begins: u32,
    /// The first letters of the first words that matter, as psql collects them.
    letters: [u8; 4],
    words: usize,
    copy: bool,
    sets_standard_strings: bool,
    after_set: bool,
    after_from: bool,
    from_stdin: bool,
}

impl Lexer {
    pub(crate) fn new() -> Self {
        Self {
            state: State::Base,
            standard_strings: true,
            word: Vec::with_capacity(WORD_LIMIT),
            delimiter: Vec::new(),
            parens: 0,
            begins: 0,
            letters: [0; 4],
            words: 0,
            copy: false,
            sets_standard_strings: false,
            after_set: false,
            after_from: false,
            from_stdin: false,
        }
    }

    /// A new session: psql reads strings by the server's default again.
    pub(crate) fn reconnect(&mut self) {
        self.standard_strings = true;
    }

    pub(crate) fn set_standard_strings(&mut self, on: bool) {
        self.standard_strings = on;
    }

    /// Begins a `/* … */` comment, whose first two bytes have been read.
    pub(crate) fn begin_comment(&mut self) {
        self.state = State::Comment { depth: 1, last: 0 };
    }

    /// Reads on in a `/* … */` comment that stands between statements: how many bytes belong to it, and
    /// whether it has ended.
    pub(crate) fn comment(&mut self, input: &[u8]) -> (usize, bool) {
        let mut at = 0;
        while at < input.len() {
            at += self.step(&input[at..]);
            if self.state == State::Base {
                return (at, true);
            }
        }
        (at, false)
    }

    /// Reads on in a statement.
    pub(crate) fn statement(&mut self, input: &[u8]) -> Stop {
        let mut at = 0;
        while at < input.len() {
            let byte = input[at];
            at += match self.at_base(byte) {
                false => self.step(&input[at..]),
                true => match byte {
                    b';' if self.parens == 0 && self.begins == 0 => return Stop::End(at + 1),
                    b'\\' => return Stop::Backslash(at),
                    _ => self.base(byte),
                },
            };
        }
        Stop::Never
    }

    /// The `;` has come: what the statement was. The next one may begin.
    pub(crate) fn end(&mut self) -> Ended {
        let ended = if self.copy && self.from_stdin {
            Ended::CopyFromStdin
        } else if self.sets_standard_strings {
            Ended::StandardStrings
        } else {
            Ended::Other
        };
        self.state = State::Base;
        self.parens = 0;
        self.begins = 0;
        self.letters = [0; 4];
        self.words = 0;
        self.copy = false;
        self.sets_standard_strings = false;
        self.after_set = false;
        self.after_from = false;
        self.from_stdin = false;
        ended
    }

    /// Whether `byte`, the next one, is read between words: what was begun without knowing its end is
    /// ended if it ends here.
    fn at_base(&mut self, byte: u8) -> bool {
        let ends = match self.state {
            State::Base => true,
            State::Word => !continues_word(byte),
            State::Number => !continues_number(byte),
            State::Dash => byte != b'-',
            State::Slash => byte != b'*',
            State::Tag => byte != b'$' && !continues_tag(byte, self.delimiter.len()),
            State::UnicodePrefix => byte != b'\'' && byte != b'"',
            State::QuoteEnd { .. } => byte != b'\'',
            _ => false,
        };
        // `E'` and `U&` are prefixes: the word and what follows it are one.
        if ends && self.state == State::Word {
            if self.prefix(byte).is_some() {
                return false;
            }
            self.end_of_word();
        }
        if ends {
            self.state = State::Base;
        }
        ends
    }

    /// What a word of one letter and the byte behind it begin.
    fn prefix(&self, byte: u8) -> Option<State> {
        let &[letter] = self.word.as_slice() else {
            return None;
        };
        match (letter, byte) {
            (b'e', b'\'') => Some(State::Quote { escapes: true }),
            (b'b' | b'x', b'\'') => Some(State::Quote { escapes: false }),
            (b'u', b'&') => Some(State::UnicodePrefix),
            _ => None,
        }
    }

    /// Reads on in what has begun, at least one byte; says how many.
    fn step(&mut self, input: &[u8]) -> usize {
        let byte = input[0];
        let all = input.len();
        match self.state {
            State::Base => self.base(byte),
            State::Word => match self.prefix(byte) {
                Some(state) => self.go(state),
                None => self.in_word(input),
            },
            State::Number => input
                .iter()
                .position(|byte| !continues_number(*byte))
                .unwrap_or(all),
            State::Dash => self.go(State::LineComment),
            State::Slash => self.go(State::Comment { depth: 1, last: 0 }),
            State::Tag => {
                self.delimiter.push(byte);
                if byte == b'$' {
                    self.state = State::DollarBody { matched: 0 };
                }
                1
            }
            State::UnicodePrefix => self.go(match byte {
                b'"' => State::Name,
                _ => State::Quote { escapes: false },
            }),
            State::Quote { escapes: false } => match memchr(b'\'', input) {
                Some(at) => self.go_after(at, State::QuoteEnd { escapes: false }),
                None => all,
            },
            State::Quote { escapes: true } => match memchr2(b'\'', b'\\', input) {
                Some(at) if input[at] == b'\\' => self.go_after(at, State::Escaped),
                Some(at) => self.go_after(at, State::QuoteEnd { escapes: true }),
                None => all,
            },
            State::Escaped => self.go(State::Quote { escapes: true }),
            State::QuoteEnd { escapes } => self.go(State::Quote { escapes }),
            State::Name => match memchr(b'"', input) {
                Some(at) => self.go_after(at, State::Base),
                None => all,
            },
            State::DollarBody { matched } => self.in_dollar_body(matched, input),
            State::LineComment => match memchr2(b'\n', b'\r', input) {
                Some(at) => self.go_after(at, State::Base),
                None => all,
            },
            State::Comment { depth, last } => self.in_comment_body(depth, last, input),
        }
    }

    fn go(&mut self, state: State) -> usize {
        self.go_after(0, state)
    }

    fn go_after(&mut self, at: usize, state: State) -> usize {
        self.state = state;
        at + 1
    }

    fn base(&mut self, byte: u8) -> usize {
        if byte.is_ascii_whitespace() || byte == 0x0b {
            return 1;
        }
        if starts_word(byte) {
            self.word.clear();
            self.word.push(byte.to_ascii_lowercase());
            self.state = State::Word;
            return 1;
        }
        // `-` and `/` may begin a comment, which comes between two words as white space does.
        if byte != b'-' && byte != b'/' {
            self.after_from = false;
        }
        self.state = match byte {
            b'\'' => State::Quote {
                escapes: !self.standard_strings,
            },
            b'"' => State::Name,
            b'$' => {
                self.delimiter.clear();
                self.delimiter.push(byte);
                State::Tag
            }
            b'-' => State::Dash,
            b'/' => State::Slash,
            b'0'..=b'9' => State::Number,
            _ => State::Base,
        };
        match byte {
            b'(' => self.parens = self.parens.saturating_add(1),
            b')' => self.parens = self.parens.saturating_sub(1),
            _ => {}
        }
        1
    }

    fn in_word(&mut self, input: &[u8]) -> usize {
        let length = input
            .iter()
            .position(|&byte| !continues_word(byte))
            .unwrap_or(input.len());
        let room = WORD_LIMIT.saturating_sub(self.word.len());
        let kept = &input[..length.min(room)];
        self.word.extend(kept.iter().map(u8::to_ascii_lowercase));
        length
    }

    fn in_dollar_body(&mut self, matched: usize, input: &[u8]) -> usize {
        if matched == 0 {
            return match memchr(b'$', input) {
                Some(at) => self.go_after(at, State::DollarBody { matched: 1 }),
                None => input.len(),
            };
        }
        let byte = input[0];
        let wanted = self.delimiter.get(matched) == Some(&byte);
        self.go(match (wanted, byte) {
            (true, _) if matched + 1 == self.delimiter.len() => State::Base,
            (true, _) => State::DollarBody {
                matched: matched + 1,
            },
            // The end of another tag may be the beginning of the right one.
            (false, b'$') => State::DollarBody { matched: 1 },
            (false, _) => State::DollarBody { matched: 0 },
        })
    }

    fn in_comment_body(&mut self, depth: u32, last: u8, input: &[u8]) -> usize {
        if last == 0 {
            return match memchr2(b'*', b'/', input) {
                Some(at) => {
                    let last = input[at];
                    self.go_after(at, State::Comment { depth, last })
                }
                None => input.len(),
            };
        }
        let (depth, last) = match (last, input[0]) {
            (b'*', b'/') => (depth - 1, 0),
            (b'/', b'*') => (depth + 1, 0),
            (_, byte @ (b'*' | b'/')) => (depth, byte),
            _ => (depth, 0),
        };
        self.go(match depth {
            0 => State::Base,
            _ => State::Comment { depth, last },
        })
    }

    /// Counts a word that has ended.
    fn end_of_word(&mut self) {
        self.watch_for_body();
        let word = self.word.as_slice();
        match self.words {
            0 => {
                self.copy = word == b"copy";
                self.after_set = word == b"set";
            }
            1 => {
                self.sets_standard_strings =
                    self.after_set && word == b"standard_conforming_strings";
            }
            _ => {}
        }
        if self.parens == 0 {
            self.from_stdin |= self.after_from && word == b"stdin";
            self.after_from = word == b"from";
        }
        self.words = self.words.saturating_add(1);
    }

    /// psql's own rule for function bodies that are SQL: `BEGIN ATOMIC … END`.
    fn watch_for_body(&mut self) {
        let word = self.word.as_slice();
        if let Some(letter) = self.letters.get_mut(self.words) {
            *letter = match word {
                b"create" | b"function" | b"procedure" | b"or" | b"replace" => word[0],
                _ => 0,
            };
        }
        let routine = matches!(
            self.letters,
            [b'c', b'f' | b'p', ..] | [b'c', b'o', b'r', b'f' | b'p']
        );
        if !routine || self.parens != 0 {
            return;
        }
        match word {
            b"begin" => self.begins += 1,
            b"case" if self.begins > 0 => self.begins += 1,
            b"end" => self.begins = self.begins.saturating_sub(1),
            _ => {}
        }
    }
}

fn starts_word(byte: u8) -> bool {
    byte.is_ascii_alphabetic() || byte == b'_' || byte >= 0x80
}

fn continues_word(byte: u8) -> bool {
    starts_word(byte) || byte.is_ascii_digit() || byte == b'$'
}

/// `1.5`; the sign of an exponent ends it, which comes to the same.
fn continues_number(byte: u8) -> bool {
    byte.is_ascii_digit() || byte == b'.' || byte == b'_'
}

/// `so_far`: how much of the delimiter there is, its `$` included.
fn continues_tag(byte: u8, so_far: usize) -> bool {
    starts_word(byte) || (so_far > 1 && byte.is_ascii_digit())
}
