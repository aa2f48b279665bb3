//! A backup with an index: each part by its own psql over its own bytes.

use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use job::{Error, Progress};

use crate::checked::Checked;
use crate::choose::Chosen;
use crate::cli::Args;
use crate::edit::{GlobalsEdit, Place};
use crate::keeper::Begun;
use crate::ledger::{Entry, Ledger};
use crate::load::Load;
use crate::plan::{Plan, Target};
use crate::preflight::Cluster;
use crate::restore::Restored;
use crate::session::Killers;

/// Loads what the plan says. Nothing has its name when this returns.
pub(crate) fn load(
    chosen: &Chosen,
    plan: &Plan,
    cluster: &Cluster,
    args: &Args,
    begun: &Begun,
    ledger: &mut Ledger,
) -> Result<Restored, Error> {
    let progress = Progress::new(
        format!("restoring '{}'", chosen.label()),
        Some(plan.sql_length()),
    );
    let killers = Killers::default();
    if let Some(section) = &plan.globals {
        let mut input = Checked::section(chosen, section, args.threads())?;
        let edit = GlobalsEdit::new(
            cluster.roles.clone(),
            cluster.tablespaces.clone(),
            args.role_passwords,
            cluster.restrict,
        );
        let mut load = Load::globals(cluster, edit, &killers)?;
        ledger.globals_begun();
        load.all(&mut input, &progress)?;
        ledger.skip(load.end()?.take_skipped());
        ledger.globals_done();
    }
    let mut restored = Restored::default();
    let (in_place, beside): (Vec<_>, Vec<_>) = plan
        .databases
        .iter()
        .partition(|(_, target)| target.place == Place::InPlace);
    for (section, target) in in_place {
        let mut input = Checked::section(chosen, section, args.threads())?;
        let mut load = Load::database(cluster, target, begun, &killers)?;
        load.all(&mut input, &progress)?;
        load.wait();
        restored.uncommitted.push((target.clone(), load));
    }
    let jobs = usize::from(args.jobs).clamp(1, beside.len().max(1));
    let threads = (args.threads() / jobs).max(1);
    let one = |(section, target): &(backup_file::Section, Target)| {
        let mut input = Checked::section(chosen, section, threads)?;
        let mut load = Load::database(cluster, target, begun, &killers)?;
        load.all(&mut input, &progress)?;
        load.end(target)
    };
    let entries = Work::new(beside.len()).run(jobs, &killers, |at| one(beside[at]))?;
    for ((_, target), entry) in beside.into_iter().zip(entries) {
        restored.beside.push((target.clone(), entry));
    }
    Ok(restored)
}

/// Pieces of work that are done at once, until one fails.
struct Work {
    count: usize,
    next: AtomicUsize,
    /// The first error; those that come from stopping the others are not it.
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
        killers: &Killers,
        one: impl Fn(usize) -> Result<Entry, Error> + Sync,
    ) -> Result<Vec<Entry>, Error> {
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
                        killers.kill();
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
        // Nobody takes more.
        self.next.store(self.count, Ordering::Relaxed);
        let mut failed = self
            .failed
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner);
        failed.get_or_insert(error);
    }
}
