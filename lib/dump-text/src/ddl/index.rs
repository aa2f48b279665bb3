//! Indexes, the constraints that have one, foreign keys, and what is said of them.

use pg_text::PgText;

use super::cursor::Cursor;
use super::expression::indexes_by_user_code;
use super::{Ddl, Index};
use crate::token::Token;

/// `[UNIQUE] INDEX name ON [ONLY] schema.table …`
pub(super) fn created(mut words: Cursor) -> Option<Ddl> {
    words.takes("unique");
    if !words.takes("index") {
        return None;
    }
    let name = index_name(&mut words)?;
    if !words.takes("on") {
        return None;
    }
    words.takes("only");
    let table = words.qualified()?;
    let one_statement = words.lacks_outside(|token| *token == Token::Symbol(b','));
    one_statement.then(|| {
        Ddl::Index(Index {
            name: table.sibling(name),
            runs_user_code: indexes_by_user_code(words.rest()),
            table,
        })
    })
}

/// `CREATE INDEX ON t` has no name, and `CREATE INDEX CONCURRENTLY ON t` has none either.
fn index_name(words: &mut Cursor) -> Option<PgText> {
    match words.next()? {
        Token::Word(word) if word == "on" || word == "concurrently" => None,
        Token::Word(name) | Token::Name(name) => Some(name),
        _ => None,
    }
}

/// `INDEX …`, `TABLE …` about indexes and constraints.
pub(super) fn altered(mut words: Cursor) -> Option<Ddl> {
    if words.takes("index") {
        return index(words);
    }
    if !words.takes("table") {
        return None;
    }
    words.takes("only");
    let table = words.qualified()?;
    if words.takes_all(&["cluster", "on"])
        || words.takes_all(&["replica", "identity", "using", "index"])
    {
        let of = table.sibling(words.name()?);
        let detail = Ddl::Detail {
            of,
            table: Some(table),
        };
        return words.is_at_end().then_some(detail);
    }
    if !words.takes_all(&["add", "constraint"]) {
        return None;
    }
    let name = table.sibling(words.name()?);
    if !words.lacks_outside(|token| *token == Token::Symbol(b',')) {
        return None;
    }
    let indexed = |words: &Cursor| {
        Ddl::IndexedConstraint(Index {
            name: name.clone(),
            table: table.clone(),
            runs_user_code: indexes_by_user_code(words.rest()),
        })
    };
    let columns = |words: &Cursor| words.rest().first() == Some(&Token::Symbol(b'('));
    if words.takes_all(&["primary", "key"]) {
        return columns(&words).then(|| indexed(&words));
    }
    if words.takes("unique") {
        words.takes_all(&["nulls", "not", "distinct"]);
        return columns(&words).then(|| indexed(&words));
    }
    if words.takes("exclude") {
        return Some(indexed(&words));
    }
    if words.takes_all(&["foreign", "key"]) {
        while !words.takes("references") {
            words.next()?;
        }
        let references = words.qualified()?;
        return Some(Ddl::ForeignKey {
            name,
            table,
            references,
        });
    }
    None
}

/// `… schema.index ATTACH PARTITION schema.index`, `… ALTER COLUMN n SET STATISTICS n`, `… DEPENDS ON EXTENSION x`
fn index(mut words: Cursor) -> Option<Ddl> {
    let index = words.qualified()?;
    if words.takes_all(&["attach", "partition"]) {
        let partition = words.qualified()?;
        return words.is_at_end().then_some(Ddl::IndexPartition {
            parent: index,
            partition,
        });
    }
    let detail =
        words.takes_all(&["alter", "column"]) || words.takes_all(&["depends", "on", "extension"]);
    detail.then_some(Ddl::Detail {
        of: index,
        table: None,
    })
}

/// `ON INDEX schema.index IS …`, `ON CONSTRAINT name ON schema.table IS …`
pub(super) fn described(mut words: Cursor) -> Option<Ddl> {
    if words.takes_all(&["on", "index"]) {
        let of = words.qualified()?;
        return words.takes("is").then_some(Ddl::Detail { of, table: None });
    }
    if !words.takes_all(&["on", "constraint"]) {
        return None;
    }
    let name = words.name()?;
    if !words.takes("on") {
        return None;
    }
    // `ON DOMAIN` is no table.
    let table = words.qualified()?;
    words.takes("is").then(|| Ddl::Detail {
        of: table.sibling(name),
        table: Some(table),
    })
}
