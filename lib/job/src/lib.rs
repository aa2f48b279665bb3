//! What the five programs do the same way: how they end (exit codes), what they say (errors with a
//! hint, messages, progress), and how they stop when a signal asks them to.
//!
//! A program's `main` is one call of [`main`]; all else is code that returns `Result<_, Error>`.
//!
//! All that a program says goes out through this crate: no secret is in it ([`secret`]), nor a character that a
//! terminal would obey ([`shown`]).

mod args;
mod bar;
mod confinement;
mod error;
mod file;
mod message;
mod output;
mod parallel;
mod progress;
pub mod secret;
mod signal;
pub mod text;
pub mod time;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::process::ExitCode;

pub use args::{EXIT_CODES, parse_args};
pub use error::{Error, Exit};
pub use file::{read_any, read_regular};
pub use message::{is_unseen, pass_on, program, say_error, say_line, shown};
pub use output::{print, print_json, print_json_pretty};
pub use parallel::in_parallel;
pub use progress::Progress;
pub use signal::{OnStop, on_stop, stop_requested};

/// Runs a program: names it in its messages, learns what these must not show, listens for SIGTERM, SIGINT and
/// SIGHUP, and turns the error it ends with into a message on standard error and an exit code. A panic, whose thread's message
/// is as guarded as all others, ends it with exit code 1.
pub fn main(name: &'static str, run: impl FnOnce() -> Result<(), Error>) -> ExitCode {
    main_with(name, Exit::code, || run().map(|()| Exit::Done))
}

/// As [`main`], for a program that may end in another way than done or with an error, and whose caller expects other
/// exit codes. A stop signal's are the same.
pub fn main_with(
    name: &'static str,
    code: impl FnOnce(Exit) -> u8,
    run: impl FnOnce() -> Result<Exit, Error>,
) -> ExitCode {
    message::set_program(name);
    secret::learn_given();
    confinement::report_panics();
    confinement::keep_memory();
    let work = AssertUnwindSafe(|| signal::listen().and_then(|()| run()));
    let ended = catch_unwind(work);
    // A signal that has begun to end the program has the last word: this thread waits for it here.
    signal::settle();
    let exit = match ended {
        // What a thread that panicked was to do is not done, whatever became of the others.
        Ok(Ok(_)) if confinement::panicked() => Exit::Failed,
        Ok(Ok(exit)) => exit,
        Ok(Err(error)) => {
            say_error(&error);
            error.exit()
        }
        // It has been said already.
        Err(_) => Exit::Failed,
    };
    ExitCode::from(code(exit))
}

/// The number of threads that this process may use at once: its CPU affinity and its cgroup's quota
/// counted. At least 1.
pub fn cpus() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}
