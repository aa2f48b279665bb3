//! How a statement that failed is shown: without what may be a secret, or somebody's data.

use dump_text::{Token, tokens};

/// How many words a statement's name has at most: `ALTER TABLE ONLY public.t ADD CONSTRAINT k FOREIGN KEY`.
const NAME_WORDS: usize = 14;
/// Statements that may hold a password anywhere.
const SECRETIVE: [&str; 4] = ["role", "server", "subscription", "user"];
/// Statements and messages are cut to this many bytes.
pub(super) const LENGTH: usize = 400;

/// A statement's name for a person: its first words, up to the name of its object.
pub(super) fn name_of(statement: &str) -> String {
    let ends = |token: &Token| match token {
        Token::Text(_) | Token::Symbol(b'(' | b';' | b'=') => true,
        token => ["as", "is", "with"].iter().any(|word| token.is(word)),
    };
    let words = tokens(statement.as_bytes()).take_while(|it| !ends(&it.token));
    let mut name = String::new();
    let mut ended = 0;
    for word in words.take(NAME_WORDS) {
        let Some(text) = statement.get(word.at.clone()) else {
            break;
        };
        // A dot between two names has no spaces around it.
        if ended > 0 && word.at.start > ended {
            name.push(' ');
        }
        name.push_str(text);
        ended = word.at.end;
    }
    match name.is_empty() {
        true => "a statement".into(),
        false => name,
    }
}

/// Whether a statement of this name may hold a password anywhere.
pub(super) fn is_secretive(name: &str) -> bool {
    let second = name.split_whitespace().nth(1);
    second.is_some_and(|word| SECRETIVE.contains(&word.to_ascii_lowercase().as_str()))
}

/// A statement for a log. What stands between quotes may be somebody's data, or a password.
pub(super) fn without_values(statement: &str) -> String {
    let mut shown = String::new();
    let mut from = 0;
    for word in tokens(statement.as_bytes()) {
        if matches!(word.token, Token::Text(_) | Token::Symbol(b'\'')) {
            shown += statement.get(from..word.at.start).unwrap_or_default();
            shown += "'…'";
            from = word.at.end;
        }
    }
    shown += statement.get(from..).unwrap_or_default();
    cut(&shown)
}

pub(super) fn cut(text: &str) -> String {
    if text.len() <= LENGTH {
        return text.to_owned();
    }
    let mut end = LENGTH;
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    format!("{}…", &text[..end])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_not_shown() {
        for (statement, wanted) in [
            (
                "ALTER ROLE bob WITH PASSWORD 'SCRAM-SHA-256$4096",
                "ALTER ROLE bob WITH PASSWORD '…'",
            ),
            (
                "INSERT INTO t VALUES (1, E'it\\'s', $$ü$$, 'x');",
                "INSERT INTO t VALUES (1, '…', '…', '…');",
            ),
            (
                "CREATE TABLE \"größe\" (a int);",
                "CREATE TABLE \"größe\" (a int);",
            ),
        ] {
            assert_eq!(without_values(statement), wanted);
        }
        assert!(without_values(&"ä".repeat(1000)).len() <= LENGTH + 3);
    }
}
