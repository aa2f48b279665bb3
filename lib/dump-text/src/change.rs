//! What statements do to the settings by which psql reads text.

use crate::encoding::Encoding;
use crate::token::{Spanned, Token, tokens};

/// What the modes of a transaction consist of.
const MODES: [&str; 11] = [
    "isolation", "level", "serializable", "repeatable", "read", "committed", "uncommitted", "only",
    "write", "not", "deferrable",
];

/// What a statement changes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Change {
    /// `SET`; `RESET` without a value; local: until the transaction ends.
    Set {
        setting: Setting,
        value: Option<Value>,
        local: bool,
    },
    ResetAll,
    /// `DISCARD ALL`, which the server refuses in a transaction.
    DiscardAll,
    /// `ALTER DATABASE … SET`; without a value: `RESET`; without a setting: `RESET ALL`.
    Database {
        name: String,
        setting: Option<Setting>,
        value: Option<Value>,
    },
    /// The same for a role, or for the server: for whom that counts is not in the text.
    Elsewhere,
    Begin,
    Commit {
        chain: bool,
    },
    Rollback {
        chain: bool,
    },
    Savepoint(String),
    Release(String),
    RollbackTo(String),
    /// A call of `set_config` that may be for any setting.
    Unknown,
}

/// A setting that matters.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Setting {
    StandardStrings,
    ClientEncoding,
}

/// Its value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Value {
    StandardStrings(bool),
    ClientEncoding(Encoding),
}

impl Setting {
    fn named(name: &str) -> Option<Self> {
        if name.eq_ignore_ascii_case("standard_conforming_strings") {
            Some(Self::StandardStrings)
        } else if name.eq_ignore_ascii_case("client_encoding") {
            Some(Self::ClientEncoding)
        } else {
            None
        }
    }

    /// None if the server refuses it.
    fn value(self, value: &str) -> Option<Value> {
        match self {
            Self::ClientEncoding => Some(Value::ClientEncoding(Encoding::named(value))),
            Self::StandardStrings => boolean(value).map(Value::StandardStrings),
        }
    }
}

/// Any beginning that is no other's, as the server takes it.
fn boolean(value: &str) -> Option<bool> {
    let value = value.to_ascii_lowercase();
    let begins = |word: &str, least: usize| value.len() >= least && word.starts_with(&value);
    if begins("true", 1) || begins("yes", 1) || begins("on", 2) || value == "1" {
        Some(true)
    } else if begins("false", 1) || begins("no", 1) || begins("off", 2) || value == "0" {
        Some(false)
    } else {
        None
    }
}

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

    fn name(&mut self) -> Option<String> {
        match self.next()? {
            Token::Word(name) | Token::Name(name) => Some(name),
            _ => None,
        }
    }

    fn statement(&mut self) -> Option<Change> {
        let Token::Word(verb) = self.next()? else {
            return None;
        };
        match verb.as_str() {
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
                number.ok_or(())?.to_string()
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
                self.at += rest.take_while(|it| !it.is("set") && !it.is("reset")).count();
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

#[cfg(test)]
mod tests {
    use super::*;

    fn one(statement: &str) -> Option<Change> {
        let mut changes = changes(statement.as_bytes());
        assert!(changes.len() < 2, "{statement}: {changes:?}");
        changes.pop()
    }

    fn strings(on: bool) -> Value {
        Value::StandardStrings(on)
    }

    #[test]
    fn ways_to_set_it() {
        for (statement, on) in [
            ("SET standard_conforming_strings = on;", true),
            ("set Standard_Conforming_Strings TO 'OFF';", false),
            ("SET SESSION standard_conforming_strings = 'f';", false),
            ("SET \"STANDARD_conforming_strings\" = no;", false),
            ("SET U&\"standard_conforming_string\\0073\" = 0;", false),
            ("SET standard_conforming_strings = 01;", true),
            ("SET standard_conforming_strings = -0;", false),
            ("SET standard_conforming_strings /* x */ TO -- y\n E'o\\146f';", false),
            ("SELECT set_config('standard_conforming_strings','off',false);", false),
            ("SELECT 1, pg_catalog.\"set_config\" ( 'Standard_conforming_strings' , $$t$$ , 'no' ) ;", true),
            ("values (set_config('standard_conforming_strings','off',false))", false),
        ] {
            let set = Change::Set {
                setting: Setting::StandardStrings,
                value: Some(strings(on)),
                local: false,
            };
            assert_eq!(one(statement), Some(set), "{statement}");
        }
        for (statement, encoding) in [
            ("SET NAMES 'sjis';", Some(Encoding::ShiftJis)),
            ("SET NAMES;", None),
            ("SET LOCAL NAMES DEFAULT;", None),
            ("SET LOCAL client_encoding TO big5;", Some(Encoding::Pairs)),
        ] {
            let set = Change::Set {
                setting: Setting::ClientEncoding,
                value: encoding.map(Value::ClientEncoding),
                local: statement.contains("LOCAL"),
            };
            assert_eq!(one(statement), Some(set), "{statement}");
        }
    }

    #[test]
    fn what_the_server_refuses_or_is_about_something_else() {
        for statement in [
            "SET standard_conforming_strings = off x;",
            "SET standard_conforming_strings = o;",
            "SET standard_conforming_strings off;",
            "SET standard_conforming_strings = off, on;",
            "SET x.standard_conforming_strings = off;",
            "SET search_path = standard_conforming_strings;",
            "SET NAMES sjis;",
            "SELECT set_config('search_path', '', false);",
            "SELECT set_config;",
            "COMMIT x;",
            "BEGIN ATOMIC;",
            "ALTER DATABASE x SET search_path = y;",
        ] {
            assert_eq!(one(statement), None, "{statement}");
        }
        assert_eq!(
            one("SELECT set_config('standard_'||'conforming_strings','off',false);"),
            Some(Change::Unknown)
        );
        assert_eq!(one("SELECT set_config(a, b, true);"), Some(Change::Unknown));
    }

    #[test]
    fn transactions_and_databases() {
        for (statement, change) in [
            ("BEGIN;", Change::Begin),
            ("start transaction read only;", Change::Begin),
            ("COMMIT WORK AND NO CHAIN;", Change::Commit { chain: false }),
            ("END AND CHAIN;", Change::Commit { chain: true }),
            ("ABORT;", Change::Rollback { chain: false }),
            ("ROLLBACK TO a;", Change::RollbackTo("a".into())),
            ("ROLLBACK WORK TO SAVEPOINT \"A\";", Change::RollbackTo("A".into())),
            ("ROLLBACK TO savepoint;", Change::RollbackTo("savepoint".into())),
            ("SAVEPOINT a;", Change::Savepoint("a".into())),
            ("RELEASE a;", Change::Release("a".into())),
            ("RELEASE SAVEPOINT a;", Change::Release("a".into())),
            ("PREPARE TRANSACTION 'x';", Change::Commit { chain: false }),
            ("DISCARD ALL;", Change::DiscardAll),
            (
                "ALTER DATABASE x SET standard_conforming_strings TO 'off';",
                Change::Database {
                    name: "x".into(),
                    setting: Some(Setting::StandardStrings),
                    value: Some(strings(false)),
                },
            ),
            (
                "ALTER DATABASE x RESET ALL;",
                Change::Database {
                    name: "x".into(),
                    setting: None,
                    value: None,
                },
            ),
            ("ALTER ROLE ALL IN DATABASE x SET client_encoding TO 'x';", Change::Elsewhere),
            ("ALTER SYSTEM SET standard_conforming_strings = off;", Change::Elsewhere),
        ] {
            assert_eq!(one(statement), Some(change), "{statement}");
        }
    }
}
