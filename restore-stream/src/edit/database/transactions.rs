//! The transactions of a dump, in a database that is restored in one, in several, or beside its name.

use job::Error;
use pg_text::PgText;

use super::super::guard::foreign;
use super::super::large_objects::{self, Concern};
use super::super::options::Options;
use super::super::traits::Out;
use super::super::transaction::Control;
use super::state::{DatabaseEdit, Transaction};

impl DatabaseEdit {
    /// Decides about a statement that must not be in the one transaction that everything is restored in: returns whether it
    /// is sent. None if it is an ordinary statement.
    pub(super) fn within_one(
        &mut self,
        statement: &[u8],
        out: &mut dyn Out,
    ) -> Result<Option<bool>, Error> {
        match large_objects::concern(statement) {
            // pg_dump --clean writes it, but a database that is restored in one transaction was empty.
            Concern::Writes if self.cleaning.judge(statement).is_some() => {
                self.tally
                    .leave_out("SELECT lo_unlink", "there are no large objects yet");
                return Ok(Some(false));
            }
            Concern::Writes | Concern::Describes => {
                return self.aside(statement, out).map(Some);
            }
            Concern::Odd => {
                return Err(foreign(
                    "a large object that is written of more than values, or of more than 64 KiB at once",
                ));
            }
            Concern::None if self.transaction != Transaction::None => {
                return Err(foreign(
                    "transaction control that is not that of large objects, although all of it is restored in one transaction",
                ));
            }
            Concern::None => {
                if let Some(authorization) = large_objects::authorization(statement) {
                    self.authorization = authorization;
                }
            }
        }
        Ok(None)
    }

    /// Runs a statement and rolls it back. If the server refuses it, that shows now and not after everything is loaded.
    pub(super) fn try_out(&self, statement: &[u8], out: &mut dyn Out) -> Result<(), Error> {
        if self.options.goes_on {
            return Ok(());
        }
        let within = self.is_one_transaction() || self.transaction != Transaction::None;
        let (begin, end) = match within {
            true => (
                "SAVEPOINT before_setting;\n",
                "\nROLLBACK TO SAVEPOINT before_setting;\nRELEASE SAVEPOINT before_setting;\n",
            ),
            false => ("BEGIN;\n", "\nROLLBACK;\n"),
        };
        out.write(&[begin.as_bytes(), statement, end.as_bytes()].concat())
    }

    pub(super) fn control(
        &mut self,
        control: Control,
        statement: &[u8],
        out: &mut dyn Out,
    ) -> Result<bool, Error> {
        let one = self.is_one_transaction();
        let what = || {
            let word = PgText::from(&statement[..statement.len().min(40)]);
            let place = match one {
                true => ", although all of it is restored in one transaction",
                false => "",
            };
            foreign(&format!("transaction control ('{word}'){place}"))
        };
        let before = self.transaction;
        self.transaction = match (control, before) {
            (Control::Begin, Transaction::None) => Transaction::Begun,
            (Control::Commit, Transaction::LargeObjects) => Transaction::None,
            (Control::Commit, Transaction::Begun) if !one => Transaction::None,
            (Control::Savepoint, same) if !one => same,
            _ => return Err(what()),
        };
        if !one {
            return self.send(statement, out);
        }
        self.tally.sent();
        if before == Transaction::LargeObjects {
            out.large_objects()?.write(b"COMMIT;\n")?;
        }
        Ok(false)
    }

    /// Sends a statement about a large object to their session, with the `BEGIN` before it if it is the first one after that.
    /// A `BEGIN` that nothing about large objects follows is refused.
    fn aside(&mut self, statement: &[u8], out: &mut dyn Out) -> Result<bool, Error> {
        let out = out.large_objects()?;
        let Options { settings, wary, .. } = &self.options;
        let authorization = self.authorization.as_deref();
        self.side_session
            .tell(settings, &self.context, authorization, *wary, out)?;
        if self.transaction == Transaction::Begun {
            out.write(b"BEGIN;\n")?;
            self.transaction = Transaction::LargeObjects;
        }
        self.tally.sent();
        self.aside = !statement.ends_with(b";");
        out.write(statement)?;
        if !self.aside {
            out.write(b"\n")?;
        }
        Ok(self.aside)
    }
}
