//! What a server logs of what failed, told apart by codes: its words are in its own language.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use pg_client::{ServerMessage, SqlState};

/// The settings that have the server log each error with its code and its place in the source, and nothing before it.
pub(crate) const SETTINGS: &str = "\
log_destination = stderr
log_error_verbosity = verbose
log_line_prefix = ''
log_min_messages = error
log_statement = none
logging_collector = off
";
/// The most errors that are kept, the last ones.
const MOST: usize = 1000;
const LOCATION: &str = "LOCATION:  ";
/// The function of `postmaster.c` that logs how a process of the server ended.
const LOST: &str = "LogChildExit, ";
/// How long a line may be on its way.
const PATIENCE: Duration = Duration::from_secs(10);
const PAUSE: Duration = Duration::from_millis(5);

/// An error in a server's log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LoggedError {
    /// `ERROR`, `FATAL` or `PANIC`, in the server's language.
    pub severity: String,
    /// Its code.
    pub sqlstate: SqlState,
    /// `ERROR:  relation "t" does not exist`, in the server's language.
    pub text: String,
    /// The place in the server's source that raised it, `mdopenfork, md.c:663`; empty where that is not said.
    pub location: String,
}

/// The log of a server of ours, as it comes. Those who hold it share it.
#[derive(Debug, Clone, Default)]
pub struct ServerLog(Arc<Mutex<Lines>>);

#[derive(Debug, Default)]
struct Lines {
    errors: VecDeque<LoggedError>,
    /// Whether the last message was an error, whose location comes next.
    in_error: bool,
    has_lost_a_process: bool,
}

impl ServerLog {
    /// Takes a line of the log.
    pub(crate) fn see(&self, line: &str) {
        let mut lines = self.lines();
        if let Some(location) = line.strip_prefix(LOCATION) {
            lines.has_lost_a_process |= location.starts_with(LOST);
            if lines.in_error
                && let Some(last) = lines.errors.back_mut()
            {
                last.location = location.to_owned();
            }
            lines.in_error = false;
        } else if let Some(message) = ServerMessage::parse(line) {
            lines.in_error = message.sqlstate.is_error();
            if lines.in_error {
                if lines.errors.len() == MOST {
                    lines.errors.pop_front();
                }
                lines.errors.push_back(LoggedError {
                    severity: message.severity.to_owned(),
                    sqlstate: message.sqlstate,
                    text: message.to_string(),
                    location: String::new(),
                });
            }
        }
    }

    /// The errors since it was forgotten last, the last 1,000 of them, oldest first.
    pub fn errors(&self) -> Vec<LoggedError> {
        self.lines().errors.iter().cloned().collect()
    }

    /// Whether the server has lost a process. A server that is not ready yet has one that matters, that which recovers: so
    /// this tells a recovery that failed from a server that cannot run.
    pub fn has_lost_a_process(&self) -> bool {
        self.lines().has_lost_a_process
    }

    /// Forgets the errors that there were.
    pub fn forget(&self) {
        let mut lines = self.lines();
        lines.errors.clear();
        lines.in_error = false;
    }

    /// Waits, 10 s at most, until the last error is there with its location and holds `mark`. Whether it is.
    pub fn wait_for(&self, mark: &str) -> bool {
        let began = Instant::now();
        loop {
            let lines = self.lines();
            let last = lines.errors.back().filter(|_| !lines.in_error);
            if last.is_some_and(|it| it.text.contains(mark)) {
                return true;
            }
            drop(lines);
            if began.elapsed() > PATIENCE {
                return false;
            }
            thread::sleep(PAUSE);
        }
    }

    fn lines(&self) -> MutexGuard<'_, Lines> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_are_kept_with_their_place() {
        let log = ServerLog::default();
        for line in [
            "LOG:  00000: starting PostgreSQL 15.18",
            "LOCATION:  PostmasterMain, postmaster.c:1189",
            "FEHLER:  XX001: ungültige Seite in Block 0",
            "KONTEXT:  beim Lesen",
            "LOCATION:  PageIsVerifiedExtended, bufpage.c:150",
            "ANWEISUNG:  COPY public.t TO stdout;",
            "LOG:  00000: checkpoint starting",
            "LOCATION:  LogCheckpointStart, xlog.c:6031",
        ] {
            log.see(line);
        }
        let errors = log.errors();
        assert_eq!(errors.len(), 1);
        assert_eq!(errors[0].sqlstate.as_str(), "XX001");
        assert_eq!(errors[0].text, "FEHLER:  ungültige Seite in Block 0");
        assert_eq!(errors[0].location, "PageIsVerifiedExtended, bufpage.c:150");
        assert!(!log.has_lost_a_process());
        assert!(log.wait_for("Block 0"));
        log.forget();
        assert!(log.errors().is_empty());
        log.see("LOG:  00000: startup process (PID 7) exited with exit code 1");
        log.see("LOCATION:  LogChildExit, postmaster.c:3698");
        assert!(log.has_lost_a_process());
    }
}
