//! Results, on standard output.

use std::io::{self, Write};

use serde::Serialize;

use crate::{Error, message, secret};

/// Prints a result, whose lines end in line feeds, as far as it may be shown ([`crate::shown`]).
///
/// # Errors
/// Standard output is closed or full.
pub fn print(text: &str) -> Result<(), Error> {
    write(&message::shown(text))
}

/// Prints a document on one line. It is JSON whatever is hidden in it.
///
/// # Errors
/// As [`print()`].
pub fn print_json(document: &impl Serialize) -> Result<(), Error> {
    printed(serde_json::to_string(document))
}

/// As [`print_json`], on as many lines as a person likes.
///
/// # Errors
/// As [`print()`].
pub fn print_json_pretty(document: &impl Serialize) -> Result<(), Error> {
    printed(serde_json::to_string_pretty(document))
}

fn printed(json: serde_json::Result<String>) -> Result<(), Error> {
    let json = json.map_err(|error| Error::failed(format!("cannot write JSON: {error}")))?;
    write(&(guarded(&json) + "\n"))
}

fn write(text: &str) -> Result<(), Error> {
    let mut stdout = io::stdout().lock();
    stdout
        .write_all(text.as_bytes())
        .and_then(|()| stdout.flush())
        .map_err(|error| Error::io("cannot write to standard output", &error))
}

/// The same JSON with nothing secret in its strings. What a terminal would obey means the same as before, but is
/// written `\u009b`.
fn guarded(json: &str) -> String {
    let mut guarded = String::with_capacity(json.len());
    let mut rest = json;
    while let Some(start) = rest.find('"') {
        let (before, string) = rest.split_at(start);
        let (string, after) = string.split_at(string_end(string));
        guarded += before;
        guarded += &rewritten(string);
        rest = after;
    }
    guarded + rest
}

/// Behind the closing quote of a string of JSON.
fn string_end(string: &str) -> usize {
    let mut escaped = false;
    let closing = |(_, byte): &(usize, u8)| {
        let closes = *byte == b'"' && !escaped;
        escaped = *byte == b'\\' && !escaped;
        closes
    };
    let mut bytes = string.bytes().enumerate().skip(1);
    bytes.find(closing).map_or(string.len(), |(at, _)| at + 1)
}

fn rewritten(string: &str) -> String {
    let text: String = serde_json::from_str(string).unwrap_or_default();
    let string = serde_json::to_string(&secret::hidden(&text)).unwrap_or_default();
    let mut written = String::with_capacity(string.len());
    for char in string.chars() {
        if message::is_unseen(char) {
            let mut units = [0; 2];
            for unit in char.encode_utf16(&mut units) {
                written += &format!("\\u{unit:04x}");
            }
        } else {
            written.push(char);
        }
    }
    written
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    #[test]
    fn a_document_stays_one_whatever_is_hidden_in_it() {
        let text = json!({
            "error": "cannot read 'x?sig=ab\"cd' password='a\\'b\"",
            "name": "\u{9b}31m \u{1b} \u{202e}\u{e0041} \\ \" ü\n",
            "sig=ab": ["", 1, null],
        });
        for json in [
            text.to_string(),
            serde_json::to_string_pretty(&text).unwrap(),
        ] {
            let said = guarded(&json);
            let read: Value = serde_json::from_str(&said).unwrap();
            assert_eq!(read["name"], text["name"], "{said}");
            assert_eq!(read["sig=***"], json!(["", 1, null]), "{said}");
            let error = read["error"].as_str().unwrap();
            assert_eq!(error, "cannot read 'x?sig=***\"cd' password='***");
            assert!(!said.chars().any(message::is_unseen), "{said}");
        }
    }

    #[test]
    fn nothing_secret_nothing_changed() {
        let json = r#"{"a\"b":"c\\","d":[1.5,true,"\u0001é"]}"#;
        assert_eq!(guarded(json), json);
    }
}
