//! Deletes old backups from a directory or a container.

#![cfg_attr(not(test), warn(clippy::disallowed_methods))]

mod archive_report;
mod archives;
mod cli;
mod command;
mod report;
mod survey;

use std::process::ExitCode;

fn main() -> ExitCode {
    job::main("blob-prune", command::run)
}
