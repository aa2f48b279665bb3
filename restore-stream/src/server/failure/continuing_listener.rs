//! What a psql that goes on after errors says (`--on-error continue`).

use std::sync::mpsc::Sender;

use job::say;
use pg_client::ServerMessage;

use super::numbered_input::NumberedInput;
use super::psql_message::{RESTRICTED, STATEMENT, is_own_error, is_warning, numbered};
use super::record::{FailureList, ListedFailure};
use super::statement::{LENGTH, cut, without_values};

/// Hears the standard error of a psql that goes on after errors, and lists the statements that failed.
pub(crate) struct ContinuingListener {
    part: String,
    failures: FailureList,
    input: NumberedInput,
    /// Is told what psql was expected to say.
    heard: Sender<String>,
    last: Option<Message>,
}

/// The last message, while more of it may come.
#[derive(Debug, Default)]
struct Message {
    /// The line of psql's input.
    at: u64,
    sqlstate: Option<String>,
    /// The server's words without their code, or psql's own.
    words: String,
    /// Whether a person has seen it.
    said: bool,
}

impl ContinuingListener {
    pub(crate) fn new(
        part: &str,
        failures: &FailureList,
        input: &NumberedInput,
        heard: Sender<String>,
    ) -> Self {
        Self {
            part: part.to_owned(),
            failures: failures.clone(),
            input: input.clone(),
            heard,
            last: None,
        }
    }

    pub(crate) fn hear(&mut self, line: &str) {
        match numbered(line) {
            Some((at, words)) => {
                if let Some(statement) = words.strip_prefix(STATEMENT) {
                    self.failed(statement.trim_start());
                    return;
                }
                self.end();
                if words.contains(RESTRICTED) {
                    self.input.refused_at(at);
                    return;
                }
                self.begin(at, words);
            }
            None if self.input.expects(line) => {
                self.end();
                // Nobody listens when the session is over.
                let _ = self.heard.send(heard(line));
            }
            None => self.more(line),
        }
    }

    fn begin(&mut self, at: u64, words: &str) {
        let from_server = ServerMessage::parse(words);
        let message = Message {
            at,
            sqlstate: from_server.map(|it| it.sqlstate.to_string()),
            words: from_server.map_or_else(|| words.to_owned(), |it| it.to_string()),
            said: from_server.is_some_and(|it| is_warning(&it) || !it.sqlstate.is_error()),
        };
        if from_server.is_some_and(|it| is_warning(&it)) {
            say!("{}: {}", self.part, message.words);
        }
        self.last = Some(message);
    }

    /// Nothing more of the last message comes. psql names no statement for the errors that it has found itself.
    fn end(&mut self) {
        match &self.last {
            Some(last) if is_own_error(&last.words) => self.failed(""),
            // A warning with the code of an error.
            Some(last) if last.sqlstate.is_some() && !last.said => {
                say!("{}: {}", self.part, last.words);
            }
            _ => {}
        }
        self.last = None;
    }

    /// What belongs to the last message: where in the rows it was, and why.
    fn more(&mut self, line: &str) {
        if let Some(last) = &mut self.last
            && ["CONTEXT:  ", "DETAIL:  "]
                .iter()
                .any(|it| line.starts_with(it))
            && last.words.len() < LENGTH
        {
            last.words.push_str("; ");
            last.words.push_str(line);
        }
    }

    fn failed(&mut self, statement: &str) {
        let Message {
            at,
            sqlstate,
            words,
            ..
        } = self.last.take().unwrap_or_default();
        self.failures.add(ListedFailure {
            part: self.part.clone(),
            line: self.input.failed_at(at),
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

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use super::*;

    fn listener() -> (
        ContinuingListener,
        FailureList,
        NumberedInput,
        mpsc::Receiver<String>,
    ) {
        let (failures, input) = (FailureList::default(), NumberedInput::default());
        let (sender, heard) = mpsc::channel();
        let listener = ContinuingListener::new("database 'a'", &failures, &input, sender);
        (listener, failures, input, heard)
    }

    #[test]
    fn a_failure_is_known_by_its_line_in_any_language() {
        let (mut listener, failures, input, heard_it) = listener();
        input.wrote(b"SET a = b;\nBEGIN;\n");
        input.mark(40);
        input.wrote(b"CREATE TABLE t (a int,\n b x);\n");
        input.mark(44);
        input.wrote(b"COPY t FROM stdin;\n1\n2\n\\.\n");
        input.mark(49);
        input.expect("abc");
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
        assert_eq!((failures.count(), input.failed()), (4, 4));
        assert_eq!(heard_it.try_recv().unwrap(), heard("abc"));
    }

    #[test]
    fn a_command_that_psql_refuses_is_no_failure_but_the_end() {
        let (mut listener, failures, input, _heard) = listener();
        let refused = "error: backslash commands are restricted; only \\unrestrict is allowed";
        input.wrote(b"COPY t FROM stdin;\n");
        input.end_of_rows_next();
        input.wrote(b"\\.\n");
        listener.hear(&format!("psql:<stdin>:2: {refused}"));
        assert!(!input.restricted());
        listener.hear(&format!("psql:<stdin>:3: {refused}"));
        assert!(input.restricted());
        assert_eq!(failures.count(), 0);
    }
}
