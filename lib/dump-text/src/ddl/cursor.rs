//! Reads the tokens of a statement one after the other.

use pg_text::PgText;

use super::QualifiedName;
use crate::token::{Token, tokens};

/// The tokens of a statement, and how far they have been read. A clone reads on from there by itself.
#[derive(Debug, Clone)]
pub(super) struct Cursor {
    tokens: std::rc::Rc<[Token]>,
    at: usize,
}

impl Cursor {
    pub(super) fn of(statement: &[u8]) -> Self {
        let tokens = tokens(statement).map(|spanned| spanned.token).collect();
        Self { tokens, at: 0 }
    }

    pub(super) fn next(&mut self) -> Option<Token> {
        let token = self.tokens.get(self.at)?;
        self.at += 1;
        Some(token.clone())
    }

    /// The tokens that have not been read yet.
    pub(super) fn rest(&self) -> &[Token] {
        self.tokens.get(self.at..).unwrap_or_default()
    }

    /// The next token if it is an unquoted word.
    pub(super) fn word(&mut self) -> Option<PgText> {
        match self.next()? {
            Token::Word(word) => Some(word),
            _ => None,
        }
    }

    /// The next token if it is a name.
    pub(super) fn name(&mut self) -> Option<PgText> {
        match self.next()? {
            Token::Word(name) | Token::Name(name) => Some(name),
            _ => None,
        }
    }

    /// `schema.name`, and no third part.
    pub(super) fn qualified(&mut self) -> Option<QualifiedName> {
        let schema = self.name()?;
        if !self.takes_symbol(b'.') {
            return None;
        }
        let name = self.name()?;
        (self.rest().first() != Some(&Token::Symbol(b'.')))
            .then_some(QualifiedName { schema, name })
    }

    /// Goes past a keyword if it comes next.
    pub(super) fn takes(&mut self, keyword: &str) -> bool {
        let there = self.rest().first().is_some_and(|it| it.is(keyword));
        self.at += usize::from(there);
        there
    }

    /// Goes past these keywords if all of them come next.
    pub(super) fn takes_all(&mut self, keywords: &[&str]) -> bool {
        let rest = self.rest();
        let there = rest.len() >= keywords.len()
            && rest.iter().zip(keywords).all(|(token, it)| token.is(it));
        if there {
            self.at += keywords.len();
        }
        there
    }

    pub(super) fn takes_symbol(&mut self, symbol: u8) -> bool {
        let there = self.rest().first() == Some(&Token::Symbol(symbol));
        self.at += usize::from(there);
        there
    }

    /// Whether nothing more comes than the statement's end.
    pub(super) fn is_at_end(&self) -> bool {
        matches!(self.rest(), [] | [Token::Symbol(b';')])
    }

    /// Whether a keyword comes, anywhere.
    pub(super) fn has(&self, keyword: &str) -> bool {
        self.rest().iter().any(|token| token.is(keyword))
    }

    /// Whether what comes outside of parentheses has none of these tokens, and every parenthesis is closed. So `ALTER TABLE …`
    /// has one action.
    pub(super) fn lacks_outside(&self, unwanted: impl Fn(&Token) -> bool) -> bool {
        let mut depth = 0_u32;
        for token in self.rest() {
            match token {
                Token::Symbol(b'(' | b'[') => depth += 1,
                Token::Symbol(b')' | b']') => match depth.checked_sub(1) {
                    Some(outer) => depth = outer,
                    None => return false,
                },
                token if depth == 0 && unwanted(token) => return false,
                _ => {}
            }
        }
        depth == 0
    }

    /// Whether it ends in `WITH NO DATA`.
    pub(super) fn ends_in_no_data(&self) -> bool {
        let words: Vec<&Token> = self.rest().iter().rev().take(4).collect();
        matches!(words.as_slice(), [Token::Symbol(b';'), data, no, with]
            if data.is("data") && no.is("no") && with.is("with"))
    }

    /// Goes past what is in parentheses, if they come next.
    pub(super) fn skip_parentheses(&mut self) {
        let mut depth = 0_u32;
        while let Some(token) = self.rest().first() {
            match token {
                Token::Symbol(b'(') => depth += 1,
                Token::Symbol(b')') => depth = depth.saturating_sub(1),
                _ if depth == 0 => return,
                _ => {}
            }
            self.at += 1;
            if depth == 0 {
                return;
            }
        }
    }

    /// Goes behind these keywords, if they come outside of parentheses.
    pub(super) fn goes_to(&mut self, keywords: &[&str]) -> bool {
        while !self.takes_all(keywords) {
            let before = self.at;
            self.skip_parentheses();
            if self.at == before && self.next().is_none() {
                return false;
            }
        }
        true
    }

    /// The list behind `INHERITS`; empty if there is none.
    pub(super) fn inherited(&self) -> Option<Vec<QualifiedName>> {
        let mut words = self.clone();
        let mut all = Vec::new();
        if !words.goes_to(&["inherits"]) {
            return Some(all);
        }
        if !words.takes_symbol(b'(') {
            return None;
        }
        loop {
            all.push(words.qualified()?);
            if !words.takes_symbol(b',') {
                return words.takes_symbol(b')').then_some(all);
            }
        }
    }
}
