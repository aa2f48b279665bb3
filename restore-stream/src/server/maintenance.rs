//! Finds the maintenance database: the one that this run connects to when a statement is not about that database.
//!
//! A database with a session in it cannot be renamed, so it must not be one whose name this run takes.

use std::collections::BTreeSet;

use job::Error;
use pg_client::{NEUTRAL_SETTINGS, Row, Server};
use pg_text::PgText;

use crate::server::facts::{FACTS, Facts};

/// Databases that nearly every server has. They are never replaced.
const ALWAYS_THERE: [&str; 2] = ["postgres", "template1"];

/// Finds the database, and asks the server for [`FACTS`] in it. `taken` are the names that this run takes, if they are known.
///
/// # Errors
/// The server lets us in nowhere, or only where we must not be (4); a pooler answers (4).
pub(crate) fn reach(
    server: &Server,
    taken: Option<&[PgText]>,
) -> Result<(PgText, Vec<Row>), Error> {
    let named = server.conninfo().database().cloned();
    let named = named.or_else(|| std::env::var_os("PGDATABASE").map(PgText::from));
    let mut refused = None;
    for name in candidates(named, taken) {
        match ask(server, &name) {
            Ok(rows) => return Ok((name, rows)),
            Err(Refused::Here(error)) => refused = refused.or(Some(error)),
            Err(Refused::Everywhere(error)) => return Err(error),
        }
    }
    // A database whose name is taken can still be asked for the names of others.
    for entrance in taken.unwrap_or_default() {
        match ask(server, entrance) {
            Ok(rows) => return another(server, &rows, taken.unwrap_or_default()),
            Err(Refused::Here(_)) => {}
            Err(Refused::Everywhere(error)) => return Err(error),
        }
    }
    Err(refused.unwrap_or_else(|| none_left("the one that is to be restored")))
}

/// The databases to try. The one that -d or PGDATABASE names comes first, unless its name may be taken.
fn candidates(named: Option<PgText>, taken: Option<&[PgText]>) -> Vec<PgText> {
    let always = ALWAYS_THERE.map(PgText::from);
    let mut all: Vec<PgText> = match taken {
        Some(_) => named.into_iter().chain(always).collect(),
        None => always.into_iter().chain(named).collect(),
    };
    let mut before = BTreeSet::new();
    all.retain(|name| {
        let taken = taken.unwrap_or_default().contains(name);
        !name.is_empty() && !taken && before.insert(name.clone())
    });
    all
}

/// Why a database cannot be the one.
enum Refused {
    Here(Error),
    /// Neither can any other.
    Everywhere(Error),
}

fn ask(server: &Server, name: &PgText) -> Result<Vec<Row>, Refused> {
    // Asked as the role that restores, even if a setting changes the role.
    match server.ask(Some(name), [NEUTRAL_SETTINGS, FACTS].concat()) {
        Ok(answer) => {
            let rows = answer.of_the_server();
            rows.map_err(|error| Refused::Everywhere(error.into()))
        }
        // If the server is down, it is not waited for again with the next database.
        Err(error) => match server.is_ready() {
            Ok(true) => Err(Refused::Here(error.into())),
            Ok(false) | Err(_) => Err(Refused::Everywhere(error.into())),
        },
    }
}

/// Another database that lets us in.
fn another(server: &Server, rows: &[Row], taken: &[PgText]) -> Result<(PgText, Vec<Row>), Error> {
    let databases = Facts::new(rows).databases();
    let open = databases.iter().filter(|(_, it)| it.open);
    let mut others = open
        .map(|(name, _)| name)
        .filter(|name| !taken.contains(name));
    let found = others.find_map(|name| Some((name.clone(), ask(server, name).ok()?)));
    found.ok_or_else(|| none_left("those that are to be restored"))
}

fn none_left(those: &str) -> Error {
    Error::refused(format!(
        "there is no database to connect to but {those}: a database cannot get another name while this run is connected to it"
    ))
    .hint("create the database postgres, or name another one with -d: createdb --maintenance-db=NAME postgres")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_taken_is_not_connected_to() {
        let names =
            |taken: &[&str]| -> Vec<PgText> { taken.iter().map(|it| (*it).into()).collect() };
        let of = |named: Option<&str>, taken: Option<&[&str]>| {
            let taken = taken.map(names);
            PgText::join(candidates(named.map(PgText::from), taken.as_deref()), " ").to_string()
        };
        assert_eq!(of(None, Some(&["shop"])), "postgres template1");
        assert_eq!(of(Some("hub"), Some(&["shop"])), "hub postgres template1");
        assert_eq!(of(Some("shop"), Some(&["shop"])), "postgres template1");
        assert_eq!(of(Some("shop"), Some(&["shop", "postgres"])), "template1");
        assert_eq!(of(Some("template1"), Some(&[])), "template1 postgres");
        // It is not known whether the backup has a shop.
        assert_eq!(of(Some("shop"), None), "postgres template1 shop");
    }
}
