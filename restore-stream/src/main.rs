//! Restores a backup through psql, so that success means a whole restore and failure loses nothing.

#![cfg_attr(not(test), warn(clippy::disallowed_methods))]

mod cli;
mod command;
mod edit;
mod list;
mod load;
mod plan;
mod recovery;
mod report;
mod restore;
mod server;
mod source;
mod wal;

use std::process::ExitCode;

fn main() -> ExitCode {
    // PostgreSQL takes most exit codes for "there is no such file". So a command line that cannot even be understood has
    // another one if it is PostgreSQL's.
    match wal::is_asked_for(std::env::args_os()) {
        true => job::main_with("restore-stream", wal::exit_code, command::run_for_server),
        false => job::main("restore-stream", command::run),
    }
}
