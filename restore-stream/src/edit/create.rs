//! The options of `CREATE DATABASE`.

use std::ops::Range;

use dump_text::{Spanned, Token, tokens};
use pg_text::PgText;

/// One option of `CREATE DATABASE`: `OWNER = bob`.
struct Setting {
    keyword: PgText,
    value: Token,
    at: Range<usize>,
}

/// A `CREATE DATABASE` without some options: `goes` decides, by an option's keyword (in lower case) and value. Blanks take
/// their places, so that everything else stands where it stood.
pub(super) fn without(statement: &[u8], goes: impl Fn(&str, &Token) -> bool) -> Vec<u8> {
    let mut changed = statement.to_vec();
    for option in settings(statement) {
        if goes(option.keyword.ascii(), &option.value) {
            changed[option.at].fill(b' ');
        }
    }
    changed
}

/// The value of the option `ENCODING`.
pub(super) fn encoding(statement: &[u8]) -> Option<String> {
    let said = settings(statement).find(|it| it.keyword == "encoding")?;
    match said.value {
        Token::Text(name) | Token::Word(name) | Token::Name(name) => name.utf8().map(str::to_owned),
        _ => None,
    }
}

/// The options (PostgreSQL's grammar, `createdb_opt_item`): a word, or `CONNECTION LIMIT`; optionally `=`; a value,
/// optionally with a sign.
fn settings(statement: &[u8]) -> impl Iterator<Item = Setting> + '_ {
    // The first three words are CREATE DATABASE name.
    let mut words = tokens(statement).skip(3).peekable();
    std::iter::from_fn(move || {
        let _ = words.next_if(|it| it.token.is("with"));
        let Spanned {
            token: Token::Word(keyword),
            at,
        } = words.next()?
        else {
            return None;
        };
        if keyword == "connection" {
            words.next()?;
        }
        let _ = words.next_if(|it| it.token == Token::Symbol(b'='));
        let _ = words.next_if(|it| matches!(it.token, Token::Symbol(b'-' | b'+')));
        let value = words.next()?;
        Some(Setting {
            keyword,
            value: value.token,
            at: at.start..value.at.end,
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_by_their_keywords() {
        let all = "CREATE DATABASE owner WITH TEMPLATE = owner ENCODING 'owner = x' CONNECTION LIMIT = -1 OWNER = \"b c\" IS_TEMPLATE true;";
        let left = without(all.as_bytes(), |keyword, _| keyword == "owner");
        let left = String::from_utf8(left).unwrap();
        let gone = "OWNER = \"b c\"";
        assert_eq!(left, all.replace(gone, &" ".repeat(gone.len())));
        for (short, wanted) in [
            ("CREATE DATABASE a OWNER b;", "CREATE DATABASE a        ;"),
            ("CREATE DATABASE a OWNER=b;", "CREATE DATABASE a        ;"),
            ("CREATE DATABASE a;", "CREATE DATABASE a;"),
            ("CREATE DATABASE a WITH;", "CREATE DATABASE a WITH;"),
        ] {
            let left = without(short.as_bytes(), |keyword, _| keyword == "owner");
            assert_eq!(String::from_utf8(left).unwrap(), wanted);
        }
    }
}
