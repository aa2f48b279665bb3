//! Which bytes names of the whole cluster are, in a dump whose databases have encodings of their own.

use std::borrow::Cow;

use pg_text::PgText;

use super::super::Manner;
use super::DatabaseEdit;
use crate::edit::context::Context;
use crate::edit::shared;

impl DatabaseEdit {
    /// Whether a name that stands here is the database's own. Both come from the server that was dumped, but one in the
    /// encoding that the cluster's list was read in, and the other in that of the database's dump.
    pub(super) fn is_its_name(&mut self, other: &PgText) -> bool {
        let Some(name) = &self.name else {
            return true;
        };
        let Manner {
            names, encoding, ..
        } = &self.manner;
        // A connection is said in bytes, behind `\encoding SQL_ASCII`: then it is what it was before.
        if self.called.as_ref() == Some(other) {
            return true;
        }
        let here = self.context.encoding();
        let same = names.are_one((name, encoding.as_deref()), (other, here.as_deref()));
        if same {
            self.called = Some(other.clone());
        }
        same
    }

    /// What is said of a database before the connection to it is said in another one: in the encoding of the cluster's names,
    /// if it has any. pg_dump has read these in the database that it dumps, whose encoding may be another: it was handed the
    /// bytes that all databases share, if nothing was converted.
    pub(super) fn beside(&self, statement: &[u8]) -> Option<Context> {
        if self.connected || self.destination.is_in_place() || statement.is_ascii() {
            return None;
        }
        let cluster = self.manner.encoding.as_deref()?;
        let spoken = self.context.encoding().filter(|it| it != cluster)?;
        let is_text = cluster != "UTF8" || std::str::from_utf8(statement).is_ok();
        (self.is_unconverted(&spoken) && is_text).then(|| self.context.with_encoding(cluster))
    }

    /// What is said of the database after the connection to it, and has bytes of the cluster's encoding, which are no text in
    /// its own: it is said last, in another database. pgdump-gz dumps a database as bytes if there may be such.
    pub(super) fn elsewhere(&self, statement: &[u8]) -> Option<Context> {
        let cluster = self.manner.encoding.as_deref()?;
        let as_bytes = self.context.encoding().is_some_and(|it| it == "SQL_ASCII");
        let own = self.own_encoding.as_deref()?;
        let is_text = cluster != "UTF8" || std::str::from_utf8(statement).is_ok();
        let whole = statement.ends_with(b";") && !statement.is_ascii();
        let beside = self.connected && !self.destination.is_in_place();
        (beside && whole && as_bytes && own != "SQL_ASCII" && own != cluster && is_text)
            .then(|| self.context.with_encoding(cluster))
    }

    /// Whether the dump has what the database that was dumped had, byte for byte.
    fn is_unconverted(&self, spoken: &str) -> bool {
        spoken == "SQL_ASCII" || self.own_encoding.as_deref() == Some(spoken)
    }

    /// A statement in the database as this server wants it, where names of the whole cluster are other bytes.
    pub(super) fn in_its_names<'a>(&self, statement: &'a [u8]) -> Cow<'a, [u8]> {
        let encoding = self.manner.encoding.as_deref();
        let spoken = self.context.encoding();
        let unconverted = spoken.is_some_and(|spoken| self.is_unconverted(&spoken));
        if !self.connected || !unconverted || encoding.is_none() || statement.is_ascii() {
            return Cow::Borrowed(statement);
        }
        let several = |own: &str| own == "UTF8" || own.starts_with("EUC_");
        let narrow = self.own_encoding.as_deref().is_some_and(several);
        shared::renamed(statement, narrow, |name| {
            self.manner.names.on_server(name, encoding)
        })
    }
}
