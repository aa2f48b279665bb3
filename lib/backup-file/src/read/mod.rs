//! Reads backups, and gzip files of other programs.

mod audit;
mod batch;
mod bgzf;
mod chunks;
pub(crate) mod first_and_last;
mod foreign;
mod frames;
mod inflater;
mod input;
mod padding;
pub(crate) mod passing;
pub(crate) mod reader;
pub(crate) mod report;
pub(crate) mod tail;
