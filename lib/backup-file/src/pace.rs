//! Whether a thread keeps up with the work that it is given, by its clock.

use std::time::{Duration, Instant};

/// For how long more it must have been late with its work than not before it does not keep up. Less only says that what
/// writes the SQL takes turns with it on one CPU, or that one table is easier to read than to compress: with a server
/// on the same machine other threads would take the CPU from it, and the dump would take longer.
const PATIENCE: Duration = Duration::from_millis(500);

/// How often work waits for a thread, and how often the thread for work.
#[derive(Debug, Default)]
pub(crate) struct Pace {
    /// Since when the thread has waited for the next batch.
    waiting: Option<Instant>,
    /// How long it took it to compress one, the last time that it did.
    work: Duration,
    /// The work of the batches that came too soon, less that of the others; at most twice [`PATIENCE`].
    behind: Duration,
}

impl Pace {
    /// A batch has come `now`: too soon if in less than half of the time in which one is compressed.
    pub(crate) fn keeps_up(&mut self, now: Instant) -> bool {
        let soon = self
            .waiting
            .is_some_and(|since| now.duration_since(since) < self.work / 2);
        self.behind = if soon {
            (self.behind + self.work).min(2 * PATIENCE)
        } else {
            self.behind.saturating_sub(self.work)
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
    const SOON: Duration = Duration::from_millis(1);
    const LATE: Duration = Duration::from_millis(10);
    /// So many make up for [`PATIENCE`].
    const MANY: u32 = 50;

    /// Whether the thread keeps up after `count` more batches, each of which it waited for so long.
    fn after(pace: &mut Pace, count: u32, waited: Duration) -> bool {
        let mut keeps_up = true;
        for _ in 0..count {
            let now = Instant::now();
            pace.compressed(WORK);
            pace.waits(now);
            keeps_up = pace.keeps_up(now + waited);
        }
        keeps_up
    }

    #[test]
    fn one_batch_that_comes_at_once_is_none_too_many() {
        let mut pace = Pace::default();
        assert!(pace.keeps_up(Instant::now()), "the first one");
        assert!(after(&mut pace, 1000, LATE));
        assert!(after(&mut pace, MANY - 1, SOON));
        assert!(after(&mut pace, MANY - 1, LATE));
        for _ in 0..100 {
            assert!(after(&mut pace, 3, SOON), "in turns");
            assert!(after(&mut pace, 3, LATE), "in turns");
        }
    }

    #[test]
    fn work_that_waits_again_and_again_is() {
        let mut pace = Pace::default();
        assert!(!after(&mut pace, MANY, SOON));
        assert!(!after(&mut pace, 1000, SOON));
        // It takes as long again before all is well.
        assert!(!after(&mut pace, MANY, LATE));
        assert!(after(&mut pace, 1, LATE));
    }
}
