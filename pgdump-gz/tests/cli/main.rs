//! pgdump-gz from outside, without a server: its command line, its directory, its signals, the output
//! of commands, and (with clients made up by the tests) every way in which a dump can fail.
#![expect(clippy::unwrap_used, reason = "what fails here fails a test")]

mod base;
mod clients;
mod command;
mod directory;
mod program;
mod usage;
