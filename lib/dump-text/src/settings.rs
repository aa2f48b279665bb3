//! The settings that psql reads text by, which the server tells it after each statement. Followed as far
//! as a text says it: a function that changes them is not seen here.

use std::collections::HashMap;

use pg_text::PgText;

use crate::change::{Change, Setting, Value};
use crate::encoding::Encoding;

/// More savepoints or databases than any dump has; what goes beyond is not followed.
const MOST: usize = 1000;

/// The settings that a line is read by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Reading {
    pub(crate) standard_strings: bool,
    pub(crate) encoding: Encoding,
}

impl Default for Reading {
    fn default() -> Self {
        Self {
            standard_strings: true,
            encoding: Encoding::Safe,
        }
    }
}

impl Reading {
    fn set(&mut self, value: Value) {
        match value {
            Value::StandardStrings(on) => self.standard_strings = on,
            Value::ClientEncoding(encoding) => self.encoding = encoding,
        }
    }

    fn of(self, setting: Setting) -> Value {
        match setting {
            Setting::StandardStrings => Value::StandardStrings(self.standard_strings),
            Setting::ClientEncoding => Value::ClientEncoding(self.encoding),
        }
    }
}

/// A session's.
#[derive(Debug, Default)]
pub(crate) struct Settings {
    now: Reading,
    /// What `RESET` goes back to.
    default: Reading,
    transaction: Option<Transaction>,
    /// What connections to a database begin with.
    databases: HashMap<PgText, Vec<Value>>,
}

#[derive(Debug)]
struct Transaction {
    before: Reading,
    /// What is left when it is committed: all but what was set locally.
    kept: Reading,
    savepoints: Vec<(PgText, Reading, Reading)>,
    /// What databases begin with when it is committed.
    databases: Vec<(PgText, Option<Setting>, Option<Value>)>,
}

impl Settings {
    pub(crate) fn now(&self) -> Reading {
        self.now
    }

    /// A new session.
    pub(crate) fn connect(&mut self, database: &PgText) {
        self.transaction = None;
        self.default = Reading::default();
        for value in self.databases.get(database).into_iter().flatten() {
            self.default.set(*value);
        }
        self.now = self.default;
    }

    pub(crate) fn change(&mut self, change: Change) {
        match change {
            Change::Set {
                setting,
                value,
                local,
            } => self.set(value.unwrap_or(self.default.of(setting)), local),
            Change::DiscardAll if self.transaction.is_some() => {}
            Change::ResetAll | Change::DiscardAll => {
                for setting in [Setting::StandardStrings, Setting::ClientEncoding] {
                    self.set(self.default.of(setting), false);
                }
            }
            Change::Database {
                name,
                setting,
                value,
            } => match &mut self.transaction {
                Some(it) if it.databases.len() < MOST => it.databases.push((name, setting, value)),
                Some(_) => {}
                None => self.keep_for(name, setting, value),
            },
            Change::Begin if self.transaction.is_none() => self.begin(),
            Change::Begin | Change::Unknown | Change::Elsewhere => {}
            Change::Commit { chain } => {
                let databases = self
                    .transaction
                    .as_mut()
                    .map(|it| std::mem::take(&mut it.databases));
                for (name, setting, value) in databases.into_iter().flatten() {
                    self.keep_for(name, setting, value);
                }
                self.end(chain, |it| it.kept);
            }
            Change::Rollback { chain } => self.end(chain, |it| it.before),
            Change::Savepoint(name) => self.savepoint(name),
            Change::Release(name) => {
                if let Some((transaction, at)) = self.savepoint_at(&name) {
                    transaction.savepoints.truncate(at);
                }
            }
            Change::RollbackTo(name) => {
                if let Some((transaction, at)) = self.savepoint_at(&name) {
                    transaction.savepoints.truncate(at + 1);
                    let (_, now, kept) = transaction.savepoints[at];
                    transaction.kept = kept;
                    self.now = now;
                }
            }
        }
    }

    fn set(&mut self, value: Value, local: bool) {
        match &mut self.transaction {
            Some(transaction) if !local => transaction.kept.set(value),
            // It ends with its statement.
            None if local => return,
            _ => {}
        }
        self.now.set(value);
    }

    fn keep_for(&mut self, database: PgText, setting: Option<Setting>, value: Option<Value>) {
        if self.databases.len() >= MOST && !self.databases.contains_key(&database) {
            return;
        }
        let values = self.databases.entry(database).or_default();
        values.retain(|it| {
            let other = match it {
                Value::StandardStrings(_) => Setting::StandardStrings,
                Value::ClientEncoding(_) => Setting::ClientEncoding,
            };
            setting.is_some_and(|setting| setting != other)
        });
        values.extend(value);
    }

    fn begin(&mut self) {
        self.transaction = Some(Transaction {
            before: self.now,
            kept: self.now,
            savepoints: Vec::new(),
            databases: Vec::new(),
        });
    }

    fn end(&mut self, chain: bool, left: impl Fn(&Transaction) -> Reading) {
        let Some(transaction) = self.transaction.take() else {
            return;
        };
        self.now = left(&transaction);
        if chain {
            self.begin();
        }
    }

    fn savepoint(&mut self, name: PgText) {
        let now = self.now;
        if let Some(transaction) = &mut self.transaction
            && transaction.savepoints.len() < MOST
        {
            let kept = transaction.kept;
            transaction.savepoints.push((name, now, kept));
        }
    }

    fn savepoint_at(&mut self, name: &PgText) -> Option<(&mut Transaction, usize)> {
        let transaction = self.transaction.as_mut()?;
        let at = transaction
            .savepoints
            .iter()
            .rposition(|it| it.0 == *name)?;
        Some((transaction, at))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::change::changes;

    fn after(statements: &str) -> (bool, bool) {
        let mut settings = Settings::default();
        for statement in statements.split_inclusive(';') {
            match statement.strip_prefix('@') {
                Some(database) => settings.connect(&database.trim_end_matches(';').into()),
                None => changes(statement.as_bytes())
                    .into_iter()
                    .for_each(|change| settings.change(change)),
            }
        }
        let now = settings.now();
        (now.standard_strings, now.encoding == Encoding::Safe)
    }

    #[test]
    fn settings_follow_transactions() {
        const OFF: &str = "SET standard_conforming_strings = off;";
        const LOCAL: &str = "SET LOCAL standard_conforming_strings = off;";
        for (statements, on) in [
            (OFF.to_owned(), false),
            (LOCAL.to_owned(), true),
            (format!("{OFF}RESET ALL;"), true),
            (format!("{OFF}SET standard_conforming_strings = default;"), true),
            (format!("BEGIN;{LOCAL}"), false),
            (format!("BEGIN;{LOCAL}COMMIT;"), true),
            (format!("BEGIN;{OFF}COMMIT;"), false),
            (format!("BEGIN;{OFF}ROLLBACK;"), true),
            (format!("BEGIN;SAVEPOINT a;{OFF}ROLLBACK TO a;"), true),
            (format!("BEGIN;SAVEPOINT a;{OFF}RELEASE a;COMMIT;"), false),
            (format!("BEGIN;{OFF}COMMIT AND CHAIN;{LOCAL}ROLLBACK;"), false),
            (format!("{OFF}@x;"), true),
            ("ALTER DATABASE x SET standard_conforming_strings = off;@x;".into(), false),
            ("ALTER DATABASE x SET standard_conforming_strings = off;@y;".into(), true),
            ("BEGIN;ALTER DATABASE x SET standard_conforming_strings = off;COMMIT;@x;".into(), false),
            ("BEGIN;ALTER DATABASE x SET standard_conforming_strings = off;@x;".into(), true),
            ("ALTER DATABASE x SET standard_conforming_strings = off;ALTER DATABASE x RESET ALL;@x;".into(), true),
        ] {
            assert_eq!(after(&statements), (on, true), "{statements}");
        }
        assert_eq!(after("SET NAMES 'gbk';"), (true, false));
    }
}
