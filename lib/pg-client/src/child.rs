use std::fmt;
use std::marker::PhantomData;
use std::process::{ChildStdin, ChildStdout, Command, ExitStatus};

use job::Error;

/// A child process (psql, pg_dump, any COMMAND) in a session of its own, without a terminal.
///
/// Its standard error is collected line by line. All of it, a shell's pipeline too, is killed when a
/// signal stops this program, when this is dropped before [`Child::wait`], and (the process itself)
/// when the thread that started it ends in whatever way: that is why it cannot be sent to another.
#[derive(Debug)]
pub struct Child {
    thread_bound: PhantomData<*const ()>,
}

impl Child {
    /// Starts `command`, whose standard input and output are set up already (`Stdio::piped()` where
    /// they are wanted; pipes are made 1 MiB large where the system allows it). Standard error is kept
    /// for the last words only.
    ///
    /// # Errors
    /// There is no such program (the hint names the Debian package), or it cannot be started.
    pub fn spawn(command: Command) -> Result<Self, Error> {
        Self::spawn_with(command, |_| {})
    }

    /// As [`Child::spawn`]; each line of standard error is also given to `on_line` as it comes, in a
    /// thread of its own.
    pub fn spawn_with(
        command: Command,
        on_line: impl FnMut(&str) + Send + 'static,
    ) -> Result<Self, Error> {
        let _ = (command, on_line);
        todo!()
    }

    /// The program's name, without its directory.
    pub fn name(&self) -> &str {
        todo!()
    }

    /// Its standard input, once, if it is a pipe.
    pub fn take_stdin(&mut self) -> Option<ChildStdin> {
        todo!()
    }

    /// Its standard output, once, if it is a pipe.
    pub fn take_stdout(&mut self) -> Option<ChildStdout> {
        todo!()
    }

    /// A handle to kill it with, from any thread.
    pub fn killer(&self) -> Killer {
        todo!()
    }

    /// Waits until it has ended; standard input is closed if it has not been taken.
    ///
    /// # Errors
    /// It failed, or was killed: with its own last words.
    pub fn wait(self) -> Result<(), Error> {
        self.ended()?.into_result()
    }

    /// Waits until it has ended, in whatever way.
    ///
    /// # Errors
    /// The system does not let us wait.
    pub fn ended(self) -> Result<Ended, Error> {
        todo!()
    }
}

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
    /// An error, unless it ended with exit code 0.
    ///
    /// # Errors
    /// With its own last words, `pg_dump: error: …`, or the exit code or signal where there are none.
    pub fn into_result(self) -> Result<(), Error> {
        todo!()
    }
}

/// Kills a child process and whatever it started in its session.
#[derive(Clone)]
pub struct Killer {}

impl Killer {
    /// Kills at once. Nothing happens if it has ended.
    pub fn kill(&self) {
        todo!()
    }

    /// Asks it to end (pg_dump then cancels its query on the server), and kills what is left of it
    /// 300 ms later.
    pub fn terminate(&self) {
        todo!()
    }
}

impl fmt::Debug for Killer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Killer").finish_non_exhaustive()
    }
}
