//! Whether a thread keeps up with the work that it is given, by its clock.

use std::time::{Duration, Instant};

/// By how many more batches must have come too soon than not before it does not keep up: 16 MiB of SQL. Fewer only
/// say that it takes turns on one CPU with what writes the SQL.
const PATIENCE: u32 = 32;

/// How often work waits for a thread, and how often the thread for work.
#[derive(Debug, Default)]
pub(crate) struct Pace {
    /// Since when the thread has waited for the next batch.
    waiting: Option<Instant>,
    /// How long it took it to compress one, the last time that it did.
    work: Duration,
    /// By how many more batches came too soon than not; at most twice [`PATIENCE`].
    behind: u32,
}

impl Pace {
    /// A batch has come `now`: too soon if in less than half of the time in which one is compressed.
    pub(crate) fn keeps_up(&mut self, now: Instant) -> bool {
        let soon = self
            .waiting
            .is_some_and(|since| now.duration_since(since) < self.work / 2);
        self.behind = if soon {
            (self.behind + 1).min(2 * PATIENCE)
        } else {
            self.behind.saturating_sub(1)
        };
        self.behind < PATIENCE
    }

    /// The thread has compressed a batch in `time`.
    pub(crate) fn compressed(&mut self, time: Duration) {
        self.work = time;
    }

    /// From `now` on the thread waits for the next batch.
    pub(crate) fn waits(&mut self, now: Instant) {
        self.waiting = Some(now);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const WORK: Duration = Duration::from_millis(10);

    /// Whether the thread keeps up after `count` more batches, each of which it waited for so long.
    fn after(pace: &mut Pace, count: u32, waited: Duration) -> bool {
        let mut keeps_up = true;
        for _ in 0..count {
            let now = Instant::now();
            pace.waits(now);
            keeps_up = pace.keeps_up(now + waited);
            pace.compressed(WORK);
        }
        keeps_up
    }

    #[test]
    fn one_batch_that_comes_at_once_is_none_too_many() {
        let mut pace = Pace::default();
        let (soon, late) = (WORK / 10, WORK);
        assert!(pace.keeps_up(Instant::now()), "the first one");
        assert!(after(&mut pace, 1000, late));
        assert!(after(&mut pace, PATIENCE - 1, soon));
        assert!(after(&mut pace, PATIENCE - 1, late));
        for _ in 0..100 {
            assert!(after(&mut pace, 3, soon), "in turns");
            assert!(after(&mut pace, 3, late), "in turns");
        }
    }

    #[test]
    fn work_that_waits_again_and_again_is() {
        let mut pace = Pace::default();
        let (soon, late) = (WORK / 10, WORK);
        // How long one takes is not known of the first.
        assert!(after(&mut pace, PATIENCE, soon));
        assert!(!after(&mut pace, 1, soon));
        assert!(!after(&mut pace, 1000, soon));
        // It takes as long again before all is well.
        assert!(!after(&mut pace, PATIENCE, late));
        assert!(after(&mut pace, 1, late));
    }
}
