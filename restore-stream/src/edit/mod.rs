//! How a dump's SQL is changed on its way to psql.

mod database;
mod globals;
mod guard;
mod older;
mod owners;

pub(crate) use database::{DatabaseEdit, Manner, Place, is_setting};
pub(crate) use globals::{GlobalsEdit, Skipped};

use dump_text::Piece;
use job::Error;

use crate::session::Session;

/// Where edited SQL goes.
pub(crate) trait Out {
    fn write(&mut self, sql: &[u8]) -> Result<(), Error>;
}

impl Out for Session {
    fn write(&mut self, sql: &[u8]) -> Result<(), Error> {
        Session::write(self, sql)
    }
}

impl Out for Vec<u8> {
    fn write(&mut self, sql: &[u8]) -> Result<(), Error> {
        self.extend_from_slice(sql);
        Ok(())
    }
}

/// Changes what must be changed of one part of a dump, and lets all else through byte for byte.
pub(crate) trait Edit {
    /// Handles the next piece.
    ///
    /// # Errors
    /// What no dump has, or what `out` returns.
    fn piece(&mut self, piece: Piece<'_>, out: &mut dyn Out) -> Result<(), Error>;
}

#[cfg(test)]
mod tests {
    use dump_text::Scanner;

    use super::*;

    /// What an edit makes of a dump.
    pub(crate) fn edited(dump: &str, edit: &mut dyn Edit) -> Result<String, Error> {
        let mut out = Vec::new();
        let mut scanner = Scanner::new();
        let mut sink = |piece: Piece<'_>| edit.piece(piece, &mut out);
        scanner.feed(dump.as_bytes(), &mut sink)?;
        scanner.finish(&mut sink)?.unwrap();
        Ok(String::from_utf8(out).unwrap())
    }
}
