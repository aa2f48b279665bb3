//! The threads that restore databases, one session each, and what they still have to do.

use std::collections::BTreeMap;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;

use job::Error;

use super::relations::Resource;
use super::schedule::{Schedule, Use};
use super::unit::Unit;
use crate::load::sibling::{Share, Sibling};
use crate::server::session_group::SessionGroup;
use crate::source::ranges::SectionRanges;

/// How much text of units may wait in one database, in bytes.
const MOST_TEXT: usize = 4 << 20;

/// What is to be done, for the threads that do it. When one fails, none begins anything more, and all sessions are killed.
pub(super) struct Pool<'a> {
    state: Mutex<State<'a>>,
    changed: Condvar,
    sessions: SessionGroup,
    count: usize,
    /// Replaces the order of weights by another one.
    seed: Option<u64>,
}

struct State<'a> {
    /// The next database that nobody has begun.
    next: usize,
    finished: usize,
    open: BTreeMap<usize, Open<'a>>,
    /// The first error. Later ones come from stopping the other threads.
    failed: Option<Error>,
}

/// A database that is being restored and has units.
struct Open<'a> {
    database: Arc<OpenDatabase<'a>>,
    schedule: Schedule<Resource>,
    units: BTreeMap<usize, Arc<Unit>>,
    /// How much text waits in units.
    text: usize,
    helpers: usize,
    most_helpers: usize,
    shares: Vec<Share>,
    /// Whether its lane has come to the end of the dump.
    ended: bool,
}

/// What another session needs to load a part of a database.
pub(super) struct OpenDatabase<'a> {
    pub(super) sibling: Sibling,
    pub(super) ranges: Arc<SectionRanges<'a>>,
}

/// A unit that somebody has taken.
pub(super) struct Taken {
    number: usize,
    pub(super) unit: Arc<Unit>,
}

/// What a thread does next.
pub(super) enum Task<'a> {
    /// Restore this database.
    Restore(usize),
    /// Help with this one, beginning with a unit of it.
    Help(usize, Arc<OpenDatabase<'a>>, Taken),
    /// Nothing is left to do.
    End,
}

impl<'a> Pool<'a> {
    /// For this number of databases. With a seed, any unit that can run may be the next.
    pub(super) fn new(count: usize, sessions: SessionGroup, seed: Option<u64>) -> Self {
        Self {
            state: Mutex::new(State {
                next: 0,
                finished: 0,
                open: BTreeMap::new(),
                failed: None,
            }),
            changed: Condvar::new(),
            sessions,
            count,
            seed,
        }
    }

    pub(super) fn sessions(&self) -> &SessionGroup {
        &self.sessions
    }

    /// Waits for something to do.
    ///
    /// # Errors
    /// Something has failed, here or elsewhere.
    pub(super) fn next(&self) -> Result<Task<'a>, Error> {
        self.wait(|state| {
            if state.next < self.count {
                state.next += 1;
                return Some(Task::Restore(state.next - 1));
            }
            if let Some(help) = state.help() {
                return Some(help);
            }
            (state.finished == self.count).then_some(Task::End)
        })
    }

    /// From now on others may help with a database.
    pub(super) fn open(&self, number: usize, database: Arc<OpenDatabase<'a>>) {
        let open = Open {
            database,
            schedule: Schedule::new(),
            units: BTreeMap::new(),
            text: 0,
            helpers: 0,
            most_helpers: 0,
            shares: Vec::new(),
            ended: false,
        };
        self.lock().open.insert(number, open);
    }

    /// Adds the next unit of a database that is open. Returns whether so many wait that some must be done first.
    pub(super) fn add(
        &self,
        database: usize,
        unit: Unit,
        weight: u64,
        uses: Vec<(Resource, Use)>,
    ) -> bool {
        let mut state = self.lock();
        let Some(open) = state.open.get_mut(&database) else {
            return false;
        };
        open.text += unit.size();
        let known = open.units.len() as u64 ^ weight;
        let weight = self.seed.map_or(weight, |seed| any_of(seed, known));
        let number = open.schedule.add(weight, uses);
        open.units.insert(number, Arc::new(unit));
        self.changed.notify_all();
        open.text > MOST_TEXT
    }

    /// A unit of a database, for its lane, as long as there is one; none when all are done.
    ///
    /// # Errors
    /// Something has failed elsewhere.
    pub(super) fn work(&self, database: usize) -> Result<Option<Taken>, Error> {
        self.wait(|state| {
            let Some(open) = state.open.get_mut(&database) else {
                return Some(None);
            };
            match open.take() {
                None if open.schedule.is_empty() => Some(None),
                None => None,
                taken => Some(taken),
            }
        })
    }

    /// A unit of a database, for one who helps; none when he is better off elsewhere.
    ///
    /// # Errors
    /// Something has failed elsewhere.
    pub(super) fn help_on(&self, database: usize) -> Result<Option<Taken>, Error> {
        self.wait(|state| {
            let waits_elsewhere = state.next < self.count;
            let can_elsewhere = state
                .open
                .iter_mut()
                .any(|(number, open)| *number != database && open.schedule.has_ready());
            let Some(open) = state.open.get_mut(&database) else {
                return Some(None);
            };
            match open.take() {
                None if open.ended || waits_elsewhere || can_elsewhere => Some(None),
                None => None,
                taken => Some(taken),
            }
        })
    }

    /// A unit is done.
    pub(super) fn done(&self, database: usize, taken: &Taken) {
        if let Some(open) = self.lock().open.get_mut(&database) {
            open.schedule.done(taken.number);
        }
        self.changed.notify_all();
    }

    /// A helper's session has ended.
    pub(super) fn leave(&self, database: usize, share: Share) {
        if let Some(open) = self.lock().open.get_mut(&database) {
            open.helpers -= 1;
            open.shares.push(share);
        }
        self.changed.notify_all();
    }

    /// Ends a database of which all units are done: waits until nobody else is connected to it. Returns what they have
    /// loaded, and how many there were at once.
    ///
    /// # Errors
    /// Something has failed elsewhere.
    pub(super) fn close(&self, database: usize) -> Result<(Vec<Share>, usize), Error> {
        if let Some(open) = self.lock().open.get_mut(&database) {
            open.ended = true;
        }
        self.changed.notify_all();
        self.wait(|state| {
            if state.open.get(&database).is_some_and(|it| it.helpers > 0) {
                return None;
            }
            let open = state.open.remove(&database);
            Some(open.map_or_else(Default::default, |it| (it.shares, it.most_helpers)))
        })
    }

    /// A database is restored.
    pub(super) fn finish(&self) {
        self.lock().finished += 1;
        self.changed.notify_all();
    }

    /// Something has failed: everybody stops.
    pub(super) fn fail(&self, error: Error) {
        self.lock().failed.get_or_insert(error);
        self.sessions.kill();
        self.changed.notify_all();
    }

    /// The first error.
    pub(super) fn into_failure(self) -> Option<Error> {
        let state = self.state.into_inner();
        state.unwrap_or_else(PoisonError::into_inner).failed
    }

    /// Waits until there is what is looked for.
    fn wait<T>(&self, mut find: impl FnMut(&mut State<'a>) -> Option<T>) -> Result<T, Error> {
        let mut state = self.lock();
        loop {
            if state.failed.is_some() {
                return Err(Error::failed("another part of the restore has failed"));
            }
            if let Some(found) = find(&mut state) {
                return Ok(found);
            }
            let changed = self.changed.wait(state);
            state = changed.unwrap_or_else(PoisonError::into_inner);
        }
    }

    fn lock(&self) -> MutexGuard<'_, State<'a>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<'a> State<'a> {
    fn help(&mut self) -> Option<Task<'a>> {
        let mut open = self.open.iter_mut();
        open.find_map(|(number, open)| {
            let taken = open.take()?;
            open.helpers += 1;
            open.most_helpers = open.most_helpers.max(open.helpers);
            Some(Task::Help(*number, Arc::clone(&open.database), taken))
        })
    }
}

impl Open<'_> {
    fn take(&mut self) -> Option<Taken> {
        let number = self.schedule.take()?;
        let unit = self.units.remove(&number)?;
        self.text -= unit.size();
        Some(Taken { number, unit })
    }
}

/// A number that two others decide (SplitMix64).
fn any_of(seed: u64, number: u64) -> u64 {
    let mut mixed = seed.wrapping_add(number.wrapping_mul(0x9e37_79b9_7f4a_7c15));
    mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ (mixed >> 31)
}

/// Stops everybody if the thread that holds it panics: the others would wait for it.
pub(super) struct Alarm<'p, 'a>(pub(super) &'p Pool<'a>);

impl Drop for Alarm<'_, '_> {
    fn drop(&mut self) {
        if thread::panicking() {
            self.0.fail(Error::failed("a thread was lost"));
        }
    }
}
