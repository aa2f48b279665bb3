//! Restores a backup through psql, so that success means a whole restore and failure loses nothing.

#![cfg_attr(not(test), warn(clippy::disallowed_methods))]

mod checked;
mod choose;
mod cli;
mod command;
mod edit;
mod encoding;
mod facts;
mod failure;
mod failures;
mod feed;
mod keeper;
mod ledger;
mod leftovers;
mod list;
mod load;
mod maintenance;
mod names;
mod naming;
mod pipe;
mod plan;
mod preflight;
mod restore;
mod sections;
mod session;
mod sessions;
mod stream;
mod swap;
mod undo;

use std::process::ExitCode;

fn main() -> ExitCode {
    job::main("restore-stream", command::run)
}
