//! A name as JSON has it.

use pg_text::PgText;
use serde::{Deserialize, Serialize};

/// A string; or an object with the bytes in hexadecimal digits where they are not UTF-8.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub(crate) enum JsonName {
    Text(String),
    Bytes { hex: String },
}

impl From<&PgText> for JsonName {
    fn from(name: &PgText) -> Self {
        match name.utf8() {
            Some(text) => Self::Text(text.to_owned()),
            None => Self::Bytes { hex: name.hex() },
        }
    }
}

impl JsonName {
    /// None if these are no hexadecimal digits.
    pub(crate) fn into_text(self) -> Option<PgText> {
        match self {
            Self::Text(text) => Some(text.into()),
            Self::Bytes { hex } => PgText::from_hex(&hex),
        }
    }
}
