//! The state within a statement, byte by byte: the rules of `psqlscan.l` of psql 15 and newer. Nothing
//! looks ahead, so that a statement may come in pieces cut anywhere.

mod within;

use memchr::{memchr, memchr2};

use crate::bytes::{VERTICAL_TAB, continues_tag, is_space, starts_word};
use crate::number::Number;
use crate::query::Query;
use crate::sql_body::SqlBody;
use within::WORD_LIMIT;

/// Where the lexer is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum LexerState {
    Base,
    /// In a keyword or an unquoted name.
    Word,
    Number(Number),
    /// In `$1`; what follows it directly belongs to it, as with numbers.
    Parameter {
        junk: bool,
    },
    /// After `.`.
    Dot,
    /// After `-`.
    Dash,
    /// After `/`.
    Slash,
    /// After `$`.
    Dollar,
    /// In what may be a dollar quote's tag.
    Tag,
    /// After `:`.
    Colon,
    /// In `:name`.
    Variable,
    /// After `:{`.
    Brace,
    /// In `:{?name`.
    Test,
    /// After `U&`.
    UnicodePrefix,
    /// In `'…'`.
    Quote(Quote),
    /// After a backslash in `E'…'`.
    Escaped,
    /// After a quote in `'…'`: its end, or the first of two.
    QuoteEnd(Quote),
    /// In `"…"`.
    Name,
    /// After a quote in `"…"`: its end, or the first of two.
    NameEnd,
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

/// What a quote begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Quote {
    /// `'…'`, `U&'…'`.
    Standard,
    /// `E'…'`, and all others while backslashes are no ordinary characters.
    Escapes,
    /// `B'…'`, `X'…'`, in which two quotes are no quote.
    Bits,
}

/// A string has ended, and goes on with the next quote if a line end comes before it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Continuation {
    quote: Quote,
    /// psql looks for the quote in one line only. There another line end stands for it: a carriage return.
    returned: bool,
    /// Nothing has followed yet, not even a blank: then it may still come in the next line.
    fresh: bool,
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
    /// With this many bytes comes what may be read in more than one way.
    Ambiguous(usize),
}

#[derive(Debug)]
pub(crate) struct Lexer {
    state: LexerState,
    /// Whether backslashes in `'…'` are ordinary characters; psql is told by the server.
    standard_strings: bool,
    /// Whether to stop at what versions of psql read in different ways.
    reports_ambiguity: bool,
    ambiguous: bool,
    word: Vec<u8>,
    /// A dollar quote's delimiter, both `$` included.
    delimiter: Vec<u8>,
    continuation: Option<Continuation>,
    parens: u32,
    body: SqlBody,
    /// The same by the rule of psql before the minor releases of 2026, which also counts in parentheses.
    older_body: SqlBody,
    query: Query,
}

impl Lexer {
    pub(crate) fn new(reports_ambiguity: bool) -> Self {
        Self {
            state: LexerState::Base,
            standard_strings: true,
            reports_ambiguity,
            ambiguous: false,
            word: Vec::with_capacity(WORD_LIMIT),
            delimiter: Vec::new(),
            continuation: None,
            parens: 0,
            body: SqlBody::default(),
            older_body: SqlBody::default(),
            query: Query::default(),
        }
    }

    pub(crate) fn set_standard_strings(&mut self, on: bool) {
        self.standard_strings = on;
    }

    /// Begins a `/* … */` comment, whose first two bytes have been read.
    pub(crate) fn begin_comment(&mut self) {
        self.state = LexerState::Comment { depth: 1, last: 0 };
    }

    /// Reads on in a `/* … */` comment that stands between statements: how many bytes belong to it, and
    /// whether it has ended.
    pub(crate) fn comment(&mut self, input: &[u8]) -> (usize, bool) {
        let mut at = 0;
        while at < input.len() {
            at += self.step(&input[at..]);
            if self.state == LexerState::Base {
                return (at, true);
            }
        }
        (at, false)
    }

    /// Reads on in a statement.
    pub(crate) fn statement(&mut self, input: &[u8]) -> Stop {
        let mut at = 0;
        while at < input.len() {
            if self.state == LexerState::Base {
                match input[at] {
                    b';' if self.parens == 0 => {
                        let open = self.body.is_open();
                        if self.reports_ambiguity && self.older_body.is_open() != open {
                            return Stop::Ambiguous(at + 1);
                        }
                        if !open {
                            return Stop::End(at + 1);
                        }
                    }
                    b'\\' => {
                        self.continuation = None;
                        return Stop::Backslash(at);
                    }
                    _ => {}
                }
            }
            at += self.step(&input[at..]);
            if self.ambiguous {
                self.ambiguous = false;
                return Stop::Ambiguous(at);
            }
        }
        Stop::Never
    }

    /// `\;` or `\:` has come, of which psql puts the second byte into the statement and reads on. A `;`
    /// ends one of several statements that are sent together: what that was.
    pub(crate) fn forced(&mut self, byte: u8) -> Option<Query> {
        let separates = byte == b';' && self.parens == 0 && !self.body.is_open();
        if byte == b';' {
            self.older_body.begin_statement();
        }
        if !separates {
            self.query.token(byte, self.parens == 0);
            return None;
        }
        self.body.begin_statement();
        Some(self.next_query())
    }

    fn next_query(&mut self) -> Query {
        let next = self.query.next();
        std::mem::replace(&mut self.query, next)
    }

    /// The `;` has come. The next statement may begin.
    pub(crate) fn end(&mut self) -> Query {
        self.state = LexerState::Base;
        self.continuation = None;
        self.body.begin_statement();
        self.older_body = SqlBody::default();
        self.next_query()
    }

    /// Reads on, at least one byte unless what had begun is found to have ended; says how many.
    fn step(&mut self, input: &[u8]) -> usize {
        let byte = input[0];
        let all = input.len();
        match self.state {
            LexerState::Base => self.base(input),
            LexerState::Word => self.in_word(input),
            LexerState::Number(number) => self.in_number(number, input),
            LexerState::Parameter { junk } => self.in_parameter(junk, byte),
            LexerState::Dot => match byte {
                b'.' => self.go(LexerState::Base),
                b'0'..=b'9' => self.go(LexerState::Number(Number::fraction())),
                _ => self.ended(),
            },
            LexerState::Dash if byte == b'-' => self.go(LexerState::LineComment),
            LexerState::Slash if byte == b'*' => {
                self.continuation = None;
                self.go(LexerState::Comment { depth: 1, last: 0 })
            }
            LexerState::Dash | LexerState::Slash => {
                self.token(b'-');
                self.ended()
            }
            LexerState::Dollar => self.after_dollar(byte),
            LexerState::Tag => self.in_tag(byte),
            LexerState::Colon => match byte {
                b':' | b'=' => self.go(LexerState::Base),
                _ => {
                    let named = starts_word(byte) || matches!(byte, b'\'' | b'"' | b'{');
                    self.ambiguous = self.reports_ambiguity && named;
                    match byte {
                        b'{' => self.go(LexerState::Brace),
                        _ if continues_tag(byte) => self.go(LexerState::Variable),
                        _ => self.ended(),
                    }
                }
            },
            LexerState::Variable => match continues_tag(byte) {
                true => {
                    self.ambiguous = self.reports_ambiguity && !byte.is_ascii_digit();
                    1
                }
                false => self.ended(),
            },
            LexerState::Brace => match byte {
                b'?' => {
                    self.delimiter.clear();
                    self.go(LexerState::Test)
                }
                _ => self.ended(),
            },
            LexerState::Test => self.in_test(byte),
            LexerState::UnicodePrefix => match byte {
                b'\'' | b'"' => {
                    self.token(byte);
                    self.go(match byte {
                        b'"' => LexerState::Name,
                        _ => LexerState::Quote(Quote::Standard),
                    })
                }
                _ => {
                    self.token(b'u');
                    self.ended()
                }
            },
            LexerState::Quote(Quote::Escapes) => match memchr2(b'\'', b'\\', input) {
                Some(at) if input[at] == b'\\' => self.go_after(at, LexerState::Escaped),
                Some(at) => self.go_after(at, LexerState::QuoteEnd(Quote::Escapes)),
                None => all,
            },
            LexerState::Quote(quote) => match memchr(b'\'', input) {
                Some(at) => self.go_after(at, LexerState::QuoteEnd(quote)),
                None => all,
            },
            LexerState::Escaped => self.go(LexerState::Quote(Quote::Escapes)),
            LexerState::QuoteEnd(quote) => match (quote, byte) {
                (Quote::Standard | Quote::Escapes, b'\'') => self.go(LexerState::Quote(quote)),
                _ => {
                    let may_go_on = is_space(byte) || byte == b'-';
                    self.continuation = may_go_on.then_some(Continuation {
                        quote,
                        returned: false,
                        fresh: true,
                    });
                    self.ended()
                }
            },
            LexerState::Name => match memchr(b'"', input) {
                Some(at) => self.go_after(at, LexerState::NameEnd),
                None => all,
            },
            LexerState::NameEnd => match byte {
                b'"' => self.go(LexerState::Name),
                _ => self.ended(),
            },
            LexerState::DollarBody { matched } => self.in_dollar_body(matched, input),
            LexerState::LineComment => match memchr2(b'\n', b'\r', input) {
                // What ends it may be a line end between the parts of a string.
                Some(at) => {
                    self.blank(b' ');
                    self.state = LexerState::Base;
                    at
                }
                None => all,
            },
            LexerState::Comment { depth, last } => self.in_comment_body(depth, last, input),
        }
    }

    fn go(&mut self, state: LexerState) -> usize {
        self.go_after(0, state)
    }

    fn go_after(&mut self, at: usize, state: LexerState) -> usize {
        self.state = state;
        at + 1
    }

    /// What had begun has ended before the byte that is looked at.
    fn ended(&mut self) -> usize {
        self.state = LexerState::Base;
        0
    }

    /// Anything but white space, a comment, or a word begins.
    fn token(&mut self, first: u8) {
        self.continuation = None;
        self.query.token(first, self.parens == 0);
    }

    /// What `'…'` is.
    fn ordinary(&self) -> Quote {
        match self.standard_strings {
            true => Quote::Standard,
            false => Quote::Escapes,
        }
    }

    fn base(&mut self, input: &[u8]) -> usize {
        let byte = input[0];
        if is_space(byte) {
            self.blank(byte);
            return 1;
        }
        if starts_word(byte) {
            self.continuation = None;
            self.word.clear();
            self.state = LexerState::Word;
            return self.in_word(input);
        }
        let state = match byte {
            // They may begin a comment, which comes between two words as white space does.
            b'-' => return self.go(LexerState::Dash),
            b'/' => return self.go(LexerState::Slash),
            b'\'' => {
                let continued = self.continuation.filter(|it| it.returned);
                LexerState::Quote(continued.map_or(self.ordinary(), |it| it.quote))
            }
            b'"' => LexerState::Name,
            b'$' => LexerState::Dollar,
            b'.' => LexerState::Dot,
            b':' => LexerState::Colon,
            b'0'..=b'9' => LexerState::Number(Number::integer()),
            _ => LexerState::Base,
        };
        self.token(byte);
        match byte {
            b'(' => self.parens = self.parens.saturating_add(1),
            b')' => self.parens = self.parens.saturating_sub(1),
            _ => {}
        }
        self.go(state)
    }

    /// Whether a statement begins with a byte. A vertical tab is no white space for psql 15 and older, which make a
    /// statement of it.
    pub(crate) fn begins(&self, byte: u8) -> bool {
        !is_space(byte) || self.reports_ambiguity && byte == VERTICAL_TAB
    }

    /// White space, or the comment that is like it: whether a string may go on behind it.
    fn blank(&mut self, byte: u8) {
        self.ambiguous |= self.reports_ambiguity && byte == VERTICAL_TAB;
        let Some(it) = &mut self.continuation else {
            return;
        };
        match byte {
            b'\n' if it.fresh => return,
            b'\n' => {
                self.continuation = None;
                return;
            }
            b'\r' => it.returned = true,
            _ => {}
        }
        it.fresh = false;
    }
}
