//! psql's patterns for names, as `pg_dumpall --exclude-database` takes them.

use job::Error;
use pg_text::PgText;

/// The regular expression that a pattern means to the server's `~`, anchored at both ends.
///
/// It is `patternToSQLRegex` of PostgreSQL's `fe_utils/string_utils.c`: `*` and `?` as in a shell,
/// capitals become small, double quotes keep what is in them as it is, `$` is always literal, all other
/// regular expression characters pass.
///
/// # Errors
/// A dot outside quotes, which pg_dumpall takes for a qualified name: exit code 2.
pub(crate) fn regex(pattern: &PgText) -> Result<PgText, Error> {
    let mut regex = b"^(".to_vec();
    let mut quoted = false;
    let mut bytes = pattern.as_bytes().iter().copied().peekable();
    while let Some(byte) = bytes.next() {
        match byte {
            b'"' if quoted && bytes.next_if_eq(&b'"').is_some() => regex.push(b'"'),
            b'"' => quoted = !quoted,
            b'$' => regex.extend(b"\\$"),
            _ if quoted => {
                if b"|*+?()[]{}.^\\".contains(&byte) {
                    regex.push(b'\\');
                }
                regex.push(byte);
            }
            b'*' => regex.extend(b".*"),
            b'?' => regex.push(b'.'),
            b'.' => return Err(dotted(pattern)),
            // More likely an array's type name than a bracket expression.
            b'[' if bytes.peek() == Some(&b']') => regex.extend(b"\\["),
            _ => regex.push(byte.to_ascii_lowercase()),
        }
    }
    regex.extend(b")$");
    Ok(regex.into())
}

fn dotted(pattern: &PgText) -> Error {
    Error::usage(format!(
        "improper qualified name (too many dotted names): {pattern}"
    ))
    .hint("put a name that has a dot in it into double quotes: --exclude-database '\"a.b\"'")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn as_pg_dumpall() {
        for (pattern, wanted) in [
            ("test*", "^(test.*)$"),
            ("T?st", "^(t.st)$"),
            ("\"T?st*\"", r"^(T\?st\*)$"),
            ("a\"B\"\"C\"d", "^(aB\"Cd)$"),
            ("a|b", "^(a|b)$"),
            ("\"a|b\"", r"^(a\|b)$"),
            ("a$", r"^(a\$)$"),
            ("\"a$\"", r"^(a\$)$"),
            ("int[]", r"^(int\[])$"),
            ("\"[]\"", r"^(\[\])$"),
            ("db[0-9]", "^(db[0-9])$"),
            ("\"a.b\"", r"^(a\.b)$"),
            ("НОВАЯ", "^(НОВАЯ)$"),
            ("", "^()$"),
            (r"a\d", r"^(a\d)$"),
            ("\"open", "^(open)$"),
        ] {
            assert_eq!(regex(&pattern.into()).unwrap(), wanted, "{pattern}");
        }
    }

    #[test]
    fn a_dotted_name_is_refused() {
        let error = regex(&"a.b".into()).unwrap_err();
        assert_eq!(error.exit().code(), 2);
        assert!(error.to_string().contains("too many dotted names"));
    }
}
