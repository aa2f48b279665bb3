//! Finds the line of the dump for a line of psql's input, where psql goes on after errors.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use pg_client::Killer;

/// Input that psql has not read yet, or whose messages nobody has heard yet, is less than this many bytes.
const IN_FLIGHT: u64 = 16 << 20;
/// And it holds at most this many statements.
const MARKS: usize = 200_000;

/// The input of one psql that goes on after errors. Whoever writes to it says where in the dump that stands; whoever listens
/// to psql finds the line of the dump by the line of the input. Clones are the same input.
#[derive(Debug, Clone, Default)]
pub(crate) struct NumberedInput(Arc<Mutex<Progress>>);

#[derive(Debug, Default)]
struct Progress {
    /// Lines and bytes that psql was given.
    lines: u64,
    bytes: u64,
    marks: VecDeque<Mark>,
    /// What psql echoes to standard error after everything else.
    expected: String,
    /// The line of psql's input with the `\.` that ends the rows of a COPY. If the COPY has failed, psql takes it for a
    /// command and refuses it.
    end_of_rows: Option<u64>,
    failed: u64,
    /// Whether psql has refused a command.
    restricted: bool,
    killer: Option<Killer>,
}

/// Where a statement begins.
#[derive(Debug, Clone, Copy)]
struct Mark {
    /// The line of psql's input.
    at: u64,
    /// The line of the dump.
    line: u64,
    /// What psql was given before it, in bytes.
    bytes: u64,
}

impl NumberedInput {
    /// Kills psql as soon as it refuses a command.
    pub(crate) fn kill_with(&self, killer: Killer) {
        lock(&self.0).killer = Some(killer);
    }

    pub(crate) fn wrote(&self, sql: &[u8]) {
        let mut progress = lock(&self.0);
        progress.lines += sql.iter().filter(|byte| **byte == b'\n').count() as u64;
        progress.bytes += sql.len() as u64;
    }

    /// Notes the line of the dump that the next input comes from.
    pub(crate) fn mark(&self, line: u64) {
        let mut progress = lock(&self.0);
        let mark = Mark {
            at: progress.lines + 1,
            line,
            bytes: progress.bytes,
        };
        let gone = |first: &Mark| first.bytes + IN_FLIGHT < mark.bytes;
        while progress.marks.len() >= MARKS || progress.marks.front().is_some_and(gone) {
            progress.marks.pop_front();
        }
        progress.marks.push_back(mark);
    }

    /// Notes that the next line ends the rows of a COPY. psql may refuse it, if that COPY has failed.
    pub(crate) fn end_of_rows_next(&self) {
        let mut progress = lock(&self.0);
        progress.end_of_rows = Some(progress.lines + 1);
    }

    /// Notes what psql echoes to standard error after everything else.
    pub(crate) fn expect(&self, words: &str) {
        lock(&self.0).expected = words.to_owned();
    }

    /// How many statements have failed in this session.
    pub(crate) fn failed(&self) -> u64 {
        lock(&self.0).failed
    }

    /// Whether psql has refused a command.
    pub(crate) fn restricted(&self) -> bool {
        lock(&self.0).restricted
    }
}

impl NumberedInput {
    /// Counts a statement that failed at a line of psql's input. Returns its line of the dump.
    pub(super) fn failed_at(&self, at: u64) -> Option<u64> {
        let mut progress = lock(&self.0);
        progress.failed += 1;
        progress.line(at)
    }

    /// Notes that psql has refused a command at a line of its input.
    pub(super) fn refused_at(&self, at: u64) {
        lock(&self.0).refuse(at);
    }

    /// Whether psql has echoed what was expected after everything else.
    pub(super) fn expects(&self, words: &str) -> bool {
        !words.is_empty() && lock(&self.0).expected == words
    }
}

impl Progress {
    /// The line of the dump for a line of psql's input.
    fn line(&self, at: u64) -> Option<u64> {
        let behind = self.marks.partition_point(|mark| mark.at <= at);
        let mark = self.marks.get(behind.checked_sub(1)?)?;
        Some(mark.line)
    }

    /// psql has refused a command of the backup: nothing after it may be done, so psql is killed.
    fn refuse(&mut self, at: u64) {
        if self.end_of_rows == Some(at) {
            return;
        }
        self.restricted = true;
        if let Some(killer) = &self.killer {
            killer.kill();
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_in_flight_is_bounded() {
        let input = NumberedInput::default();
        for number in 0..MARKS as u64 + 10 {
            input.mark(number);
            input.wrote(b"x;\n");
        }
        assert_eq!(lock(&input.0).marks.len(), MARKS);
        input.wrote(&vec![b'x'; 1 << 20].repeat(17));
        input.mark(0);
        assert_eq!(lock(&input.0).marks.len(), 1);
    }
}
