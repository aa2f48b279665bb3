//! What the five programs do the same way: how they end (exit codes), what they say (errors with a
//! hint, messages, progress), and how they stop when a signal asks them to.
//!
//! A program's `main` is one call of [`main`]; all else is code that returns `Result<_, Error>`.

mod args;
mod error;
mod message;
mod progress;
mod signal;
pub mod text;
pub mod time;

use std::process::ExitCode;

pub use args::{EXIT_CODES, parse_args};
pub use error::{Error, Exit};
pub use message::{pass_on, program, say_error, say_line};
pub use progress::Progress;
pub use signal::{OnStop, on_stop, stop_requested};

/// Runs a program: names it in its messages, listens for SIGTERM and SIGINT, and turns the error it
/// ends with into a message on standard error and an exit code.
pub fn main(name: &'static str, run: impl FnOnce() -> Result<(), Error>) -> ExitCode {
    message::set_program(name);
    let ended = signal::listen().and_then(|()| run());
    // A signal that has begun to end the program has the last word: this thread waits for it here.
    signal::settle();
    match ended {
        Ok(()) => ExitCode::from(Exit::Done.code()),
        Err(error) => {
            say_error(&error);
            ExitCode::from(error.exit().code())
        }
    }
}

/// The number of threads that this process may use at once: its CPU affinity and its cgroup's quota
/// counted. At least 1.
pub fn cpus() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}
