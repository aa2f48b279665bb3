//! Large objects of a database that is restored in one transaction.
//!
//! Each large object that gets an owner, a comment or a privilege takes a lock until the transaction ends, and a server has
//! room for a few thousand locks (`max_locks_per_transaction`). So large objects go through a session of their own, in the
//! transactions that pg_dump wraps them in. Nothing else in a dump depends on them, and they depend on nothing else. If
//! the restore fails, they are removed again.

use dump_text::{Token, tokens};
use job::Error;

use super::context::Context;
use super::traits::Out;

/// What a statement has to do with large objects.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Concern {
    None,
    /// It creates or writes one, with values that are all in the statement.
    Writes,
    /// It creates or writes one in a way that no dump does: what else it calls cannot be known.
    Odd,
    /// It sets the owner, a privilege or the comment of one.
    Describes,
}

const FUNCTIONS: [&str; 9] = [
    "lo_create",
    "lo_open",
    "lowrite",
    "lo_put",
    "lo_close",
    "lo_unlink",
    "lo_from_bytea",
    "loread",
    "lo_lseek",
];
/// Types that values are cast to.
const TYPES: [&str; 5] = ["oid", "bytea", "int", "integer", "bigint"];
/// Words between the verb and `LARGE OBJECT`: `GRANT ALL PRIVILEGES ON`, `SECURITY LABEL FOR x ON`.
const FAR: usize = 12;

pub(super) fn concern(statement: &[u8]) -> Concern {
    let mut words = tokens(statement).map(|it| it.token);
    let Some(Token::Word(verb)) = words.next() else {
        return Concern::None;
    };
    match verb.ascii() {
        "select" => call(words),
        "alter" | "comment" | "security" | "grant" | "revoke" => {
            let mut words = words.take(FAR).skip_while(|word| !word.is("large"));
            // In `ON large`, that may be the name of a table; in `ON large object` it is not.
            match words.nth(1).is_some_and(|word| word.is("object")) {
                true => Concern::Describes,
                false => Concern::None,
            }
        }
        _ => Concern::None,
    }
}

/// `[pg_catalog.]lo_create('4711');`
fn call(words: impl Iterator<Item = Token>) -> Concern {
    let mut words = words.skip_while(|it| it.is("pg_catalog") || *it == Token::Symbol(b'.'));
    let function = match words.next() {
        Some(Token::Word(name)) => FUNCTIONS.contains(&name.ascii()),
        _ => false,
    };
    if !function || words.next() != Some(Token::Symbol(b'(')) {
        return Concern::None;
    }
    let is_value = |word: &Token| match word {
        Token::Text(_) | Token::Number | Token::Symbol(b',' | b'-' | b':') => true,
        Token::Word(word) => TYPES.contains(&word.ascii()),
        _ => false,
    };
    let ends = [Token::Symbol(b')'), Token::Symbol(b';')];
    let mut rest = words.skip_while(is_value);
    match ends.map(Some).iter().all(|end| rest.next() == *end) && rest.next().is_none() {
        true => Concern::Writes,
        false => Concern::Odd,
    }
}

/// The settings that the session for large objects has got so far.
#[derive(Debug, Default)]
pub(super) struct SideSession {
    begun: bool,
    context: Context,
    authorization: Option<Vec<u8>>,
}

impl SideSession {
    /// Sends the settings that hold for the next statement; before the first one, `settings` too.
    pub(super) fn tell(
        &mut self,
        settings: &str,
        context: &Context,
        authorization: Option<&[u8]>,
        always: bool,
        out: &mut dyn Out,
    ) -> Result<(), Error> {
        if !self.begun {
            out.write(settings.as_bytes())?;
        }
        if !self.begun || always || self.context != *context {
            out.write(&[b"\n", context.sql().as_slice()].concat())?;
            self.context = context.clone();
        }
        if self.authorization.as_deref() != authorization {
            let reset = b"RESET SESSION AUTHORIZATION;".as_slice();
            out.write(&[authorization.unwrap_or(reset), b"\n"].concat())?;
            self.authorization = authorization.map(<[u8]>::to_vec);
        }
        self.begun = true;
        Ok(())
    }
}

/// If a statement sets the session's role for what follows: the statement, or none if it goes back to the role that
/// restores. None for any other statement.
pub(super) fn authorization(statement: &[u8]) -> Option<Option<Vec<u8>>> {
    let mut words = tokens(statement).map(|it| it.token);
    let verb = words.next()?;
    if !words.next()?.is("session") || !words.next()?.is("authorization") {
        return None;
    }
    let default = words.next()?.is("default");
    match (verb.is("set"), verb.is("reset")) {
        (true, _) if !default => Some(Some(statement.to_vec())),
        (true, _) | (_, true) => Some(None),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_concerns_large_objects() {
        for (statement, wanted) in [
            (
                "SELECT pg_catalog.lo_open('4711', 131072);",
                Concern::Writes,
            ),
            ("SELECT lowrite(0, '\\x00');", Concern::Writes),
            ("SELECT pg_catalog.lo_create('4711');", Concern::Writes),
            (
                "select lo_from_bytea(-1::oid, 'x'::bytea) ;",
                Concern::Writes,
            ),
            ("SELECT lo_create(f());", Concern::Odd),
            ("SELECT lo_create(1), f();", Concern::Odd),
            ("SELECT lo_create(1) FROM t;", Concern::Odd),
            ("SELECT lo_put(1, 0, 'the head of a long one", Concern::Odd),
            ("SELECT pg_catalog.setval('s', 1);", Concern::None),
            ("CREATE TABLE lo_open (a int);", Concern::None),
            ("SELECT lo_open;", Concern::None),
            ("ALTER LARGE OBJECT 4711 OWNER TO bob;", Concern::Describes),
            ("COMMENT ON LARGE OBJECT 4711 IS 'x';", Concern::Describes),
            (
                "SECURITY LABEL FOR dummy ON LARGE OBJECT 1 IS 'x';",
                Concern::Describes,
            ),
            (
                "GRANT SELECT,UPDATE ON LARGE OBJECT 1 TO bob;",
                Concern::Describes,
            ),
            ("REVOKE ALL ON LARGE OBJECT 1 FROM bob;", Concern::Describes),
            ("GRANT SELECT ON large TO object;", Concern::None),
            ("COMMENT ON TABLE t IS 'LARGE OBJECT';", Concern::None),
        ] {
            assert_eq!(concern(statement.as_bytes()), wanted, "{statement}");
        }
    }

    #[test]
    fn as_whom() {
        let of = |statement: &str| authorization(statement.as_bytes());
        let set = "SET SESSION AUTHORIZATION 'bob';";
        assert_eq!(of(set), Some(Some(set.into())));
        assert_eq!(of("SET SESSION AUTHORIZATION DEFAULT;"), Some(None));
        assert_eq!(of("RESET SESSION AUTHORIZATION;"), Some(None));
        assert_eq!(of("SET SESSION a = b;"), None);
    }
}
