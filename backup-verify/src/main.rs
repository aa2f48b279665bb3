//! Checks a backup, or a store of backups.

mod backup;
mod checks;
mod cli;
mod command;
mod endpoint;
mod measure;
mod metrics;
mod monitoring;
mod ping;
mod push;
mod report;
mod restore_test;
mod table;

use std::process::ExitCode;

fn main() -> ExitCode {
    job::main("backup-verify", command::run)
}
