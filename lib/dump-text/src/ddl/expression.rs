//! Code of a user's in expressions.
//!
//! A dump is read with an empty search path, so pg_dump writes the schema of everything that is not PostgreSQL's own: a
//! function `shop.price(…)`, an operator `OPERATOR(shop.===)`, a type, for which there may be a cast. Such code may read
//! other tables, whatever it claims to be, and finds in them what was restored before.

use pg_text::PgText;

use crate::token::Token;

/// Whether a name with a schema that is not PostgreSQL's own is among these tokens.
pub(super) fn has_user_names(tokens: &[Token]) -> bool {
    tokens.windows(3).any(is_user_name)
}

/// The same for what follows a table's name in `CREATE INDEX` or `EXCLUDE`. There, an operator class or a collation is no
/// code of that kind: it stands behind a column, and no parenthesis follows.
pub(super) fn indexes_by_user_code(tokens: &[Token]) -> bool {
    let mut depth = 0_u32;
    for (at, token) in tokens.iter().enumerate() {
        match token {
            Token::Symbol(b'(') => depth += 1,
            Token::Symbol(b')') => depth = depth.saturating_sub(1),
            word if depth == 0 && word.is("where") => return has_user_names(&tokens[at..]),
            _ => {}
        }
        let names = tokens.get(at..at + 3).is_some_and(is_user_name);
        let called = tokens.get(at + 3) == Some(&Token::Symbol(b'('));
        if names && (depth != 1 || called) {
            return true;
        }
    }
    false
}

fn is_user_name(tokens: &[Token]) -> bool {
    matches!(tokens, [schema, Token::Symbol(b'.'), Token::Word(_) | Token::Name(_) | Token::Symbol(_)]
        if name(schema).is_some_and(|it| *it != *"pg_catalog"))
}

fn name(token: &Token) -> Option<&PgText> {
    match token {
        Token::Word(name) | Token::Name(name) => Some(name),
        _ => None,
    }
}
