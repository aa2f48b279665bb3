//! Statements that failed although the restore went on (`--on-error continue`): each is said when it fails, all are
//! counted, and the first of them are kept for `--json`.

use std::collections::VecDeque;
use std::sync::mpsc::Sender;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use dump_text::{Token, tokens};
use job::say;
use pg_client::Killer;
use serde::Serialize;

use crate::server::failure::{RESTRICTED, head, is_warning};

/// How many are kept for `--json`.
const KEPT: usize = 200;
/// Statements and messages are cut to this many bytes.
const LENGTH: usize = 400;
/// What psql has not read yet, and what it has said and nobody has heard yet, is less than this, in bytes.
const IN_FLIGHT: u64 = 16 << 20;
/// No more statements are in flight than this.
const MARKS: usize = 200_000;
/// What psql begins each line with that says something new; then come the line of its input, and a colon.
const PSQL: &str = "psql:<stdin>:";
/// How psql begins a statement that has failed (`--echo-errors`).
const STATEMENT: &str = "STATEMENT:  ";

/// All that failed in a run. Its clones are the same list.
#[derive(Debug, Clone, Default)]
pub(crate) struct Failures(Arc<Mutex<Listed>>);

/// For `--json`.
#[derive(Debug, Clone, Default, Serialize)]
pub(crate) struct Listed {
    count: u64,
    /// The first of them.
    statements: Vec<Failed>,
}

/// A statement that failed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct Failed {
    /// What it belongs to: `database 'shop'`.
    part: String,
    /// The line of that part of the dump that it begins in.
    line: Option<u64>,
    /// Its first line, without the values in it.
    statement: String,
    /// The server's code for the error; none if psql itself found it.
    sqlstate: Option<String>,
    /// What the server said.
    error: String,
}

impl Failures {
    pub(crate) fn count(&self) -> u64 {
        lock(&self.0).count
    }

    pub(crate) fn listed(&self) -> Listed {
        lock(&self.0).clone()
    }

    fn add(&self, failed: Failed) {
        let Failed {
            part,
            line,
            statement,
            error,
            ..
        } = &failed;
        match line {
            Some(line) => say!("{part}: line {line} failed: {error}: {statement}"),
            None => say!("{part}: a statement failed: {error}: {statement}"),
        }
        self.list(failed);
    }

    fn list(&self, failed: Failed) {
        let mut listed = lock(&self.0);
        listed.count += 1;
        if listed.statements.len() < KEPT {
            listed.statements.push(failed);
        }
    }
}

/// One session of psql that goes on: whoever writes to it says where in the dump that stands, whoever listens to it
/// hears what failed.
#[derive(Debug, Clone, Default)]
pub(crate) struct Watched(Arc<Mutex<State>>);

#[derive(Debug, Default)]
struct State {
    /// Lines and bytes that psql was given.
    lines: u64,
    bytes: u64,
    marks: VecDeque<Mark>,
    /// What psql is to say when it has said all else.
    expected: String,
    /// The line of psql's input that may be a command: what ends the rows of a COPY.
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

impl Watched {
    /// Kills psql as soon as it refuses a command.
    pub(crate) fn kill_with(&self, killer: Killer) {
        lock(&self.0).killer = Some(killer);
    }

    pub(crate) fn wrote(&self, sql: &[u8]) {
        let mut state = lock(&self.0);
        state.lines += sql.iter().filter(|byte| **byte == b'\n').count() as u64;
        state.bytes += sql.len() as u64;
    }

    /// What is written next stands in this line of the dump.
    pub(crate) fn mark(&self, line: u64) {
        let mut state = lock(&self.0);
        let mark = Mark {
            at: state.lines + 1,
            line,
            bytes: state.bytes,
        };
        let gone = |first: &Mark| first.bytes + IN_FLIGHT < mark.bytes;
        while state.marks.len() >= MARKS || state.marks.front().is_some_and(gone) {
            state.marks.pop_front();
        }
        state.marks.push_back(mark);
    }

    /// The next line that is written ends the rows of a COPY, if that has begun; otherwise psql refuses it.
    pub(crate) fn end_of_rows_next(&self) {
        let mut state = lock(&self.0);
        state.end_of_rows = Some(state.lines + 1);
    }

    /// What psql will say when it has said all else.
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

impl State {
    /// The line of the dump that a line of psql's input stands in.
    fn line(&self, at: u64) -> Option<u64> {
        let behind = self.marks.partition_point(|mark| mark.at <= at);
        let mark = self.marks.get(behind.checked_sub(1)?)?;
        Some(mark.line)
    }

    /// psql has refused a command: nothing after it may be done, and what was done is worth nothing.
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

/// Listens to what a psql says on standard error.
pub(crate) struct Listener {
    part: String,
    failures: Failures,
    watched: Watched,
    /// Is told what psql was expected to say.
    heard: Sender<String>,
    said: Option<Said>,
}

/// What was said last.
#[derive(Debug, Default)]
struct Said {
    /// The line of psql's input.
    at: u64,
    sqlstate: Option<String>,
    words: String,
}

impl Said {
    /// What psql says at a line of its input; the server's words come without their code then.
    fn new(at: u64, words: &str) -> Self {
        match head(words) {
            Some((severity, code, message)) => Self {
                at,
                sqlstate: Some(code.to_owned()),
                words: format!("{severity}:  {message}"),
            },
            None => Self {
                at,
                sqlstate: None,
                words: words.to_owned(),
            },
        }
    }

    fn is_warning(&self) -> bool {
        let severity = self.words.split(':').next().unwrap_or_default();
        let code = self.sqlstate.as_deref();
        code.is_some_and(|code| is_warning(severity, code))
    }
}

impl Listener {
    pub(crate) fn new(
        part: &str,
        failures: &Failures,
        watched: &Watched,
        heard: Sender<String>,
    ) -> Self {
        Self {
            part: part.to_owned(),
            failures: failures.clone(),
            watched: watched.clone(),
            heard,
            said: None,
        }
    }

    pub(crate) fn hear(&mut self, line: &str) {
        match said(line) {
            Some((_, words)) if words.starts_with(STATEMENT) => {
                self.failed(&words[STATEMENT.len()..]);
            }
            Some((at, words)) => {
                self.end();
                if words.contains(RESTRICTED) {
                    lock(&self.watched.0).refuse(at);
                    return;
                }
                let said = Said::new(at, words);
                if said.is_warning() {
                    say!("{}: {}", self.part, said.words);
                }
                self.said = Some(said);
            }
            None if !line.is_empty() && lock(&self.watched.0).expected == line => {
                self.end();
                // Nobody listens when the session is over.
                let _ = self.heard.send(heard(line));
            }
            None => self.more(line),
        }
    }

    /// psql's own errors come without a statement.
    fn end(&mut self) {
        if matches!(&self.said, Some(said) if said.words.starts_with("error: ")) {
            self.failed("");
        }
        self.said = None;
    }

    /// What belongs to the last message: where in the rows it was, and why.
    fn more(&mut self, line: &str) {
        if let Some(said) = &mut self.said
            && ["CONTEXT:  ", "DETAIL:  "]
                .iter()
                .any(|it| line.starts_with(it))
            && said.words.len() < LENGTH
        {
            said.words.push_str("; ");
            said.words.push_str(line);
        }
    }

    fn failed(&mut self, statement: &str) {
        let Said {
            at,
            sqlstate,
            words,
        } = self.said.take().unwrap_or_default();
        let line = {
            let mut state = lock(&self.watched.0);
            state.failed += 1;
            state.line(at)
        };
        self.failures.add(Failed {
            part: self.part.clone(),
            line,
            statement: without_values(statement),
            sqlstate,
            error: cut(&words),
        });
    }
}

/// What is sent when psql has said what it was expected to.
pub(crate) fn heard(words: &str) -> String {
    format!("heard {words}")
}

/// `psql:<stdin>:7: ERROR:  …`
fn said(line: &str) -> Option<(u64, &str)> {
    let (number, words) = line.strip_prefix(PSQL)?.split_once(": ")?;
    Some((number.parse().ok()?, words))
}

/// A statement for a log: what stands between quotes may be somebody's data, or a password.
fn without_values(statement: &str) -> String {
    let mut shown = String::new();
    let mut from = 0;
    for word in tokens(statement.as_bytes()) {
        if matches!(word.token, Token::Text(_) | Token::Symbol(b'\'')) {
            shown += statement.get(from..word.at.start).unwrap_or_default();
            shown += "'…'";
            from = word.at.end;
        }
    }
    shown += statement.get(from..).unwrap_or_default();
    cut(&shown)
}

fn cut(text: &str) -> String {
    if text.len() <= LENGTH {
        return text.to_owned();
    }
    let mut end = LENGTH;
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    format!("{}…", &text[..end])
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use super::*;

    fn listener() -> (Listener, Failures, Watched, mpsc::Receiver<String>) {
        let (failures, watched) = (Failures::default(), Watched::default());
        let (sender, heard) = mpsc::channel();
        let listener = Listener::new("database 'a'", &failures, &watched, sender);
        (listener, failures, watched, heard)
    }

    #[test]
    fn a_failure_is_known_by_its_line_in_any_language() {
        let (mut listener, failures, watched, heard_it) = listener();
        watched.wrote(b"SET a = b;\nBEGIN;\n");
        watched.mark(40);
        watched.wrote(b"CREATE TABLE t (a int,\n b x);\n");
        watched.mark(44);
        watched.wrote(b"COPY t FROM stdin;\n1\n2\n\\.\n");
        watched.mark(49);
        watched.expect("abc");
        for line in [
            "psql:<stdin>:1: WARNUNG:  01000: nur so",
            "DETAIL:  of the warning",
            "LOCATION:  f, x.c:1",
            "psql:<stdin>:4: FEHLER:  42704: Typ »x« existiert nicht",
            "LINE 2: b x",
            "LOCATION:  typenameType, parse_type.c:270",
            "psql:<stdin>:4: STATEMENT:  CREATE TABLE t (a int,",
            " b x);",
            "psql:<stdin>:8: ERROR:  22P02: invalid input",
            "CONTEXT:  COPY t, line 2",
            "LOCATION:  f, x.c:1",
            "psql:<stdin>:8: STATEMENT:  COPY t FROM stdin;",
            "psql:<stdin>:99: STATEMENT:  SELECT 1;",
            "psql:<stdin>:9: error: invalid command \\x",
            "abc",
        ] {
            listener.hear(line);
        }
        let listed = failures.listed();
        let lines: Vec<_> = listed.statements.iter().map(|it| it.line).collect();
        assert_eq!(lines, [Some(40), Some(44), None, Some(49)]);
        assert_eq!(
            listed.statements[1].error,
            "ERROR:  invalid input; CONTEXT:  COPY t, line 2"
        );
        let first = &listed.statements[0];
        assert_eq!(first.statement, "CREATE TABLE t (a int,");
        assert_eq!(first.error, "FEHLER:  Typ »x« existiert nicht");
        let codes: Vec<_> = listed
            .statements
            .iter()
            .map(|it| it.sqlstate.as_deref())
            .collect();
        assert_eq!(codes, [Some("42704"), Some("22P02"), None, None]);
        assert_eq!((failures.count(), watched.failed()), (4, 4));
        assert_eq!(heard_it.try_recv().unwrap(), heard("abc"));
    }

    #[test]
    fn a_command_that_psql_refuses_is_no_failure_but_the_end() {
        let (mut listener, failures, watched, _heard) = listener();
        let refused = "error: backslash commands are restricted; only \\unrestrict is allowed";
        watched.wrote(b"COPY t FROM stdin;\n");
        watched.end_of_rows_next();
        watched.wrote(b"\\.\n");
        listener.hear(&format!("psql:<stdin>:2: {refused}"));
        assert!(!watched.restricted());
        listener.hear(&format!("psql:<stdin>:3: {refused}"));
        assert!(watched.restricted());
        assert_eq!(failures.count(), 0);
    }

    #[test]
    fn values_are_not_shown() {
        for (statement, wanted) in [
            (
                "ALTER ROLE bob WITH PASSWORD 'SCRAM-SHA-256$4096",
                "ALTER ROLE bob WITH PASSWORD '…'",
            ),
            (
                "INSERT INTO t VALUES (1, E'it\\'s', $$ü$$, 'x');",
                "INSERT INTO t VALUES (1, '…', '…', '…');",
            ),
            (
                "CREATE TABLE \"größe\" (a int);",
                "CREATE TABLE \"größe\" (a int);",
            ),
        ] {
            assert_eq!(without_values(statement), wanted);
        }
        assert!(without_values(&"ä".repeat(1000)).len() <= LENGTH + 3);
    }

    #[test]
    fn what_is_kept_is_bounded() {
        let watched = Watched::default();
        for number in 0..MARKS as u64 + 10 {
            watched.mark(number);
            watched.wrote(b"x;\n");
        }
        assert_eq!(lock(&watched.0).marks.len(), MARKS);
        watched.wrote(&vec![b'x'; 1 << 20].repeat(17));
        watched.mark(0);
        assert_eq!(lock(&watched.0).marks.len(), 1);
        let failures = Failures::default();
        for _ in 0..KEPT + 5 {
            failures.list(Failed {
                part: "database 'a'".into(),
                line: None,
                statement: "SELECT 1;".into(),
                sqlstate: None,
                error: "ERROR".into(),
            });
        }
        assert_eq!(failures.count(), KEPT as u64 + 5);
        assert_eq!(failures.listed().statements.len(), KEPT);
    }
}
