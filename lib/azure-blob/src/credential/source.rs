//! Where the SAS token comes from.

use std::env;
use std::io::ErrorKind as Io;
use std::path::{Path, PathBuf};

use super::token::Token;
use crate::{Error, ErrorKind};

/// The variable that names the token's file.
const FILE_VARIABLE: &str = "AZURE_STORAGE_SAS_TOKEN_FILE";
/// The variable that holds the token.
const VARIABLE: &str = "AZURE_STORAGE_SAS_TOKEN";
/// No token is longer. The name may lead to something that never ends.
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
    /// An empty variable counts as unset.
    ///
    /// # Errors
    /// None of them is set, or it cannot be understood.
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

    pub(super) fn read(&self) -> Result<Token, Error> {
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
}
