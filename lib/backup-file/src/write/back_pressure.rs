//! Whether the thread that compresses keeps up with the SQL that comes, measured by the clock.

use std::time::{Duration, Instant};

/// How far the thread may fall behind before workers take over. A shorter delay only shows that the program that writes
/// the SQL takes turns with it on one CPU, or that one table is easier to read than to compress. Workers would then take
/// the CPU from a server on the same machine, and the dump would take longer.
const PATIENCE: Duration = Duration::from_millis(500);

/// Measures whether SQL waits for the thread, or the thread for SQL.
#[derive(Debug, Default)]
pub(super) struct BackPressure {
    /// Since when the thread has waited for the next buffer.
    waiting: Option<Instant>,
    /// How long the thread took to compress the buffer that it compressed last.
    work: Duration,
    /// The work of the buffers that came too soon, less the work of the others; at most twice [`PATIENCE`].
    behind: Duration,
}

impl BackPressure {
    /// A buffer has come: too soon if the thread has waited for less than half of the time that it takes to compress one.
    pub(super) fn keeps_up(&mut self, now: Instant) -> bool {
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

    /// The thread has compressed a buffer in `time`.
    pub(super) fn compressed(&mut self, time: Duration) {
        self.work = time;
    }

    /// From `now` on the thread waits for the next buffer.
    pub(super) fn waits(&mut self, now: Instant) {
        self.waiting = Some(now);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const WORK: Duration = Duration::from_millis(10);
    const SOON: Duration = Duration::from_millis(1);
    const LATE: Duration = Duration::from_millis(10);
    /// The work of this many is as long as [`PATIENCE`].
    const MANY: u32 = 50;

    /// Whether the thread keeps up after `count` more buffers, for each of which it waited this long.
    fn after(pressure: &mut BackPressure, count: u32, waited: Duration) -> bool {
        let mut keeps_up = true;
        for _ in 0..count {
            let now = Instant::now();
            pressure.compressed(WORK);
            pressure.waits(now);
            keeps_up = pressure.keeps_up(now + waited);
        }
        keeps_up
    }

    #[test]
    fn one_buffer_that_comes_at_once_is_none_too_many() {
        let mut pressure = BackPressure::default();
        assert!(pressure.keeps_up(Instant::now()), "the first one");
        assert!(after(&mut pressure, 1000, LATE));
        assert!(after(&mut pressure, MANY - 1, SOON));
        assert!(after(&mut pressure, MANY - 1, LATE));
        for _ in 0..100 {
            assert!(after(&mut pressure, 3, SOON), "in turns");
            assert!(after(&mut pressure, 3, LATE), "in turns");
        }
    }

    #[test]
    fn work_that_waits_again_and_again_is() {
        let mut pressure = BackPressure::default();
        assert!(!after(&mut pressure, MANY, SOON));
        assert!(!after(&mut pressure, 1000, SOON));
        // It takes as long again before all is well.
        assert!(!after(&mut pressure, MANY, LATE));
        assert!(after(&mut pressure, 1, LATE));
    }
}
