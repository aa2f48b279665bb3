//! Restores a backup with an index: each part goes through a psql of its own, from its own bytes of the backup.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::thread;

use backup_file::Section;
use job::{Error, Progress};

use crate::cli::Args;
use crate::edit::{Definition, Edit, GlobalsEdit, Nowhere, Tally};
use crate::load::arrival;
use crate::load::definitions::{its_own, undivided, unplaced};
use crate::load::part::{Load, scanner};
use crate::load::restored::Restored;
use crate::plan::Plan;
use crate::report::{Report, RestoredDatabase};
use crate::server::cleanup::Cleanup;
use crate::server::cluster::Cluster;
use crate::server::names::NewNames;
use crate::server::session_group::SessionGroup;
use crate::server::target::Target;
use crate::source::checked::CheckedSql;
use crate::source::chosen::ChosenBackup;
use crate::source::error::unfinished;

/// Loads what the plan says. No new database has its name when this returns.
pub(crate) fn load(
    chosen: &ChosenBackup,
    plan: &Plan,
    cluster: &Cluster,
    new_names: &mut NewNames,
    args: &Args,
    cleanup: &Cleanup,
    report: &mut Report,
) -> Result<Restored, Error> {
    let progress = Progress::new(
        format!("restoring '{}'", chosen.label()),
        Some(plan.sql_length()),
    );
    let sessions = SessionGroup::new(report.first_failure());
    let mut definitions = match &plan.globals {
        Some(section) => globals(chosen, section, cluster, args, &sessions, &progress, report)?,
        None => Vec::new(),
    };
    let mut restored = Restored::default();
    let parts: Vec<Part<'_>> = plan
        .databases
        .iter()
        .map(|(section, target)| Part {
            section,
            target,
            definitions: its_own(&mut definitions, target),
        })
        .collect();
    let tally = Mutex::new(Tally::default());
    let encoding = chosen.encoding();
    let one = |part: &Part<'_>, threads: usize| {
        let mut input = CheckedSql::section(chosen, part.section, threads)?;
        let mut load = Load::database(cluster, part.target, encoding, cleanup, &sessions)?;
        load.define(part.definitions.clone());
        load.all(&mut input, &progress)?;
        let mut tally = tally.lock().unwrap_or_else(PoisonError::into_inner);
        tally.add(load.take_tally());
        Ok::<_, Error>(load)
    };
    let (in_place, beside): (Vec<_>, Vec<_>) = parts
        .iter()
        .partition(|part| part.target.destination.is_in_place());
    for part in in_place {
        let mut load = one(part, args.threads())?;
        load.wait();
        restored.uncommitted.push((part.target.clone(), load));
    }
    let jobs = usize::from(args.jobs).clamp(1, beside.len().max(1));
    let threads = (args.threads() / jobs).max(1);
    let entries = Work::new(beside.len()).run(jobs, &sessions, |at| {
        one(beside[at], threads)?.end(beside[at].target)
    })?;
    for (part, entry) in beside.into_iter().zip(entries) {
        restored.beside.push((part.target.clone(), entry));
    }
    report.enter(tally.into_inner().unwrap_or_else(PoisonError::into_inner));
    for name in undivided(&definitions, args) {
        let here = cluster.name_on_server(&name, args.name.as_ref(), encoding)?;
        let target = arrival::target(cluster, args, new_names, Some(&name), &here)?;
        let mut load = Load::database(cluster, &target, encoding, cleanup, &sessions)?;
        load.define(its_own(&mut definitions, &target));
        load.finish()?;
        report.enter(load.take_tally());
        let entry = load.end(&target)?;
        restored.beside.push((target, entry));
    }
    report.enter(unplaced(definitions, args));
    Ok(restored)
}

/// A database's part of the backup, where it goes, and statements about it that came before.
struct Part<'a> {
    section: &'a Section,
    target: &'a Target,
    definitions: Vec<Definition>,
}

/// Restores roles and tablespaces, if they are asked for. Returns the statements about databases among them, which dumps of
/// pg_dumpall 10 and older have.
fn globals(
    chosen: &ChosenBackup,
    section: &Section,
    cluster: &Cluster,
    args: &Args,
    sessions: &SessionGroup,
    progress: &Progress,
    report: &mut Report,
) -> Result<Vec<Definition>, Error> {
    let mut input = CheckedSql::section(chosen, section, args.threads())?;
    let edit = GlobalsEdit::new(
        cluster.survey.roles.clone(),
        cluster.survey.tablespaces.clone(),
        args.role_passwords,
        !cluster.restrict,
    )
    .granting(cluster.survey.grantors.clone())
    .on(cluster.names.clone());
    if !args.globals() {
        let mut edit = edit.for_definitions();
        let mut scanner = scanner(!cluster.restrict);
        while let Some(sql) = input.next()? {
            scanner.feed(sql, &mut |piece| edit.piece(piece, &mut Nowhere))?;
        }
        input.finish()?;
        let ended = scanner.finish(&mut |piece| edit.piece(piece, &mut Nowhere))?;
        ended.map_err(|how| unfinished(&input.label(), how))?;
        report.enter(edit.take_tally());
        return Ok(edit.take_definitions());
    }
    let mut load = Load::globals(cluster, edit, sessions)?;
    report.globals_begun();
    load.all(&mut input, progress)?;
    report.enter(load.take_tally());
    let mut edit = load.end()?;
    report.globals_done();
    Ok(edit.take_definitions())
}

/// Pieces of work that several threads share, until one fails.
struct Work {
    count: usize,
    next: AtomicUsize,
    /// The first error. Later ones come from stopping the other threads.
    failed: Mutex<Option<Error>>,
}

impl Work {
    fn new(count: usize) -> Self {
        Self {
            count,
            next: AtomicUsize::new(0),
            failed: Mutex::new(None),
        }
    }

    fn run(
        self,
        jobs: usize,
        sessions: &SessionGroup,
        one: impl Fn(usize) -> Result<RestoredDatabase, Error> + Sync,
    ) -> Result<Vec<RestoredDatabase>, Error> {
        let worker = || {
            let mut done = Vec::new();
            loop {
                let at = self.next.fetch_add(1, Ordering::Relaxed);
                if at >= self.count {
                    return done;
                }
                match one(at) {
                    Ok(entry) => done.push((at, entry)),
                    Err(error) => {
                        self.fail(error);
                        sessions.kill();
                        return done;
                    }
                }
            }
        };
        let mut done = if jobs <= 1 {
            worker()
        } else {
            thread::scope(|scope| {
                let workers: Vec<_> = (0..jobs).map(|_| scope.spawn(worker)).collect();
                let done = workers.into_iter().filter_map(|worker| worker.join().ok());
                done.flatten().collect()
            })
        };
        let failed = self
            .failed
            .into_inner()
            .unwrap_or_else(std::sync::PoisonError::into_inner);
        if let Some(error) = failed {
            return Err(error);
        }
        if done.len() != self.count {
            return Err(Error::failed("a thread was lost"));
        }
        done.sort_by_key(|(at, _)| *at);
        Ok(done.into_iter().map(|(_, entry)| entry).collect())
    }

    fn fail(&self, error: Error) {
        // No thread takes more work.
        self.next.store(self.count, Ordering::Relaxed);
        let mut failed = self
            .failed
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner);
        failed.get_or_insert(error);
    }
}
