//! The limit that several threads share.

use std::io::{self, Read};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use crate::{Rate, TokenBucket};

/// So many pieces a second are passed, so that no second has a piece too many that weighs.
const PIECES_A_SECOND: u64 = 50;
/// The largest and the smallest piece, in bytes.
const LARGEST: u64 = 64 << 10;
const SMALLEST: u64 = 1 << 10;
/// A shorter wait is left out: the next one is longer by it.
const SHORTEST_WAIT: Duration = Duration::from_millis(1);

/// A rate that nothing which shares it exceeds together. Clones are one limit.
#[derive(Debug, Clone)]
pub struct RateLimit {
    rate: Rate,
    bucket: Arc<Mutex<TokenBucket>>,
}

impl RateLimit {
    /// From now on.
    pub fn new(rate: Rate) -> Self {
        Self {
            rate,
            bucket: Arc::new(Mutex::new(TokenBucket::new(rate, Instant::now()))),
        }
    }

    /// What passes at most.
    pub fn rate(&self) -> Rate {
        self.rate
    }

    /// How many bytes to pass at once: fewer are smoother, more cost less.
    pub fn piece(&self) -> usize {
        let piece = self.rate.bytes_a_second() / PIECES_A_SECOND;
        usize::try_from(piece.clamp(SMALLEST, LARGEST)).unwrap_or(usize::MAX)
    }

    /// Waits until `bytes` more may pass.
    pub fn wait(&self, bytes: usize) {
        let mut bucket = self.bucket.lock().unwrap_or_else(PoisonError::into_inner);
        let wait = bucket.take(bytes, Instant::now());
        drop(bucket);
        if wait >= SHORTEST_WAIT {
            thread::sleep(wait);
        }
    }
}

/// Reads no faster than its limit allows, if it has one.
#[derive(Debug)]
pub struct LimitedReader<R> {
    input: R,
    limit: Option<RateLimit>,
}

impl<R: Read> LimitedReader<R> {
    /// Reads `input`.
    pub fn new(input: R, limit: Option<&RateLimit>) -> Self {
        Self {
            input,
            limit: limit.cloned(),
        }
    }
}

impl<R: Read> Read for LimitedReader<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let Some(limit) = &self.limit else {
            return self.input.read(buffer);
        };
        let piece = buffer.len().min(limit.piece());
        let count = self.input.read(&mut buffer[..piece])?;
        limit.wait(count);
        Ok(count)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pieces_are_small_enough_to_be_smooth() {
        let piece = |rate| RateLimit::new(Rate::of(rate)).piece();
        assert_eq!(piece(64 << 10), 1310);
        assert_eq!(piece(1 << 20), 20_971);
        assert_eq!(piece(200 << 20), 64 << 10);
    }

    #[test]
    fn all_of_it_is_read() {
        let limit = RateLimit::new(Rate::of(1 << 40));
        let input = vec![7; 1 << 20];
        let mut read = Vec::new();
        for limit in [Some(&limit), None] {
            let mut reader = LimitedReader::new(&input[..], limit);
            assert_eq!(reader.read_to_end(&mut read).unwrap(), 1 << 20);
        }
        assert_eq!(read, [input.as_slice(), &input].concat());
    }
}
