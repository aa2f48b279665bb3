//! Tables and their partitions, checks, domains.

use super::cursor::Cursor;
use super::expression::has_user_names;
use super::{Ddl, Table};
use crate::token::Token;

/// `[UNLOGGED] TABLE schema.table …`, `DOMAIN …`
pub(super) fn created(mut words: Cursor) -> Option<Ddl> {
    if words.takes("domain") {
        return Some(domain(&words));
    }
    words.takes("unlogged");
    if !words.takes("table") {
        return None;
    }
    let name = words.qualified()?;
    // `OF type`, and from binary upgrades `PARTITION OF`, are other forms; `AS SELECT` brings rows.
    if words.takes("of") {
        words.qualified()?;
    }
    let lists_columns = words.rest().first() == Some(&Token::Symbol(b'('));
    let typed = words.is_at_end() || lists_columns;
    if !typed || !words.lacks_outside(|token| token.is("as") || token.is("select")) {
        return None;
    }
    let mut outside = words.clone();
    outside.skip_parentheses();
    let parents = outside.inherited()?;
    let partitioned = outside.goes_to(&["partition", "by"]);
    let distributed = partitioned && has_user_names(outside.rest());
    Some(Ddl::Table(Table {
        name,
        partitioned,
        parents,
        runs_user_code: distributed || checks_by_user_code(words.rest()),
    }))
}

/// `TABLE [ONLY] schema.table ATTACH PARTITION …`, `… ADD CONSTRAINT … CHECK …`, `DOMAIN …`
pub(super) fn altered(mut words: Cursor) -> Option<Ddl> {
    if words.takes("domain") {
        return Some(domain(&words));
    }
    if !words.takes("table") {
        return None;
    }
    words.takes("only");
    let table = words.qualified()?;
    if words.takes_all(&["attach", "partition"]) {
        return Some(Ddl::Partition {
            parent: table,
            partition: words.qualified()?,
        });
    }
    if !words.takes_all(&["add", "constraint"]) {
        return None;
    }
    words.name()?;
    (words.rest().first()?.is("check")).then(|| Ddl::Check {
        table,
        runs_user_code: has_user_names(words.rest()),
    })
}

/// What follows `DOMAIN`. A cast to a type of a user's in a check is code of his, too.
fn domain(words: &Cursor) -> Ddl {
    Ddl::Domain {
        runs_user_code: checks_by_user_code(words.rest()),
    }
}

/// Whether a name of a user's is in what checks or computes a row: behind `CHECK` and `GENERATED ALWAYS AS`. Defaults do not
/// count: the rows of a dump have all columns.
fn checks_by_user_code(tokens: &[Token]) -> bool {
    let mut rest = tokens;
    while let Some((token, behind)) = rest.split_first() {
        rest = behind;
        let computed = token.is("always") && behind.first().is_some_and(|it| it.is("as"));
        if !token.is("check") && !computed {
            continue;
        }
        let group = &behind[usize::from(computed)..];
        if group.first() == Some(&Token::Symbol(b'(')) && has_user_names(group_of(group)) {
            return true;
        }
    }
    false
}

/// What is in the parentheses that `tokens` begin with.
fn group_of(tokens: &[Token]) -> &[Token] {
    let mut depth = 0_u32;
    let end = tokens.iter().position(|token| {
        match token {
            Token::Symbol(b'(') => depth += 1,
            Token::Symbol(b')') => depth -= 1,
            _ => {}
        }
        depth == 0
    });
    &tokens[..end.unwrap_or(tokens.len())]
}
