//! How a dump's SQL is changed on its way to psql.

mod books;
mod clean;
mod context;
mod create;
mod database;
mod deferral;
mod globals;
mod grantors;
mod guard;
mod large_objects;
mod manner;
mod older;
mod owners;
mod shared;
mod transaction;

pub(crate) use books::{Books, Skipped};
pub(crate) use database::DatabaseEdit;
pub(crate) use globals::{Created, Definition, GlobalsEdit};
pub(crate) use manner::Manner;

use dump_text::Piece;
use job::Error;
use pg_text::PgText;

/// Where edited SQL goes.
pub(crate) trait Out {
    fn write(&mut self, sql: &[u8]) -> Result<(), Error>;

    /// Another connection, to this database of the same server.
    ///
    /// # Errors
    /// What came before is not whole, or there is no such connection.
    fn connect(&mut self, database: &PgText) -> Result<(), Error>;

    /// What is written next stands in this line of the dump.
    fn at(&mut self, _line: u64) {}

    /// The line of the dump that what is written now stands in.
    fn line(&self) -> u64 {
        0
    }

    /// Begins a `COPY … FROM stdin`; whether its rows can be written.
    fn copy(&mut self, statement: &[u8]) -> Result<bool, Error> {
        self.write(statement)?;
        Ok(true)
    }

    /// Gives the database `working`, which nobody is connected to, the name that it is to have.
    fn take_name(&mut self, working: &str) -> Result<(), Error>;

    /// Another session in the same database, for large objects.
    fn large_objects(&mut self) -> Result<&mut dyn Out, Error>;
}

/// Takes what goes nowhere.
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

/// Changes what must be changed of one part of a dump, and lets all else through byte for byte.
pub(crate) trait Edit {
    /// Handles the next piece.
    ///
    /// # Errors
    /// What no dump has, or what `out` returns.
    fn piece(&mut self, piece: Piece<'_>, out: &mut dyn Out) -> Result<(), Error>;

    /// The part has ended.
    ///
    /// # Errors
    /// It ends within something; what `out` returns.
    fn close(&mut self, out: &mut dyn Out) -> Result<(), Error>;

    /// What comes when all else was done. Whether there is anything.
    ///
    /// # Errors
    /// What `out` returns.
    fn last(&mut self, out: &mut dyn Out) -> Result<bool, Error>;

    /// What became of its statements.
    fn take_books(&mut self) -> Books;
}

#[cfg(test)]
mod tests {
    use dump_text::{Scanner, connect_line};

    use super::*;

    impl Out for Vec<u8> {
        fn write(&mut self, sql: &[u8]) -> Result<(), Error> {
            self.extend_from_slice(sql);
            Ok(())
        }

        fn connect(&mut self, database: &PgText) -> Result<(), Error> {
            self.write(&connect_line(database))
        }

        fn take_name(&mut self, working: &str) -> Result<(), Error> {
            self.write(format!("-- {working} gets its name\n").as_bytes())
        }

        fn large_objects(&mut self) -> Result<&mut dyn Out, Error> {
            self.write(b"-- aside: ")?;
            Ok(self)
        }
    }

    /// What an edit makes of a dump, whose statements are all accounted for.
    pub(crate) fn edited(dump: &str, edit: &mut dyn Edit) -> Result<String, Error> {
        let mut out = Vec::new();
        let mut scanner = Scanner::new();
        let mut sink = |piece: Piece<'_>| edit.piece(piece, &mut out);
        scanner.feed(dump.as_bytes(), &mut sink)?;
        scanner.finish(&mut sink)?.unwrap();
        edit.close(&mut out)?;
        edit.last(&mut out)?;
        assert!(edit.take_books().is_balanced());
        Ok(String::from_utf8(out).unwrap())
    }
}
