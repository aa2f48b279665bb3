//! Converts names of the backup to names on this server: both are bytes, which may be in two encodings.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use pg_client::{Server, quote_literal, sql};
use pg_text::PgText;

/// The encoding of bytes of which nothing is known.
const BYTES: &str = "SQL_ASCII";

/// Names in the backup and their encodings, with their names on the server.
type Known = HashMap<(PgText, String), Option<PgText>>;

/// Converts names by asking the server, once for each name. Clones share what they know.
#[derive(Debug, Clone, Default)]
pub(crate) struct NameConverter {
    /// The server, and the database to ask in, whose encoding is that of the cluster's names. Without a server, bytes stay as
    /// they are.
    server: Option<(Server, PgText)>,
    known: Arc<Mutex<Known>>,
}

impl NameConverter {
    pub(crate) fn new(server: &Server, database: &PgText) -> Self {
        Self {
            server: Some((server.clone(), database.clone())),
            known: Arc::default(),
        }
    }

    /// The bytes that a name written in `encoding` has on the server. Without an encoding it is taken as written there. None if
    /// the server can have no such name: its bytes are no text, or have no equivalent.
    pub(crate) fn on_server(&self, name: &PgText, encoding: Option<&str>) -> Option<PgText> {
        let Some(server) = self.server.as_ref().filter(|_| !name.is_ascii()) else {
            return Some(name.clone());
        };
        let encoding = encoding.unwrap_or(BYTES).to_owned();
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let found = known.entry((name.clone(), encoding));
        let found = found.or_insert_with_key(|(name, encoding)| asked(server, name, encoding));
        found.clone()
    }

    /// Whether two names, each written in its own encoding, are the same on the server.
    pub(crate) fn are_one(
        &self,
        (one, in_one): (&PgText, Option<&str>),
        (other, in_other): (&PgText, Option<&str>),
    ) -> bool {
        if one == other {
            return true;
        }
        if one.is_ascii() || other.is_ascii() {
            return false;
        }
        let one = self.on_server(one, in_one);
        one.is_some() && one == self.on_server(other, in_other)
    }
}

fn asked((server, database): &(Server, PgText), name: &PgText, encoding: &str) -> Option<PgText> {
    // The name goes as digits: its bytes would be read in the encoding of the session.
    let question = sql(
        "SELECT pg_catalog.encode(pg_catalog.convert_to(pg_catalog.convert_from('\\x{}'::pg_catalog.bytea, {}), pg_catalog.getdatabaseencoding()), 'hex')",
        &[&name.hex().into(), &quote_literal(encoding)],
    );
    let rows = server.query(Some(database), question).ok()?;
    let hex = rows.first()?.first()?.as_ref()?;
    PgText::from_hex(hex.ascii())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn without_a_server_bytes_are_what_they_are() {
        let names = NameConverter::default();
        let name = PgText::from(&b"gr\xf6\xdfe"[..]);
        assert_eq!(names.on_server(&name, Some("LATIN1")), Some(name.clone()));
        assert!(names.are_one((&name, None), (&name, Some("UTF8"))));
        assert!(!names.are_one((&name, None), (&"größe".into(), None)));
    }
}
