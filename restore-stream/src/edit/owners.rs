//! Statements in a database's dump that name a role.

use dump_text::{Token, tokens};

/// Whether a statement names a role: an owner, a privilege, a default privilege and so on. A server without that role refuses
/// it.
///
/// A policy names a role only if it is for certain roles.
pub(crate) fn names_a_role(statement: &[u8]) -> bool {
    let mut words = tokens(statement).map(|spanned| spanned.token);
    let Some(Token::Word(verb)) = words.next() else {
        return false;
    };
    match verb.ascii() {
        "grant" | "revoke" => true,
        "set" => words.next().is_some_and(|word| word.is("session")),
        "alter" => alters_owner(words),
        "create" => match words.next() {
            Some(word) if word.is("user") => true,
            Some(word) if word.is("policy") => is_for_roles(words),
            _ => false,
        },
        _ => false,
    }
}

/// `ALTER … OWNER TO x`, `ALTER DEFAULT PRIVILEGES …`, `ALTER ROLE …`.
fn alters_owner(mut words: impl Iterator<Item = Token>) -> bool {
    let Some(mut last) = words.next() else {
        return false;
    };
    if last.is("default") || last.is("role") {
        return true;
    }
    words.any(|word| {
        let found = last.is("owner") && word.is("to");
        last = word;
        found
    })
}

/// Whether it has `TO role` before the conditions, which may contain anything.
fn is_for_roles(words: impl Iterator<Item = Token>) -> bool {
    words
        .take_while(|word| !word.is("using") && !word.is("with"))
        .any(|word| word.is("to"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn statements_that_name_a_role() {
        for statement in [
            "ALTER TABLE public.t OWNER TO bob;",
            "ALTER FUNCTION f(a integer, owner text) OWNER TO \"o'b\";",
            "ALTER DATABASE x OWNER TO bob;",
            "ALTER DEFAULT PRIVILEGES FOR ROLE a IN SCHEMA s GRANT SELECT ON TABLES TO b;",
            "ALTER ROLE bob IN DATABASE x SET a TO 'b';",
            "GRANT SELECT(id) ON TABLE public.t TO bob;",
            "REVOKE ALL ON SCHEMA public FROM PUBLIC;",
            "SET SESSION AUTHORIZATION bob;",
            "CREATE USER MAPPING FOR bob SERVER far;",
            "CREATE POLICY p ON public.t FOR SELECT TO bob USING ((id > 0));",
        ] {
            assert!(names_a_role(statement.as_bytes()), "{statement}");
        }
        for statement in [
            "ALTER TABLE ONLY public.t ALTER COLUMN owner SET DEFAULT 'to';",
            "ALTER TABLE public.t ENABLE ROW LEVEL SECURITY;",
            "CREATE POLICY p ON public.t USING ((a = 'x' to y));",
            "CREATE TABLE public.owner (\"to\" integer);",
            "CREATE FUNCTION f() RETURNS void LANGUAGE sql AS 'ALTER TABLE t OWNER TO bob';",
            "SET default_tablespace = '';",
            "COMMENT ON TABLE public.t IS 'OWNER TO bob';",
        ] {
            assert!(!names_a_role(statement.as_bytes()), "{statement}");
        }
    }
}
