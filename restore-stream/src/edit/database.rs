//! A database's part of a dump: it can be restored under another name, or in one transaction.

mod about;
mod connection;
mod encodings;
mod fork;
mod rows;
mod state;
mod transactions;

pub(crate) use state::DatabaseEdit;

use std::mem;

use dump_text::{Command, Piece, is_opening, is_setting, subject};
use job::Error;

use super::clean::Clean;
use super::guard::{Admitted, foreign};
use super::older_servers;
use super::owners::names_a_role;
use super::tally::Tally;
use super::traits::{Edit, Out};
use super::transaction::control;
use state::Transaction;

impl DatabaseEdit {
    fn command(&mut self, command: &Command, out: &mut dyn Out) -> Result<(), Error> {
        match command {
            Command::Connect(database) => {
                if !self.is_its_name(database) {
                    return Err(self.another(database));
                }
                self.connect(out)
            }
            command => {
                if let Command::Encoding(name) = command {
                    let set = format!("SET client_encoding = '{name}';");
                    self.settings.set("client_encoding", set.as_bytes());
                }
                self.guard.encoding(command, &mut self.context, out)
            }
        }
    }

    /// Sends a statement, changed if need be, or leaves it out and notes that in the tally. Returns whether the rest of it, if
    /// it is a long one, is to be sent too.
    fn statement(&mut self, statement: &[u8], out: &mut dyn Out) -> Result<bool, Error> {
        if !self.options.owners && names_a_role(statement) {
            self.ownerless += 1;
            self.tally.without_owner();
            return Ok(false);
        }
        if let Some(control) = control(statement) {
            return self.control(control, statement, out);
        }
        if self.is_one_transaction()
            && let Some(handed_on) = self.within_one(statement, out)?
        {
            return Ok(handed_on);
        }
        let about = subject(statement);
        match about
            .as_ref()
            .and_then(|about| Some((about, about.database()?)))
        {
            Some((about, named)) => self.about_database(statement, about, named, out),
            None => self.plain(statement, out),
        }
    }

    fn plain(&mut self, statement: &[u8], out: &mut dyn Out) -> Result<bool, Error> {
        if older_servers::is_unknown(statement, self.options.server) {
            let why = format!("PostgreSQL {} does not know it", self.options.server);
            self.tally.leave_out("SET transaction_timeout", why);
            return Ok(false);
        }
        if !self.connected && !is_setting(statement) {
            if !self.destination.is_in_place() {
                return Err(foreign("statements before it connects to their database"));
            }
            self.apply_definitions(out)?;
        }
        match self.cleaning.judge(statement) {
            None | Some(Clean::AsItIs) => self.send(&self.in_its_names(statement), out),
            Some(Clean::Changed(statement)) => self.send(&self.in_its_names(&statement), out),
            Some(Clean::LeftOut(what, why)) => {
                self.tally.leave_out(what, why);
                Ok(false)
            }
        }
    }
}

impl Edit for DatabaseEdit {
    fn piece(&mut self, piece: Piece<'_>, out: &mut dyn Out) -> Result<(), Error> {
        if let Piece::Comment(line) = piece
            && is_opening(line)
        {
            self.cleaning.again();
        }
        match self.guard.admit(piece)? {
            Admitted::Nothing => Ok(()),
            Admitted::Pass(sql) => self.pass(piece, sql, out),
            Admitted::Command(command) => self.command(&command, out),
            Admitted::Statement(statement) => {
                self.tally.read();
                if !self.statement(statement, out)? {
                    self.guard.leave_out(piece);
                }
                Ok(())
            }
        }
    }

    fn close(&mut self, out: &mut dyn Out) -> Result<(), Error> {
        if self.transaction != Transaction::None {
            return Err(foreign(
                "a transaction that is never committed: what is in it would be lost",
            ));
        }
        match self.connected {
            true => Ok(()),
            false => self.connect(out),
        }
    }

    fn last(&mut self, out: &mut dyn Out) -> Result<bool, Error> {
        let deferred = mem::take(&mut self.deferred);
        let in_place = self.destination.is_in_place();
        let (own, others): (Vec<_>, Vec<_>) =
            deferred.iter().partition(|it| in_place || it.connected);
        for statement in own {
            self.tally.sent();
            statement.send(out)?;
        }
        if !others.is_empty() {
            out.connect(&self.options.maintenance)?;
            out.write(self.options.settings.as_bytes())?;
        }
        for statement in others {
            self.tally.sent();
            statement.send(out)?;
        }
        Ok(!deferred.is_empty())
    }

    fn take_tally(&mut self) -> Tally {
        mem::take(&mut self.tally)
    }
}

#[cfg(test)]
mod tests;
