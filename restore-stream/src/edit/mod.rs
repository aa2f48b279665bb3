//! How a dump's SQL is changed on its way to psql.

mod clean;
mod cluster_names;
mod context;
mod create;
mod database;
mod database_settings;
mod definition;
mod globals;
mod grantors;
mod guard;
mod large_objects;
mod older_servers;
mod options;
mod owners;
mod session_settings;
mod table_pattern;
mod tables;
mod tally;
mod traits;
mod transaction;

pub(crate) use database::DatabaseEdit;
pub(crate) use definition::Definition;
pub(crate) use globals::{Created, GlobalsEdit};
pub(crate) use options::Options;
pub(crate) use session_settings::SessionSettings;
pub(crate) use tables::{TableChoice, TableFilter};
pub(crate) use tally::{Deviation, Tally};
pub(crate) use traits::{Edit, Nowhere, Out};

#[cfg(test)]
mod tests {
    use dump_text::{Piece, Scanner, connect_line};
    use job::Error;
    use pg_text::PgText;

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

    /// What an edit makes of a dump. No statement may get lost.
    pub(crate) fn edited(dump: &str, edit: &mut dyn Edit) -> Result<String, Error> {
        let mut out = Vec::new();
        let mut scanner = Scanner::new();
        let mut sink = |piece: Piece<'_>| edit.piece(piece, &mut out);
        scanner.feed(dump.as_bytes(), &mut sink)?;
        scanner.finish(&mut sink)?.unwrap();
        edit.close(&mut out)?;
        edit.last(&mut out)?;
        assert!(edit.take_tally().is_balanced());
        Ok(String::from_utf8(out).unwrap())
    }
}
