//! Restores a backup through psql, so that success means a whole restore and failure loses nothing.

#![cfg_attr(not(test), warn(clippy::disallowed_methods))]

mod checked;
mod choose;
mod cli;
mod command;
mod edit;
mod keeper;
mod ledger;
mod list;
mod load;
mod names;
mod pipe;
mod plan;
mod preflight;
mod restore;
mod sections;
mod session;
mod stream;
mod swap;

use std::process::ExitCode;

fn main() -> ExitCode {
    job::main("restore-stream", command::run)
}
