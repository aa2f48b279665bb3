//! How a program ended, and what its last lines say of it.

use std::os::unix::process::ExitStatusExt;
use std::process::ExitStatus;

use rustix::process::Signal;

use crate::{Error, ErrorKind, ServerMessage};

/// What PostgreSQL's programs put before an error when they speak English, as those of [`Conninfo`] do. They choose the
/// lines that are shown; nothing is decided by them.
///
/// [`Conninfo`]: crate::Conninfo
const ERROR_MARKS: [&str; 4] = ["error:", "ERROR:", "FATAL:", "PANIC:"];
/// What psql adds to an error only because it is to tell its SQLSTATE.
const VERBOSE_LABELS: [&str; 6] = [
    "LOCATION:",
    "SCHEMA NAME:",
    "TABLE NAME:",
    "COLUMN NAME:",
    "DATATYPE NAME:",
    "CONSTRAINT NAME:",
];
/// Lines of an error that are shown.
const SHOWN: usize = 6;
/// Lines that are shown where none of them looks like an error.
const SHOWN_OTHERWISE: usize = 3;

/// How a child process ended.
#[derive(Debug, Clone)]
pub struct Ended {
    /// The program's name.
    pub name: String,
    /// Its exit code or the signal that killed it.
    pub status: ExitStatus,
    /// The last lines of its standard error (at most 20, of at most 2,000 bytes each).
    pub last_words: Vec<String>,
}

impl Ended {
    /// An error, unless it ended with exit code 0: of the kind [`ErrorKind::Statement`] if the server refused a statement
    /// and the program tells its SQLSTATE, else [`ErrorKind::Program`].
    ///
    /// # Errors
    /// With its own last words, `pg_dump: error: …`, or the exit code or signal where there are none.
    pub fn into_result(self) -> Result<(), Error> {
        if self.status.success() {
            return Ok(());
        }
        let words = self.error_lines().join("; ");
        let is_labelled = words.starts_with(&format!("{}: ", self.name));
        let name = &self.name;
        let message = match (self.status.code(), self.status.signal()) {
            (Some(_), _) if is_labelled => words,
            (Some(code), _) => after(format!("'{name}' failed with exit code {code}"), &words),
            (None, Some(signal)) => {
                after(format!("'{name}' was killed by {}", named(signal)), &words)
            }
            (None, None) => after(format!("'{name}' ended"), &words),
        };
        let error = Error::new(ErrorKind::Program, message);
        Err(match self.refusal() {
            Some(refusal) => error.coded(ErrorKind::Statement, Some(refusal.sqlstate)),
            None => error,
        })
    }

    /// The last error of the server that the program told with its code.
    fn refusal(&self) -> Option<ServerMessage<'_>> {
        self.last_words.iter().rev().find_map(|line| refusal(line))
    }

    /// The lines that tell why it failed: from the last error on, as psql shows them without codes.
    fn error_lines(&self) -> Vec<String> {
        let lines = &self.last_words;
        let from = lines
            .iter()
            .rposition(|line| is_error_line(line))
            .unwrap_or_else(|| lines.len().saturating_sub(SHOWN_OTHERWISE));
        let adds = |line: &&String| VERBOSE_LABELS.iter().any(|label| line.starts_with(label));
        let shown = |line: &String| match ServerMessage::parse(line) {
            Some(message) => message.to_string(),
            None => line.trim().to_owned(),
        };
        let lines = lines[from..].iter().filter(|line| !adds(line));
        lines.take(SHOWN).map(shown).collect()
    }
}

/// Whether a line of a program's standard error begins what it says of an error: its words from there on are those of
/// [`Ended::into_result`].
pub fn is_error_line(line: &str) -> bool {
    refusal(line).is_some() || ERROR_MARKS.iter().any(|mark| line.contains(mark))
}

fn refusal(line: &str) -> Option<ServerMessage<'_>> {
    ServerMessage::parse(line).filter(|message| message.sqlstate.is_error())
}

fn after(what: String, words: &str) -> String {
    match words {
        "" => what,
        _ => format!("{what}: {words}"),
    }
}

fn named(signal: i32) -> String {
    match Signal::from_named_raw(signal) {
        Some(Signal::KILL) => "SIGKILL (out of memory perhaps)".into(),
        Some(Signal::TERM) => "SIGTERM".into(),
        Some(Signal::INT) => "SIGINT".into(),
        Some(Signal::HUP) => "SIGHUP".into(),
        Some(Signal::PIPE) => "SIGPIPE".into(),
        Some(Signal::SEGV) => "SIGSEGV".into(),
        Some(Signal::ABORT) => "SIGABRT".into(),
        _ => format!("signal {signal}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn failed(lines: &[&str]) -> Error {
        let ended = Ended {
            name: "psql".into(),
            status: ExitStatus::from_raw(3 << 8),
            last_words: lines.iter().map(ToString::to_string).collect(),
        };
        ended.into_result().unwrap_err()
    }

    #[test]
    fn a_refused_statement_is_told_by_its_code_in_any_language() {
        let error = failed(&[
            "HINWEIS:  00000: Relation »t« existiert bereits, wird übersprungen",
            "LOCATION:  transformCreateStmt, parse_utilcmd.c:207",
            "FEHLER:  23505: doppelter Schlüsselwert verletzt Unique-Constraint »t_pkey«",
            "DETAIL:  Schlüssel »(a)=(1)« existiert bereits.",
            "SCHEMA NAME:  public",
            "TABLE NAME:  t",
            "CONSTRAINT NAME:  t_pkey",
            "LOCATION:  _bt_check_unique, nbtinsert.c:664",
        ]);
        assert_eq!(
            error.to_string(),
            "'psql' failed with exit code 3: FEHLER:  doppelter Schlüsselwert verletzt Unique-Constraint »t_pkey«; \
             DETAIL:  Schlüssel »(a)=(1)« existiert bereits."
        );
        assert_eq!(error.kind(), ErrorKind::Statement);
        assert_eq!(error.sqlstate().unwrap().as_str(), "23505");
    }

    #[test]
    fn a_connection_that_is_refused_has_no_code() {
        let error = failed(&["psql: error: connection to server failed: FATAL:  Rolle »x« fehlt"]);
        assert_eq!(
            error.to_string(),
            "psql: error: connection to server failed: FATAL:  Rolle »x« fehlt"
        );
        assert_eq!(error.sqlstate(), None);
        assert_eq!(error.kind(), ErrorKind::Program);
    }
}
