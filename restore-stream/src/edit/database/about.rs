//! Statements about the database itself: it may have another name, and some of them come last.

use dump_text::{Named, Subject, Verb};
use job::Error;
use pg_client::{quote_ident, quote_literal};
use pg_text::PgText;

use super::super::guard::foreign;
use super::super::options::Options;
use super::super::traits::Out;
use super::super::{create, database_settings, older_servers};
use super::state::{DatabaseEdit, Deferred};
use crate::server::target::Destination;

/// Settings that come last take at most this many bytes: more than any cluster has.
const DEFERRED_LIMIT: usize = 8 << 20;

impl DatabaseEdit {
    pub(super) fn about_database(
        &mut self,
        statement: &[u8],
        about: &Subject,
        named: &Named,
        out: &mut dyn Out,
    ) -> Result<bool, Error> {
        if !self.is_its_name(&named.name) {
            return Err(self.another(&named.name));
        }
        match (&self.destination, about.verb) {
            (_, Verb::Drop) => {
                let what = format!("DROP DATABASE '{}'", named.name);
                self.tally
                    .leave_out(what, "nothing that is there is dropped by a dump");
                Ok(false)
            }
            (Destination::InPlace(_), Verb::Create) => {
                let what = format!("CREATE DATABASE '{}'", named.name);
                self.tally.leave_out(what, "it is there");
                Ok(false)
            }
            (Destination::Beside(_) | Destination::NamedEarly { .. }, Verb::Create)
                if self.created =>
            {
                let what = format!("another CREATE DATABASE '{}'", named.name);
                self.tally.leave_out(what, "it was created before");
                Ok(false)
            }
            (Destination::InPlace(_), _) => {
                self.now_or_last(statement.to_vec(), about, statement, out)
            }
            (Destination::Beside(working) | Destination::NamedEarly { working, .. }, verb) => {
                self.created |= verb == Verb::Create;
                if verb == Verb::Create {
                    self.own_encoding = create::encoding(statement);
                }
                let known = match verb {
                    Verb::Create => self.creation(statement),
                    _ => statement.to_vec(),
                };
                let renamed = renamed(&known, named, working);
                self.now_or_last(renamed, about, statement, out)
            }
        }
    }

    /// A `CREATE DATABASE` without the options that this server does not know or this restore does not want.
    fn creation(&self, statement: &[u8]) -> Vec<u8> {
        let Options { server, owners, .. } = self.options;
        create::without(statement, |keyword, value| {
            older_servers::says_nothing(keyword, value, server) || !owners && keyword == "owner"
        })
    }

    /// Sends a statement about the database now, or keeps it until the database is filled. `about` was read from `as_dumped`;
    /// `statement` is what the server gets.
    fn now_or_last(
        &mut self,
        statement: Vec<u8>,
        about: &Subject,
        as_dumped: &[u8],
        out: &mut dyn Out,
    ) -> Result<bool, Error> {
        if let Some(context) = self.elsewhere(&statement) {
            self.deferred.push(Deferred {
                connected: false,
                line: out.line(),
                context,
                statement,
            });
            return Ok(true);
        }
        let context = self.beside(&statement);
        let statement = self.in_its_names(&statement).into_owned();
        let cut = !statement.ends_with(b";");
        if cut || !database_settings::waits(as_dumped, about) {
            return match context {
                None => self.send(&statement, out),
                Some(mut context) => {
                    out.write(&context.sql())?;
                    self.tally.sent();
                    self.guard
                        .send(&statement, self.options.wary, &mut context, out)?;
                    out.write(&[b"\n", self.context.sql().as_slice()].concat())?;
                    Ok(true)
                }
            };
        }
        self.deferred_size += statement.len();
        if self.deferred_size > DEFERRED_LIMIT {
            return Err(foreign("more settings of a database than any has"));
        }
        if let Some(context) = &context {
            out.write(&context.sql())?;
        }
        self.try_out(&statement, out)?;
        if context.is_some() {
            out.write(&self.context.sql())?;
        }
        let context = context.unwrap_or_else(|| self.context.clone());
        let line = out.line();
        let deferred = |statement| Deferred {
            connected: self.connected,
            line,
            context: context.clone(),
            statement,
        };
        let held = database_settings::while_filled(as_dumped, about).map(&deferred);
        let last = deferred(statement);
        self.while_filled.extend(held);
        self.deferred.push(last);
        // The tally has it as sent when it is sent.
        Ok(true)
    }

    pub(super) fn another(&self, database: &PgText) -> Error {
        let name = self.name.clone().unwrap_or_default();
        foreign(&format!(
            "statements about the database '{database}' in the part of '{name}'"
        ))
    }
}

fn renamed(statement: &[u8], named: &Named, new: &PgText) -> Vec<u8> {
    let new = match named.text {
        true => quote_literal(new),
        false => quote_ident(new),
    };
    let (before, after) = (&statement[..named.at.start], &statement[named.at.end..]);
    [before, new.as_bytes(), after].concat()
}
