//! Dumps a PostgreSQL cluster into a backup file.

#![cfg_attr(not(test), warn(clippy::disallowed_methods))]

mod base;
mod cli;
mod cluster;
mod command;
mod contents;
mod document;
mod foreign;
mod interruption;
mod jobs;
mod names;
mod output;
mod pattern;
mod preflight;
mod scheduling;
mod standby;

use std::process::ExitCode;

fn main() -> ExitCode {
    job::main("pgdump-gz", command::run)
}
