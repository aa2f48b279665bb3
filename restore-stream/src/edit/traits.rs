//! The two sides of an edit: what changes SQL, and where the changed SQL goes.

use dump_text::Piece;
use job::Error;
use pg_text::PgText;

use super::tally::Tally;

/// Where edited SQL goes.
pub(crate) trait Out {
    fn write(&mut self, sql: &[u8]) -> Result<(), Error>;

    /// Connects to this database of the same server.
    ///
    /// # Errors
    /// The SQL before it ends within a statement, or the connection fails.
    fn connect(&mut self, database: &PgText) -> Result<(), Error>;

    /// Notes the line of the dump that the next SQL comes from.
    fn at(&mut self, _line: u64) {}

    /// The line of the dump that the SQL written now comes from.
    fn line(&self) -> u64 {
        0
    }

    /// Begins a `COPY … FROM stdin`. Returns whether its rows can be written.
    fn copy(&mut self, statement: &[u8]) -> Result<bool, Error> {
        self.write(statement)?;
        Ok(true)
    }

    /// Renames the database `working`, which nobody is connected to, to its final name.
    fn take_name(&mut self, working: &str) -> Result<(), Error>;

    /// Another session in the same database, for large objects.
    fn large_objects(&mut self) -> Result<&mut dyn Out, Error>;
}

/// Takes SQL that goes nowhere.
#[derive(Debug)]
pub(crate) struct Nowhere;

impl Out for Nowhere {
    fn write(&mut self, _: &[u8]) -> Result<(), Error> {
        Ok(())
    }

    fn connect(&mut self, _: &PgText) -> Result<(), Error> {
        Ok(())
    }

    fn take_name(&mut self, _: &str) -> Result<(), Error> {
        Ok(())
    }

    fn large_objects(&mut self) -> Result<&mut dyn Out, Error> {
        Ok(self)
    }
}

/// Changes what must be changed in one part of a dump. Everything else passes byte for byte.
pub(crate) trait Edit {
    /// Handles the next piece.
    ///
    /// # Errors
    /// The piece holds something that no dump has; or an error from `out`.
    fn piece(&mut self, piece: Piece<'_>, out: &mut dyn Out) -> Result<(), Error>;

    /// The part has ended.
    ///
    /// # Errors
    /// The part ends within something; or an error from `out`.
    fn close(&mut self, out: &mut dyn Out) -> Result<(), Error>;

    /// Sends what must come after everything else. Returns whether there was anything.
    ///
    /// # Errors
    /// Errors from `out`.
    fn last(&mut self, out: &mut dyn Out) -> Result<bool, Error>;

    /// What became of its statements.
    fn take_tally(&mut self) -> Tally;
}
