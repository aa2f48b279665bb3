//! Random moments in the life of a program that is run again and again, on a machine that may be busy.

use std::thread;
use std::time::{Duration, Instant};

use crate::{Chance, Running};

/// Moments between a program's start and its end, as long as it lives at least.
///
/// How long that is on a busy machine changes from run to run: each that ends by itself before its moment
/// makes the next ones earlier.
#[derive(Debug)]
pub struct Moments {
    life: Duration,
}

impl Moments {
    /// Those of what `work` does when nobody interferes.
    pub fn of(work: impl FnOnce()) -> Self {
        let started = Instant::now();
        work();
        Self {
            life: started.elapsed(),
        }
    }

    /// Waits for a random moment in the life of what was started just now; says whether it still runs then.
    pub fn reach(&mut self, chance: &mut Chance, running: &mut Running) -> bool {
        let started = Instant::now();
        let moment = chance.moment(self.life);
        while started.elapsed() < moment {
            if running.ended() {
                self.life = self.life.min(started.elapsed());
                return false;
            }
            thread::sleep(Duration::from_micros(500));
        }
        !running.ended()
    }
}
