//! Chance that can be repeated: its seed is printed, and can be given.

use std::env;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// A source of chance (SplitMix64).
#[derive(Debug)]
pub struct Chance {
    state: u64,
}

impl Chance {
    /// A new one. Its seed is the time, or `E2E_SEED`; it is printed, and seen when the test fails.
    pub fn new() -> Self {
        let given = env::var("E2E_SEED").ok().and_then(|seed| seed.parse().ok());
        let seed = given.unwrap_or_else(|| {
            let now = SystemTime::now().duration_since(UNIX_EPOCH);
            now.map_or(0, |now| u64::from(now.subsec_nanos()) ^ now.as_secs())
        });
        println!("to repeat this: E2E_SEED={seed}");
        Self { state: seed }
    }

    /// The same chance each time.
    pub fn seeded(seed: u64) -> Self {
        Self { state: seed }
    }

    fn next(&mut self) -> u64 {
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.state;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// A number below `bound`, which must not be 0.
    pub fn below(&mut self, bound: usize) -> usize {
        let bound = bound as u64;
        usize::try_from(self.next() % bound).unwrap_or_default()
    }

    /// A duration up to `longest`.
    pub fn moment(&mut self, longest: Duration) -> Duration {
        let micros = usize::try_from(longest.as_micros()).unwrap_or(usize::MAX);
        Duration::from_micros(self.below(micros.max(1)) as u64)
    }

    /// One of these, of which there must be one.
    pub fn of<'a, T>(&mut self, these: &'a [T]) -> &'a T {
        &these[self.below(these.len())]
    }
}

impl Default for Chance {
    fn default() -> Self {
        Self::new()
    }
}
