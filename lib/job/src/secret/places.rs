//! Where a text holds a secret, as far as it says so itself: `sig=…`, `password=…`, `://user:password@`.

use std::ops::Range;

/// What kind of a secret it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum SecretKind {
    /// Random: no part of it stands in a message by chance.
    Key,
    /// Random too, and good for a login: a server of Azure's takes such a token as the password, so psql may need it.
    WebToken,
    /// Chosen by a person, perhaps: it may be a word.
    Password,
}

/// How the names of such keys end, in lower case ("Create a service SAS", "Configure Azure Storage connection strings").
const KEYS: [&str; 3] = ["sig", "accountkey", "sharedaccesskey"];
/// How the names of passwords end: `PGPASSWORD=`, and libpq's keywords.
const PASSWORDS: [&str; 5] = [
    "password",
    "passwd",
    "client_secret",
    "scram_client_key",
    "scram_server_key",
];

/// Where they are in these bytes.
pub(super) fn places(text: &[u8]) -> Vec<(SecretKind, Range<usize>)> {
    let mut found = Vec::new();
    for at in 0..text.len() {
        match text[at] {
            b'=' => found.extend(assigned(text, at)),
            b'\'' => found.extend(sql_password(text, at)),
            b'e' => found.extend(json_web_token(text, at)),
            b':' if text[at..].starts_with(b"://") => {
                found.extend(login(text, at).map(|place| (SecretKind::Password, place)));
            }
            _ => {}
        }
    }
    found.retain(|(_, place)| !place.is_empty());
    found
}

/// The value after the `=` at `at`.
fn assigned(text: &[u8], at: usize) -> Option<(SecretKind, Range<usize>)> {
    let name = name_before(text, at);
    if KEYS.iter().any(|key| name.ends_with(key)) {
        let ends = |byte: &u8| byte.is_ascii_whitespace() || b"&;'\"`<>".contains(byte);
        return Some((SecretKind::Key, at + 1..end(text, at + 1, ends)));
    }
    let is_password = PASSWORDS.iter().any(|password| name.ends_with(password));
    is_password.then(|| (SecretKind::Password, value(text, at + 1)))
}

/// A JSON Web Token (RFC 7519) that begins at `at`: a service account's, or a bearer token. Its first part is an object,
/// `{"`, in base64.
fn json_web_token(text: &[u8], at: usize) -> Option<(SecretKind, Range<usize>)> {
    // Its second part begins in the same way.
    let goes_on = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'.';
    let begins = at == 0 || !goes_on(text[at - 1]);
    if !begins || !text[at..].starts_with(b"eyJ") {
        return None;
    }
    let is_part = |byte: &u8| byte.is_ascii_alphanumeric() || b"-_.".contains(byte);
    let to = end(text, at, |byte| !is_part(byte));
    let parts = text[at..to].split(|byte| *byte == b'.');
    (parts.filter(|part| part.len() > 2).count() > 1).then_some((SecretKind::WebToken, at..to))
}

/// `PASSWORD '…'`, as SQL has it, whose quote is at `at`.
fn sql_password(text: &[u8], at: usize) -> Option<(SecretKind, Range<usize>)> {
    let apart = at > 0 && text[at - 1] == b' ';
    (apart && name_before(text, at) == "password").then(|| (SecretKind::Password, value(text, at)))
}

/// The value of a conninfo's keyword, perhaps quoted; spaces may come before it.
fn value(text: &[u8], from: usize) -> Range<usize> {
    let from = end(text, from, |byte| *byte != b' ');
    if let Some(quote) = text.get(from).filter(|byte| b"'\"".contains(byte)) {
        let mut at = from + 1;
        while at < text.len() && text[at] != *quote {
            at += if text[at] == b'\\' { 2 } else { 1 };
        }
        return from + 1..at.min(text.len());
    }
    let mut to = end(text, from, u8::is_ascii_whitespace);
    // The message's, most likely, that quotes it.
    while to > from && b"'\"`,;:.)]}".contains(&text[to - 1]) {
        to -= 1;
    }
    from..to
}

/// What stands before the `@` of the URL whose `://` is at `at`: the password alone where the user's name helps
/// whoever reads it.
fn login(text: &[u8], at: usize) -> Option<Range<usize>> {
    let from = at + 3;
    let to = end(text, from, u8::is_ascii_whitespace);
    let authority = end(&text[..to], from, |byte| b"/?#".contains(byte));
    let port = text[from..authority].iter().rposition(|byte| *byte == b':');
    let port = port.map(|colon| &text[from + colon + 1..authority]);
    // A password may hold what ends an authority, although it should be encoded; a port is none.
    let mut searched = &text[from..authority];
    if !searched.contains(&b'@') && port.is_some_and(|it| !it.iter().all(u8::is_ascii_digit)) {
        searched = &text[from..to];
    }
    let login = searched.iter().rposition(|byte| *byte == b'@')?;
    let is_postgres = name_before(text, at).starts_with("postgres");
    let colon = searched[..login].iter().position(|byte| *byte == b':');
    match (is_postgres, colon) {
        (true, Some(colon)) => Some(from + colon + 1..from + login),
        (true, None) => None,
        (false, _) => Some(from..from + login),
    }
}

/// The word before `at`, spaces between them left out, in lower case.
fn name_before(text: &[u8], at: usize) -> String {
    let is_space = |byte: &u8| *byte == b' ';
    let to = text[..at].iter().rposition(|byte| !is_space(byte));
    let to = to.map_or(0, |last| last + 1);
    let is_name = |byte: &u8| byte.is_ascii_alphanumeric() || *byte == b'_';
    let from = text[..to].iter().rposition(|byte| !is_name(byte));
    let name = &text[from.map_or(0, |before| before + 1)..to];
    String::from_utf8_lossy(name).to_ascii_lowercase()
}

fn end(text: &[u8], from: usize, ends: impl Fn(&u8) -> bool) -> usize {
    let rest = text.get(from..).unwrap_or_default();
    from + rest.iter().position(ends).unwrap_or(rest.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(text: &str) -> Vec<&str> {
        let places = places(text.as_bytes());
        places.into_iter().map(|(_, place)| &text[place]).collect()
    }

    #[test]
    fn signatures_and_keys() {
        assert_eq!(found("https://a/b?sp=r&sig=ab%2Bc&se=1"), ["ab%2Bc"]);
        assert_eq!(found("sig=ab"), ["ab"]);
        assert_eq!(found("the token 'sp=r&SIG=ab' is old"), ["ab"]);
        assert_eq!(found("x&amp;sig=ab;y"), ["ab"]);
        // The `&` was lost when it was copied.
        assert_eq!(found("?sp=rsig=ab&se=1"), ["ab"]);
        assert_eq!(found("AccountName=x;AccountKey=ab==;y=z"), ["ab=="]);
        assert_eq!(found("design=ab sig='' sig= sp=r"), Vec::<&str>::new());
    }

    #[test]
    fn tokens() {
        let token = "eyJhbGciOiJSUzI1NiJ9.eyJzdWIiOiJ4In0.c2ln-_";
        for text in ["Bearer TOKEN", "'TOKEN'", "--TOKEN", "a=TOKEN&b=c"] {
            assert_eq!(found(&text.replace("TOKEN", token)), [token], "{text}");
        }
        let cut = &token[..30];
        assert_eq!(found(cut), [cut]);
        for text in [
            "eyJ",
            "eyJs.",
            "heyJude.is.no.token",
            "keyJar.class.of",
            "eyJab ...",
        ] {
            assert_eq!(found(text), Vec::<&str>::new(), "{text}");
        }
    }

    #[test]
    fn passwords() {
        for (text, wanted) in [
            ("host=x password=ab user=y", &["ab"][..]),
            ("'host=x password=ab': no", &["ab"]),
            ("password = 'a\\'b c' x", &["a\\'b c"]),
            ("password='ab", &["ab"]),
            ("env PGPASSWORD=ab psql", &["ab"]),
            ("sslpassword=ab", &["ab"]),
            ("ALTER ROLE x PASSWORD 'ab';", &["ab"]),
            ("no password 'x", &["x"]),
            ("password authentication failed for user 'x'", &[]),
            ("passfile=x", &[]),
        ] {
            assert_eq!(found(text), wanted, "{text}");
        }
    }

    #[test]
    fn logins_of_urls() {
        for (text, wanted) in [
            ("postgresql://me:ab@h/db", &["ab"][..]),
            ("'postgres://me:a@b@h:5432/db' is", &["a@b"]),
            ("postgresql://me:a/b@h/db", &["a/b"]),
            ("postgresql://me@h/db", &[]),
            ("postgresql://h:5432/a@b", &[]),
            ("http://me:ab@proxy:3128", &["me:ab"]),
            ("https://ab@host/x", &["ab"]),
            ("https://host/x@y", &[]),
            ("https://", &[]),
        ] {
            assert_eq!(found(text), wanted, "{text}");
        }
    }
}
