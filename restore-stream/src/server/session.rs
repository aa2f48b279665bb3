//! A psql that runs the SQL of a restore.

use std::io::{self, PipeWriter, Write};
use std::process::Stdio;
use std::sync::mpsc::{self, Receiver, RecvTimeoutError};
use std::time::{Duration, Instant};

use dump_text::connect_line;
use job::{Error, say};
use pg_client::{Child, Conninfo, random_key};
use pg_text::PgText;
use rustix::io::FdFlags;

use crate::server::failure::continuing_listener::{ContinuingListener, heard};
use crate::server::failure::error_listener::ErrorListener;
use crate::server::failure::meaning::refused_command;
use crate::server::failure::numbered_input::NumberedInput;
use crate::server::failure::psql_message::{RESTRICTED, VERBOSE};
use crate::server::failure::record::{FailureList, FirstFailure};
use crate::server::psql_streams::{goes_on, read_answers, stops_at_error};
use crate::server::restricted_mode::RestrictedMode;
use crate::server::session_group::SessionGroup;

/// As large as a pipe may be made without privileges.
const PIPE_SIZE: usize = 1 << 20;
/// Small pieces of SQL are written together, up to this many bytes.
const BUFFER: usize = 128 << 10;
/// Line ends after a question that is not answered at once: several times what psql reads at once. When it has read them
/// all, it has come past the question.
static PADDING: [u8; 32 << 10] = [b'\n'; 32 << 10];
/// How long a psql that has read all may take to write its answer.
const ANSWER: Duration = Duration::from_secs(3);
/// How often to look for the answer.
const LOOK: Duration = Duration::from_millis(20);

/// A psql that runs a restore's SQL and stops at the first error; or goes on, and is listened to ([`NumberedInput`]).
///
/// **Its input never ends.** psql that sees end of input in the rows of a COPY ends that COPY, and the
/// server commits what came so far. So psql itself holds the writing end of its own input too: whatever
/// happens to this program, there is no end of input, only `\q`, which is sent when all was checked. A
/// session that is dropped is killed; one whose program was killed is killed by the kernel.
///
/// **It takes no command from a backup.** From its first byte on it is in restricted mode (psql's manual page,
/// `\restrict`), with a key that no backup can know; only for a connection of ours it leaves that mode.
#[derive(Debug)]
pub(crate) struct Session {
    /// What is restored, for messages.
    what: String,
    child: Option<Child>,
    input: PipeWriter,
    buffer: Vec<u8>,
    restricted_mode: RestrictedMode,
    /// What psql echoes, line by line.
    answers: Receiver<String>,
    /// Hears its errors, if it stops at the first one.
    listener: ErrorListener,
    first_failure: FirstFailure,
    /// Its input by lines, if it goes on after errors.
    numbered: Option<NumberedInput>,
}

/// How a session connects.
#[derive(Debug, Clone)]
pub(crate) struct Connection {
    pub(crate) conninfo: Conninfo,
    pub(crate) database: PgText,
    /// What it calls itself on the server.
    pub(crate) application: String,
    /// Whether psql has a restricted mode.
    pub(crate) restrict: bool,
    /// The list of statements that fail, if psql goes on after them.
    pub(crate) failures: Option<FailureList>,
}

impl Session {
    /// Starts psql, connected to a database.
    pub(crate) fn start(
        connection: &Connection,
        what: String,
        group: &SessionGroup,
    ) -> Result<Self, Error> {
        let cannot = |error: io::Error| Error::io("cannot make a pipe", &error);
        let (output, input) = io::pipe().map_err(cannot)?;
        // A smaller pipe is slower, no more.
        let _ = rustix::pipe::fcntl_setpipe_size(&input, PIPE_SIZE);
        let mut command = connection
            .conninfo
            .command("psql", Some(connection.database.as_bytes()));
        command.args(["--no-psqlrc", "--quiet"]).args(VERBOSE);
        match connection.failures {
            // psql numbers the lines of an input that is a file.
            Some(_) => command.arg("--file=-"),
            None => command.arg("--set=ON_ERROR_STOP=1"),
        };
        // Rows go nowhere: only echoes come back.
        command.arg("--output=/dev/null");
        command
            .env("PGAPPNAME", &connection.application)
            // psql's own labels and words stay English, by which they are known.
            .env("LC_ALL", "C");
        command.stdin(output).stdout(Stdio::piped());
        // This end stays open in psql. Another child that is started meanwhile may inherit it too. That does no harm, because
        // nobody waits for the input to end.
        let held = input.try_clone().map_err(cannot)?;
        rustix::io::fcntl_setfd(&held, FdFlags::empty()).map_err(|error| cannot(error.into()))?;
        let (sender, answers) = mpsc::channel();
        let numbered = connection
            .failures
            .as_ref()
            .map(|_| NumberedInput::default());
        let listener = ErrorListener::default();
        let on_line = match (&connection.failures, &numbered) {
            (Some(failures), Some(numbered)) => {
                let listener = ContinuingListener::new(&what, failures, numbered, sender.clone());
                goes_on(listener)
            }
            _ => stops_at_error(&what, listener.clone()),
        };
        let mut child = Child::spawn_with(command, on_line)?;
        drop(held);
        group.add(child.killer());
        if let Some(numbered) = &numbered {
            numbered.kill_with(child.killer());
        }
        read_answers(child.take_stdout(), sender)?;
        let mut session = Self {
            what,
            child: Some(child),
            input,
            buffer: Vec::with_capacity(BUFFER),
            restricted_mode: RestrictedMode::new(connection.restrict),
            answers,
            listener,
            first_failure: group.first_failure.clone(),
            numbered,
        };
        let enter = session.restricted_mode.enter()?;
        session.write(enter.as_bytes())?;
        Ok(session)
    }

    /// Connects to another database of the same server, after psql has done everything that came before.
    ///
    /// # Errors
    /// As [`Session::settle`]; there is no such connection.
    pub(crate) fn connect(&mut self, database: &PgText) -> Result<(), Error> {
        self.settle()?;
        let leave = self.leave();
        let enter = self.enter()?;
        let connect = connect_line(database);
        self.write(&[leave.as_bytes(), &connect, enter.as_bytes()].concat())?;
        // A connection that is refused shows now, however slowly the rest comes.
        self.flush()
    }

    /// Waits until psql has done everything that came before, and is between two statements.
    ///
    /// # Errors
    /// psql has ended; or it has read everything and does not answer, because it is within a string, a comment or parentheses
    /// that never end (exit code 3).
    pub(crate) fn settle(&mut self) -> Result<(), Error> {
        let key = random_key::<16>()?;
        let leave = self.leave();
        let enter = self.enter()?;
        let warn = match &self.numbered {
            Some(numbered) => {
                numbered.expect(&key);
                format!("\\warn {key}\n")
            }
            None => String::new(),
        };
        // psql gives both answers only if it is between two statements. Within parentheses it still carries out its own
        // commands; but then it sends the unfinished statement together with the question, which is an error.
        let question = format!(
            "\n{leave}\\echo {key}\nSELECT '{key}' AS {ANSWERED} \\gset\n\\echo :{ANSWERED}\n{warn}{enter}"
        );
        self.write(question.as_bytes())?;
        self.flush()?;
        // Most answers come at once.
        let mut padded = false;
        let mut emptied: Option<Instant> = None;
        let mut answered = 0;
        // Its errors come on another channel, perhaps later.
        let mut silent = self.numbered.is_some();
        let last_words = heard(&key);
        loop {
            if answered == 2 && !silent {
                // It may have been killed for a refused command after it answered.
                return self.restricted().map_or(Ok(()), Err);
            }
            match self.answers.recv_timeout(LOOK) {
                Ok(answer) if answer == last_words => silent = false,
                Ok(answer) => answered += u8::from(answer == key),
                Err(RecvTimeoutError::Timeout) if !padded => {
                    padded = true;
                    self.write(&PADDING)?;
                    self.flush()?;
                }
                Err(RecvTimeoutError::Timeout) => {
                    // psql reads when it has nothing else to do. If something is left in the pipe, it is still busy.
                    let unread = rustix::io::ioctl_fionread(&self.input).unwrap_or(0);
                    let since = *emptied.get_or_insert_with(Instant::now);
                    if unread > 0 {
                        emptied = None;
                    } else if since.elapsed() > ANSWER && answered < 2 {
                        return Err(self.left_open());
                    }
                }
                Err(RecvTimeoutError::Disconnected) => return Err(self.ended_early(answered == 1)),
            }
        }
    }

    /// Writes SQL to psql.
    ///
    /// # Errors
    /// psql has ended: why, in its own words.
    pub(crate) fn write(&mut self, sql: &[u8]) -> Result<(), Error> {
        if let Some(numbered) = &self.numbered {
            numbered.wrote(sql);
        }
        if self.buffer.len() + sql.len() > BUFFER {
            self.flush()?;
        }
        if sql.len() < BUFFER {
            self.buffer.extend_from_slice(sql);
            return Ok(());
        }
        let written = self.input.write_all(sql);
        written.map_err(|error| self.refused(&error))
    }

    /// Begins a `COPY … FROM stdin`. Returns whether its rows can be written.
    ///
    /// If the server refuses a COPY, a psql that goes on reads its rows as SQL. So the COPY is first tried without rows, and
    /// rolled back.
    pub(crate) fn copy(&mut self, statement: &[u8]) -> Result<bool, Error> {
        if let Some(numbered) = self.numbered.clone() {
            self.settle()?;
            let before = numbered.failed();
            self.write(&[b"BEGIN;\n", statement, b"\n"].concat())?;
            numbered.end_of_rows_next();
            self.write(b"\\.\nROLLBACK;\n")?;
            self.settle()?;
            if numbered.failed() > before {
                return Ok(false);
            }
        }
        self.write(statement)?;
        Ok(true)
    }

    /// Notes the line of the dump that the next SQL comes from.
    pub(crate) fn at(&mut self, line: u64) {
        if let Some(numbered) = &self.numbered {
            numbered.mark(line);
        }
    }

    /// How many statements have failed, after which psql went on.
    pub(crate) fn failed(&self) -> u64 {
        self.numbered.as_ref().map_or(0, NumberedInput::failed)
    }

    /// The commands that leave restricted mode, for commands of our own. An error in those always ends psql.
    fn leave(&self) -> String {
        let leave = self.restricted_mode.leave();
        match self.numbered {
            Some(_) => leave + "\\set ON_ERROR_STOP 1\n",
            None => leave,
        }
    }

    /// The commands that enter restricted mode again.
    fn enter(&mut self) -> Result<String, Error> {
        let enter = self.restricted_mode.enter()?;
        Ok(match self.numbered {
            Some(_) => format!("\\set ON_ERROR_STOP 0\n{enter}"),
            None => enter,
        })
    }

    fn flush(&mut self) -> Result<(), Error> {
        let written = self.input.write_all(&self.buffer);
        self.buffer.clear();
        written.map_err(|error| self.refused(&error))
    }

    /// Sends `last` and what ends the session, and waits until psql has ended well. Settle the session before.
    pub(crate) fn end(mut self, last: &str) -> Result<(), Error> {
        let leave = self.leave();
        // Where psql goes on after errors, `last` must not fail either.
        let last = match self.numbered {
            Some(_) => format!("\n{leave}{last}\n"),
            None => format!("{last}\n{leave}"),
        };
        self.write(format!("{last}\\q\n").as_bytes())?;
        self.flush()?;
        match self.child.take() {
            Some(child) => child.wait().map_err(|error| self.why(error.into()))?,
            None => return Err(self.gone()),
        }
        if let Some(warning) = self.listener.last_warning() {
            say!("{}: {warning}", self.what);
        }
        Ok(())
    }

    fn left_open(&mut self) -> Error {
        if let Some(child) = self.child.take() {
            child.killer().kill();
        }
        Error::not_good(format!(
            "{}: the backup ends within a string, a comment or a statement, as psql reads it",
            self.what
        ))
        .hint("what is in it does not come from pg_dump: see the end of it with gunzip -c BACKUP | tail")
    }

    /// The error if psql has ended; `asked` says whether it came to the question.
    fn ended_early(&mut self, asked: bool) -> Error {
        if let Some(error) = self.restricted() {
            return error;
        }
        let Some(child) = self.child.take() else {
            return self.gone();
        };
        let ended = match child.ended() {
            Ok(ended) => ended,
            Err(error) => return error.into(),
        };
        if asked && ended.status.code() == Some(SQL_ERROR) {
            return self.left_open();
        }
        match ended.into_result() {
            Err(error) => self.why(error.into()),
            Ok(()) => self.gone(),
        }
    }

    /// The error if psql reads no more.
    fn refused(&mut self, error: &io::Error) -> Error {
        if let Some(error) = self.restricted() {
            return error;
        }
        let Some(child) = self.child.take() else {
            return self.gone();
        };
        if error.kind() != io::ErrorKind::BrokenPipe {
            child.killer().kill();
            return Error::io(format_args!("{}: cannot write to psql", self.what), error);
        }
        match child.wait() {
            Err(error) => self.why(error.into()),
            Ok(()) => self.gone(),
        }
    }

    /// The error if psql has failed: that of a statement, if one is to blame, or psql's own.
    fn why(&self, error: Error) -> Error {
        let error = match (self.listener.failure(), self.listener.farewell()) {
            (Some(failure), _) => {
                self.first_failure.note(&failure);
                failure.error()
            }
            (None, Some(said)) => Error::failed(format!("the server ended the session: {said}")),
            (None, None) => refused_command(error),
        };
        error.within(&self.what)
    }

    /// The error if psql was killed because it refused a command, after which it would have gone on.
    fn restricted(&self) -> Option<Error> {
        let numbered = self.numbered.as_ref()?;
        let error = Error::failed(RESTRICTED).within(&self.what);
        numbered.restricted().then(|| refused_command(error))
    }

    fn gone(&self) -> Error {
        Error::failed(format!("{}: psql ended before its input did", self.what))
    }
}

/// psql's exit code when a statement fails (psql's manual page, Exit Status).
const SQL_ERROR: i32 = 3;
/// The psql variable that holds an answer.
const ANSWERED: &str = "restore_stream_answer";

impl Drop for Session {
    fn drop(&mut self) {
        // Killed at once: it must not run one more statement.
        if let Some(child) = &self.child {
            child.killer().kill();
        }
        drop(self.child.take());
    }
}
