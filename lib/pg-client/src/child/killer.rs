//! How a process is ended before its time.

use std::io;
use std::process::{self, Command};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use rustix::io::Errno;
use rustix::process::{Pid, Signal, WaitId, WaitIdOptions, WaitIdStatus};

/// How a process is asked to end, and how long it may take before it is killed.
#[derive(Debug, Clone, Copy)]
pub struct Ending {
    pub(super) signal: Signal,
    grace: Duration,
}

impl Ending {
    /// SIGTERM and 300 ms: pg_dump cancels its query on the server, psql and others just end.
    pub const QUICK: Self = Self {
        signal: Signal::TERM,
        grace: Duration::from_millis(300),
    };
    /// SIGTERM and 10 s: for a program that undoes what it has begun.
    pub const TIDY: Self = Self {
        signal: Signal::TERM,
        grace: Duration::from_secs(10),
    };
    /// SIGQUIT and 10 s: PostgreSQL's "immediate shutdown". The server ends its processes, removes its shared
    /// memory, and writes nothing. For a server whose data nobody needs any more.
    pub const SERVER: Self = Self {
        signal: Signal::QUIT,
        grace: Duration::from_secs(10),
    };
}

impl Default for Ending {
    fn default() -> Self {
        Self::QUICK
    }
}

/// Kills a child process and whatever it started in its session.
#[derive(Debug, Clone)]
pub struct Killer {
    /// The process's number while that is its own: from its start until it is reaped.
    running: Arc<Mutex<Option<Pid>>>,
    ending: Ending,
}

impl Killer {
    pub(super) fn new(ending: Ending) -> Self {
        let running = Arc::default();
        Self { running, ending }
    }

    /// Kills at once. Nothing happens if it has ended.
    pub fn kill(&self) {
        if let Some(pid) = *self.running() {
            signal(pid, Signal::KILL);
        }
    }

    /// Asks it to end, and does not wait for that: before several are terminated.
    pub fn ask(&self) {
        if let Some(pid) = *self.running() {
            signal(pid, self.ending.signal);
        }
    }

    /// Asks it to end (pg_dump then cancels its query on the server), and kills what is left of it
    /// when it has, or when its time is up (300 ms, if nothing else was said: [`Ending`]).
    pub fn terminate(&self) {
        // Locked until the last signal is sent, so that it is not reaped before that.
        let running = self.running();
        let Some(pid) = *running else { return };
        signal(pid, self.ending.signal);
        let asked = Instant::now();
        let late = || asked.elapsed() >= self.ending.grace;
        while matches!(exit_of(pid, WaitIdOptions::NOHANG), Ok(None)) && !late() {
            thread::sleep(Duration::from_millis(5));
        }
        signal(pid, Signal::KILL);
    }

    /// Starts the process. Whoever wants to kill it meanwhile waits until it runs.
    pub(super) fn start(&self, command: &mut Command) -> io::Result<process::Child> {
        let mut running = self.running();
        let process = command.spawn()?;
        *running = Some(Pid::from_child(&process));
        Ok(process)
    }

    pub(super) fn running(&self) -> MutexGuard<'_, Option<Pid>> {
        self.running.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// How a process has ended, if it has. Its exit status stays there to be waited for.
pub(super) fn exit_of(pid: Pid, options: WaitIdOptions) -> Result<Option<WaitIdStatus>, Errno> {
    let options = options | WaitIdOptions::EXITED | WaitIdOptions::NOWAIT;
    rustix::process::waitid(WaitId::Pid(pid), options)
}

/// Sends a signal to a process and all others of its session's first group.
fn signal(pid: Pid, signal: Signal) {
    // That nobody is left there is no error.
    let _ = rustix::process::kill_process_group(pid, signal);
}
