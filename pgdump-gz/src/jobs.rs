//! Several databases at once. They are written in order: one whose turn has not come waits,
//! compressed, in an unnamed temporary file.

use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Instant;

use backup_file::{Options, Part, SectionKind};
use job::{Error, OnStop};
use pg_client::Killer;

use crate::cluster::{Dump, Running};
use crate::output::{Output, Section, WaitingSection};

/// The databases of one dump, each of which one thread takes.
#[derive(Debug)]
struct Queue<'a> {
    dump: &'a Dump<'a>,
    options: Options,
    state: Mutex<QueueState>,
    changed: Condvar,
}

#[derive(Debug)]
struct QueueState {
    slots: Vec<Slot>,
    running: Vec<Killer>,
    /// Asks all of them at once to end when a signal stops us: one after the other would take longer
    /// than a second. It is newer than what each child has registered for itself, and so comes first.
    on_stop: Option<OnStop>,
    /// The first failure; those that follow from it are not kept.
    failure: Option<Error>,
}

#[derive(Debug)]
enum Slot {
    /// Nobody has begun it.
    Open,
    /// Somebody dumps it, or has.
    Taken,
    Ready(Box<Part>),
}

/// What the thread that writes the backup does next.
enum Turn {
    /// Dump the database whose turn it is straight into the backup.
    Dump,
    Append(Part),
    /// Its turn has come, but another thread still dumps it: meanwhile dump this one.
    Meanwhile(usize),
    /// It has failed.
    Stop,
}

/// Dumps all databases into `output`, in order, `jobs` of them at once. The dump of the `first` has been started.
///
/// # Errors
/// The first failure; the other dumps are stopped.
pub(crate) fn databases(
    dump: &Dump<'_>,
    first: Option<Running<'_>>,
    output: &mut Output,
    jobs: usize,
    options: Options,
) -> Result<(), Error> {
    let databases = dump.cluster.databases.len();
    let queue = Queue {
        dump,
        options: Options {
            threads: (options.threads / jobs).max(1),
            ..options
        },
        state: Mutex::new(QueueState {
            slots: slots(databases, first.is_some()),
            running: Vec::new(),
            on_stop: None,
            failure: None,
        }),
        changed: Condvar::new(),
    };
    thread::scope(|scope| {
        for _ in 1..jobs.min(databases) {
            let started = thread::Builder::new()
                .name("dump".into())
                .spawn_scoped(scope, || queue.work());
            if let Err(error) = started {
                queue.fail(Error::io("cannot start a thread", &error));
            }
        }
        if let Err(error) = queue.write_in_order(first, output) {
            queue.fail(error);
        }
    });
    let state = queue.state.into_inner();
    match state.unwrap_or_else(PoisonError::into_inner).failure {
        Some(failure) => Err(failure),
        None => Ok(()),
    }
}

/// All are open, except the first if its dump has been started.
fn slots(databases: usize, first: bool) -> Vec<Slot> {
    let slot = |at| match at {
        0 if first => Slot::Taken,
        _ => Slot::Open,
    };
    (0..databases).map(slot).collect()
}

impl Queue<'_> {
    fn write_in_order(
        &self,
        mut first: Option<Running<'_>>,
        output: &mut Output,
    ) -> Result<(), Error> {
        for (at, database) in self.dump.cluster.databases.iter().enumerate() {
            let kind = || SectionKind::Database(database.name.clone());
            if let Some(running) = first.take() {
                output.begin(kind())?;
                self.write(running, output)?;
                continue;
            }
            loop {
                match self.turn(at) {
                    Turn::Dump => {
                        output.begin(kind())?;
                        self.write(self.dump.begin_database(database)?, output)?;
                        break;
                    }
                    Turn::Append(part) => {
                        output.append(part)?;
                        break;
                    }
                    Turn::Meanwhile(other) => self.dump_apart(other)?,
                    Turn::Stop => return Ok(()),
                }
            }
        }
        Ok(())
    }

    fn turn(&self, at: usize) -> Turn {
        let mut state = self.lock();
        loop {
            if state.failure.is_some() {
                return Turn::Stop;
            }
            match std::mem::replace(&mut state.slots[at], Slot::Taken) {
                Slot::Open => return Turn::Dump,
                Slot::Ready(part) => return Turn::Append(*part),
                Slot::Taken => {}
            }
            if let Some(other) = state.take() {
                return Turn::Meanwhile(other);
            }
            state = self
                .changed
                .wait(state)
                .unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// What the other threads do.
    fn work(&self) {
        while let Some(at) = self.take() {
            if let Err(error) = self.dump_apart(at) {
                self.fail(error);
            }
        }
    }

    fn take(&self) -> Option<usize> {
        self.lock().take()
    }

    fn dump_apart(&self, at: usize) -> Result<(), Error> {
        let database = &self.dump.cluster.databases[at];
        let kind = SectionKind::Database(database.name.clone());
        let started = Instant::now();
        let mut waiting = WaitingSection::begin(kind, self.options)?;
        self.write(self.dump.begin_database(database)?, &mut waiting)?;
        let part = waiting.finish(started.elapsed())?;
        self.lock().slots[at] = Slot::Ready(Box::new(part));
        self.changed.notify_all();
        Ok(())
    }

    fn write(&self, running: Running<'_>, section: &mut impl Section) -> Result<(), Error> {
        self.running(running.killer());
        self.dump.database(running, section)
    }

    /// Keeps the dump's killer, or stops the dump at once if another has failed meanwhile.
    fn running(&self, killer: Killer) {
        let mut state = self.lock();
        if state.failure.is_some() {
            drop(state);
            killer.terminate();
        } else {
            state.running.push(killer);
            let all = state.running.clone();
            state.on_stop = Some(job::on_stop(move || all.iter().for_each(Killer::ask)));
        }
    }

    fn fail(&self, error: Error) {
        let mut state = self.lock();
        state.failure.get_or_insert(error);
        let running = std::mem::take(&mut state.running);
        drop(state);
        self.changed.notify_all();
        running.iter().for_each(Killer::ask);
        running.iter().for_each(Killer::terminate);
    }

    fn lock(&self) -> MutexGuard<'_, QueueState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl QueueState {
    /// The next database that nobody has begun.
    fn take(&mut self) -> Option<usize> {
        if self.failure.is_some() {
            return None;
        }
        let at = self
            .slots
            .iter()
            .position(|slot| matches!(slot, Slot::Open))?;
        self.slots[at] = Slot::Taken;
        Some(at)
    }
}
