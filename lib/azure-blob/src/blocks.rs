//! The blocks under way: filled by one thread, hashed by another, sent by several, in bounded memory.

use std::collections::VecDeque;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

use sha2::{Digest, Sha256 as Hasher};

use crate::cancel::Cancel;
use crate::plan::{AT_ONCE, FIRST_BLOCK};
use crate::{Error, Sha256};

/// A block that is full, or the stream's last.
#[derive(Debug)]
pub(crate) struct Block {
    /// From 0.
    pub(crate) index: u64,
    pub(crate) bytes: Vec<u8>,
    /// How many of `bytes` are the block's.
    pub(crate) length: usize,
}

impl Block {
    pub(crate) fn data(&self) -> &[u8] {
        self.bytes.get(..self.length).unwrap_or(&self.bytes)
    }
}

#[derive(Debug)]
pub(crate) struct Blocks {
    /// Threads that send, at most.
    concurrency: usize,
    /// Bytes of buffers, at most.
    memory: usize,
    state: Mutex<State>,
    changed: Condvar,
    cancel: Cancel,
}

#[derive(Debug, Default)]
struct State {
    to_hash: VecDeque<Arc<Block>>,
    to_send: VecDeque<Arc<Block>>,
    /// Buffers to be filled again.
    free: Vec<Vec<u8>>,
    /// Bytes of the buffers that are not free.
    taken: usize,
    /// Blocks that are not sent yet.
    unsent: usize,
    workers: usize,
    idle: usize,
    failure: Option<Error>,
    closed: bool,
}

impl Blocks {
    pub(crate) fn new(concurrency: usize, memory: u64) -> Self {
        Self {
            concurrency,
            memory: usize::try_from(memory).unwrap_or(usize::MAX),
            state: Mutex::default(),
            changed: Condvar::new(),
            cancel: Cancel::default(),
        }
    }

    /// A buffer of `size` bytes. Waits while all memory is under way.
    pub(crate) fn buffer(&self, size: usize) -> Result<Vec<u8>, Error> {
        let most = self.most(size).max(size);
        let mut state = self.wait(|state| state.failure.is_some() || state.taken + size <= most);
        if let Some(failure) = &state.failure {
            return Err(failure.clone());
        }
        state.taken += size;
        // Smaller ones will not be needed again.
        state.free.retain(|buffer| buffer.len() == size);
        let buffer = state.free.pop();
        drop(state);
        Ok(buffer.unwrap_or_else(|| vec![0; size]))
    }

    /// Bytes of buffers of this size, at most: as many as are sent at once, and once blocks have grown, as few as
    /// keep the link busy. The last one is filled while the others are sent: more would only be memory.
    fn most(&self, size: usize) -> usize {
        let at_once = self.concurrency.max(2);
        let few = size.saturating_mul(at_once.min(AT_ONCE as usize));
        let small = at_once.saturating_mul(FIRST_BLOCK as usize);
        self.memory.min(few.max(small))
    }

    /// Takes a block on. True if there should be a thread more to send it.
    pub(crate) fn add(&self, block: Block) -> Result<bool, Error> {
        let block = Arc::new(block);
        let mut state = self.lock();
        if let Some(failure) = &state.failure {
            return Err(failure.clone());
        }
        state.to_hash.push_back(Arc::clone(&block));
        state.to_send.push_back(block);
        state.unsent += 1;
        let more = state.to_send.len() > state.idle && state.workers < self.concurrency;
        state.workers += usize::from(more);
        self.changed.notify_all();
        Ok(more)
    }

    /// What a block met.
    pub(crate) fn failure(&self) -> Option<Error> {
        self.lock().failure.clone()
    }

    /// Waits until all blocks are sent.
    pub(crate) fn settle(&self) -> Result<(), Error> {
        let state = self.wait(|state| state.unsent == 0 || state.failure.is_some());
        state.failure.clone().map_or(Ok(()), Err)
    }

    /// No more blocks come: the threads end.
    pub(crate) fn close(&self) {
        self.lock().closed = true;
        self.changed.notify_all();
    }

    /// Nobody wants the blocks any more.
    pub(crate) fn abandon(&self) {
        self.cancel.cancel();
        let mut state = self.lock();
        state.closed = true;
        state.to_hash.clear();
        state.to_send.clear();
        self.changed.notify_all();
    }

    /// Hashes all blocks in their order; one thread's work.
    pub(crate) fn hash(&self) -> Sha256 {
        let mut hasher = Hasher::new();
        loop {
            let mut state = self.wait(|state| state.closed || !state.to_hash.is_empty());
            let Some(block) = state.to_hash.pop_front() else {
                return hasher.finalize().into();
            };
            drop(state);
            hasher.update(block.data());
            self.release(block);
        }
    }

    /// Sends blocks until there are no more; the work of each of several threads.
    pub(crate) fn work(&self, send: impl Fn(&Block, &Cancel) -> Result<(), Error>) {
        loop {
            let mut state = self.lock();
            state.idle += 1;
            let mut state = self.wait_on(state, |state| state.closed || !state.to_send.is_empty());
            state.idle -= 1;
            let Some(block) = state.to_send.pop_front() else {
                return;
            };
            drop(state);
            let sent = send(&block, &self.cancel);
            let mut state = self.lock();
            state.unsent -= 1;
            if let Err(error) = sent {
                state.failure.get_or_insert(error);
                state.to_send.clear();
                self.cancel.cancel();
            }
            drop(state);
            self.release(block);
            self.changed.notify_all();
        }
    }

    /// The buffer can be filled again when the block is both hashed and sent.
    fn release(&self, block: Arc<Block>) {
        if let Some(block) = Arc::into_inner(block) {
            let mut state = self.lock();
            state.taken = state.taken.saturating_sub(block.bytes.len());
            state.free.push(block.bytes);
            self.changed.notify_all();
        }
    }

    fn wait(&self, until: impl Fn(&State) -> bool) -> MutexGuard<'_, State> {
        self.wait_on(self.lock(), until)
    }

    fn wait_on<'a>(
        &self,
        state: MutexGuard<'a, State>,
        until: impl Fn(&State) -> bool,
    ) -> MutexGuard<'a, State> {
        self.changed
            .wait_while(state, |state| !until(state))
            .unwrap_or_else(PoisonError::into_inner)
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
