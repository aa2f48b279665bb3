//! Uploads a backup to Azure Blob Storage, or into a directory.

#![cfg_attr(not(test), warn(clippy::disallowed_methods))]

mod cli;
mod command;
mod container;
mod destination;
mod directory;
mod report;
mod source;
mod wal;

use std::process::ExitCode;

fn main() -> ExitCode {
    job::main("blob-put", command::run)
}
