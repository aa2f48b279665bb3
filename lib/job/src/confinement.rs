//! What this process holds stays with it: a core dump, another process of the same user and a panic's message would
//! show it.

use std::backtrace::{Backtrace, BacktraceStatus};
use std::panic::{self, PanicHookInfo};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use rustix::process::{DumpableBehavior, Resource, Rlimit, set_dumpable_behavior, setrlimit};

use crate::message;

static PANICKED: AtomicBool = AtomicBool::new(false);

/// Lets nobody but root read this process's memory and environment, also when it crashes. A restored backup's SQL may
/// run `cat /proc/*/environ` as the same user.
///
/// Children may be looked at again, but leave no core dumps either: psql's would hold a password.
pub(crate) fn keep_memory() {
    let none = Rlimit {
        current: Some(0),
        maximum: Some(0),
    };
    // A system that does not allow this is no reason for not making a backup.
    let _ = setrlimit(Resource::Core, none);
    // The limit alone does not count where core dumps are piped to a program (core(5)).
    let _ = set_dumpable_behavior(DumpableBehavior::NotDumpable);
}

/// Lets a panic, in any thread, be said as all else is.
pub(crate) fn report_panics() {
    panic::set_hook(Box::new(|panic| {
        PANICKED.store(true, Ordering::SeqCst);
        message::print(&report(panic));
    }));
}

/// Whether any thread has panicked.
pub(crate) fn panicked() -> bool {
    PANICKED.load(Ordering::SeqCst)
}

fn report(panic: &PanicHookInfo<'_>) -> String {
    let payload = panic.payload();
    let said = payload
        .downcast_ref::<&str>()
        .copied()
        .or_else(|| payload.downcast_ref().map(String::as_str));
    let said = said.unwrap_or("no words");
    let place = panic.location().map(|place| format!(" ({place})"));
    let thread = thread::current();
    let thread = thread.name().filter(|name| *name != "main");
    let thread = thread.map(|name| format!(" in the thread '{name}'"));
    let trace = Backtrace::capture();
    let trace = match trace.status() {
        BacktraceStatus::Captured => format!("{trace}"),
        _ => String::new(),
    };
    format!(
        "{}: internal error{}: {said}{}\n{trace}hint: this is a fault of the program: please report it with these lines\n",
        message::program(),
        thread.unwrap_or_default(),
        place.unwrap_or_default(),
    )
}
