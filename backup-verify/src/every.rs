//! All backups of a store, several at a time (`--all`).

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::mpsc::{self, Sender};
use std::thread;

use chrono::SecondsFormat;
use job::{Error, Progress};
use store::{Backup, Store, total_size};

use crate::backup;
use crate::cli::Args;
use crate::ledger::{Entry, Ledger};
use crate::report::{Finding, Grade, Report};

/// What the readers share.
struct Work<'a> {
    store: &'a Store,
    backups: &'a [Backup],
    /// Those to be read, by their places.
    unread: Vec<usize>,
    /// How many of these have been taken.
    taken: AtomicUsize,
    /// Nobody wants to know the rest.
    stopped: AtomicBool,
    threads: usize,
    progress: Arc<Progress>,
}

/// Checks these backups, and reports them in their order. One that the ledger knows is not read.
///
/// # Errors
/// The report or the ledger cannot be written.
pub(crate) fn check(
    store: &Store,
    backups: &[Backup],
    args: &Args,
    mut ledger: Option<&mut Ledger>,
    report: &mut Report,
) -> Result<(), Error> {
    let mut findings = BTreeMap::new();
    for (at, backup) in backups.iter().enumerate() {
        let known = ledger
            .as_deref()
            .and_then(|ledger| ledger.verified(backup, args.now(), args.again_after));
        if let Some(entry) = known {
            findings.insert(at, not_again(backup, entry));
        }
    }
    let unread: Vec<usize> = (0..backups.len())
        .filter(|at| !findings.contains_key(at))
        .collect();
    let size = total_size(unread.iter().map(|at| &backups[*at]));
    let jobs = args.jobs().min(unread.len());
    let doing = format!("checking {}", job::text::count(unread.len(), "backup"));
    let work = Work {
        store,
        backups,
        unread,
        taken: AtomicUsize::new(0),
        stopped: AtomicBool::new(false),
        threads: (args.threads() / jobs.max(1)).max(1),
        progress: Arc::new(Progress::new(doing, Some(size))),
    };
    thread::scope(|scope| {
        let (found, all) = mpsc::channel();
        for _ in 0..jobs {
            let (work, found) = (&work, found.clone());
            scope.spawn(move || work.read(&found));
        }
        drop(found);
        let mut next = 0;
        let told = || -> Result<(), Error> {
            next = in_order(&mut findings, next, report)?;
            for (at, finding) in all {
                if let (Some(ledger), Grade::Ok, Some(_)) =
                    (&mut ledger, &finding.grade, &finding.contents)
                {
                    ledger.add(&backups[at], args.now())?;
                }
                findings.insert(at, finding);
                next = in_order(&mut findings, next, report)?;
            }
            Ok(())
        };
        let told = told();
        work.stopped.store(true, Ordering::Relaxed);
        told
    })
}

/// Reports the findings from the `next` one on that are there; gives the one that is next then.
fn in_order(
    findings: &mut BTreeMap<usize, Finding>,
    mut next: usize,
    report: &mut Report,
) -> Result<usize, Error> {
    while let Some(finding) = findings.remove(&next) {
        report.add(finding)?;
        next += 1;
    }
    Ok(next)
}

impl Work<'_> {
    /// What each thread does.
    fn read(&self, found: &Sender<(usize, Finding)>) {
        while !self.stopped.load(Ordering::Relaxed) {
            let taken = self.taken.fetch_add(1, Ordering::Relaxed);
            let Some(at) = self.unread.get(taken) else {
                return;
            };
            let backup = &self.backups[*at];
            let finding = self.one(backup);
            let finding = backup::unless_gone(finding, self.store, backup).on(backup.name);
            if found.send((*at, finding)).is_err() {
                return;
            }
        }
    }

    fn one(&self, backup: &Backup) -> Finding {
        match self.store.source(backup) {
            Err(error) => Finding::bad("backup", error.into()),
            Ok(source) if source.is_archived() => Finding::ok(
                "backup",
                format!("'{}' is archived: it is not read", backup.name),
            ),
            Ok(source) => backup::check_with(&source, self.threads, &self.progress),
        }
    }
}

fn not_again(backup: &Backup, entry: &Entry) -> Finding {
    let verified = entry.verified.to_rfc3339_opts(SecondsFormat::Secs, true);
    let words = format!(
        "{}  was good on {verified} and has not changed: it is not read again",
        backup.name
    );
    Finding::ok("backup", words)
}

#[cfg(test)]
mod tests {
    use std::fs;

    use clap::Parser;

    use super::*;
    use crate::report::Output;

    /// A prune runs beside: it has deleted some of those that were listed.
    #[test]
    fn what_is_gone_since_the_listing_is_no_error() {
        let home = tempfile::tempdir().unwrap();
        let path = home.path().to_str().unwrap();
        let name = |day| format!("postgresql_backup_2025112{day}_020000.sql.gz");
        for day in 1..=3 {
            fs::write(home.path().join(name(day)), "damaged").unwrap();
        }
        let store = Store::open(path).unwrap();
        let backups = store.list().unwrap();
        let args = Args::parse_from(["backup-verify", path, "--all"]);
        let checked = || {
            let mut report = Report::new(path.to_owned(), args.now(), Output::Metrics);
            check(&store, &backups, &args, None, &mut report).unwrap();
            let lines = report.lines().to_owned();
            (lines, report.end())
        };
        for day in [1, 3] {
            fs::remove_file(home.path().join(name(day))).unwrap();
        }
        let (lines, ended) = checked();
        assert_eq!(lines.matches("is gone since").count(), 2, "{lines}");
        let error = ended.unwrap_err().to_string();
        assert!(error.contains(&name(2)), "{error}");
        fs::remove_file(home.path().join(name(2))).unwrap();
        let (lines, ended) = checked();
        ended.unwrap();
        assert_eq!(lines.matches("is gone since").count(), 3, "{lines}");
    }
}
