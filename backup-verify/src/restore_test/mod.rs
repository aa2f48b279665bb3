//! The restore test: a backup is restored, and what came of it compared with what its index says.

mod account;
mod comparison;
mod globals;
mod ground;
mod installation;
mod judgement;
mod lookup;
mod manifest;
mod restorer;
mod scratch;
mod session;
mod throwaway;

use std::time::Duration;

use job::{Error, Exit, say, text};
use pg_text::PgText;
use serde::Serialize;
use store::{Backup, Source, Store};

use crate::cli::Args;
use crate::report::{Finding, Grade, Report};
use comparison::{Found, list, missing};
use globals::Globals;
use ground::Ground;
pub(crate) use manifest::rereadable;
use manifest::{Expected, Manifest};
use restorer::{Done, Restorer, What};

const CHECK: &str = "restore";

/// How long a restore took that was good: the measured RTO.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Restored {
    /// The database; none for all that was asked for, roles and tablespaces included.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) database: Option<PgText>,
    /// From the start of restore-stream to its end, in seconds; for several databases the sum.
    #[serde(rename = "restore_seconds")]
    pub(crate) seconds: f64,
    /// Rows that came by COPY.
    pub(crate) rows: u64,
}

/// The address of a backup of a store, as restore-stream takes it.
pub(crate) fn address(target: &str, store: &Store, backup: &Backup) -> String {
    let name = backup.name.to_string();
    if let Some(directory) = store.directory() {
        return directory.path().join(name).display().to_string();
    }
    let (container, token) = target.split_once('?').unwrap_or((target, ""));
    format!("{}/{name}?{token}", container.trim_end_matches('/'))
}

/// Tests one backup, and adds a finding for each database and one for all.
///
/// # Errors
/// The report's only.
pub(crate) fn run(
    address: &str,
    source: &Source,
    args: &Args,
    report: &mut Report,
) -> Result<(), Error> {
    let tested = match Test::prepare(address, source, args) {
        Ok(test) => test.run(report)?,
        Err(error) => {
            report.add(Finding::bad(CHECK, error))?;
            None
        }
    };
    report.metrics().restore_tried(args.now(), tested.as_ref());
    Ok(())
}

struct Test {
    restorer: Restorer,
    manifest: Manifest,
    ground: Ground,
    /// Whether there are roles, which are restored before the databases.
    globals: bool,
}

impl Test {
    fn prepare(address: &str, source: &Source, args: &Args) -> Result<Self, Error> {
        let restorer = Restorer::new(address, args.threads(), args.deadline);
        let manifest = Manifest::read(source, &restorer, args.database.as_ref())?;
        let (ground, globals) = match &args.into {
            Some(conninfo) => (Ground::given(conninfo)?, false),
            None => {
                let globals = Globals::read(source, args.threads())?;
                (Ground::made(&manifest, &globals, args)?, globals.any)
            }
        };
        Ok(Self {
            restorer,
            manifest,
            ground,
            globals,
        })
    }

    /// What all of it took, if all of it is good.
    fn run(self, report: &mut Report) -> Result<Option<Restored>, Error> {
        let silent = self.manifest.silent();
        if silent > 0 {
            let words = format!(
                "the backup does not say what {} of it held when dumped: tables and rows are not compared",
                text::count(silent, "database")
            );
            report.add(Finding::warning(CHECK, words))?;
        }
        for words in self.ground.remarks() {
            report.add(Finding::warning(CHECK, words))?;
        }
        let mut all = Restored {
            database: None,
            seconds: 0.0,
            rows: 0,
        };
        let extensions = match self.begin() {
            Ok((seconds, extensions)) => {
                all.seconds += seconds;
                extensions
            }
            Err(error) => {
                report.add(Finding::bad(CHECK, error))?;
                return Ok(None);
            }
        };
        let mut count = Count::default();
        for (number, expected) in (1..).zip(&self.manifest.databases) {
            let finding = self.database(number, expected, &extensions);
            if let Some(restored) = &finding.restored {
                report.metrics().restored(restored);
                all.seconds += restored.seconds;
                all.rows += restored.rows;
            }
            count.see(&finding.grade);
            report.add(finding)?;
        }
        if count.is_bad(self.manifest.databases.len()) {
            return Ok(None);
        }
        report.add(self.summary(&all))?;
        Ok(Some(all))
    }

    /// Restores roles and tablespaces: the seconds that took; and the extensions that the server has.
    fn begin(&self) -> Result<(f64, Vec<String>), Error> {
        let seconds = match self.globals {
            true => {
                let (server, maintenance) = (self.ground.server(), self.ground.maintenance());
                let done = self.restorer.restore(What::Globals, server, maintenance)?;
                done.seconds
            }
            false => 0.0,
        };
        Ok((seconds, self.ground.extensions()?))
    }

    fn database(&self, number: usize, expected: &Expected, available: &[String]) -> Finding {
        let name = &expected.name;
        let contents = expected.contents.as_ref();
        let lacking = missing(contents.map_or(&[][..], |it| &it.extensions), available);
        if !lacking.is_empty() {
            return Finding::bad(CHECK, self.no_extension(name, &lacking));
        }
        say!("restoring '{name}': {} of SQL", text::bytes(expected.sql));
        let tested = self.restore_and_compare(number, expected);
        // Whatever came of it: it makes room for the next.
        let cleared = self.ground.clear(name);
        match tested.and_then(|finding| cleared.map(|()| finding)) {
            Ok(finding) => finding,
            Err(error) if error.to_string().starts_with("database '") => Finding::bad(CHECK, error),
            Err(error) => {
                let what = format!("database '{name}' could not be tested");
                Finding::bad(CHECK, error.within(what))
            }
        }
    }

    fn restore_and_compare(&self, number: usize, expected: &Expected) -> Result<Finding, Error> {
        let name = &expected.name;
        let renamed = self.ground.name(number).map(PgText::from);
        let what = What::Database {
            name,
            renamed: renamed.as_ref(),
            owners: self.globals,
        };
        let (server, maintenance) = (self.ground.server(), self.ground.maintenance());
        let done = self.restorer.restore(what, server, maintenance)?;
        let there = renamed.as_ref().unwrap_or(name);
        self.ground.open(there)?;
        let contents = expected.contents.as_ref();
        let found = Found::ask(self.ground.inside(), there, contents)?;
        let verdict = found.compare(contents);
        if !verdict.bad.is_empty() {
            let why = verdict.bad.join("; ");
            let words = format!("database '{name}' is not what was dumped: {why}");
            return Err(Error::not_good(words));
        }
        let mut words = format!(
            "'{name}'  {}, in {}",
            found.words(),
            text::duration(seconds(done.seconds))
        );
        if contents.is_none() {
            words += "; not compared";
        }
        if done.left_out() > 0 {
            words += &format!("; owners and privileges left out: {}", done.left_out());
        }
        for remark in &verdict.remarks {
            words = words + "; " + remark;
        }
        let finding = match verdict.remarks.is_empty() {
            true => Finding::ok(CHECK, words),
            false => Finding::warning(CHECK, words),
        };
        Ok(finding.restored(restored(name, &done)))
    }

    fn no_extension(&self, name: &PgText, lacking: &[String]) -> Error {
        let version = self.ground.version();
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
            self.ground.version(),
            text::duration(seconds(all.seconds))
        );
        Finding::ok(CHECK, words).restored(all.clone())
    }
}

/// How many databases are not good, and of how many that is not known.
#[derive(Debug, Default)]
struct Count {
    bad: usize,
    untested: usize,
}

impl Count {
    fn see(&mut self, grade: &Grade) {
        if let Grade::Bad(error) = grade {
            match error.exit() {
                Exit::NotGood => self.bad += 1,
                _ => self.untested += 1,
            }
        }
    }

    /// Whether there are any, of `all`; which is said.
    fn is_bad(&self, all: usize) -> bool {
        let all = text::count(all, "database");
        let Self { bad, untested } = self;
        if *bad > 0 {
            say!("{bad} of {all} did not come back as they were dumped");
        }
        if *untested > 0 {
            say!("{untested} of {all} could not be tested, which says nothing about the backup");
        }
        *bad + *untested > 0
    }
}

fn restored(database: &PgText, done: &Done) -> Restored {
    Restored {
        database: Some(database.clone()),
        seconds: done.seconds,
        rows: done.rows(),
    }
}

fn seconds(seconds: f64) -> Duration {
    Duration::try_from_secs_f64(seconds).unwrap_or_default()
}
