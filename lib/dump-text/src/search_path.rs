//! The search path of a dump's session. pg_dump 10 and older, before CVE-2018-1058 was mended, names the objects of a
//! schema without it: `SET search_path = shop, pg_catalog;`, then `CREATE TABLE orders`.

use std::borrow::Cow;
use std::iter;

use crate::token::{Spanned, Token, tokens};

/// Where names without a schema lead, as far as the dump says it.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub(crate) struct SearchPath {
    /// Schemas as SQL writes them, without `pg_catalog`, in which no dump creates. Empty where they are not known: the
    /// session's default.
    schemas: Vec<Vec<u8>>,
}

impl SearchPath {
    /// A statement that may change it.
    pub(crate) fn see(&mut self, statement: &[u8]) {
        if let Some(path) = Self::set_by(statement) {
            *self = path;
        }
    }

    /// `SET search_path`, `SET SCHEMA 'x'`, `SELECT set_config('search_path', …)`, `RESET search_path`. None if it is
    /// anything else.
    fn set_by(statement: &[u8]) -> Option<Self> {
        let mut words = tokens(statement).peekable();
        let first = words.next()?.token;
        if first.is("select") {
            return set_config(&mut words);
        }
        let _ = words.next_if(|it| it.token.is("session") || it.token.is("local"));
        let what = words.next()?.token;
        let (Token::Word(known) | Token::Name(known)) = what else {
            return None;
        };
        match known.ascii() {
            "search_path" if first.is("set") => {
                // The `=` or `TO`.
                words.next()?;
                Some(Self::of(statement, words))
            }
            "schema" if first.is("set") => Some(Self::of(statement, words)),
            "search_path" | "all" if first.is("reset") || first.is("discard") => {
                Some(Self::default())
            }
            _ => None,
        }
    }

    /// Reads a list of schemas, each a name or a string.
    fn of(text: &[u8], words: impl Iterator<Item = Spanned>) -> Self {
        let mut schemas = Vec::new();
        for Spanned { token, at } in words {
            match token {
                Token::Word(name) if name == "pg_catalog" => {}
                // The session's user is not known, nor what the default is.
                Token::Word(name) if name == "default" => return Self::default(),
                Token::Name(name) | Token::Text(name) if name == "$user" => {
                    return Self::default();
                }
                Token::Word(_) | Token::Name(_) => schemas.push(text[at].to_vec()),
                Token::Text(name) if name == "pg_catalog" || name.is_empty() => {}
                Token::Text(name) => schemas.push(written(name.as_bytes())),
                Token::Symbol(b',') => {}
                _ => break,
            }
        }
        Self { schemas }
    }

    /// The name of a table that is created.
    pub(crate) fn created<'a>(&self, name: &'a [u8]) -> Cow<'a, [u8]> {
        match self.schemas.first() {
            Some(schema) if !is_qualified(name) => Cow::Owned(within(schema, name)),
            _ => Cow::Borrowed(name),
        }
    }

    /// What the name of a table that is there may stand for, the first of these that there is.
    pub(crate) fn candidates<'a>(&'a self, name: &'a [u8]) -> impl Iterator<Item = Cow<'a, [u8]>> {
        let schemas = match is_qualified(name) {
            true => &[],
            false => self.schemas.as_slice(),
        };
        let within = move |schema: &'a Vec<u8>| Cow::Owned(within(schema, name));
        let itself = iter::once(Cow::Borrowed(name));
        schemas.iter().map(within).chain(itself)
    }
}

/// The rest of `SELECT pg_catalog.set_config('search_path', 'a, b', false)`.
fn set_config(words: &mut impl Iterator<Item = Spanned>) -> Option<SearchPath> {
    let mut words = words
        .map(|it| it.token)
        .skip_while(|it| !it.is("set_config"));
    let (_name, _open) = (words.next()?, words.next()?);
    match (words.next()?, words.next()?, words.next()?) {
        (Token::Text(name), Token::Symbol(b','), Token::Text(value)) if name == "search_path" => {
            let value = value.as_bytes();
            Some(SearchPath::of(value, tokens(value)))
        }
        _ => None,
    }
}

fn is_qualified(name: &[u8]) -> bool {
    tokens(name).any(|it| it.token == Token::Symbol(b'.'))
}

fn within(schema: &[u8], name: &[u8]) -> Vec<u8> {
    [schema, name].join(&b'.')
}

/// A name as SQL writes it: with quotes where it needs them.
fn written(name: &[u8]) -> Vec<u8> {
    let begins = |byte: u8| byte.is_ascii_lowercase() || byte == b'_';
    let goes_on = |byte: u8| begins(byte) || byte.is_ascii_digit();
    let is_plain = name.first().is_some_and(|byte| begins(*byte));
    if is_plain && name.iter().all(|byte| goes_on(*byte)) {
        return name.into();
    }
    let mut quoted = vec![b'"'];
    for byte in name {
        quoted.extend(std::iter::repeat_n(*byte, 1 + usize::from(*byte == b'"')));
    }
    quoted.push(b'"');
    quoted
}

#[cfg(test)]
mod tests {
    use super::*;

    fn path(statement: &str) -> Option<Vec<String>> {
        let schemas = SearchPath::set_by(statement.as_bytes())?.schemas;
        let text = |bytes| String::from_utf8(bytes).unwrap();
        Some(schemas.into_iter().map(text).collect())
    }

    #[test]
    fn what_dumps_and_people_write() {
        for (statement, schemas) in [
            ("SET search_path = public, pg_catalog;", &["public"][..]),
            (
                "SET search_path TO \"A b\", x, pg_catalog;",
                &["\"A b\"", "x"],
            ),
            (
                "set session search_path='Odd \"one\"';",
                &["\"Odd \"\"one\"\"\""],
            ),
            (
                "SET LOCAL \"search_path\" = 'shop', 'pg_catalog';",
                &["shop"],
            ),
            ("SET SCHEMA 'shop';", &["shop"]),
            ("SET search_path = '';", &[]),
            ("SET search_path = pg_catalog;", &[]),
            ("SET search_path TO DEFAULT;", &[]),
            ("SET search_path = \"$user\", public;", &[]),
            ("RESET search_path;", &[]),
            ("DISCARD ALL;", &[]),
            (
                "SELECT pg_catalog.set_config('search_path', '', false);",
                &[],
            ),
            (
                "SELECT set_config('search_path', 'shop, \"A b\", pg_catalog', false);",
                &["shop", "\"A b\""],
            ),
        ] {
            let wanted: Vec<String> = schemas.iter().map(|it| (*it).to_owned()).collect();
            assert_eq!(path(statement), Some(wanted), "{statement}");
        }
        for statement in [
            "SET client_encoding = 'search_path';",
            "SET search_path_x = a;",
            "RESET work_mem;",
            "SELECT pg_catalog.set_config('work_mem', 'search_path', false);",
            "SELECT pg_catalog.setval('public.s', 1, false);",
            "SET;",
        ] {
            assert_eq!(path(statement), None, "{statement}");
        }
    }
}
