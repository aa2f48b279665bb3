//! A name or another text of PostgreSQL's: bytes in an encoding that the bytes do not tell. What is compared and sent is
//! the bytes; what a person sees is made of them, and is no way back.

use std::ffi::{OsStr, OsString};
use std::fmt::{self, Write};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::str::FromStr;

use serde::{Serialize, Serializer};

/// Bytes in some encoding, all of whose servers' variants have ASCII in them as it is.
///
/// It is shown as UTF-8 where it is that; any other byte is shown as `\xf6`.
#[derive(Clone, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PgText(Vec<u8>);

impl PgText {
    /// Its bytes.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// As an argument, or a variable of the environment, has it.
    pub fn as_os_str(&self) -> &OsStr {
        OsStr::from_bytes(&self.0)
    }

    /// The text, where it is UTF-8.
    pub fn utf8(&self) -> Option<&str> {
        std::str::from_utf8(&self.0).ok()
    }

    /// To be compared with words that are ASCII: empty if it is more than that.
    pub fn ascii(&self) -> &str {
        self.utf8().filter(|text| text.is_ascii()).unwrap_or("")
    }

    /// What its ASCII means: a number.
    pub fn parse<T: FromStr>(&self) -> Option<T> {
        self.ascii().parse().ok()
    }

    /// Whether all encodings have it as the same bytes.
    pub fn is_ascii(&self) -> bool {
        self.0.is_ascii()
    }

    /// How many bytes it has.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether it has none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Two lower-case hexadecimal digits for each byte.
    pub fn hex(&self) -> String {
        hex::encode(&self.0)
    }

    /// What [`PgText::hex`] was made of; none if it is not of that form.
    pub fn from_hex(digits: &str) -> Option<Self> {
        hex::decode(digits).ok().map(Self)
    }

    /// Whether a person who gives `word` means it: its bytes, or how it is shown where it is not UTF-8.
    pub fn is_meant_by(&self, word: &Self) -> bool {
        self == word || self.utf8().is_none() && word.utf8() == Some(&self.to_string())
    }

    /// Puts texts one behind the other, with another one between.
    pub fn join<T: AsRef<[u8]>>(texts: impl IntoIterator<Item = T>, between: &str) -> Self {
        let mut joined = Vec::new();
        for (at, text) in texts.into_iter().enumerate() {
            if at > 0 {
                joined.extend_from_slice(between.as_bytes());
            }
            joined.extend_from_slice(text.as_ref());
        }
        Self(joined)
    }
}

impl fmt::Display for PgText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for chunk in self.0.utf8_chunks() {
            f.write_str(chunk.valid())?;
            for byte in chunk.invalid() {
                write!(f, "\\x{byte:02x}")?;
            }
        }
        Ok(())
    }
}

/// In double quotes, with what may not reach a terminal escaped.
impl fmt::Debug for PgText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(text) = self.utf8() {
            return fmt::Debug::fmt(text, f);
        }
        f.write_char('"')?;
        for chunk in self.0.utf8_chunks() {
            write!(f, "{}", chunk.valid().escape_debug())?;
            for byte in chunk.invalid() {
                write!(f, "\\x{byte:02x}")?;
            }
        }
        f.write_char('"')
    }
}

/// As it is shown.
impl Serialize for PgText {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl From<&str> for PgText {
    fn from(text: &str) -> Self {
        Self(text.into())
    }
}

impl From<String> for PgText {
    fn from(text: String) -> Self {
        Self(text.into_bytes())
    }
}

impl From<&[u8]> for PgText {
    fn from(bytes: &[u8]) -> Self {
        Self(bytes.into())
    }
}

impl From<Vec<u8>> for PgText {
    fn from(bytes: Vec<u8>) -> Self {
        Self(bytes)
    }
}

impl From<OsString> for PgText {
    fn from(text: OsString) -> Self {
        Self(text.into_vec())
    }
}

impl From<&OsStr> for PgText {
    fn from(text: &OsStr) -> Self {
        Self(text.as_bytes().into())
    }
}

impl FromIterator<u8> for PgText {
    fn from_iter<I: IntoIterator<Item = u8>>(bytes: I) -> Self {
        Self(bytes.into_iter().collect())
    }
}

impl AsRef<[u8]> for PgText {
    fn as_ref(&self) -> &[u8] {
        &self.0
    }
}

impl AsRef<OsStr> for PgText {
    fn as_ref(&self) -> &OsStr {
        self.as_os_str()
    }
}

impl PartialEq<str> for PgText {
    fn eq(&self, other: &str) -> bool {
        self.0 == other.as_bytes()
    }
}

impl PartialEq<&str> for PgText {
    fn eq(&self, other: &&str) -> bool {
        self.0 == other.as_bytes()
    }
}

impl PartialEq<String> for PgText {
    fn eq(&self, other: &String) -> bool {
        self.0 == other.as_bytes()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_utf_8_is_shown_byte_by_byte_and_kept_as_it_is() {
        for (bytes, shown, quoted) in [
            (&b"shop"[..], "shop", "\"shop\""),
            ("größe\n".as_bytes(), "größe\n", "\"größe\\n\""),
            (b"gr\xf6\xdfe", "gr\\xf6\\xdfe", "\"gr\\xf6\\xdfe\""),
            (
                b"\xc7\xe4\"\xbe",
                "\\xc7\\xe4\"\\xbe",
                "\"\\xc7\\xe4\\\"\\xbe\"",
            ),
            // The beginning of a character of three bytes.
            (b"a\xe6\x97", "a\\xe6\\x97", "\"a\\xe6\\x97\""),
        ] {
            let text = PgText::from(bytes);
            assert_eq!(text.to_string(), shown);
            assert_eq!(format!("{text:?}"), quoted);
            assert_eq!(text.as_bytes(), bytes);
            assert_eq!(PgText::from_hex(&text.hex()), Some(text.clone()));
            assert!(text.is_meant_by(&text) && text.is_meant_by(&shown.into()));
        }
        for wrong in ["a", "gg", "ö", "+1"] {
            assert_eq!(PgText::from_hex(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn texts_that_are_shown_alike_are_not_the_same() {
        let bytes = PgText::from(&b"\xf6"[..]);
        let letters = PgText::from("\\xf6");
        assert_eq!(bytes.to_string(), letters.to_string());
        assert_ne!(bytes, letters);
        assert!(!letters.is_meant_by(&bytes));
        assert_ne!(PgText::from(&b"\xf6"[..]), PgText::from(&b"\xdf"[..]));
    }
}
