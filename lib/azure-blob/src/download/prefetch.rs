//! Ranges of a blob, fetched by several threads before they are read.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

use super::pinned::PinnedBlob;
use crate::Error;
use crate::transport::Cancel;
use crate::worker::spawn;

/// The first range: small, so that reading begins soon.
const SMALLEST: u64 = 256 << 10;
/// The largest range: so long that the round trip does not matter when several are fetched at once, so short that
/// several take little memory.
const LARGEST: u64 = 1 << 20;

/// The ranges of a part of a blob, in order.
#[derive(Debug)]
pub(super) struct Prefetch {
    shared: Arc<Shared>,
    workers: usize,
}

#[derive(Debug)]
struct Shared {
    blob: PinnedBlob,
    start: u64,
    end: u64,
    /// The most ranges that are being fetched or are ready.
    concurrency: usize,
    state: Mutex<Fetched>,
    changed: Condvar,
    cancel: Cancel,
}

#[derive(Debug)]
struct Fetched {
    /// Where the next range to fetch begins.
    next: u64,
    /// Where the next range to read begins.
    wanted: u64,
    ready: BTreeMap<u64, Vec<u8>>,
    /// How many ranges are being fetched or are ready.
    live: usize,
    free: Vec<Vec<u8>>,
    failure: Option<Error>,
}

impl Prefetch {
    /// Fetches nothing before the first range is asked for.
    pub(super) fn new(blob: PinnedBlob, part: Range<u64>, concurrency: usize) -> Self {
        let state = Fetched {
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

    /// The bytes of the next range; none at the end. `done` is a buffer to be used again.
    pub(super) fn next(&mut self, done: Vec<u8>) -> Result<Option<Vec<u8>>, Error> {
        self.start_workers()?;
        let shared = &self.shared;
        let mut state = shared.lock();
        if done.capacity() > 0 {
            state.free.push(done);
        }
        if state.wanted >= shared.end {
            return Ok(None);
        }
        let wanted = state.wanted;
        let missing =
            |state: &mut Fetched| !state.ready.contains_key(&wanted) && state.failure.is_none();
        let mut state = shared
            .changed
            .wait_while(state, missing)
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

    /// Starts a thread for each range that may be fetched now, so that none waits for another's round trip.
    fn start_workers(&mut self) -> Result<(), Error> {
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

impl Drop for Prefetch {
    fn drop(&mut self) {
        self.shared.cancel.cancel();
        // Threads that wait for room see that there is nothing left to fetch.
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
                    // The first failure in time; the first in the blob's order would be no truer.
                    state.failure.get_or_insert(error);
                    state.next = self.end;
                    self.cancel.cancel();
                }
            }
            self.changed.notify_all();
        }
    }

    /// The next range to fetch and a buffer for it; none at the end. Waits for room.
    fn take(&self) -> Option<(u64, Vec<u8>)> {
        let state = self.lock();
        let full = |state: &mut Fetched| state.next < self.end && state.live >= self.concurrency;
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

    fn lock(&self) -> MutexGuard<'_, Fetched> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The length of the range after the first `before` bytes, with `left` bytes to come.
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
