//! What reading a file to its end found.

use crate::format::index::Index;

/// What was read.
#[derive(Debug, Clone, PartialEq)]
pub struct Report {
    /// Bytes of the file (or section).
    pub size: u64,
    /// Bytes of SQL, the index's lines included: what gunzip would write.
    pub sql_size: u64,
    /// gzip members.
    pub members: u64,
    /// How it ends. A section that is what the index says ends in [`Ending::Marker`]: it is whole.
    pub ending: Ending,
    /// The index, where there is one; it was found to be true.
    pub index: Option<Index>,
}

/// How a file ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ending {
    /// With the marker: the program that made it says it is whole.
    Marker,
    /// BGZF without the marker: it was cut, or its dump failed.
    NoMarker,
    /// gzip of another program, not all of it BGZF. Every member is whole, but a missing last member goes unnoticed.
    Foreign,
}
