//! Checks a backup, or a store of backups.

#![cfg_attr(not(test), warn(clippy::disallowed_methods))]

mod checks;
mod cli;
mod command;
mod figures;
mod finding;
mod limits;
mod moment;
mod read;
mod recovery;
mod report;
mod restore_test;
mod show;
mod tell;
mod verification;

use std::process::ExitCode;

fn main() -> ExitCode {
    job::main("backup-verify", command::run)
}
