//! Names of roles and tablespaces, which belong to the whole cluster, in the statements of a database.

use std::borrow::Cow;
use std::iter::repeat_n;

use dump_text::{Spanned, Token, tokens};
use pg_client::{quote_ident, quote_literal, sql};
use pg_text::PgText;

use super::owners::names_a_role;

/// Words before a role.
const BEFORE: [&str; 5] = ["by", "for", "from", "role", "to"];
/// Words that end a list of roles.
const BEHIND: [&str; 7] = ["grant", "in", "on", "revoke", "schema", "server", "set"];
/// Words before something that may contain anything.
const END: [&str; 2] = ["using", "with"];

/// The statement with new names for roles and tablespaces. `new` gives the name for each, or none if it stays.
///
/// Only quoted names are looked at, because pg_dump quotes every name that is not ASCII. In a `narrow` database, in whose
/// encoding the bytes of the new names may be no text, the server puts them into the statement itself.
pub(super) fn renamed(
    statement: &[u8],
    narrow: bool,
    new: impl Fn(&PgText) -> Option<PgText>,
) -> Cow<'_, [u8]> {
    let mut parts = Vec::new();
    let mut names = Vec::new();
    let mut end = 0;
    for (name, at) in shared(statement) {
        let Some(new) = new(&name).filter(|new| *new != name) else {
            continue;
        };
        parts.push(PgText::from(&statement[end..at.start]));
        names.push(new);
        end = at.end;
    }
    if names.is_empty() {
        return Cow::Borrowed(statement);
    }
    let rest = PgText::from(&statement[end..]);
    Cow::Owned(match narrow {
        true => put_in(&parts, &names, &rest).as_bytes().to_vec(),
        false => {
            let quoted = names.iter().map(quote_ident);
            let pairs = parts.into_iter().zip(quoted);
            let all = pairs.flat_map(|(part, name)| [part, name]).chain([rest]);
            PgText::join(all, "").as_bytes().to_vec()
        }
    })
}

/// The statement in a form that has the names as hexadecimal digits, by which the server finds them.
fn put_in(parts: &[PgText], names: &[PgText], rest: &PgText) -> PgText {
    let escaped = |part: &PgText| -> PgText {
        let times = |byte| 1 + usize::from(byte == b'%');
        let bytes = part.as_bytes().iter();
        bytes
            .flat_map(|byte| repeat_n(*byte, times(*byte)))
            .collect()
    };
    let parts = parts.iter().chain([rest]).map(escaped);
    let template = quote_literal(PgText::join(parts, "%I"));
    let names = names.iter().map(|name| {
        format!(
            ", (SELECT name FROM (SELECT rolname FROM pg_catalog.pg_roles UNION SELECT spcname FROM pg_catalog.pg_tablespace) AS it (name) WHERE pg_catalog.encode(pg_catalog.namesend(name), 'hex') = '{}')",
            name.hex()
        )
    });
    let names: String = names.collect();
    let body = sql(
        "BEGIN EXECUTE pg_catalog.format({}{}); END",
        &[&template, &names.into()],
    );
    sql("DO {};", &[&quote_literal(body)])
}

/// The quoted names of roles and tablespaces in a statement, and where they stand.
fn shared(statement: &[u8]) -> Vec<(PgText, std::ops::Range<usize>)> {
    let mut words = tokens(statement).map(|it| it.token);
    let sets = words.next().is_some_and(|it| it.is("set"));
    let tablespace = sets && words.next().is_some_and(|it| it.is("default_tablespace"));
    let mut is_role = tablespace;
    let mut found = Vec::new();
    if !tablespace && !names_a_role(statement) {
        return found;
    }
    for Spanned { token, at } in tokens(statement) {
        match token {
            Token::Word(word) if BEFORE.contains(&word.ascii()) => is_role = true,
            Token::Word(word) if !tablespace && BEHIND.contains(&word.ascii()) => is_role = false,
            Token::Word(word) if END.contains(&word.ascii()) => break,
            Token::Name(name) if is_role => found.push((name, at)),
            // In SET SESSION AUTHORIZATION and SET default_tablespace.
            Token::Text(name) if sets && !name.is_empty() => found.push((name, at)),
            _ => {}
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn roles_and_tablespaces_and_nothing_else() {
        let new = |name: &PgText| (*name == "ö").then(|| "\u{f6}2".into());
        for (statement, wanted) in [
            ("ALTER TABLE \"ö\".\"ö\" OWNER TO \"ö\";", 1),
            ("ALTER FUNCTION \"ö\"(\"ö\" \"ö\") OWNER TO \"ö\";", 1),
            (
                "GRANT SELECT(\"ö\") ON TABLE \"ö\" TO bob, \"ö\" WITH GRANT OPTION;",
                1,
            ),
            ("REVOKE ALL ON SCHEMA \"ö\" FROM \"ö\";", 1),
            (
                "ALTER DEFAULT PRIVILEGES FOR ROLE \"ö\" IN SCHEMA \"ö\" GRANT ALL ON TABLES TO \"ö\";",
                2,
            ),
            ("SET SESSION AUTHORIZATION 'ö';", 1),
            ("SET default_tablespace = \"ö\";", 1),
            (
                "CREATE USER MAPPING FOR \"ö\" SERVER \"ö\" OPTIONS (\"ö\" 'ö');",
                1,
            ),
            (
                "CREATE POLICY \"ö\" ON \"ö\" FOR SELECT TO \"ö\", bob USING ((a = 'x' to \"ö\"));",
                1,
            ),
            ("CREATE TABLE \"ö\" (\"ö\" text);", 0),
            ("COMMENT ON TABLE \"ö\" IS 'OWNER TO \"ö\"';", 0),
            ("SET default_tablespace = '';", 0),
        ] {
            let changed = renamed(statement.as_bytes(), false, new);
            let changed = String::from_utf8(changed.into_owned()).unwrap();
            assert_eq!(changed.matches("\"ö2\"").count(), wanted, "{changed}");
        }
        let policy = "CREATE POLICY \"ö\" ON t TO \"ö\" USING (true);";
        let changed = renamed(policy.as_bytes(), false, new);
        let wanted = "CREATE POLICY \"ö\" ON t TO \"ö2\" USING (true);";
        assert_eq!(changed.as_ref(), wanted.as_bytes());
        let statement = "ALTER TABLE public.\"%\" OWNER TO \"ö\";";
        let changed = renamed(statement.as_bytes(), true, new);
        let changed = String::from_utf8(changed.into_owned()).unwrap();
        assert!(
            changed.is_ascii() && changed.contains("\"%%\" OWNER TO %I;"),
            "{changed}"
        );
        assert!(changed.contains("c3b632"), "{changed}");
    }
}
