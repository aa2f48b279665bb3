//! Checks a backup, or a store of backups.

#![cfg_attr(not(test), warn(clippy::disallowed_methods))]

mod backup;
mod checks;
mod cli;
mod command;
mod endpoint;
mod every;
mod figures;
mod ledger;
mod limits;
mod measure;
mod metrics;
mod monitoring;
mod past;
mod ping;
mod push;
mod report;
mod restore_test;
mod table;

use std::process::ExitCode;

fn main() -> ExitCode {
    job::main("backup-verify", command::run)
}
