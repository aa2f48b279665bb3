//! The `restore_command` of the recovered server: this program, reading the same store.

use std::env;
use std::fs;
use std::path::Path;

use job::Error;

const TOKEN_FILE: &str = "AZURE_STORAGE_SAS_TOKEN_FILE";
const TOKEN: &str = "AZURE_STORAGE_SAS_TOKEN";
/// Segments that are fetched ahead of the one that the server asks for.
const AHEAD: u32 = 8;

/// Where the server that runs the command gets the store's token from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum TokenOfServer {
    /// It needs none, or the command names its file, or the machine's identity lets it in.
    Known,
    /// It was in a variable or in the URL, and is written nowhere: the server needs it in its environment.
    Missing,
}

/// The line, as PostgreSQL hands it to the shell. No token is in it.
///
/// # Errors
/// A path that no line can have.
pub(crate) fn line(store: &str, allow_tablespaces: bool) -> Result<String, Error> {
    let program = env::current_exe()
        .map_err(|error| Error::io("cannot tell where this program is", &error))?;
    let mut words = Vec::new();
    let is_url = azure_blob::is_url(store);
    if let Some(file) = env::var_os(TOKEN_FILE).filter(|it| is_url && !it.is_empty()) {
        let file = absolute(Path::new(&file))?;
        words.push(format!("{TOKEN_FILE}={}", word(&file)?));
    }
    words.push(word(path_text(&program)?)?);
    words.push(word(&match store.split_once('?') {
        Some((url, _)) if is_url => url.to_owned(),
        _ if is_url => store.to_owned(),
        _ => absolute(Path::new(store))?,
    })?);
    words.push(format!("--wal \"%f\" --to \"%p\" --ahead {AHEAD}"));
    if !allow_tablespaces {
        words.push("--no-tablespaces".to_owned());
    }
    Ok(words.join(" "))
}

/// Whether the command finds the token.
pub(crate) fn token(store: &str) -> TokenOfServer {
    let set = |name: &str| env::var_os(name).is_some_and(|value| !value.is_empty());
    let missing =
        azure_blob::is_url(store) && !set(TOKEN_FILE) && (set(TOKEN) || store.contains('?'));
    match missing {
        true => TokenOfServer::Missing,
        false => TokenOfServer::Known,
    }
}

fn absolute(path: &Path) -> Result<String, Error> {
    let absolute = fs::canonicalize(path)
        .map_err(|error| Error::io(format_args!("cannot find '{}'", path.display()), &error))?;
    path_text(&absolute).map(ToOwned::to_owned)
}

fn path_text(path: &Path) -> Result<&str, Error> {
    path.to_str().ok_or_else(|| {
        Error::usage(format!(
            "'{}' is not UTF-8, and cannot stand in a restore_command",
            path.display()
        ))
    })
}

/// A word of the shell's, in which PostgreSQL replaces nothing.
fn word(text: &str) -> Result<String, Error> {
    if text.chars().any(char::is_control) {
        return Err(Error::usage(format!(
            "'{}' has a control character, and cannot stand in a restore_command",
            job::shown(text)
        )));
    }
    let text = text.replace('%', "%%");
    let plain = |char: char| char.is_ascii_alphanumeric() || "/._-:=@+,%".contains(char);
    Ok(match text.chars().all(plain) && !text.is_empty() {
        true => text,
        false => format!("'{}'", text.replace('\'', r"'\''")),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_quoted_as_needed() {
        let word = |text| word(text).unwrap();
        assert_eq!(word("/backups"), "/backups");
        assert_eq!(word("https://a.b/c-1"), "https://a.b/c-1");
        assert_eq!(word("/my backups"), "'/my backups'");
        assert_eq!(word("/it's $HOME 100%"), r"'/it'\''s $HOME 100%%'");
        assert!(super::word("a\nb").is_err());
    }

    #[test]
    fn a_store_is_named_without_its_token() {
        let line = line("https://a.blob.core.windows.net/c/p?sv=1&sig=secret", false).unwrap();
        assert!(
            line.contains(" https://a.blob.core.windows.net/c/p --wal "),
            "{line}"
        );
        assert!(!line.contains("secret"), "{line}");
        assert!(line.ends_with(" --no-tablespaces"), "{line}");
        let here = super::line(".", true).unwrap();
        assert!(
            here.contains(env::current_dir().unwrap().to_str().unwrap()),
            "{here}"
        );
    }
}
