//! Writes backups.
//!
//! A [`writer`] puts SQL into a [`buffer`], the [`compressor`] makes members of it, and the [`output`] writes them and
//! keeps account of the sections for the index.

mod back_pressure;
mod buffer;
mod compressor;
pub(crate) mod output;
pub(crate) mod writer;
