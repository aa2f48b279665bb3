//! What libpq takes for a connection string (PostgreSQL documentation, 34.1.1 Connection Strings), as pairs of a keyword
//! and its value. An error shows no value: it may be a password.

use std::fmt;

use percent_encoding::percent_decode;
use pg_text::PgText;

use crate::{Error, ErrorKind};

fn wrong(what: impl fmt::Display) -> Error {
    Error::new(
        ErrorKind::Usage,
        format!("cannot read the conninfo: {what}"),
    )
}

/// A keyword: libpq knows none of other characters. A URI that is taken for a keyword would be one again for libpq,
/// and lead there. It is not shown: such a URI may hold a password.
fn keyword(bytes: &[u8]) -> Result<String, Error> {
    let known = |byte: &u8| byte.is_ascii_alphanumeric() || *byte == b'_';
    match std::str::from_utf8(bytes) {
        Ok(text) if !text.is_empty() && bytes.iter().all(known) => Ok(text.to_owned()),
        _ => Err(wrong(
            "a keyword is not of letters, digits and '_' (a URI begins with postgresql://)",
        )),
    }
}

/// The text before and behind the first `separator`.
fn split_once(text: &[u8], separator: u8) -> Option<(&[u8], &[u8])> {
    let at = text.iter().position(|byte| *byte == separator)?;
    Some((&text[..at], &text[at + 1..]))
}

/// `host=x dbname='a\'b'`, as libpq's `conninfo_parse` reads it.
pub(super) fn keyword_pairs(text: &[u8]) -> Result<Vec<(String, PgText)>, Error> {
    let mut pairs = Vec::new();
    let mut rest = text.trim_ascii_start();
    while !rest.is_empty() {
        let (word, after) =
            split_once(rest, b'=').ok_or_else(|| wrong("a word at its end has no '=' after it"))?;
        let word = word.trim_ascii_end();
        if word.is_empty() || word.iter().any(u8::is_ascii_whitespace) {
            // Not shown: it may be the second word of a password that was not quoted.
            return Err(wrong(
                "a word has no '=' after it (a value with spaces needs '…')",
            ));
        }
        let word = keyword(word)?;
        let (value, after) = value(after.trim_ascii_start(), &word)?;
        pairs.push((word, value.into()));
        rest = after.trim_ascii_start();
    }
    Ok(pairs)
}

/// A value, perhaps quoted, and what comes after it.
fn value<'a>(text: &'a [u8], keyword: &str) -> Result<(Vec<u8>, &'a [u8]), Error> {
    let quoted = text.starts_with(b"'");
    let text = text.strip_prefix(b"'").unwrap_or(text);
    let mut value = Vec::new();
    let mut bytes = text.iter().copied().enumerate();
    while let Some((at, byte)) = bytes.next() {
        match byte {
            b'\\' => value.extend(bytes.next().map(|(_, byte)| byte)),
            b'\'' if quoted => return Ok((value, &text[at + 1..])),
            _ if !quoted && byte.is_ascii_whitespace() => return Ok((value, &text[at..])),
            _ => value.push(byte),
        }
    }
    if quoted {
        return Err(wrong(format_args!(
            "the value of '{keyword}' lacks its closing '"
        )));
    }
    Ok((value, b""))
}

/// `[user[:password]@][host[:port],…][/dbname][?keyword=value&…]`, as libpq's
/// `conninfo_uri_parse_options` reads it.
pub(super) fn uri_pairs(rest: &[u8]) -> Result<Vec<(String, PgText)>, Error> {
    let mut pairs = Vec::new();
    let mut add = |keyword: &str, value: PgText| pairs.push((keyword.to_owned(), value));
    let is_end = |byte: &u8| matches!(byte, b'/' | b'?');
    let authority_end = rest.iter().position(is_end).unwrap_or(rest.len());
    let (authority, rest) = rest.split_at(authority_end);
    let hosts = match split_once(authority, b'@') {
        Some((user, hosts)) => {
            let (user, password) = split_once(user, b':').unwrap_or((user, b""));
            add("user", decoded(user, "user")?);
            add("password", decoded(password, "password")?);
            hosts
        }
        None => authority,
    };
    let (mut names, mut ports) = (Vec::new(), Vec::new());
    for host in hosts.split(|byte| *byte == b',') {
        let (name, port) = host_and_port(host)?;
        names.push(decoded(name, "host")?);
        ports.push(decoded(port, "port")?);
    }
    add("host", list(&names));
    add("port", list(&ports));
    let (path, query) = split_once(rest, b'?').unwrap_or((rest, b""));
    add(
        "dbname",
        decoded(path.strip_prefix(b"/").unwrap_or(path), "dbname")?,
    );
    let parameters = query.split(|byte| *byte == b'&');
    for parameter in parameters.filter(|parameter| !parameter.is_empty()) {
        let (word, value) = split_once(parameter, b'=')
            .ok_or_else(|| wrong("a query parameter of the URI has no '='"))?;
        let word = keyword(decoded(word, "keyword")?.as_bytes())?;
        match (word.as_str(), decoded(value, &word)?) {
            // For JDBC's sake, as libpq does.
            ("ssl", value) if value == "true" => add("sslmode", "require".into()),
            (word, value) => add(word, value),
        }
    }
    Ok(pairs)
}

fn host_and_port(host: &[u8]) -> Result<(&[u8], &[u8]), Error> {
    let Some(address) = host.strip_prefix(b"[") else {
        return Ok(split_once(host, b':').unwrap_or((host, b"")));
    };
    let (address, port) = split_once(address, b']')
        .ok_or_else(|| wrong("an IPv6 address of the URI lacks its ']'"))?;
    Ok((address, port.strip_prefix(b":").unwrap_or(port)))
}

/// Several hosts or ports in one value; nothing if none of them says anything.
fn list(values: &[PgText]) -> PgText {
    if values.iter().all(PgText::is_empty) {
        return PgText::default();
    }
    PgText::join(values, ",")
}

/// As strict as libpq: a `%` that begins no code is an error, and so is the byte 0, which no value may hold.
fn decoded(text: &[u8], what: &str) -> Result<PgText, Error> {
    let is_code = |after: &[u8]| match after {
        [b'0', b'0', ..] => false,
        [high, low, ..] => high.is_ascii_hexdigit() && low.is_ascii_hexdigit(),
        _ => false,
    };
    let mut codes = text.split(|byte| *byte == b'%').skip(1);
    match codes.all(is_code) {
        true => Ok(percent_decode(text).collect()),
        false => Err(wrong(format_args!(
            "a '%' in the {what} of the URI does not begin a valid %XX"
        ))),
    }
}
