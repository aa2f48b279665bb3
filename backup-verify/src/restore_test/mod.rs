//! The restore test: it restores a backup, and compares the restored databases with what the backup's index says.

mod comparison;
mod failure;
mod globals;
mod inspection;
mod judgement;
mod lookup;
mod manifest;
mod own_server;
pub(crate) mod recovery;
mod restore_stream;
mod scratch_databases;
mod test_server;

use std::time::Duration;

use job::{Error, say, text};
use pg_text::PgText;
use store::{Backup, Source, Store};

use crate::cli::Args;
use crate::figures::{Figures, Restored};
use crate::finding::Finding;
use crate::report::Report;
use comparison::{Inventory, list, missing};
use failure::{Failure, FailureCount};
use globals::Globals;
pub(crate) use manifest::rereadable;
use manifest::{Expected, Manifest};
use restore_stream::{Outcome, Restorer, Scope};
use test_server::TestServer;

/// The name of the check.
const CHECK: &str = "restore";

/// The address of a backup of a store, as restore-stream takes it.
pub(crate) fn address(target: &str, store: &Store, backup: &Backup) -> String {
    let name = backup.name.to_string();
    if let Some(directory) = store.directory() {
        return directory.path().join(name).display().to_string();
    }
    let (container, token) = target.split_once('?').unwrap_or((target, ""));
    format!("{}/{name}?{token}", container.trim_end_matches('/'))
}

/// Tests one backup: adds a finding for each database and one for all, and returns what all of it took if all of it is
/// good.
///
/// # Errors
/// The report's only.
pub(crate) fn run(
    address: &str,
    source: &Source,
    args: &Args,
    report: &mut Report,
) -> Result<Option<Restored>, Error> {
    match Test::prepare(address, source, args) {
        Ok(test) => test.run(report),
        Err(error) => {
            report.add(not_tested(error))?;
            Ok(None)
        }
    }
}

/// A backup that cannot be tested, or not to the end.
pub(crate) fn not_tested(error: impl Into<Error>) -> Finding {
    Finding::bad(CHECK, error.into())
}

struct Test {
    restorer: Restorer,
    manifest: Manifest,
    server: TestServer,
    /// Whether roles are restored before the databases.
    with_roles: bool,
}

impl Test {
    fn prepare(address: &str, source: &Source, args: &Args) -> Result<Self, Error> {
        let restorer = Restorer::new(address, args.threads(), args.deadline).with_jobs(args.jobs);
        let manifest = Manifest::read(source, &restorer, args.database.as_ref())?;
        let (server, with_roles) = match &args.into {
            Some(conninfo) => (TestServer::given(conninfo)?, false),
            None => {
                let globals = Globals::read(source, args.threads())?;
                let server = TestServer::make(&manifest, &globals, args)?;
                (server, globals.has_roles)
            }
        };
        Ok(Self {
            restorer,
            manifest,
            server,
            with_roles,
        })
    }

    fn run(self, report: &mut Report) -> Result<Option<Restored>, Error> {
        let uncounted = self.manifest.uncounted();
        if uncounted > 0 {
            let words = format!(
                "the backup does not say what {} of it held when dumped: tables and rows are not compared",
                text::count(uncounted, "database")
            );
            report.add(Finding::warning(CHECK, words))?;
        }
        for words in self.server.remarks() {
            report.add(Finding::warning(CHECK, words))?;
        }
        let (seconds, extensions) = match self.begin() {
            Ok(begun) => begun,
            Err(error) => {
                report.add(not_tested(error))?;
                return Ok(None);
            }
        };
        let mut all = Restored {
            database: None,
            seconds,
            rows: 0,
        };
        let mut failures = FailureCount::default();
        for (number, expected) in (1..).zip(&self.manifest.databases) {
            let finding = self.database(number, expected, &extensions);
            if let Some(restored) = finding.restored() {
                all.seconds += restored.seconds;
                all.rows += restored.rows;
            }
            failures.count(&finding);
            report.add(finding)?;
        }
        if !failures.is_zero() {
            failures.say(
                self.manifest.databases.len(),
                "did not come back as they were dumped",
            );
            return Ok(None);
        }
        report.add(self.summary(&all))?;
        Ok(Some(all))
    }

    /// Restores roles and tablespaces. Returns how many seconds that took, and the extensions that the server has.
    fn begin(&self) -> Result<(f64, Vec<String>), Error> {
        let seconds = match self.with_roles {
            true => {
                let scope = Scope::Globals;
                let done = self.restore(scope);
                done.map_err(|failure| failure.error(&scope.words()))?
                    .seconds
            }
            false => 0.0,
        };
        Ok((seconds, self.server.extensions()?))
    }

    fn restore(&self, scope: Scope<'_>) -> Result<Outcome, Failure> {
        let (server, maintenance) = (self.server.server(), self.server.maintenance());
        self.restorer.restore(scope, server, maintenance)
    }

    fn database(&self, number: usize, expected: &Expected, available: &[String]) -> Finding {
        let name = &expected.name;
        let contents = expected.contents.as_ref();
        let lacking = missing(contents.map_or(&[][..], |it| &it.extensions), available);
        if !lacking.is_empty() {
            return not_tested(self.no_extension(name, &lacking));
        }
        say!(
            "restoring '{name}': {} of SQL",
            text::bytes(expected.sql_size)
        );
        let tested = self.restore_and_compare(number, expected);
        // Restored or not, it makes room for the next.
        let cleared = self.server.clear(name).map_err(Failure::from);
        match tested.and_then(|finding| cleared.map(|()| finding)) {
            Ok(finding) => finding,
            Err(failure) => not_tested(failure.error(&format!("database '{name}'"))),
        }
    }

    fn restore_and_compare(&self, number: usize, expected: &Expected) -> Result<Finding, Failure> {
        let name = &expected.name;
        let renamed = self.server.new_name(number).map(PgText::from);
        let outcome = self.restore(Scope::Database {
            name,
            renamed: renamed.as_ref(),
            owners: self.with_roles,
        })?;
        let restored = renamed.as_ref().unwrap_or(name);
        self.server.open(restored)?;
        let (contents, tables) = (expected.contents.as_ref(), expected.tables.as_deref());
        let inventory = Inventory::ask(self.server.inside(), restored, tables)?;
        let verdict = inventory.compare(contents, tables);
        if !verdict.bad.is_empty() {
            let differences = verdict.bad;
            return Err(Failure::Differs { differences });
        }
        let mut words = format!(
            "'{name}'  {}, in {}",
            inventory.words(),
            text::duration(seconds(outcome.seconds))
        );
        if contents.is_none() {
            words += "; not compared";
        }
        if outcome.left_out() > 0 {
            words += &format!("; owners and privileges left out: {}", outcome.left_out());
        }
        for remark in &verdict.remarks {
            words = words + "; " + remark;
        }
        let finding = match verdict.remarks.is_empty() {
            true => Finding::ok(CHECK, words),
            false => Finding::warning(CHECK, words),
        };
        Ok(finding.figures(Figures::Restored(Restored {
            database: Some(name.clone()),
            seconds: outcome.seconds,
            rows: outcome.rows(),
        })))
    }

    fn no_extension(&self, name: &PgText, lacking: &[String]) -> Error {
        let version = self.server.version();
        Error::failed(format!(
            "database '{name}' cannot be restored: PostgreSQL {version} here lacks its extensions: {}",
            list(lacking)
        ))
        .hint("install their packages, or name a server that has them with --into; the server that is restored into on the worst day needs them too")
    }

    fn summary(&self, all: &Restored) -> Finding {
        let words = format!(
            "{} into PostgreSQL {}, one after the other, in {}: the measured RTO",
            text::count(self.manifest.databases.len(), "database"),
            self.server.version(),
            text::duration(seconds(all.seconds))
        );
        Finding::ok(CHECK, words).figures(Figures::Restored(all.clone()))
    }
}

fn seconds(seconds: f64) -> Duration {
    Duration::try_from_secs_f64(seconds).unwrap_or_default()
}
