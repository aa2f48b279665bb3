//! Restores a backup through psql, so that success means a whole restore and failure loses nothing.

#![cfg_attr(not(test), warn(clippy::disallowed_methods))]

mod cli;
mod command;
mod edit;
mod list;
mod load;
mod plan;
mod report;
mod restore;
mod server;
mod source;

use std::process::ExitCode;

fn main() -> ExitCode {
    job::main("restore-stream", command::run)
}
