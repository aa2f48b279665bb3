//! All backups of a store, several at once (`--all`).

use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::sync::Arc;

use chrono::SecondsFormat;
use job::{Error, Progress, in_parallel};
use store::{Backup, Store, total_size};

use super::backup;
use super::state_file::{GoodBackup, StateFile};
use crate::cli::Args;
use crate::finding::Finding;
use crate::report::Report;

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
    let mut waiting = Waiting::default();
    let mut unread = Vec::new();
    for (at, backup) in backups.iter().enumerate() {
        let known = state
            .as_deref()
            .and_then(|state| state.verified(backup, args.now(), args.again_after));
        match known {
            Some(known) => waiting.add(at, not_again(backup, known)),
            None => unread.push((at, backup)),
        }
    }
    waiting.report(report)?;
    let jobs = args.jobs().min(unread.len());
    let size = total_size(unread.iter().map(|(_, backup)| *backup));
    let doing = format!("checking {}", job::text::count(unread.len(), "backup"));
    let reader = Reader {
        store,
        threads: (args.threads() / jobs.max(1)).max(1),
        progress: Arc::new(Progress::new(doing, Some(size))),
    };
    let mut take = |number: usize, finding: Finding| -> Result<(), Error> {
        let (at, backup) = unread[number];
        if let Some(state) = &mut state
            && finding.is_good_reading()
        {
            state.add(backup, args.now())?;
        }
        waiting.add(at, finding);
        waiting.report(report)
    };
    let mut taken = Ok(());
    in_parallel(
        unread.len(),
        jobs,
        |number| reader.check(unread[number].1),
        |number, finding| {
            if taken.is_ok() {
                taken = take(number, finding);
            }
            match taken {
                Ok(()) => ControlFlow::Continue(()),
                Err(_) => ControlFlow::Break(()),
            }
        },
    );
    taken
}

/// Findings that come in any order, and are reported in that of the backups.
#[derive(Debug, Default)]
struct Waiting {
    findings: BTreeMap<usize, Finding>,
    /// The place of the backup that is reported next.
    next: usize,
}

impl Waiting {
    fn add(&mut self, at: usize, finding: Finding) {
        self.findings.insert(at, finding);
    }

    /// Reports those whose turn it is.
    fn report(&mut self, report: &mut Report) -> Result<(), Error> {
        while let Some(finding) = self.findings.remove(&self.next) {
            report.add(finding)?;
            self.next += 1;
        }
        Ok(())
    }
}

/// What reading a backup takes.
struct Reader<'a> {
    store: &'a Store,
    /// For each backup.
    threads: usize,
    /// Of all backups together.
    progress: Arc<Progress>,
}

impl Reader<'_> {
    fn check(&self, backup: &Backup) -> Finding {
        let finding = match self.read(backup) {
            bad if bad.is_bad() => backup::gone(self.store, backup).unwrap_or(bad),
            finding => finding,
        };
        finding.on(backup.name)
    }

    fn read(&self, backup: &Backup) -> Finding {
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
        let backups = store.list().unwrap().dumps;
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
