//! What a psql that stops at the first error says: warnings, and that error.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use pg_client::ServerMessage;

use super::meaning::Failure;
use super::psql_message::{Part, STATEMENT, is_warning};
use super::statement::{is_secretive, name_of};

/// How many lines are kept of each error, and of its statement.
pub(super) const KEPT: usize = 30;

/// Hears the standard error of a psql that stops at the first error. Clones hear the same psql.
#[derive(Debug, Clone, Default)]
pub(crate) struct ErrorListener(Arc<Mutex<LastMessage>>);

/// The last message from psql.
#[derive(Debug, Default)]
struct LastMessage {
    sqlstate: String,
    warning: bool,
    lines: Vec<(Part, String)>,
    statement: Vec<String>,
}

impl ErrorListener {
    /// Hears the next line. Warnings are returned: a person is to see them.
    pub(crate) fn hear(&self, line: &str) -> Vec<String> {
        lock(&self.0).hear(line)
    }

    /// What was heard last, if psql has ended well after it and it was not returned before: then it was a warning too.
    pub(crate) fn last_warning(&self) -> Option<String> {
        lock(&self.0).farewell()
    }

    /// The statement that failed, if one has. If psql ends for another reason, it names no statement.
    pub(crate) fn failure(&self) -> Option<Failure> {
        lock(&self.0).failure()
    }

    /// Why the server ended the session, if it said so.
    pub(crate) fn farewell(&self) -> Option<String> {
        lock(&self.0).farewell()
    }
}

impl LastMessage {
    fn hear(&mut self, line: &str) -> Vec<String> {
        let part = self.lines.last().map(|it| it.0);
        if !self.statement.is_empty() {
            // The statement is the last that psql says: whatever its lines look like, they belong to it.
            self.add_to_statement(line);
            return Vec::new();
        }
        // The location is the last part of a message: until it has come, every line belongs to that, however it looks.
        if matches!(part, None | Some(Part::Location))
            && let Some(message) = ServerMessage::parse(line)
        {
            // psql has gone on after the message before, which was no error then.
            let before = self.farewell();
            let words = message.to_string();
            let warning = is_warning(&message).then(|| words.clone());
            self.warning = warning.is_some() || !message.sqlstate.is_error();
            self.sqlstate = message.sqlstate.to_string();
            self.lines = vec![(Part::Message, words)];
            return before.into_iter().chain(warning).collect();
        }
        if let Some(statement) = line.strip_prefix(STATEMENT)
            && !self.lines.is_empty()
        {
            self.add_to_statement(statement.trim_start());
            return Vec::new();
        }
        let Some(next) = Part::begun_by(line).or(part) else {
            return Vec::new();
        };
        if self.lines.len() < KEPT || next == Part::Location {
            self.lines.push((next, line.to_owned()));
        }
        Vec::new()
    }

    fn farewell(&self) -> Option<String> {
        let said = self.lines.first().map(|(_, message)| message.clone());
        said.filter(|_| self.statement.is_empty() && !self.warning)
    }

    fn add_to_statement(&mut self, line: &str) {
        if self.statement.len() < KEPT {
            self.statement.push(line.to_owned());
        }
    }

    fn failure(&self) -> Option<Failure> {
        if self.statement.is_empty() {
            return None;
        }
        let statement = name_of(&self.statement.join("\n"));
        let secretive = is_secretive(&statement);
        let lines = |wanted: Part| {
            let lines = self.lines.iter().filter(move |(part, _)| *part == wanted);
            lines.map(|(_, line)| line.as_str())
        };
        let message: Vec<&str> = lines(Part::Message).collect();
        let shown = self.lines.iter().filter(|(part, line)| match part {
            Part::Line => !secretive && !line.trim_matches([' ', '^']).is_empty(),
            Part::Detail | Part::Context => true,
            _ => false,
        });
        let location = lines(Part::Location).next().unwrap_or_default();
        let location = location.split_once(':').map_or("", |it| it.1);
        Some(Failure {
            sqlstate: self.sqlstate.clone(),
            message: message.join("\n"),
            details: shown.map(|(_, line)| line.trim().to_owned()).collect(),
            within: self
                .lines
                .iter()
                .any(|(part, _)| matches!(part, Part::Query | Part::Context)),
            location: location.trim().to_owned(),
            statement,
        })
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
