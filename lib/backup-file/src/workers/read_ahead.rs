//! Workers that fetch items from a source and finish them ahead of the thread that wants them.
//!
//! The workers take turns at the source: each fetches an item, then finishes it beside the others. The caller puts the
//! items in order, and is a worker itself while it has to wait. With one thread it is the only one: all work is done
//! in the calling thread, when it is asked for.

use std::collections::BTreeMap;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, Sender};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use super::thread::{lost, spawn};

/// As long as a worker needs to take some members from the file and hash them, and a fraction of what it needs to
/// decompress them.
const SHORT_WAIT: Duration = Duration::from_micros(50);

/// Where items come from, one after the other.
pub(crate) trait Source: Send + 'static {
    /// What it gives. Items are used again: a source fills those that the caller is done with.
    type Item: Send + 'static;
    /// What a worker finishes items with.
    type Tool;
    /// The name of the threads.
    const THREAD: &'static str;

    /// An item to be filled.
    fn new_item() -> Self::Item;

    /// A tool for one more worker.
    fn new_tool() -> Self::Tool;

    /// Fills `item` with what comes next, one worker at a time. False if it is the last.
    fn fetch(&mut self, item: &mut Self::Item) -> bool;

    /// Does what is left to do for an item, which needs the source no more.
    fn finish(item: &mut Self::Item, tool: &mut Self::Tool);
}

/// The items of a source, in order.
pub(crate) struct ReadAhead<S: Source> {
    turns: Arc<Mutex<Turns<S>>>,
    tool: S::Tool,
    finished: Receiver<Numbered<S>>,
    /// Items that were finished before those that come before them.
    early: BTreeMap<u64, Finished<S>>,
    /// The number of the item that comes next.
    next: u64,
    give_free: Sender<S::Item>,
    /// The item that the caller looks at.
    current: Option<S::Item>,
}

/// An item; none if the worker that finished it has panicked.
type Finished<S> = Option<<S as Source>::Item>;
/// With its number, from 0 on.
type Numbered<S> = (u64, Finished<S>);

impl<S: Source> ReadAhead<S> {
    /// `threads` do the work, the calling one among them.
    pub(crate) fn new(source: S, threads: usize) -> io::Result<Self> {
        let (give_free, free) = mpsc::channel();
        // One for each worker, one finished early for each, one that the caller looks at. The caller alone needs but one,
        // which then stays in its CPU's cache.
        let items = if threads > 1 { 2 * threads + 1 } else { 1 };
        for _ in 0..items {
            // The receiver is there.
            let _ = give_free.send(S::new_item());
        }
        let turns = Arc::new(Mutex::new(Turns {
            source,
            free,
            count: 0,
            ended: false,
        }));
        let (send, finished) = mpsc::channel();
        for _ in 1..threads {
            let (turns, send) = (Arc::clone(&turns), send.clone());
            // Nobody joins it: when nobody wants its work any more, it may still wait for its input.
            spawn(S::THREAD, move || work(&turns, &send))?;
        }
        Ok(Self {
            turns,
            tool: S::new_tool(),
            finished,
            early: BTreeMap::new(),
            next: 0,
            give_free,
            current: None,
        })
    }

    /// The next item. Nobody asks for one after the last, or after an error.
    ///
    /// # Errors
    /// A worker has panicked.
    pub(crate) fn next(&mut self) -> io::Result<&mut S::Item> {
        if let Some(seen) = self.current.take() {
            // At the source's end nobody takes it any more.
            let _ = self.give_free.send(seen);
        }
        let item = loop {
            while let Ok((number, item)) = self.finished.try_recv() {
                self.early.insert(number, item);
            }
            if let Some(item) = self.early.remove(&self.next) {
                break item.ok_or_else(lost)?;
            }
            let (number, item) = self.one_more()?;
            self.early.insert(number, item);
        };
        self.next += 1;
        Ok(self.current.insert(item))
    }

    /// The item that came last.
    pub(crate) fn current(&self) -> Option<&S::Item> {
        self.current.as_ref()
    }

    /// Asks the source itself, after the last item: before it, a worker may be at the source and wait for this thread.
    pub(crate) fn with_source<T>(&self, ask: impl FnOnce(&mut S) -> T) -> io::Result<T> {
        let mut turns = self.turns.lock().map_err(|_| lost())?;
        Ok(ask(&mut turns.source))
    }

    /// One more finished item, by this thread or another.
    fn one_more(&mut self) -> io::Result<Numbered<S>> {
        if let Some(item) = self.help() {
            return Ok(item);
        }
        // The worker that has just handed over an item is at the source, and away from it long before it has finished
        // the next. Without a second look this thread would sleep through all of that, time and again.
        match self.finished.recv_timeout(SHORT_WAIT) {
            Ok(item) => return Ok(item),
            Err(RecvTimeoutError::Disconnected) => return Err(lost()),
            Err(RecvTimeoutError::Timeout) => {}
        }
        match self.help() {
            Some(item) => Ok(item),
            None => self.finished.recv().map_err(|_| lost()),
        }
    }

    /// Does the work for one item; none if a worker is at the source, or no item is free.
    fn help(&mut self) -> Option<Numbered<S>> {
        let (number, item) = self.turns.try_lock().ok()?.fetch_if_free()?;
        Some((number, finish::<S>(item, &mut self.tool)))
    }
}

/// The source, for one worker at a time.
struct Turns<S: Source> {
    source: S,
    free: Receiver<S::Item>,
    /// How many items were fetched.
    count: u64,
    ended: bool,
}

impl<S: Source> Turns<S> {
    /// The next item, when one is free to be filled; none at the source's end, or when nobody wants items any more.
    fn fetch(&mut self) -> Option<(u64, S::Item)> {
        if self.ended {
            return None;
        }
        let item = self.free.recv().ok()?;
        Some(self.fill(item))
    }

    /// The next item; none at the source's end, or if no item is free.
    fn fetch_if_free(&mut self) -> Option<(u64, S::Item)> {
        if self.ended {
            return None;
        }
        let item = self.free.try_recv().ok()?;
        Some(self.fill(item))
    }

    fn fill(&mut self, mut item: S::Item) -> (u64, S::Item) {
        self.ended = !self.source.fetch(&mut item);
        self.count += 1;
        (self.count - 1, item)
    }
}

/// What each worker does, to the source's end.
fn work<S: Source>(turns: &Mutex<Turns<S>>, finished: &Sender<Numbered<S>>) {
    let mut tool = S::new_tool();
    loop {
        // The lock is poisoned if another worker has panicked at the source: then this one is not needed any more.
        let next = turns.lock().ok().and_then(|mut turns| turns.fetch());
        let Some((number, item)) = next else {
            return;
        };
        if finished
            .send((number, finish::<S>(item, &mut tool)))
            .is_err()
        {
            return;
        }
    }
}

/// Finishes an item. A panic is told to the caller, which would wait for this item for ever.
fn finish<S: Source>(mut item: S::Item, tool: &mut S::Tool) -> Finished<S> {
    catch_unwind(AssertUnwindSafe(|| S::finish(&mut item, tool))).ok()?;
    Some(item)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Counts from 0 to 99; thrice that is a finished item.
    struct Counter(u64);

    impl Source for Counter {
        type Item = u64;
        type Tool = ();
        const THREAD: &'static str = "count";

        fn new_item() -> u64 {
            0
        }

        fn new_tool() {}

        fn fetch(&mut self, item: &mut u64) -> bool {
            *item = self.0;
            self.0 += 1;
            self.0 < 100
        }

        fn finish(item: &mut u64, (): &mut ()) {
            // The earlier of two neighbours takes longer.
            let turns = if item.is_multiple_of(2) { 20_000 } else { 10 };
            *item = 3 * (0..turns).fold(*item, |sum, _| std::hint::black_box(sum));
        }
    }

    #[test]
    fn in_order_however_long_each_takes() {
        for threads in [1, 2, 5] {
            let mut ahead = ReadAhead::new(Counter(0), threads).unwrap();
            for number in 0..100 {
                assert_eq!(*ahead.next().unwrap(), 3 * number);
                assert_eq!(ahead.current(), Some(&(3 * number)));
            }
            assert_eq!(ahead.with_source(|source| source.0).unwrap(), 100);
        }
    }

    /// Its third item cannot be finished.
    struct Panics(u64);

    impl Source for Panics {
        type Item = u64;
        type Tool = ();
        const THREAD: &'static str = "panic";

        fn new_item() -> u64 {
            0
        }

        fn new_tool() {}

        fn fetch(&mut self, item: &mut u64) -> bool {
            self.0 += 1;
            *item = self.0;
            true
        }

        fn finish(item: &mut u64, (): &mut ()) {
            assert_ne!(*item, 3, "meant to fail");
        }
    }

    #[test]
    fn a_worker_that_panics_is_missed() {
        for threads in [1, 2, 5] {
            let mut ahead = ReadAhead::new(Panics(0), threads).unwrap();
            assert!(ahead.next().is_ok());
            assert!(ahead.next().is_ok());
            assert!(ahead.next().is_err(), "{threads} threads");
        }
    }
}
