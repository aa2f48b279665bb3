//! `SET` and `SELECT`, as far as dumps have them.

use super::Ddl;
use super::cursor::Cursor;
use crate::token::Token;

/// Words behind `SET` that begin something else than a setting's name, or change how long it holds.
const NO_SETTINGS: [&str; 8] = [
    "session",
    "local",
    "transaction",
    "constraints",
    "role",
    "names",
    "time",
    "schema",
];

/// Functions for large objects.
const LARGE_OBJECTS: [&str; 6] = [
    "lo_create",
    "lo_open",
    "lowrite",
    "lo_close",
    "lo_from_bytea",
    "lo_put",
];

/// `name {= | TO} value`
pub(super) fn set(mut words: Cursor) -> Option<Ddl> {
    let mut name = words.name()?.ascii().to_ascii_lowercase();
    if NO_SETTINGS.contains(&name.as_str()) {
        return None;
    }
    while words.takes_symbol(b'.') {
        name = format!("{name}.{}", words.name()?.ascii().to_ascii_lowercase());
    }
    (words.takes_symbol(b'=') || words.takes("to")).then_some(Ddl::Setting(name))
}

/// `[pg_catalog.]function(value, …)` and nothing more.
pub(super) fn called(mut words: Cursor) -> Option<Ddl> {
    if words.takes("pg_catalog") && !words.takes_symbol(b'.') {
        return None;
    }
    let function = words.word()?;
    if !words.takes_symbol(b'(') {
        return None;
    }
    let mut arguments = Vec::new();
    while !words.takes_symbol(b')') {
        arguments.push(words.next()?);
    }
    if !words.is_at_end() {
        return None;
    }
    let is_value = |token: &Token| {
        matches!(
            token,
            Token::Text(_) | Token::Number | Token::Symbol(b',' | b'-')
        ) || token.is("true")
            || token.is("false")
    };
    if !arguments.iter().all(is_value) {
        return None;
    }
    match (function.ascii(), arguments.as_slice()) {
        ("setval", _) => Some(Ddl::SequenceValue),
        ("set_config", [Token::Text(name), _, Token::Text(_), _, local]) if local.is("false") => {
            Some(Ddl::Setting(name.ascii().to_ascii_lowercase()))
        }
        (name, _) if LARGE_OBJECTS.contains(&name) => Some(Ddl::LargeObject),
        _ => None,
    }
}
