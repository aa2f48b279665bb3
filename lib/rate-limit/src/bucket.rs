//! The reckoning, without a clock of its own.

use std::time::{Duration, Instant};

use crate::Rate;

/// How much may be made up for what did not pass before: 5 % of a second's bytes.
const CREDIT: Duration = Duration::from_millis(50);
/// A second in nanoseconds.
const SECOND: u128 = 1_000_000_000;

/// A bucket that fills with tokens, one for each byte, at the rate. It holds those of 50 ms, and is empty at first.
#[derive(Debug)]
pub struct TokenBucket {
    rate: Rate,
    /// When all that was taken so far is paid for.
    paid: Instant,
}

impl TokenBucket {
    /// An empty one.
    pub fn new(rate: Rate, now: Instant) -> Self {
        Self { rate, paid: now }
    }

    /// Takes tokens for `bytes`, and says how long from `now` on to wait before the bytes may pass.
    pub fn take(&mut self, bytes: usize, now: Instant) -> Duration {
        // Time in which nobody took anything counts up to what the bucket holds.
        let full_since = now.checked_sub(CREDIT).unwrap_or(now);
        self.paid = self.paid.max(full_since) + self.time_of(bytes);
        self.paid.saturating_duration_since(now)
    }

    /// How long the rate takes for as many bytes.
    fn time_of(&self, bytes: usize) -> Duration {
        let nanoseconds = bytes as u128 * SECOND / u128::from(self.rate.bytes_a_second());
        Duration::from_nanos(u64::try_from(nanoseconds).unwrap_or(u64::MAX))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RATE: u64 = 1 << 20;

    fn ms(milliseconds: u64) -> Duration {
        Duration::from_millis(milliseconds)
    }

    fn bucket(now: Instant) -> TokenBucket {
        TokenBucket::new(Rate::of(RATE), now)
    }

    /// What passes in each millisecond if somebody takes `piece` bytes again and again, waits as told, and sometimes
    /// later by `late`.
    fn passing(piece: usize, late: impl Fn(u64) -> Duration, total: Duration) -> Vec<u64> {
        let start = Instant::now();
        let mut bucket = bucket(start);
        let mut now = start;
        let mut passed = vec![0; usize::try_from(total.as_millis()).unwrap()];
        for turn in 0.. {
            now += bucket.take(piece, now) + late(turn);
            let at = usize::try_from((now - start).as_millis()).unwrap();
            match passed.get_mut(at) {
                Some(passed) => *passed += piece as u64,
                None => break,
            }
        }
        passed
    }

    fn most_in_a_second(passed: &[u64]) -> u64 {
        passed
            .windows(1000)
            .map(|second| second.iter().sum())
            .max()
            .unwrap()
    }

    #[test]
    fn no_second_has_more_than_its_share() {
        let start = Instant::now();
        assert_eq!(bucket(start).take(1 << 20, start), ms(1000));
        for piece in [1000, 20_000, 50_000] {
            let passed = passing(piece, |_| Duration::ZERO, ms(10_000));
            let most = most_in_a_second(&passed);
            let most_allowed = RATE + piece as u64;
            assert!(most <= most_allowed, "{piece}: {most}");
            let sum: u64 = passed.iter().sum();
            assert!(sum.abs_diff(10 * RATE) < RATE / 20, "{piece}: {sum}");
        }
    }

    #[test]
    fn who_comes_late_makes_up_for_it() {
        // Each turn is 5 ms late: more than half of the time that a piece takes.
        let passed = passing(8000, |_| ms(5), ms(10_000));
        let sum: u64 = passed.iter().sum();
        assert!(sum.abs_diff(10 * RATE) < RATE / 2, "{sum}");
        assert!(most_in_a_second(&passed) <= RATE * 105 / 100 + 8000);
    }

    #[test]
    fn what_was_not_used_is_lost() {
        // Once a second nothing is taken for half a second.
        let pause = |turn: u64| if turn % 100 == 99 { ms(500) } else { ms(0) };
        let passed = passing(8000, pause, ms(20_000));
        assert!(most_in_a_second(&passed) <= RATE * 105 / 100 + 8000);
    }

    #[test]
    fn many_at_once_share_it() {
        let start = Instant::now();
        let mut bucket = bucket(start);
        let waits: Vec<Duration> = (0..4).map(|_| bucket.take(1 << 18, start)).collect();
        assert_eq!(waits, [ms(250), ms(500), ms(750), ms(1000)]);
    }

    #[test]
    fn odd_amounts_are_no_trouble() {
        let now = Instant::now();
        let mut bucket = bucket(now);
        assert_eq!(bucket.take(0, now), ms(0));
        assert!(bucket.take(usize::MAX >> 20, now) > Duration::from_secs(1 << 20));
    }
}
