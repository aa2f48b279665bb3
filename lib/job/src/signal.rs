//! SIGTERM (a pod being evicted), SIGINT (Ctrl-C) and SIGHUP (a terminal or an SSH session that is
//! gone): what was begun is undone, then the process ends with the signal's exit code.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::{fs, process, thread};

use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::iterator::Signals;

use crate::{Error, Exit, say};

type Action = Box<dyn FnOnce() + Send>;

/// What is to be undone, newest last. Held locked while a signal ends the process, so that nothing that
/// another thread would undo or finish meanwhile goes on.
static ACTIONS: Mutex<Vec<(u64, Action)>> = Mutex::new(Vec::new());
static STOPPING: AtomicBool = AtomicBool::new(false);

/// While it lives, its action is run if a signal ends the program. Dropping it takes the action back,
/// and waits, without end, when a signal is ending the program already: what follows the drop (a
/// rename, a commit) then never happens.
#[derive(Debug)]
#[must_use = "the action is taken back when this is dropped"]
pub struct OnStop {
    id: u64,
}

/// Registers `action` to be run when a signal ends the program: kill a child process, remove a
/// temporary file, drop a database. It must be quick and must not take back a registration itself.
pub fn on_stop(action: impl FnOnce() + Send + 'static) -> OnStop {
    let mut actions = lock();
    let id = actions.last().map_or(0, |(id, _)| id + 1);
    actions.push((id, Box::new(action)));
    OnStop { id }
}

impl Drop for OnStop {
    fn drop(&mut self) {
        let action = {
            let mut actions = lock();
            let at = actions.iter().position(|(id, _)| *id == self.id);
            at.map(|at| actions.remove(at))
        };
        // Out of the lock: what the action owns may itself do something when it is dropped.
        drop(action);
    }
}

/// Whether a signal is ending the program: then what fails (a killed child) fails because of it.
pub fn stop_requested() -> bool {
    STOPPING.load(Ordering::SeqCst)
}

/// Starts to listen.
pub(crate) fn listen() -> Result<(), Error> {
    let mut wanted = vec![SIGTERM, SIGINT];
    // Under nohup it is ignored, and stays so: the person wants the run to outlive the session.
    if !is_ignored(SIGHUP) {
        wanted.push(SIGHUP);
    }
    let mut signals =
        Signals::new(wanted).map_err(|error| Error::io("cannot listen for signals", &error))?;
    thread::Builder::new()
        .name("signals".into())
        .stack_size(256 << 10)
        .spawn(move || {
            if let Some(signal) = signals.forever().next() {
                stop(signal);
            }
        })
        .map(drop)
        .map_err(|error| Error::io("cannot start a thread", &error))
}

fn stop(signal: i32) {
    STOPPING.store(true, Ordering::SeqCst);
    let mut actions = lock();
    let (name, exit) = match signal {
        SIGINT => ("SIGINT", Exit::Interrupted),
        SIGHUP => ("SIGHUP", Exit::HungUp),
        _ => ("SIGTERM", Exit::Terminated),
    };
    while let Some((_, action)) = actions.pop() {
        action();
    }
    say!("stopped by {name}");
    // The lock is still held: nobody gets past it.
    process::exit(i32::from(exit.code()));
}

/// Whether this process was started with the signal ignored, by `SigIgn` of proc(5).
fn is_ignored(signal: i32) -> bool {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    ignored(&status).is_some_and(|mask| mask & (1 << (signal - 1)) != 0)
}

fn ignored(status: &str) -> Option<u64> {
    let mask = status
        .lines()
        .find_map(|line| line.strip_prefix("SigIgn:"))?;
    u64::from_str_radix(mask.trim(), 16).ok()
}

/// Waits for a signal that is ending the program, if one is.
pub(crate) fn settle() {
    if stop_requested() {
        loop {
            thread::park();
        }
    }
}

fn lock() -> MutexGuard<'static, Vec<(u64, Action)>> {
    ACTIONS.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_ignored_is_read() {
        let status = "Name:\tx\nSigBlk:\t0000000000000003\nSigIgn:\t0000000000001001\n";
        assert_eq!(ignored(status), Some(0x1001));
        assert_eq!(ignored("Name:\tx\n"), None);
        // Rust's own start ignores it in every program.
        assert!(is_ignored(signal_hook::consts::SIGPIPE));
        assert!(!is_ignored(SIGTERM));
    }

    #[test]
    fn a_dropped_action_is_taken_back() {
        let first = on_stop(|| {});
        let second = on_stop(|| {});
        let ids =
            |actions: &Vec<(u64, Action)>| actions.iter().map(|(id, _)| *id).collect::<Vec<_>>();
        assert!(ids(&lock()).contains(&first.id));
        let gone = first.id;
        drop(first);
        assert!(!ids(&lock()).contains(&gone));
        assert!(ids(&lock()).contains(&second.id));
    }
}
