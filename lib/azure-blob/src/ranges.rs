//! Ranges of a blob, fetched by several threads ahead of the one that reads.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

use crate::cancel::Cancel;
use crate::upload::spawn;
use crate::{Blob, Error};

/// The first range is small, so that reading begins soon.
const SMALLEST: u64 = 256 << 10;
/// Large enough for the round trip not to matter with some at once, small enough for these in little memory.
pub(crate) const LARGEST: u64 = 1 << 20;

/// The ranges of a part of a blob, in their order.
#[derive(Debug)]
pub(crate) struct Ranges {
    shared: Arc<Shared>,
    workers: usize,
}

#[derive(Debug)]
struct Shared {
    blob: Blob,
    start: u64,
    end: u64,
    /// How many ranges may be fetched or ready at once.
    concurrency: usize,
    state: Mutex<State>,
    changed: Condvar,
    cancel: Cancel,
}

#[derive(Debug)]
struct State {
    /// Where the next range to be fetched begins.
    next: u64,
    /// Where the next range to be read begins.
    wanted: u64,
    ready: BTreeMap<u64, Vec<u8>>,
    /// Ranges that are fetched or ready.
    live: usize,
    free: Vec<Vec<u8>>,
    failure: Option<Error>,
}

impl Ranges {
    /// Nothing is fetched before the first is wanted.
    pub(crate) fn new(blob: Blob, part: Range<u64>, concurrency: usize) -> Self {
        let state = State {
            next: part.start,
            wanted: part.start,
            ready: BTreeMap::new(),
            live: 0,
            free: Vec::new(),
            failure: None,
        };
        Self {
            shared: Arc::new(Shared {
                blob,
                start: part.start,
                end: part.end,
                concurrency,
                state: Mutex::new(state),
                changed: Condvar::new(),
                cancel: Cancel::default(),
            }),
            workers: 0,
        }
    }

    /// The next range's bytes; none at the end. `done` is a buffer that is not needed any more.
    pub(crate) fn next(&mut self, done: Vec<u8>) -> Result<Option<Vec<u8>>, Error> {
        self.hire()?;
        let shared = &self.shared;
        let mut state = shared.lock();
        if done.capacity() > 0 {
            state.free.push(done);
        }
        if state.wanted >= shared.end {
            return Ok(None);
        }
        let wanted = state.wanted;
        let ready =
            |state: &mut State| !state.ready.contains_key(&wanted) && state.failure.is_none();
        let mut state = shared
            .changed
            .wait_while(state, ready)
            .unwrap_or_else(PoisonError::into_inner);
        match (state.ready.remove(&wanted), &state.failure) {
            (Some(bytes), _) => {
                state.wanted += bytes.len() as u64;
                state.live -= 1;
                shared.changed.notify_all();
                Ok(Some(bytes))
            }
            (None, Some(failure)) => Err(failure.clone()),
            (None, None) => Ok(None),
        }
    }

    /// As many threads as there are ranges to be fetched, at once: a round trip is not waited for to begin
    /// the next.
    fn hire(&mut self) -> Result<(), Error> {
        let (start, end) = (self.shared.start, self.shared.end);
        let mut next = self.shared.lock().next;
        while self.workers < self.shared.concurrency && next < end {
            let shared = Arc::clone(&self.shared);
            spawn("get-range", move || shared.work())?;
            self.workers += 1;
            next += range_length(next - start, end - next);
        }
        Ok(())
    }
}

impl Drop for Ranges {
    fn drop(&mut self) {
        self.shared.cancel.cancel();
        // Whoever waits for room sees it.
        self.shared.lock().next = self.shared.end;
        self.shared.changed.notify_all();
    }
}

impl Shared {
    fn work(&self) {
        while let Some((offset, mut bytes)) = self.take() {
            let fetched = self.blob.fetch(offset, &mut bytes, &self.cancel);
            let mut state = self.lock();
            match fetched {
                Ok(()) => drop(state.ready.insert(offset, bytes)),
                Err(error) => {
                    // The first in the blob's order would be better, but the first in time is as true.
                    state.failure.get_or_insert(error);
                    state.next = self.end;
                    self.cancel.cancel();
                }
            }
            self.changed.notify_all();
        }
    }

    /// The next range to be fetched, and its buffer; none at the end. Waits for room.
    fn take(&self) -> Option<(u64, Vec<u8>)> {
        let state = self.lock();
        let full = |state: &mut State| state.next < self.end && state.live >= self.concurrency;
        let mut state = self
            .changed
            .wait_while(state, full)
            .unwrap_or_else(PoisonError::into_inner);
        let offset = state.next;
        if offset >= self.end {
            return None;
        }
        let length = range_length(offset - self.start, self.end - offset);
        state.next += length;
        state.live += 1;
        let mut bytes = state.free.pop().unwrap_or_default();
        drop(state);
        bytes.resize(usize::try_from(length).unwrap_or(usize::MAX), 0);
        Some((offset, bytes))
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The length of the range after `before` bytes, with `left` bytes to come.
fn range_length(before: u64, left: u64) -> u64 {
    before.clamp(SMALLEST, LARGEST).min(left)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_grow() {
        let mut lengths = Vec::new();
        let (mut before, total) = (0, 4 << 20);
        while before < total {
            lengths.push(range_length(before, total - before));
            before += lengths.last().unwrap();
        }
        let kib: Vec<_> = lengths.iter().map(|length| length >> 10).collect();
        assert_eq!(kib, [256, 256, 512, 1024, 1024, 1024]);
    }
}
