//! A psql that is fed SQL.

use std::io::{self, PipeWriter, Write};
use std::process::Stdio;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use job::Error;
use pg_client::{Child, Conninfo, Killer};
use rustix::io::FdFlags;

/// As large as a pipe may be made without privileges.
const PIPE_SIZE: usize = 1 << 20;
/// What is written at once, where it comes in small pieces.
const BUFFER: usize = 128 << 10;

/// A psql that runs a restore's SQL and stops at the first error.
///
/// **Its input never ends.** psql that sees end of input in the rows of a COPY ends that COPY, and the
/// server commits what came so far. So psql itself holds the writing end of its own input too: whatever
/// happens to this program, there is no end of input, only `\q`, which is sent when all was checked. A
/// session that is dropped is killed; one whose program was killed is killed by the kernel.
#[derive(Debug)]
pub(crate) struct Session {
    /// What it restores, for messages.
    what: String,
    child: Option<Child>,
    input: PipeWriter,
    buffer: Vec<u8>,
}

/// The sessions of this run, to be killed together when one has failed.
#[derive(Debug, Clone, Default)]
pub(crate) struct Killers(Arc<Mutex<Vec<Killer>>>);

impl Killers {
    pub(crate) fn kill(&self) {
        for killer in self.lock().iter() {
            killer.kill();
        }
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Killer>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Session {
    /// Starts psql, connected to `database`.
    pub(crate) fn start(
        conninfo: &Conninfo,
        database: &str,
        application: &str,
        what: String,
        killers: &Killers,
    ) -> Result<Self, Error> {
        let cannot = |error: io::Error| Error::io("cannot make a pipe", &error);
        let (output, input) = io::pipe().map_err(cannot)?;
        // A smaller pipe is slower, no more.
        let _ = rustix::pipe::fcntl_setpipe_size(&input, PIPE_SIZE);
        let mut command = conninfo.command("psql", Some(database));
        command.args(["--no-psqlrc", "--quiet", "--set=ON_ERROR_STOP=1"]);
        command
            .env("PGAPPNAME", application)
            .env_remove("PGCLIENTENCODING");
        command.stdin(output).stdout(Stdio::null());
        // This one stays open in psql. Another child that is started meanwhile may get it too, which does
        // no harm: nobody waits for this input to end.
        let held = input.try_clone().map_err(cannot)?;
        rustix::io::fcntl_setfd(&held, FdFlags::empty()).map_err(|error| cannot(error.into()))?;
        let said = what.clone();
        let child = Child::spawn_with(command, move |line| pass_on(&said, line))?;
        drop(held);
        killers.lock().push(child.killer());
        Ok(Self {
            what,
            child: Some(child),
            input,
            buffer: Vec::with_capacity(BUFFER),
        })
    }

    /// Hands psql more of its input.
    ///
    /// # Errors
    /// psql has ended: with its own last words.
    pub(crate) fn write(&mut self, sql: &[u8]) -> Result<(), Error> {
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

    fn flush(&mut self) -> Result<(), Error> {
        let written = self.input.write_all(&self.buffer);
        self.buffer.clear();
        written.map_err(|error| self.refused(&error))
    }

    /// Sends what ends the session (`last` before it), and waits until it has ended well.
    pub(crate) fn end(mut self, last: &str) -> Result<(), Error> {
        self.write(last.as_bytes())?;
        self.write(b"\n\\q\n")?;
        self.flush()?;
        match self.child.take() {
            Some(child) => child
                .wait()
                .map_err(|error| explained(error).within(&self.what)),
            None => Err(self.gone()),
        }
    }

    /// Why psql reads no more.
    fn refused(&mut self, error: &io::Error) -> Error {
        let Some(child) = self.child.take() else {
            return self.gone();
        };
        if error.kind() != io::ErrorKind::BrokenPipe {
            child.killer().kill();
            return Error::io(format_args!("{}: cannot write to psql", self.what), error);
        }
        match child.wait() {
            Err(error) => explained(error).within(&self.what),
            Ok(()) => self.gone(),
        }
    }

    fn gone(&self) -> Error {
        Error::failed(format!("{}: psql ended before its input did", self.what))
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        // At once, not at psql's leisure: it must not do one statement more.
        if let Some(child) = &self.child {
            child.killer().kill();
        }
        drop(self.child.take());
    }
}

/// What helps against the commonest errors.
fn explained(error: Error) -> Error {
    if error.hint_text().is_some() {
        return error;
    }
    let said = error.to_string();
    let says = |words: &str| said.contains(words);
    let hint = if says("role \"") && says("does not exist") {
        "restore the roles first, with --globals-only, or create that role"
    } else if says("is not available") && says("extension") {
        "install that extension's package on the server"
    } else if says("tablespace \"") && says("does not exist") {
        "restore the tablespaces first, with --globals-only, or create that tablespace"
    } else if says("max_locks_per_transaction") {
        "raise max_locks_per_transaction on the server and restart it"
    } else if says("No space left on device") {
        "make room on the server"
    } else {
        return error;
    };
    error.hint(hint)
}

/// Warnings are for the person; errors come again as the error that the program ends with.
fn pass_on(what: &str, line: &str) {
    if line.contains("WARNING:") {
        job::say!("{what}: {line}");
    }
}
