//! A text without its percent-encoding, each byte with the bytes that write it.

use std::ops::Range;

/// A byte as it is meant, and where the text has it: `%2B` is a `+` of three bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Letter {
    pub(super) byte: u8,
    pub(super) written: Range<usize>,
}

/// The text as it is, then decoded once, then twice, as long as that changes it. A URL inside another URL's query is
/// encoded twice, and a token that was copied from there is.
pub(super) fn levels(text: &str) -> Vec<Vec<Letter>> {
    let plain = text.bytes().enumerate().map(|(at, byte)| Letter {
        byte,
        written: at..at + 1,
    });
    let mut levels: Vec<Vec<Letter>> = vec![plain.collect()];
    while let Some(next) = levels.last().and_then(|last| decoded(last)) {
        levels.push(next);
    }
    levels
}

/// None if there is nothing to decode.
fn decoded(letters: &[Letter]) -> Option<Vec<Letter>> {
    let mut all = Vec::with_capacity(letters.len());
    let mut rest = letters;
    while let Some(first) = rest.first() {
        let hex = |at: usize| char::from(rest.get(at)?.byte).to_digit(16);
        let byte = match (first.byte, hex(1), hex(2)) {
            (b'%', Some(high), Some(low)) => u8::try_from(high * 16 + low).ok(),
            _ => None,
        };
        let length = if byte.is_some() { 3 } else { 1 };
        all.push(Letter {
            byte: byte.unwrap_or(first.byte),
            written: first.written.start..rest[length - 1].written.end,
        });
        rest = &rest[length..];
    }
    (all.len() < letters.len()).then_some(all)
}

/// Where the bytes are that no way of quoting, wrapping or encoding a text changes: not white space (a `+` may be
/// one), quotes, backslashes or a `%`
/// that encodes nothing.
pub(super) fn essence(letters: &[Letter]) -> Vec<usize> {
    let changes = |byte: u8| byte <= b' ' || b"+'\"\\%\x7f".contains(&byte);
    let all = 0..letters.len();
    all.filter(|at| !changes(letters[*at].byte)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bytes(letters: &[Letter]) -> String {
        let bytes = letters.iter().map(|letter| letter.byte).collect();
        String::from_utf8(bytes).unwrap()
    }

    #[test]
    fn a_text_is_decoded_until_nothing_changes() {
        let levels = levels("a%252Bb%zz%");
        let texts: Vec<_> = levels.iter().map(|level| bytes(level)).collect();
        assert_eq!(texts, ["a%252Bb%zz%", "a%2Bb%zz%", "a+b%zz%"]);
        assert_eq!(levels[2][1].written, 1..6);
    }

    #[test]
    fn what_quotes_and_wraps_is_not_its_essence() {
        for text in [
            "a+b/c=",
            "a b/c=",
            "a%%2Bb/c=",
            "a%2bb%2Fc%3D",
            "\"a\n+b/c='\\",
        ] {
            let levels = levels(text);
            let last = levels.last().unwrap();
            let essence: Vec<_> = essence(last).iter().map(|at| last[*at].clone()).collect();
            assert_eq!(bytes(&essence), "ab/c=", "{text:?}");
        }
    }
}
