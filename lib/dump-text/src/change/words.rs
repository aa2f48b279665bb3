//! Reading the statements that make changes.

use pg_text::PgText;

use super::{Change, Setting, Value, boolean};
use crate::token::{Spanned, Token, tokens};

/// What the modes of a transaction consist of.
const MODES: [&str; 11] = [
    "isolation",
    "level",
    "serializable",
    "repeatable",
    "read",
    "committed",
    "uncommitted",
    "only",
    "write",
    "not",
    "deferrable",
];

/// The changes that a statement with its `;` makes; none if the server refuses it.
pub(crate) fn changes(statement: &[u8]) -> Vec<Change> {
    let mut words = Words {
        text: statement,
        tokens: tokens(statement).collect(),
        at: 0,
    };
    let verbs = ["select", "values", "with", "update"];
    if verbs.iter().any(|verb| words.takes(verb)) {
        return words.calls();
    }
    let change = words.statement().filter(|_| words.is_at_end());
    change.into_iter().collect()
}

struct Words<'a> {
    text: &'a [u8],
    tokens: Vec<Spanned>,
    at: usize,
}

impl Words<'_> {
    fn peek(&self) -> Option<&Token> {
        self.tokens.get(self.at).map(|it| &it.token)
    }

    fn next(&mut self) -> Option<Token> {
        let token = self.peek().cloned();
        self.at += 1;
        token
    }

    /// Goes past a keyword if it comes next.
    fn takes(&mut self, keyword: &str) -> bool {
        let there = self.peek().is_some_and(|token| token.is(keyword));
        self.at += usize::from(there);
        there
    }

    /// Goes past `SAVEPOINT` if it is not itself the savepoint's name.
    fn takes_savepoint(&mut self) {
        let after = self.tokens.get(self.at + 1).map(|it| &it.token);
        if after.is_some_and(|it| *it != Token::Symbol(b';')) {
            self.takes("savepoint");
        }
    }

    fn takes_symbol(&mut self, symbol: u8) -> bool {
        let there = self.peek() == Some(&Token::Symbol(symbol));
        self.at += usize::from(there);
        there
    }

    fn is_at_end(&mut self) -> bool {
        let _ = self.takes_symbol(b';');
        self.at >= self.tokens.len()
    }

    fn name(&mut self) -> Option<PgText> {
        match self.next()? {
            Token::Word(name) | Token::Name(name) => Some(name),
            _ => None,
        }
    }

    fn statement(&mut self) -> Option<Change> {
        let Token::Word(verb) = self.next()? else {
            return None;
        };
        match verb.ascii() {
            "set" => self.set(),
            "reset" => self.reset(),
            "discard" => self.takes("all").then_some(Change::DiscardAll),
            "alter" => self.alter(),
            "begin" => {
                self.work();
                self.modes()
            }
            "start" if self.takes("transaction") => self.modes(),
            "commit" | "end" => self.end().map(|chain| Change::Commit { chain }),
            "prepare" if self.takes("transaction") => {
                self.next();
                Some(Change::Commit { chain: false })
            }
            "abort" => self.end().map(|chain| Change::Rollback { chain }),
            "rollback" => self.rollback(),
            "savepoint" => self.name().map(Change::Savepoint),
            "release" => {
                self.takes_savepoint();
                self.name().map(Change::Release)
            }
            _ => None,
        }
    }

    /// The rest of `SET [SESSION | LOCAL] name { TO | = } value`, `SET NAMES value`.
    fn set(&mut self) -> Option<Change> {
        let local = self.takes("local");
        let _ = !local && self.takes("session");
        let (setting, value) = match self.takes("names") {
            true => (Setting::ClientEncoding, self.names()),
            false => self.assignment()?,
        };
        Some(Change::Set {
            setting,
            value: value.ok()?,
            local,
        })
    }

    fn names(&mut self) -> Result<Option<Value>, ()> {
        match self.peek() {
            Some(Token::Text(_)) => self.value(Setting::ClientEncoding),
            _ => {
                self.takes("default");
                Ok(None)
            }
        }
    }

    /// `name { TO | = } value`.
    fn assignment(&mut self) -> Option<(Setting, Result<Option<Value>, ()>)> {
        let setting = Setting::named(&self.name()?)?;
        if !self.takes("to") && !self.takes_symbol(b'=') {
            return None;
        }
        Some((setting, self.value(setting)))
    }

    /// None: the default.
    fn value(&mut self, setting: Setting) -> Result<Option<Value>, ()> {
        let minus = self.takes_symbol(b'-');
        let signed = minus || self.takes_symbol(b'+');
        let at = self.tokens.get(self.at).map(|it| it.at.clone());
        let value = match self.next() {
            Some(Token::Word(word)) if word == "default" && !signed => return Ok(None),
            Some(Token::Word(value) | Token::Name(value) | Token::Text(value)) if !signed => value,
            Some(Token::Number) => {
                let number = at.and_then(|at| integer(&self.text[at]));
                let number = number.filter(|number| !minus || *number == 0);
                number.ok_or(())?.to_string().into()
            }
            _ => return Err(()),
        };
        setting.value(&value).map(Some).ok_or(())
    }

    fn reset(&mut self) -> Option<Change> {
        if self.takes("all") {
            return Some(Change::ResetAll);
        }
        Some(Change::Set {
            setting: Setting::named(&self.name()?)?,
            value: None,
            local: false,
        })
    }

    /// The rest of `ALTER { DATABASE name | ROLE … | SYSTEM } { SET … | RESET … }`.
    fn alter(&mut self) -> Option<Change> {
        let name = match self.takes("database") {
            true => Some(self.name()?),
            false => {
                let rest = self.tokens.iter().skip(self.at).map(|it| &it.token);
                self.at += rest
                    .take_while(|it| !it.is("set") && !it.is("reset"))
                    .count();
                None
            }
        };
        let (setting, value) = if self.takes("set") {
            let (setting, value) = self.assignment()?;
            (Some(setting), value.ok()?)
        } else if self.takes("reset") {
            match self.takes("all") {
                true => (None, None),
                false => (Some(Setting::named(&self.name()?)?), None),
            }
        } else {
            return None;
        };
        Some(match name {
            Some(name) => Change::Database {
                name,
                setting,
                value,
            },
            None => Change::Elsewhere,
        })
    }

    fn work(&mut self) {
        let _ = self.takes("work") || self.takes("transaction");
    }

    /// The modes of a transaction, whatever they are.
    fn modes(&mut self) -> Option<Change> {
        while MODES.iter().any(|mode| self.takes(mode)) || self.takes_symbol(b',') {}
        Some(Change::Begin)
    }

    /// `AND [NO] CHAIN`.
    fn end(&mut self) -> Option<bool> {
        self.work();
        if !self.takes("and") {
            return Some(false);
        }
        let chain = !self.takes("no");
        self.takes("chain").then_some(chain)
    }

    fn rollback(&mut self) -> Option<Change> {
        self.work();
        if !self.takes("to") {
            return self.end().map(|chain| Change::Rollback { chain });
        }
        self.takes_savepoint();
        self.name().map(Change::RollbackTo)
    }

    /// All calls `set_config('name', 'value', local)`.
    fn calls(&mut self) -> Vec<Change> {
        let mut calls = Vec::new();
        while let Some(token) = self.next() {
            let (Token::Word(name) | Token::Name(name)) = token else {
                continue;
            };
            if name == "set_config" && self.takes_symbol(b'(') {
                let at = self.at;
                calls.extend(self.call());
                self.at = at;
            }
        }
        calls
    }

    fn call(&mut self) -> Option<Change> {
        let Some(Token::Text(name)) = self.next() else {
            return Some(Change::Unknown);
        };
        if !self.takes_symbol(b',') {
            return Some(Change::Unknown);
        }
        let setting = Setting::named(&name)?;
        let literal = match (self.next(), self.takes_symbol(b','), self.next()) {
            (Some(Token::Text(value)), true, Some(Token::Word(local) | Token::Text(local))) => {
                boolean(&local).zip(setting.value(&value))
            }
            _ => None,
        };
        Some(match (literal, self.takes_symbol(b')')) {
            (Some((local, value)), true) => Change::Set {
                setting,
                value: Some(value),
                local,
            },
            _ => Change::Unknown,
        })
    }
}

fn integer(text: &[u8]) -> Option<u32> {
    std::str::from_utf8(text).ok()?.parse().ok()
}
