//! All backups of a store, several at once (`--all`).

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::mpsc::{self, Sender};
use std::thread;

use chrono::SecondsFormat;
use job::{Error, Progress};
use store::{Backup, Store, total_size};

use super::backup;
use super::state_file::{GoodBackup, StateFile};
use crate::cli::Args;
use crate::finding::Finding;
use crate::report::Report;

/// What the reading threads share.
struct Queue<'a> {
    store: &'a Store,
    backups: &'a [Backup],
    /// Those to be read, by their places among the backups.
    unread: Vec<usize>,
    /// How many of these have been taken.
    taken: AtomicUsize,
    /// Whether the findings on the rest are of no use any more.
    stopped: AtomicBool,
    threads: usize,
    progress: Arc<Progress>,
}

/// Checks these backups, and reports them in their order. One that the state file knows to be good is not read.
///
/// # Errors
/// The report or the state file cannot be written.
pub(crate) fn check(
    store: &Store,
    backups: &[Backup],
    args: &Args,
    mut state: Option<&mut StateFile>,
    report: &mut Report,
) -> Result<(), Error> {
    let mut findings = BTreeMap::new();
    for (at, backup) in backups.iter().enumerate() {
        let known = state
            .as_deref()
            .and_then(|state| state.verified(backup, args.now(), args.again_after));
        if let Some(known) = known {
            findings.insert(at, not_again(backup, known));
        }
    }
    let unread: Vec<usize> = (0..backups.len())
        .filter(|at| !findings.contains_key(at))
        .collect();
    let size = total_size(unread.iter().map(|at| &backups[*at]));
    let jobs = args.jobs().min(unread.len());
    let doing = format!("checking {}", job::text::count(unread.len(), "backup"));
    let queue = Queue {
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
            let (queue, found) = (&queue, found.clone());
            scope.spawn(move || queue.read(&found));
        }
        drop(found);
        let mut next = 0;
        let told = || -> Result<(), Error> {
            next = in_order(&mut findings, next, report)?;
            for (at, finding) in all {
                if let Some(state) = &mut state
                    && finding.is_good_reading()
                {
                    state.add(&backups[at], args.now())?;
                }
                findings.insert(at, finding);
                next = in_order(&mut findings, next, report)?;
            }
            Ok(())
        };
        let told = told();
        queue.stopped.store(true, Ordering::Relaxed);
        told
    })
}

/// Reports the findings that are there, from the place `next` on without a gap; returns the place after them.
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

impl Queue<'_> {
    /// Reads one backup after the other until none is left.
    fn read(&self, found: &Sender<(usize, Finding)>) {
        while !self.stopped.load(Ordering::Relaxed) {
            let taken = self.taken.fetch_add(1, Ordering::Relaxed);
            let Some(at) = self.unread.get(taken) else {
                return;
            };
            let backup = &self.backups[*at];
            let finding = match self.check(backup) {
                bad if bad.is_bad() => backup::gone(self.store, backup).unwrap_or(bad),
                finding => finding,
            };
            if found.send((*at, finding.on(backup.name))).is_err() {
                return;
            }
        }
    }

    fn check(&self, backup: &Backup) -> Finding {
        match self.store.source(backup) {
            Err(error) => backup::not_read(error),
            Ok(source) if source.is_archived() => {
                backup::passed_over(format!("'{}' is archived: it is not read", backup.name))
            }
            Ok(source) => backup::check_with(&source, self.threads, &self.progress),
        }
    }
}

fn not_again(backup: &Backup, known: &GoodBackup) -> Finding {
    let verified = known.verified.to_rfc3339_opts(SecondsFormat::Secs, true);
    let name = backup.name;
    backup::passed_over(format!(
        "{name}  was good on {verified} and has not changed: it is not read again"
    ))
}

#[cfg(test)]
mod tests {
    use std::fs;

    use clap::Parser;

    use super::*;
    use crate::show::Output;

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
            let lines = report.lines();
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
