//! A database's own settings. It gets them after it is filled, so that they do not change how it is filled.

use dump_text::{Subject, Token, Verb, tokens};

/// Settings that change how values are computed or read. They held in the database that was dumped, so they hold while it is
/// filled too. So do settings with a dot in their names, which belong to an application.
const COMPUTING: [&str; 7] = [
    "datestyle",
    "default_text_search_config",
    "default_toast_compression",
    "lc_monetary",
    "lc_numeric",
    "lc_time",
    "timezone",
];

/// Whether a statement about a database waits until that is filled: it says how sessions begin, or who may connect.
pub(super) fn waits(statement: &[u8], about: &Subject) -> bool {
    match about.verb {
        Verb::Update => true,
        Verb::Alter if about.in_database.is_some() => true,
        Verb::Alter => {
            let from = about.name.at.end;
            let mut words = tokens(&statement[from..]).map(|it| it.token);
            let (first, second) = (words.next(), words.next());
            let is = |word: &Option<Token>, keyword: &str| {
                word.as_ref().is_some_and(|word| word.is(keyword))
            };
            match is(&first, "set") {
                true => !is(&second, "tablespace"),
                false => !["owner", "rename", "refresh"]
                    .iter()
                    .any(|it| is(&first, it)),
            }
        }
        _ => false,
    }
}

/// The `SET …` of an `ALTER DATABASE … SET …`, if it holds while the database is filled.
pub(super) fn while_filled(statement: &[u8], about: &Subject) -> Option<Vec<u8>> {
    if about.verb != Verb::Alter || about.in_database.is_some() {
        return None;
    }
    let rest = &statement[about.name.at.end..];
    let mut words = tokens(rest).map(|it| it.token);
    if !words.next()?.is("set") {
        // `CONNECTION LIMIT`, `RESET`.
        return None;
    }
    let (Token::Word(name) | Token::Name(name)) = words.next()? else {
        return None;
    };
    let of_an_application = words.next()? == Token::Symbol(b'.') || name.as_bytes().contains(&b'.');
    let computing = COMPUTING.contains(&name.ascii().to_ascii_lowercase().as_str());
    (of_an_application || computing).then(|| rest.trim_ascii_start().to_vec())
}

#[cfg(test)]
mod tests {
    use dump_text::subject;

    use super::*;

    fn both(statement: &str) -> (bool, Option<String>) {
        let about = subject(statement.as_bytes()).unwrap();
        let held = while_filled(statement.as_bytes(), &about);
        let held = held.map(|sql| String::from_utf8(sql).unwrap());
        (waits(statement.as_bytes(), &about), held)
    }

    #[test]
    fn what_waits_and_what_holds() {
        for statement in [
            "ALTER DATABASE x SET array_nulls TO 'off';",
            "ALTER DATABASE x SET role TO 'bob';",
            "ALTER DATABASE x RESET ALL;",
            "ALTER DATABASE x CONNECTION LIMIT = 0;",
            "ALTER DATABASE x WITH ALLOW_CONNECTIONS false;",
            "ALTER DATABASE x IS_TEMPLATE = true;",
            "ALTER ROLE bob IN DATABASE x SET timezone TO 'off';",
            "UPDATE pg_catalog.pg_database SET datistemplate = 't' WHERE datname = 'x';",
        ] {
            assert_eq!(both(statement), (true, None), "{statement}");
        }
        for statement in [
            "ALTER DATABASE x OWNER TO bob;",
            "ALTER DATABASE x SET TABLESPACE fast;",
            "ALTER DATABASE x REFRESH COLLATION VERSION;",
            "COMMENT ON DATABASE x IS 'SET a.b';",
            "GRANT CONNECT ON DATABASE x TO bob;",
            "CREATE DATABASE x;",
        ] {
            assert_eq!(both(statement), (false, None), "{statement}");
        }
        for (statement, held) in [
            (
                "ALTER DATABASE x SET \"app.name\" TO 'it''s';",
                "SET \"app.name\" TO 'it''s';",
            ),
            (
                "ALTER DATABASE x SET app.name TO 'a';",
                "SET app.name TO 'a';",
            ),
            (
                "ALTER ROLE ALL IN DATABASE x SET a.b TO 'c';",
                "SET a.b TO 'c';",
            ),
            (
                "ALTER DATABASE \"SET\" SET \"TimeZone\" TO 'Asia/Kathmandu';",
                "SET \"TimeZone\" TO 'Asia/Kathmandu';",
            ),
            (
                "ALTER DATABASE x SET lc_monetary TO 'C';",
                "SET lc_monetary TO 'C';",
            ),
        ] {
            assert_eq!(both(statement), (true, Some(held.into())), "{statement}");
        }
    }
}
