//! Where the SAS token comes from.

use std::env;
use std::io::ErrorKind as Io;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use crate::{Error, ErrorKind, Token};

/// The variable that names the token's file.
const FILE_VARIABLE: &str = "AZURE_STORAGE_SAS_TOKEN_FILE";
/// The variable that holds the token.
const VARIABLE: &str = "AZURE_STORAGE_SAS_TOKEN";
/// No token is longer; the file may be one that never ends.
const LONGEST: usize = 64 << 10;

/// Where the token comes from.
#[derive(Debug, Clone)]
pub enum TokenSource {
    /// A file, read again when a request is refused and the file has changed.
    File(PathBuf),
    /// The token itself.
    Given(Token),
}

impl TokenSource {
    /// `AZURE_STORAGE_SAS_TOKEN_FILE`, else `AZURE_STORAGE_SAS_TOKEN`, else the URL's own query.
    /// A variable that is empty counts as not there.
    ///
    /// # Errors
    /// None of them is there, or it cannot be understood.
    pub fn find(query: Option<&str>) -> Result<Self, Error> {
        let set = |name| env::var_os(name).filter(|value| !value.is_empty());
        if let Some(path) = set(FILE_VARIABLE) {
            return Ok(Self::File(path.into()));
        }
        if let Some(token) = set(VARIABLE) {
            let token = Token::parse(&token.to_string_lossy());
            return Ok(Self::Given(token.map_err(|error| error.within(VARIABLE))?));
        }
        match query {
            Some(query) => Ok(Self::Given(Token::parse(query)?)),
            None => Err(Error::new(ErrorKind::Token, "there is no SAS token")
                .hint(format!("set {FILE_VARIABLE} or {VARIABLE}"))),
        }
    }

    fn read(&self) -> Result<Token, Error> {
        match self {
            Self::Given(token) => Ok(token.clone()),
            Self::File(path) => read_file(path),
        }
    }
}

fn read_file(path: &Path) -> Result<Token, Error> {
    let path_shown = path.display();
    let bytes = job::read_any(path, LONGEST).map_err(|error| {
        let doing = format_args!("cannot read the SAS token '{path_shown}'");
        let said = job::Error::io(doing, &error).to_string();
        Error::new(ErrorKind::Token, said).hint(match error.kind() {
            Io::FileTooLarge => format!("{FILE_VARIABLE} names a file with a token alone"),
            _ => format!("{FILE_VARIABLE} names that file"),
        })
    })?;
    let text = String::from_utf8(bytes).map_err(|_| {
        let said = format!("'{path_shown}': the SAS token is no text in UTF-8");
        Error::new(ErrorKind::Token, said)
            .hint("PowerShell's > may write UTF-16: Set-Content -Encoding ascii does not")
    })?;
    Token::parse(&text).map_err(|error| error.within(format_args!("'{path_shown}'")))
}

/// The token in use, and its source.
#[derive(Debug)]
pub(crate) struct Tokens {
    source: TokenSource,
    current: Mutex<Token>,
}

impl Tokens {
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

    /// After `refused` was refused: whether there is another one now. A file that cannot be read at this
    /// moment, or holds half a token, has not changed yet.
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
    fn what_is_no_token_is_said_at_once() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("token");
        let utf16: Vec<u8> = PLAIN.encode_utf16().flat_map(u16::to_le_bytes).collect();
        fs::write(&path, [b"\xff\xfe".as_slice(), &utf16].concat()).unwrap();
        let said = read_file(&path).unwrap_err().to_string();
        assert!(said.contains("UTF-8"), "{said}");
        let said = read_file(Path::new("/dev/zero")).unwrap_err().to_string();
        assert!(said.contains("it is longer than 64.00 KiB"), "{said}");
        fs::write(&path, format!("\u{feff}{PLAIN}\r\n")).unwrap();
        assert_eq!(read_file(&path).unwrap(), Token::parse(PLAIN).unwrap());
    }

    #[test]
    fn a_rotated_file_is_read_again() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("token");
        fs::write(&path, PLAIN).unwrap();
        let tokens = Tokens::new(TokenSource::File(path.clone())).unwrap();
        let first = tokens.current();
        assert!(!tokens.renewed(&first));
        fs::write(&path, "").unwrap();
        assert!(!tokens.renewed(&first));
        fs::write(&path, PLAIN.replace("ab", "xy")).unwrap();
        assert!(tokens.renewed(&first));
        assert!(
            tokens.renewed(&first),
            "another thread was refused with the old one too"
        );
        assert!(!tokens.renewed(&tokens.current()));
    }
}
