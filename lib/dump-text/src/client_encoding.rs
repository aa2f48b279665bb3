use crate::token::{Token, tokens};

/// The encoding that a statement sets for the session, as it is written there: `SET client_encoding = 'LATIN1';`, which
/// dumps begin with.
pub fn client_encoding(statement: &[u8]) -> Option<String> {
    let mut words = tokens(statement).map(|it| it.token).peekable();
    words.next().filter(|word| word.is("set"))?;
    let _ = words.next_if(|word| word.is("session"));
    let (Token::Word(name) | Token::Name(name)) = words.next()? else {
        return None;
    };
    match name.ascii().to_ascii_lowercase().as_str() {
        "client_encoding" => {
            words.next_if(|word| *word == Token::Symbol(b'=') || word.is("to"))?;
        }
        "names" => {}
        _ => return None,
    }
    match words.next()? {
        Token::Text(value) | Token::Name(value) | Token::Word(value) => {
            value.utf8().map(str::to_owned)
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_set() {
        for (statement, encoding) in [
            ("SET client_encoding = 'LATIN1';", Some("LATIN1")),
            ("set session client_encoding to utf8;", Some("utf8")),
            ("SET NAMES 'EUC_JP';", Some("EUC_JP")),
            ("SET \"client_encoding\" TO 'SQL_ASCII'", Some("SQL_ASCII")),
            ("SET a = 'client_encoding';", None),
            ("RESET client_encoding;", None),
            ("ALTER DATABASE a SET client_encoding TO 'LATIN1';", None),
            ("SET client_encoding 'LATIN1';", None),
        ] {
            let found = client_encoding(statement.as_bytes());
            assert_eq!(found.as_deref(), encoding, "{statement}");
        }
    }
}
