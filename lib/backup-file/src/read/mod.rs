//! Reads backups, and gzip files of other programs.
//!
//! A [`reader`] gives the SQL of a whole file or of one section. BGZF members come in batches, which [`frames`] cuts and
//! [`bgzf`] has decompressed; other gzip is read by [`foreign`], a chunk at a time. The [`audit`] keeps account of both.
//!
//! With a [`map`], [`range`] reads any part of a section.
//!
//! Without reading the file through, [`tail`] finds its index and [`first_and_last`] the text at its ends; [`passing`]
//! follows a file that somebody else reads.

mod audit;
mod batch;
mod bgzf;
mod chunks;
pub(crate) mod first_and_last;
mod foreign;
mod frames;
mod inflater;
mod input;
pub(crate) mod map;
mod padding;
pub(crate) mod passing;
pub(crate) mod range;
pub(crate) mod reader;
pub(crate) mod report;
pub(crate) mod tail;
