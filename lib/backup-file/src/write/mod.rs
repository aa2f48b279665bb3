//! Writes backups.

mod back_pressure;
mod buffer;
mod compressor;
pub(crate) mod output;
pub(crate) mod writer;
