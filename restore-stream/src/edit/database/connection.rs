//! How a database's session begins, connects and ends.

use std::mem;

use job::Error;
use pg_client::{quote_ident, sql};
use pg_text::PgText;

use super::super::context::Context;
use super::super::guard::foreign;
use super::super::session_settings::SessionSettings;
use super::super::traits::Out;
use super::state::{DatabaseEdit, Transaction};
use crate::server::target::Destination;

/// Replaces a second connection in place, which would leave the transaction.
const AS_IF_CONNECTED: &str = "SET SESSION AUTHORIZATION DEFAULT;\nRESET ALL;\n";

impl DatabaseEdit {
    /// Sends what the session begins with.
    pub(crate) fn begin(&self, out: &mut dyn Out) -> Result<(), Error> {
        out.write(self.options.settings.as_bytes())?;
        match self.is_one_transaction() {
            true => out.write(b"BEGIN;\n"),
            false => Ok(()),
        }
    }

    /// What the session ends with, when everything was checked.
    pub(crate) fn end(&self) -> &'static str {
        match self.is_one_transaction() {
            true => "COMMIT;",
            false => "",
        }
    }

    /// Connects to the database. It is created first, if no statement of the dump has created it.
    pub(crate) fn connect(&mut self, out: &mut dyn Out) -> Result<(), Error> {
        if self.transaction != Transaction::None {
            return Err(foreign("a connection within a transaction"));
        }
        self.apply_definitions(out)?;
        match self.destination.clone() {
            Destination::InPlace(_) if self.connected => out.write(AS_IF_CONNECTED.as_bytes())?,
            Destination::InPlace(_) => {}
            Destination::Beside(working) => {
                self.create(&working, out)?;
                out.connect(&working)?;
            }
            Destination::NamedEarly { working, name } => {
                self.create(&working, out)?;
                out.take_name(working.ascii())?;
                out.connect(&name)?;
                self.destination = Destination::Beside(name);
            }
        }
        self.authorization = None;
        self.connected = true;
        out.write(self.options.settings.as_bytes())?;
        for deferred in &self.while_filled {
            deferred.send(out)?;
        }
        self.context = Context::default();
        self.settings = SessionSettings::default();
        if !self.while_filled.is_empty() {
            out.write(&self.context.sql())?;
        }
        Ok(())
    }

    /// Creates the database, if no statement of the dump has.
    fn create(&mut self, working: &PgText, out: &mut dyn Out) -> Result<(), Error> {
        if self.created {
            return Ok(());
        }
        self.created = true;
        let name = quote_ident(working);
        out.write(sql("CREATE DATABASE {} TEMPLATE template0;\n", &[&name]).as_bytes())
    }

    /// Sends the statements that came before the part, each under the settings that it was written under.
    pub(super) fn apply_definitions(&mut self, out: &mut dyn Out) -> Result<(), Error> {
        if self.definitions.is_empty() {
            return Ok(());
        }
        let own = mem::take(&mut self.context);
        for definition in mem::take(&mut self.definitions) {
            self.tally.received();
            out.write(&definition.context.sql())?;
            self.context = definition.context;
            self.statement(&definition.statement, out)?;
            out.write(b"\n")?;
        }
        self.context = own;
        out.write(&self.context.sql())
    }
}
