//! The blocks on their way: one thread fills them, another hashes them, several send them, in bounded memory.

use std::collections::VecDeque;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

use sha2::{Digest, Sha256 as Hasher};

use super::block_size::{FIRST_BLOCK, IN_MEMORY};
use crate::transport::Cancel;
use crate::{Error, Sha256};

/// A full block, or the last one of the stream.
#[derive(Debug)]
pub(super) struct Block {
    /// From 0.
    pub(super) index: u64,
    pub(super) bytes: Vec<u8>,
    /// How many of `bytes` belong to it; the buffer may be larger.
    pub(super) length: usize,
}

impl Block {
    pub(super) fn data(&self) -> &[u8] {
        self.bytes.get(..self.length).unwrap_or(&self.bytes)
    }
}

#[derive(Debug)]
pub(super) struct BlockQueue {
    /// The most threads that send.
    concurrency: usize,
    /// The most bytes in buffers.
    memory: usize,
    state: Mutex<Queued>,
    changed: Condvar,
    cancel: Cancel,
}

#[derive(Debug, Default)]
struct Queued {
    to_hash: VecDeque<Arc<Block>>,
    to_send: VecDeque<Arc<Block>>,
    /// Buffers that can be filled again.
    free: Vec<Vec<u8>>,
    /// Bytes in buffers that are in use.
    taken: usize,
    /// Blocks that the service does not have yet.
    unsent: usize,
    workers: usize,
    idle: usize,
    failure: Option<Error>,
    closed: bool,
}

impl BlockQueue {
    pub(super) fn new(concurrency: usize, memory: u64) -> Self {
        Self {
            concurrency,
            memory: usize::try_from(memory).unwrap_or(usize::MAX),
            state: Mutex::default(),
            changed: Condvar::new(),
            cancel: Cancel::default(),
        }
    }

    /// A buffer of `size` bytes. Waits while all memory is in use.
    pub(super) fn buffer(&self, size: usize) -> Result<Vec<u8>, Error> {
        let most = self.limit(size).max(size);
        let mut state = self.wait(|state| state.failure.is_some() || state.taken + size <= most);
        if let Some(failure) = &state.failure {
            return Err(failure.clone());
        }
        state.taken += size;
        // Blocks never shrink: smaller buffers are not needed again.
        state.free.retain(|buffer| buffer.len() == size);
        let buffer = state.free.pop();
        drop(state);
        Ok(buffer.unwrap_or_else(|| vec![0; size]))
    }

    /// The most bytes in buffers of this size. Small blocks: one for each thread. Large ones: only as many as keep
    /// the link busy while another is being filled, as more would cost memory and gain nothing.
    fn limit(&self, size: usize) -> usize {
        let at_once = self.concurrency.max(2);
        let few = size.saturating_mul(at_once.min(IN_MEMORY as usize));
        let small = at_once.saturating_mul(FIRST_BLOCK as usize);
        self.memory.min(few.max(small))
    }

    /// Queues a block; true if another thread should be started to send it.
    pub(super) fn add(&self, block: Block) -> Result<bool, Error> {
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

    /// The first failure of a block.
    pub(super) fn failure(&self) -> Option<Error> {
        self.lock().failure.clone()
    }

    /// Waits until all blocks are sent.
    pub(super) fn settle(&self) -> Result<(), Error> {
        let state = self.wait(|state| state.unsent == 0 || state.failure.is_some());
        state.failure.clone().map_or(Ok(()), Err)
    }

    /// No more blocks will come: the threads may end.
    pub(super) fn close(&self) {
        self.lock().closed = true;
        self.changed.notify_all();
    }

    /// Nobody wants the blocks any more: the threads stop.
    pub(super) fn abandon(&self) {
        self.cancel.cancel();
        let mut state = self.lock();
        state.closed = true;
        state.to_hash.clear();
        state.to_send.clear();
        self.changed.notify_all();
    }

    /// Hashes all blocks in order: the work of one thread.
    pub(super) fn hash(&self) -> Sha256 {
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

    /// Sends blocks until there are no more: the work of each sending thread.
    pub(super) fn work(&self, send: impl Fn(&Block, &Cancel) -> Result<(), Error>) {
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

    /// The buffer is free when the block is both hashed and sent.
    fn release(&self, block: Arc<Block>) {
        if let Some(block) = Arc::into_inner(block) {
            let mut state = self.lock();
            state.taken = state.taken.saturating_sub(block.bytes.len());
            state.free.push(block.bytes);
            self.changed.notify_all();
        }
    }

    fn wait(&self, until: impl Fn(&Queued) -> bool) -> MutexGuard<'_, Queued> {
        self.wait_on(self.lock(), until)
    }

    fn wait_on<'a>(
        &self,
        state: MutexGuard<'a, Queued>,
        until: impl Fn(&Queued) -> bool,
    ) -> MutexGuard<'a, Queued> {
        self.changed
            .wait_while(state, |state| !until(state))
            .unwrap_or_else(PoisonError::into_inner)
    }

    fn lock(&self) -> MutexGuard<'_, Queued> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
