use std::sync::{Condvar, Mutex, PoisonError};

/// The most bytes of compressed segments in memory at once.
const MOST: u64 = 64 << 20;

/// Memory for what is being sent, shared by all that send.
#[derive(Debug, Default)]
pub(super) struct Budget {
    taken: Mutex<u64>,
    changed: Condvar,
}

/// A part of a [`Budget`], given back when it is dropped.
#[derive(Debug)]
pub(super) struct Share<'a> {
    budget: &'a Budget,
    bytes: u64,
}

impl Budget {
    /// Takes this many bytes. Waits until they are there; a file that is larger than all of it waits until it is alone.
    pub(super) fn take(&self, bytes: u64) -> Share<'_> {
        let taken = self.taken.lock().unwrap_or_else(PoisonError::into_inner);
        let full = |taken: &mut u64| *taken > 0 && taken.saturating_add(bytes) > MOST;
        let mut taken = self
            .changed
            .wait_while(taken, full)
            .unwrap_or_else(PoisonError::into_inner);
        *taken = taken.saturating_add(bytes);
        Share {
            budget: self,
            bytes,
        }
    }

    fn give_back(&self, bytes: u64) {
        let mut taken = self.taken.lock().unwrap_or_else(PoisonError::into_inner);
        *taken = taken.saturating_sub(bytes);
        self.changed.notify_all();
    }
}

impl Share<'_> {
    /// Gives back all but this many bytes.
    pub(super) fn keep(&mut self, bytes: u64) {
        let less = self.bytes.saturating_sub(bytes);
        self.bytes -= less;
        self.budget.give_back(less);
    }
}

impl Drop for Share<'_> {
    fn drop(&mut self) {
        self.budget.give_back(self.bytes);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU64, Ordering};
    use std::thread;

    use super::*;

    #[test]
    fn no_more_is_taken_than_there_is() {
        let (budget, now, most) = (Budget::default(), AtomicU64::new(0), AtomicU64::new(0));
        thread::scope(|scope| {
            for _ in 0..8 {
                scope.spawn(|| {
                    for _ in 0..50 {
                        let mut share = budget.take(MOST / 3);
                        most.fetch_max(now.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
                        now.fetch_sub(1, Ordering::SeqCst);
                        share.keep(MOST / 9);
                    }
                });
            }
        });
        assert!((1..=7).contains(&most.into_inner()));
        assert_eq!(budget.taken.into_inner().unwrap(), 0);
    }

    #[test]
    fn what_is_too_large_goes_alone() {
        let budget = Budget::default();
        drop(budget.take(u64::MAX));
        let _small = budget.take(1);
    }
}
