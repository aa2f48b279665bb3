//! What the server says of a statement, told apart by its code: its words are in its own language (`lc_messages`).

use std::fmt;

/// The code of an error, a warning or a notice (PostgreSQL documentation, appendix A).
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct SqlState([u8; 5]);

impl SqlState {
    /// The role lacks a privilege.
    pub const INSUFFICIENT_PRIVILEGE: Self = Self(*b"42501");

    /// Reads five capital letters and digits.
    pub fn parse(text: &str) -> Option<Self> {
        let code: [u8; 5] = text.as_bytes().try_into().ok()?;
        let is_code = |byte: &u8| byte.is_ascii_uppercase() || byte.is_ascii_digit();
        code.iter().all(is_code).then_some(Self(code))
    }

    /// The five characters.
    pub fn as_str(&self) -> &str {
        // They are ASCII, or there were no code.
        std::str::from_utf8(&self.0).unwrap_or_default()
    }

    /// Whether it is an error's. What succeeded has a code of the class 00, a warning one of 01, and "no data" 02.
    pub fn is_error(&self) -> bool {
        !matches!(&self.0[..2], b"00" | b"01" | b"02")
    }
}

impl fmt::Display for SqlState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Debug for SqlState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// The line with which psql begins what the server said, if it runs with [`ServerMessage::VERBOSE`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ServerMessage<'a> {
    /// `ERROR`, in the server's language.
    pub severity: &'a str,
    /// Its code.
    pub sqlstate: SqlState,
    /// The server's own words, in its language.
    pub text: &'a str,
}

impl<'a> ServerMessage<'a> {
    /// The option that makes psql tell the codes.
    pub const VERBOSE: &'static str = "--set=VERBOSITY=verbose";

    /// Reads `ERROR:  42P01: relation "t" does not exist`, in any language.
    pub fn parse(line: &'a str) -> Option<Self> {
        let (severity, rest) = line.split_once(":  ")?;
        let (code, text) = rest.split_once(':')?;
        let is_word = !severity.is_empty() && !severity.contains(':');
        let sqlstate = SqlState::parse(code).filter(|_| is_word)?;
        Some(Self {
            severity,
            sqlstate,
            text: text.trim_start(),
        })
    }
}

/// As psql says it without [`ServerMessage::VERBOSE`].
impl fmt::Display for ServerMessage<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:  {}", self.severity, self.text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_language_has_the_same_codes() {
        for (line, code, shown) in [
            (
                "ERROR:  42P01: relation \"t\" does not exist",
                "42P01",
                "ERROR:  relation \"t\" does not exist",
            ),
            (
                "FEHLER:  42501: keine Berechtigung für Tabelle pg_authid",
                "42501",
                "FEHLER:  keine Berechtigung für Tabelle pg_authid",
            ),
            (
                "ОШИБКА:  53100: не удалось записать",
                "53100",
                "ОШИБКА:  не удалось записать",
            ),
        ] {
            let message = ServerMessage::parse(line).unwrap();
            assert_eq!(message.sqlstate.as_str(), code);
            assert!(message.sqlstate.is_error());
            assert_eq!(message.to_string(), shown);
        }
        let notice = ServerMessage::parse("HINWEIS:  00000: Relation existiert bereits").unwrap();
        assert!(!notice.sqlstate.is_error());
        for line in [
            "",
            "LINE 1: select x",
            "ERROR:  relation does not exist",
            "LOCATION:  parserOpenTable, parse_relation.c:1392",
            "psql: error: connection failed: FATAL:  42501: x",
        ] {
            assert_eq!(ServerMessage::parse(line), None, "{line}");
        }
    }
}
