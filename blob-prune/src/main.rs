//! Deletes old backups from a directory or a container.

mod cli;
mod command;
mod report;
mod survey;

use std::process::ExitCode;

fn main() -> ExitCode {
    job::main("blob-prune", command::run)
}
