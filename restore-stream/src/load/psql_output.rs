//! Where a part's SQL goes: its psql, with what that needs besides.

use job::Error;
use pg_text::PgText;

use crate::edit::Out;
use crate::server::cleanup::UndoList;
use crate::server::early_naming::EarlyNaming;
use crate::server::session::{Connection, Session};
use crate::server::session_group::SessionGroup;
use crate::server::undo::Undo;

/// A session, and the second one that large objects go through.
#[derive(Debug)]
pub(crate) struct PsqlOutput {
    main: Session,
    aside: Option<Aside>,
    naming: Option<EarlyNaming>,
    /// The line of the dump that the current SQL comes from.
    line: u64,
}

/// A second session in the same database. It starts when it is first needed.
#[derive(Debug)]
struct Aside {
    connection: Connection,
    what: String,
    sessions: SessionGroup,
    undos: UndoList,
    session: Option<Session>,
}

impl PsqlOutput {
    pub(crate) fn new(
        connection: &Connection,
        what: String,
        sessions: &SessionGroup,
    ) -> Result<Self, Error> {
        Ok(Self {
            main: Session::start(connection, what, sessions)?,
            aside: None,
            naming: None,
            line: 0,
        })
    }

    /// Adds a second session for large objects, which commits them as they come.
    #[must_use]
    pub(crate) fn with_aside(
        mut self,
        connection: Connection,
        what: String,
        sessions: &SessionGroup,
        undos: UndoList,
    ) -> Self {
        self.aside = Some(Aside {
            connection,
            what,
            sessions: sessions.clone(),
            undos,
            session: None,
        });
        self
    }

    /// Adds the final name, which the database gets before it is filled.
    #[must_use]
    pub(crate) fn naming(mut self, naming: EarlyNaming) -> Self {
        self.naming = Some(naming);
        self
    }

    /// Waits until everything that was written is done. It ends the second session.
    pub(crate) fn settle(&mut self) -> Result<(), Error> {
        self.main.settle()?;
        if let Some(mut session) = self.aside.as_mut().and_then(|aside| aside.session.take()) {
            session.settle()?;
            session.end("")?;
        }
        Ok(())
    }

    /// How many statements have failed, after which psql went on.
    pub(crate) fn failed(&self) -> u64 {
        self.main.failed()
    }

    /// As [`Session::end`].
    pub(crate) fn end(self, last: &str) -> Result<(), Error> {
        self.main.end(last)
    }
}

impl Aside {
    fn session(&mut self) -> Result<&mut Session, Error> {
        let session = match self.session.take() {
            Some(session) => session,
            None => {
                self.undos
                    .add(Undo::Unlink(self.connection.database.clone()));
                Session::start(&self.connection, self.what.clone(), &self.sessions)?
            }
        };
        Ok(self.session.insert(session))
    }
}

impl Out for Session {
    fn write(&mut self, sql: &[u8]) -> Result<(), Error> {
        Session::write(self, sql)
    }

    fn connect(&mut self, database: &PgText) -> Result<(), Error> {
        Session::connect(self, database)
    }

    fn take_name(&mut self, _: &str) -> Result<(), Error> {
        Ok(())
    }

    fn large_objects(&mut self) -> Result<&mut dyn Out, Error> {
        Ok(self)
    }
}

impl Out for PsqlOutput {
    fn write(&mut self, sql: &[u8]) -> Result<(), Error> {
        self.main.write(sql)
    }

    fn connect(&mut self, database: &PgText) -> Result<(), Error> {
        self.main.connect(database)
    }

    fn at(&mut self, line: u64) {
        self.line = line;
        self.main.at(line);
    }

    fn line(&self) -> u64 {
        self.line
    }

    fn copy(&mut self, statement: &[u8]) -> Result<bool, Error> {
        self.main.copy(statement)
    }

    fn take_name(&mut self, working: &str) -> Result<(), Error> {
        // The database has been created when this returns.
        self.main.settle()?;
        match self.naming.take() {
            Some(naming) => naming.give(working),
            None => Ok(()),
        }
    }

    fn large_objects(&mut self) -> Result<&mut dyn Out, Error> {
        match &mut self.aside {
            Some(aside) => Ok(aside.session()?),
            None => Ok(&mut self.main),
        }
    }
}
