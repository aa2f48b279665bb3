//! The roles and tablespaces of a dump: those that exist are left as they are.

mod verdict;

use std::collections::BTreeSet;

use dump_text::{Command, ObjectKind, Piece, Verb, subject, tokens};
use job::Error;
use pg_text::PgText;

use super::context::Context;
use super::definition::Definition;
use super::grantors::{Change, Given, Memberships};
use super::guard::{Admitted, Guard, foreign};
use super::tally::Tally;
use super::traits::{Edit, Out};
use crate::server::facts::Grantors;
use crate::server::name_converter::NameConverter;
use verdict::{Existing, Verdict};

/// Statements about databases take at most this many bytes: more than any cluster has.
const DEFINITIONS_LIMIT: usize = 16 << 20;

/// Edits the part of a dump that has the roles and tablespaces.
#[derive(Debug)]
pub(crate) struct GlobalsEdit {
    existing: Existing,
    /// Whether roles and tablespaces are restored. Otherwise they are only read for what they say of databases.
    wanted: bool,
    /// Whether psql has no restricted mode.
    wary: bool,
    guard: Guard,
    context: Context,
    memberships: Memberships,
    tally: Tally,
    created: Created,
    definitions: Vec<Definition>,
    /// Their size in bytes.
    definitions_size: usize,
}

/// The roles and tablespaces that a dump has created.
#[derive(Debug, Default)]
pub(crate) struct Created {
    pub(crate) roles: Vec<PgText>,
    pub(crate) tablespaces: Vec<PgText>,
}

impl GlobalsEdit {
    /// `roles` and `tablespaces` exist already.
    pub(crate) fn new(
        roles: BTreeSet<PgText>,
        tablespaces: BTreeSet<PgText>,
        role_passwords: bool,
        wary: bool,
    ) -> Self {
        Self {
            existing: Existing {
                roles,
                tablespaces,
                names: NameConverter::default(),
                role_passwords,
            },
            wanted: true,
            wary,
            guard: Guard::default(),
            context: Context::default(),
            memberships: Memberships::default(),
            tally: Tally::default(),
            created: Created::default(),
            definitions: Vec::new(),
            definitions_size: 0,
        }
    }

    /// Orders memberships so that this server accepts their grantors.
    #[must_use]
    pub(crate) fn granting(self, grantors: Grantors) -> Self {
        let memberships = Memberships::new(grantors);
        Self {
            memberships,
            ..self
        }
    }

    /// Compares names with those of a server that may have another encoding.
    #[must_use]
    pub(crate) fn on(mut self, names: NameConverter) -> Self {
        self.existing.names = names;
        self
    }

    /// Sends nothing: the part is only read for what it says of databases.
    #[must_use]
    pub(crate) fn for_definitions(self) -> Self {
        let wanted = false;
        Self { wanted, ..self }
    }

    /// The statements about databases so far, which were not sent.
    pub(crate) fn take_definitions(&mut self) -> Vec<Definition> {
        std::mem::take(&mut self.definitions)
    }

    /// The roles and tablespaces created so far: for a dump that follows, they exist.
    pub(crate) fn take_created(&mut self) -> Created {
        std::mem::take(&mut self.created)
    }

    fn note_created(&mut self, statement: &[u8], encoding: Option<&str>) {
        let Some(about) = subject(statement).filter(|it| it.verb == Verb::Create) else {
            return;
        };
        let Some(name) = self.existing.names.on_server(&about.name.name, encoding) else {
            return;
        };
        match about.kind {
            ObjectKind::Role => self.created.roles.push(name),
            ObjectKind::Tablespace => self.created.tablespaces.push(name),
            _ => {}
        }
    }

    fn define(&mut self, database: PgText, statement: &[u8]) -> Result<(), Error> {
        self.definitions_size += database.len() + statement.len();
        if self.definitions_size > DEFINITIONS_LIMIT {
            return Err(foreign("more about its databases than any cluster has"));
        }
        self.tally.handed_on();
        self.definitions.push(Definition {
            database,
            context: self.context.clone(),
            statement: statement.to_vec(),
        });
        Ok(())
    }

    fn keep(&mut self, piece: Piece<'_>, statement: &[u8], out: &mut dyn Out) -> Result<(), Error> {
        self.tally.sent();
        if !matches!(piece, Piece::Statement(_)) || !is_grant(statement) {
            return self
                .guard
                .send(statement, self.wary, &mut self.context, out);
        }
        let now = self.memberships.take(Given {
            statement: statement.to_vec(),
            context: self.context.clone(),
            line: out.line(),
        });
        self.give(now, out)
    }

    fn give(
        &mut self,
        memberships: Vec<(Given, Option<Change>)>,
        out: &mut dyn Out,
    ) -> Result<(), Error> {
        let line = out.line();
        for (given, change) in memberships {
            if let Some(Change { what, why }) = change {
                self.tally.change(what, why);
            }
            out.at(given.line);
            let own = std::mem::replace(&mut self.context, given.context);
            if self.context != own {
                out.write(&[b"\n", self.context.sql().as_slice()].concat())?;
            }
            let sent = self
                .guard
                .send(&given.statement, self.wary, &mut self.context, out);
            sent?;
            out.write(b"\n")?;
            if self.context != own {
                out.write(&own.sql())?;
            }
            self.context = own;
        }
        out.at(line);
        Ok(())
    }
}

impl Edit for GlobalsEdit {
    fn piece(&mut self, piece: Piece<'_>, out: &mut dyn Out) -> Result<(), Error> {
        let statement = match self.guard.admit(piece)? {
            Admitted::Nothing => return Ok(()),
            Admitted::Pass(sql) => return out.write(sql),
            Admitted::Command(Command::Connect(_)) => {
                return Err(foreign("a connection among its roles"));
            }
            Admitted::Command(command) => {
                return self.guard.encoding(&command, &mut self.context, out);
            }
            Admitted::Statement(statement) => statement,
        };
        self.tally.read();
        let encoding = self.context.encoding();
        let verdict = self.existing.judge(statement, encoding.as_deref())?;
        match verdict {
            Verdict::Keep if self.wanted => {
                self.note_created(statement, encoding.as_deref());
                return self.keep(piece, statement, out);
            }
            Verdict::Keep => {
                self.context.see(statement);
                self.tally.not_asked_for();
            }
            Verdict::LeaveOut(..) if !self.wanted => self.tally.not_asked_for(),
            Verdict::LeaveOut(what, why) => self.tally.leave_out(what, why),
            Verdict::ForDatabase(_) if matches!(piece, Piece::Head(_)) => {
                return Err(foreign("an endless statement about a database"));
            }
            Verdict::ForDatabase(database) => self.define(database, statement)?,
        }
        self.guard.leave_out(piece);
        Ok(())
    }

    fn close(&mut self, out: &mut dyn Out) -> Result<(), Error> {
        let rest = self.memberships.rest();
        self.give(rest, out)
    }

    fn last(&mut self, _: &mut dyn Out) -> Result<bool, Error> {
        Ok(false)
    }

    fn take_tally(&mut self) -> Tally {
        std::mem::take(&mut self.tally)
    }
}

fn is_grant(statement: &[u8]) -> bool {
    let first = tokens(statement).next();
    first.is_some_and(|word| word.token.is("grant"))
}

#[cfg(test)]
mod tests;
