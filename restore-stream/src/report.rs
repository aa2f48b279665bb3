//! What a restore has done, for a person and for a script.

use std::time::{Duration, Instant};

use job::{Error, say, text};
use pg_text::PgText;
use serde::Serialize;

use crate::edit::{Deviation, Tally};
use crate::server::failure::meaning::Failure;
use crate::server::failure::record::{FailureList, FirstFailure, ListedFailures};

/// What a restore has done so far, and what it has left out.
#[derive(Debug)]
pub(crate) struct Report {
    source: String,
    started: Instant,
    globals: Globals,
    databases: Vec<RestoredDatabase>,
    tally: Tally,
    first_failure: FirstFailure,
    failures: FailureList,
}

/// How far the restore of the roles and tablespaces has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Globals {
    NotBegun,
    Begun,
    Done,
}

/// A database that was restored.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct RestoredDatabase {
    /// Its name in the backup; in hexadecimal digits too, if it is not UTF-8.
    pub(crate) name: PgText,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) name_hex: Option<String>,
    /// Its name on the server.
    pub(crate) restored_as: PgText,
    /// Bytes of its SQL.
    pub(crate) bytes: u64,
    /// Rows that came by COPY. None if some came by INSERT, which are not counted, or if a statement failed.
    pub(crate) rows: Option<u64>,
    /// How many statements failed (`--on-error continue`).
    pub(crate) failed: u64,
    /// How many statements that name a role were left out (`--no-owners`).
    pub(crate) left_out: u64,
    /// How many sessions at most were loading it at once.
    pub(crate) sessions: usize,
    /// How many statements were not recognised as pg_dump's, where several sessions could load it: nothing ran beside them.
    pub(crate) unrecognised: u64,
    pub(crate) seconds: f64,
    /// The name that the replaced database is kept under.
    pub(crate) replaced: Option<PgText>,
}

/// The report for a script (`--json`).
#[derive(Serialize)]
pub(crate) struct Document<'a> {
    ok: bool,
    source: &'a str,
    globals: bool,
    databases: &'a [RestoredDatabase],
    skipped: &'a [Deviation],
    changed: &'a [Deviation],
    statements: &'a Tally,
    failed: ListedFailures,
    seconds: f64,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    exit: Option<u8>,
    /// The statement that ended the restore, if it was one.
    #[serde(skip_serializing_if = "Option::is_none")]
    failure: Option<Failure>,
}

impl Report {
    pub(crate) fn new(source: String) -> Self {
        Self {
            source,
            started: Instant::now(),
            globals: Globals::NotBegun,
            databases: Vec::new(),
            tally: Tally::default(),
            first_failure: FirstFailure::default(),
            failures: FailureList::default(),
        }
    }

    /// The list of statements that failed.
    pub(crate) fn failures(&self) -> FailureList {
        self.failures.clone()
    }

    /// # Errors
    /// A statement has failed, after which the restore went on.
    pub(crate) fn check_failures(&self) -> Result<(), Error> {
        match self.failures.count() {
            0 => Ok(()),
            count => Err(Error::failed(format!(
                "{count} of {} statements failed, each of which is listed; all others were restored",
                self.tally.count_sent()
            ))
            .hint("restore-stream BACKUP --database DB -- sed -n 7p shows line 7 of that database's part")),
        }
    }

    /// The first statement that failed.
    pub(crate) fn first_failure(&self) -> FirstFailure {
        self.first_failure.clone()
    }

    /// Notes which backup it is.
    pub(crate) fn source(&mut self, source: String) {
        self.source = source;
    }

    pub(crate) fn globals_begun(&mut self) {
        self.globals = Globals::Begun;
    }

    pub(crate) fn globals_done(&mut self) {
        self.globals = Globals::Done;
    }

    pub(crate) fn done(&mut self, entry: RestoredDatabase) {
        self.databases.push(entry);
    }

    /// Adds the tally of a part.
    pub(crate) fn enter(&mut self, tally: Tally) {
        self.tally.add(tally);
    }

    /// # Errors
    /// A statement was lost.
    pub(crate) fn check_tally(&self) -> Result<(), Error> {
        self.tally.check()
    }

    /// Tells a person about a restore that is done.
    pub(crate) fn say(&self) {
        self.say_skipped();
        self.say_databases();
        let bytes = self.databases.iter().map(|entry| entry.bytes).sum();
        let rows = self.databases.iter().map(|entry| entry.rows).sum();
        let globals = match self.globals {
            Globals::Done => "roles and tablespaces, ",
            _ => "",
        };
        say!(
            "done: {globals}{}, {}, {} statements, {} of SQL, in {}",
            text::count(self.databases.len(), "database"),
            counted(rows),
            self.tally.count_sent(),
            text::bytes(bytes),
            text::duration(self.started.elapsed())
        );
    }

    /// Tells a person what stays although the restore has failed.
    pub(crate) fn say_what_stands(&self) {
        if self.failures.count() > 0 {
            self.say_skipped();
        }
        self.say_databases();
        if self.globals != Globals::NotBegun {
            say!("roles and tablespaces that were created until then stay");
        }
    }

    fn say_skipped(&self) {
        say_each("left out", self.tally.skipped());
        say_each("changed", self.tally.changed());
    }

    fn say_databases(&self) {
        for entry in &self.databases {
            let name = match entry.name == entry.restored_as {
                true => format!("'{}'", entry.name),
                false => format!("'{}' as '{}'", entry.name, entry.restored_as),
            };
            let time = Duration::try_from_secs_f64(entry.seconds).unwrap_or_default();
            let rows = match entry.failed {
                0 => counted(entry.rows),
                failed => format!("{failed} statements failed, rows not counted"),
            };
            let by = match entry.sessions {
                0 | 1 => String::new(),
                several => format!(", by {several} sessions"),
            };
            say!(
                "restored {name}: {rows}, {} of SQL, in {}{by}",
                text::bytes(entry.bytes),
                text::duration(time)
            );
            if entry.unrecognised > 0 {
                say!(
                    "{} in it not recognised as pg_dump's: one session restored what follows, in its order",
                    text::count(
                        usize::try_from(entry.unrecognised).unwrap_or(usize::MAX),
                        "statement"
                    )
                );
            }
            if entry.left_out > 0 {
                say!(
                    "left out: {} statements about owners, privileges and roles: --no-owners",
                    entry.left_out
                );
            }
            if let Some(kept) = &entry.replaced {
                say!(
                    "the '{}' that was there is kept as '{kept}' until you drop it",
                    entry.restored_as
                );
            }
        }
    }

    /// The report for a script.
    pub(crate) fn document(&self, error: Option<&Error>) -> Document<'_> {
        Document {
            ok: error.is_none(),
            source: &self.source,
            globals: self.globals == Globals::Done,
            databases: &self.databases,
            skipped: self.tally.skipped(),
            changed: self.tally.changed(),
            statements: &self.tally,
            failed: self.failures.listed(),
            seconds: self.started.elapsed().as_secs_f64(),
            error: error.map(Error::to_string),
            exit: error.map(|error| error.exit().code()),
            failure: error.and_then(|_| self.first_failure.get()),
        }
    }
}

fn say_each(what_became: &str, of: &[Deviation]) {
    for skipped in of {
        let Deviation { what, why, .. } = skipped;
        match skipped.statements {
            1 => say!("{what_became}: {what}: {why}"),
            count => say!("{what_became}: {what} ({count} statements): {why}"),
        }
    }
}

fn counted(rows: Option<u64>) -> String {
    match rows {
        Some(rows) => format!("{rows} rows"),
        None => "rows by INSERT, not counted".into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_script_reads_what_was_done() {
        let mut report = Report::new("x.sql.gz".into());
        report.globals_done();
        let mut tally = Tally::default();
        tally.read();
        tally.leave_out("role 'x'", "it is there");
        report.enter(tally);
        report.done(RestoredDatabase {
            name: "a".into(),
            name_hex: None,
            restored_as: "b".into(),
            bytes: 10,
            rows: Some(2),
            failed: 0,
            left_out: 0,
            sessions: 1,
            unrecognised: 0,
            seconds: 0.5,
            replaced: None,
        });
        let said = serde_json::to_value(report.document(None)).unwrap();
        assert_eq!(said["ok"], true);
        assert_eq!(said["databases"][0]["restored_as"], "b");
        assert_eq!(said["skipped"][0]["what"], "role 'x'");
        assert_eq!(said["statements"]["left_out"], 1);
        let error = Error::not_good("cut");
        let said = serde_json::to_value(report.document(Some(&error))).unwrap();
        assert_eq!(said["ok"], false);
        assert_eq!(said["exit"], 3);
    }
}
