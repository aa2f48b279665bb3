//! Names that belong to the whole cluster, in dumps of databases that each have their own encoding.
//!
//! The server keeps such a name as bytes. They are text in the encoding of the database in which the name was given, and
//! may be none in another one.

use std::borrow::Cow;

use pg_text::PgText;

use super::super::cluster_names;
use super::super::context::Context;
use super::super::options::Options;
use super::state::DatabaseEdit;

impl DatabaseEdit {
    /// Whether a name in the dump is that of the database itself. Both names come from the server that was dumped: ours in the
    /// encoding in which the list of databases was read, the other in that of the database's dump.
    pub(super) fn is_its_name(&mut self, other: &PgText) -> bool {
        let Some(name) = &self.name else {
            return true;
        };
        let Options {
            names, encoding, ..
        } = &self.options;
        // A connection comes after `\encoding SQL_ASCII`, which says nothing: the name is in the same bytes as before.
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

    /// The settings for a statement about the database that comes before the connection to it, if its encoding must change.
    ///
    /// Such a statement is sent in another database, whose encoding is that of the cluster's names. pg_dump has read it in the
    /// database that it dumps: unless something was converted, it got the bytes that all databases share.
    pub(super) fn beside(&self, statement: &[u8]) -> Option<Context> {
        if self.connected || self.destination.is_in_place() || statement.is_ascii() {
            return None;
        }
        let cluster = self.options.encoding.as_deref()?;
        let spoken = self.context.encoding().filter(|it| it != cluster)?;
        let is_text = cluster != "UTF8" || std::str::from_utf8(statement).is_ok();
        (self.is_unconverted(&spoken) && is_text).then(|| self.context.with_encoding(cluster))
    }

    /// The settings for a statement about the database that comes after the connection to it, if it must be sent last, in
    /// another database: its bytes are text in the cluster's encoding, and none in the database's own. pgdump-gz dumps a
    /// database as bytes if there may be such statements.
    pub(super) fn elsewhere(&self, statement: &[u8]) -> Option<Context> {
        let cluster = self.options.encoding.as_deref()?;
        let as_bytes = self.context.encoding().is_some_and(|it| it == "SQL_ASCII");
        let own = self.own_encoding.as_deref()?;
        let is_text = cluster != "UTF8" || std::str::from_utf8(statement).is_ok();
        let whole = statement.ends_with(b";") && !statement.is_ascii();
        let beside = self.connected && !self.destination.is_in_place();
        (beside && whole && as_bytes && own != "SQL_ASCII" && own != cluster && is_text)
            .then(|| self.context.with_encoding(cluster))
    }

    /// Whether the dump, in this encoding, has the bytes of the database that was dumped.
    fn is_unconverted(&self, spoken: &str) -> bool {
        spoken == "SQL_ASCII" || self.own_encoding.as_deref() == Some(spoken)
    }

    /// A statement with the bytes that names of roles and tablespaces have on this server.
    pub(super) fn in_its_names<'a>(&self, statement: &'a [u8]) -> Cow<'a, [u8]> {
        let encoding = self.options.encoding.as_deref();
        let spoken = self.context.encoding();
        let unconverted = spoken.is_some_and(|spoken| self.is_unconverted(&spoken));
        if !self.connected || !unconverted || encoding.is_none() || statement.is_ascii() {
            return Cow::Borrowed(statement);
        }
        let several = |own: &str| own == "UTF8" || own.starts_with("EUC_");
        let narrow = self.own_encoding.as_deref().is_some_and(several);
        cluster_names::renamed(statement, narrow, |name| {
            self.options.names.on_server(name, encoding)
        })
    }
}
