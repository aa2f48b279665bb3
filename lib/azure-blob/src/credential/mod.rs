//! What lets a request in: the SAS token that it carries, where that comes from, and a new one when the old one is
//! refused. Whoever makes a request asks [`Credential`] each time, and keeps nothing.

mod permission;
mod secret;
mod source;
mod token;

use std::sync::{Mutex, PoisonError};

pub use permission::Permission;
pub use source::TokenSource;
pub use token::Token;
pub(crate) use token::moment;

use crate::Error;

/// The token in use, and its source.
#[derive(Debug)]
pub(crate) struct Credential {
    source: TokenSource,
    current: Mutex<Token>,
}

impl Credential {
    pub(crate) fn new(source: TokenSource) -> Result<Self, Error> {
        let current = Mutex::new(source.read()?);
        Ok(Self { source, current })
    }

    pub(crate) fn current(&self) -> Token {
        self.current
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    /// After `refused` was refused: whether there is another token now. A file that cannot be read at this moment, or
    /// that holds half a token, has not changed yet.
    pub(crate) fn renewed(&self, refused: &Token) -> bool {
        let mut current = self.current.lock().unwrap_or_else(PoisonError::into_inner);
        if *current == *refused
            && let Ok(token) = self.source.read()
        {
            *current = token;
        }
        *current != *refused
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    const PLAIN: &str = "se=2026-01-01&sr=c&sp=cw&sig=ab%2Bcd%3D";

    #[test]
    fn a_rotated_file_is_read_again() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("token");
        fs::write(&path, PLAIN).unwrap();
        let credential = Credential::new(TokenSource::File(path.clone())).unwrap();
        let first = credential.current();
        assert!(!credential.renewed(&first));
        fs::write(&path, "").unwrap();
        assert!(!credential.renewed(&first));
        fs::write(&path, PLAIN.replace("ab", "xy")).unwrap();
        assert!(credential.renewed(&first));
        assert!(
            credential.renewed(&first),
            "another thread was refused with the old one too"
        );
        assert!(!credential.renewed(&credential.current()));
    }
}
