//! Patterns for the names of tables, as pg_dump's `--table` takes them.

use dump_text::QualifiedName;
use job::Error;
use pg_text::PgText;

/// A pattern: `shop.orders`, `orders`, `"Odd.name"`, `shop.log_*`.
///
/// Unquoted letters are small, as in SQL; `*` and `?` stand for any characters and for one, unless they are in quotes. A
/// pattern without a schema is for the tables of all schemas.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct TablePattern {
    text: PgText,
    schema: Option<Vec<Sign>>,
    name: Vec<Sign>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Sign {
    Byte(u8),
    /// `?`
    One,
    /// `*`
    Any,
}

impl TablePattern {
    /// Reads one.
    ///
    /// # Errors
    /// It has more parts than a schema and a name, or an empty one (exit code 2).
    pub(crate) fn new(text: &PgText) -> Result<Self, Error> {
        let mut parts = parts(text.as_bytes());
        let name = parts.pop().unwrap_or_default();
        let schema = parts.pop();
        let empty = name.is_empty() || schema.as_ref().is_some_and(Vec::is_empty);
        if empty || !parts.is_empty() {
            return Err(Error::usage(format!("'{text}' is no name of a table"))
                .hint("say TABLE or SCHEMA.TABLE; a part that has a dot in it needs double quotes: '\"a.b\"'"));
        }
        Ok(Self {
            text: text.clone(),
            schema,
            name,
        })
    }

    /// As it was given.
    pub(crate) fn text(&self) -> &PgText {
        &self.text
    }

    /// Whether it is for this table.
    pub(crate) fn matches(&self, table: &QualifiedName) -> bool {
        let schema = self.schema.as_deref();
        schema.is_none_or(|it| matches(it, table.schema.as_bytes()))
            && matches(&self.name, table.name.as_bytes())
    }

    /// The letters that a name must have to be near it.
    fn letters(&self) -> Vec<u8> {
        let letters = self.name.iter().filter_map(|sign| match sign {
            Sign::Byte(byte) => Some(byte.to_ascii_lowercase()),
            Sign::One | Sign::Any => None,
        });
        letters.collect()
    }

    /// Whether a name is one that may have been meant.
    pub(crate) fn is_near(&self, table: &QualifiedName) -> bool {
        let letters = self.letters();
        let name = table.name.as_bytes().to_ascii_lowercase();
        let within = |all: &[u8], some: &[u8]| {
            !some.is_empty() && all.windows(some.len()).any(|window| window == some)
        };
        within(&name, &letters) || within(&letters, &name) || differ_little(&name, &letters)
    }
}

/// Whether at most two letters are wrong, too many or missing.
fn differ_little(one: &[u8], other: &[u8]) -> bool {
    let mut row: Vec<usize> = (0..=other.len()).collect();
    for (at, byte) in one.iter().enumerate() {
        let mut corner = row[0];
        row[0] = at + 1;
        for (to, wanted) in other.iter().enumerate() {
            let changed = corner + usize::from(byte != wanted);
            corner = row[to + 1];
            row[to + 1] = changed.min(corner + 1).min(row[to] + 1);
        }
    }
    row.last().is_some_and(|distance| *distance <= 2)
}

/// The parts between dots.
fn parts(text: &[u8]) -> Vec<Vec<Sign>> {
    let mut parts = vec![Vec::new()];
    let mut quoted = false;
    let mut bytes = text.iter().copied().peekable();
    while let Some(byte) = bytes.next() {
        let sign = match byte {
            b'"' if quoted && bytes.next_if_eq(&b'"').is_some() => Sign::Byte(b'"'),
            b'"' => {
                quoted = !quoted;
                continue;
            }
            _ if quoted => Sign::Byte(byte),
            b'.' => {
                parts.push(Vec::new());
                continue;
            }
            b'*' => Sign::Any,
            b'?' => Sign::One,
            _ => Sign::Byte(byte.to_ascii_lowercase()),
        };
        if let Some(part) = parts.last_mut() {
            part.push(sign);
        }
    }
    parts
}

fn matches(signs: &[Sign], name: &[u8]) -> bool {
    let (mut sign, mut at) = (0, 0);
    // Where to go on if what follows the last `*` does not match.
    let mut again = None;
    loop {
        match signs.get(sign) {
            Some(Sign::Any) => {
                again = Some((sign, at));
                sign += 1;
            }
            Some(Sign::Byte(byte)) if name.get(at) == Some(byte) => (sign, at) = (sign + 1, at + 1),
            Some(Sign::One) if at < name.len() => (sign, at) = (sign + 1, next(name, at)),
            None if at == name.len() => return true,
            _ => match again {
                Some((any, from)) if from < name.len() => {
                    again = Some((any, from + 1));
                    (sign, at) = (any + 1, from + 1);
                }
                _ => return false,
            },
        }
    }
}

/// Where the next character begins: the bytes after its first that UTF-8 has belong to it.
fn next(name: &[u8], at: usize) -> usize {
    let more = name[at + 1..].iter();
    let more = more.take_while(|byte| (0x80..0xc0).contains(*byte));
    at + 1 + if name[at] >= 0xc0 { more.count() } else { 0 }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pattern(text: &str) -> TablePattern {
        TablePattern::new(&text.into()).unwrap()
    }

    fn table(schema: &str, name: &str) -> QualifiedName {
        QualifiedName {
            schema: schema.into(),
            name: name.into(),
        }
    }

    #[test]
    fn as_pg_dump() {
        for (text, schema, name, wanted) in [
            ("orders", "shop", "orders", true),
            ("Orders", "shop", "orders", true),
            ("\"Orders\"", "shop", "orders", false),
            ("\"Orders\"", "shop", "Orders", true),
            ("shop.orders", "shop", "orders", true),
            ("shop.orders", "other", "orders", false),
            ("shop.orders", "shop", "orders2", false),
            ("sh*.o?ders", "shop", "orders", true),
            ("*.*", "shop", "orders", true),
            ("o*s", "shop", "orders", true),
            ("o*rs*s", "shop", "orders", false),
            ("*a*b*", "s", "xxaxxaxbx", true),
            ("\"a.b\"", "s", "a.b", true),
            ("\"a*\"", "s", "ab", false),
            ("\"a\"\"b\"", "s", "a\"b", true),
            ("gr??e", "s", "größe", true),
            ("gr?e", "s", "größe", false),
            ("\"select\"", "s", "select", true),
            ("\"a\nb\"", "s", "a\nb", true),
            ("*", "s", "", true),
            ("?", "s", "", false),
        ] {
            let matched = pattern(text).matches(&table(schema, name));
            assert_eq!(matched, wanted, "{text} {schema}.{name}");
        }
    }

    #[test]
    fn what_is_no_pattern() {
        for text in ["", "a.b.c", ".a", "a.", "\"\""] {
            let error = TablePattern::new(&text.into()).unwrap_err();
            assert_eq!(error.exit().code(), 2, "{text}");
        }
    }

    #[test]
    fn near_names() {
        for (text, name, near) in [
            ("order", "orders", true),
            ("ordesr", "orders", true),
            ("all_orders", "orders", true),
            ("\"ORDERS\"", "orders", true),
            ("customers", "orders", false),
        ] {
            assert_eq!(pattern(text).is_near(&table("s", name)), near, "{text}");
        }
    }
}
