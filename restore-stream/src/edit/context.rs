//! The settings that decide how the bytes of a statement are read.

use dump_text::{Token, client_encoding, tokens};
use pg_client::{quote_literal, sql};

/// The settings in the dump: the encoding, and whether backslashes in strings are ordinary characters.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Context {
    /// The statement that has set it; none while the connection's encoding holds.
    encoding: Option<Vec<u8>>,
    strings: Option<Vec<u8>>,
}

impl Context {
    /// Notes what a statement sets, if it sets one of them.
    pub(crate) fn see(&mut self, statement: &[u8]) {
        match setting(statement).as_deref() {
            Some("client_encoding" | "names") => self.encoding = Some(statement.to_vec()),
            Some("standard_conforming_strings") => self.strings = Some(statement.to_vec()),
            _ => {}
        }
    }

    /// The encoding that the dump has set.
    pub(crate) fn encoding(&self) -> Option<String> {
        client_encoding(self.encoding.as_deref()?)
    }

    /// The same, with another encoding.
    pub(crate) fn with_encoding(&self, encoding: &str) -> Self {
        let set = sql("SET client_encoding = {};", &[&quote_literal(encoding)]);
        Self {
            encoding: Some(set.as_bytes().to_vec()),
            strings: self.strings.clone(),
        }
    }

    /// The SQL that sets them again.
    pub(crate) fn sql(&self) -> Vec<u8> {
        let encoding = self.encoding.as_deref();
        let strings = self.strings.as_deref();
        [
            encoding.unwrap_or(b"RESET client_encoding;"),
            strings.unwrap_or(b"SET standard_conforming_strings = on;"),
            b"",
        ]
        .join(&b'\n')
    }
}

/// The name of the setting that a `SET` or a `SELECT set_config` sets, where the statement shows it.
fn setting(statement: &[u8]) -> Option<String> {
    let mut words = tokens(statement).map(|it| it.token);
    let first = words.next()?;
    if first.is("set") {
        return words.find_map(|word| match word {
            Token::Word(scope) if scope == "session" || scope == "local" => None,
            Token::Word(name) | Token::Name(name) => Some(name.ascii().to_ascii_lowercase()),
            _ => Some(String::new()),
        });
    }
    if !first.is("select") {
        return None;
    }
    let mut words = words.skip_while(|word| !word.is("set_config")).skip(1);
    match (words.next()?, words.next()?) {
        (Token::Symbol(b'('), Token::Text(name)) => Some(name.ascii().to_ascii_lowercase()),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_settings_are_brought_about_again() {
        let mut context = Context::default();
        let default = "RESET client_encoding;\nSET standard_conforming_strings = on;\n";
        assert_eq!(context.sql(), default.as_bytes());
        for statement in [
            "SET client_encoding = 'LATIN1';",
            "SET a = 'client_encoding';",
            "SELECT pg_catalog.set_config('standard_conforming_strings', 'off', false);",
            "CREATE TABLE client_encoding (a int);",
        ] {
            context.see(statement.as_bytes());
        }
        let wanted = "SET client_encoding = 'LATIN1';\nSELECT pg_catalog.set_config('standard_conforming_strings', 'off', false);\n";
        assert_eq!(String::from_utf8(context.sql()).unwrap(), wanted);
        for (statement, encoding) in [
            ("SET SESSION client_encoding TO UTF8;", true),
            ("set \"client_encoding\" to 'EUC_JP';", true),
            ("SET NAMES 'UTF8';", true),
            ("SET client_min_messages = 'x';", false),
            ("SET TIME ZONE 'x';", false),
        ] {
            let mut context = Context::default();
            context.see(statement.as_bytes());
            assert_eq!(context.encoding.is_some(), encoding, "{statement}");
        }
    }
}
