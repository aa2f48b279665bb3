use std::fmt;
use std::io::{self, Read};

use crate::{Index, Section, Sha256};

/// Reads a backup, or any gzip file, checking every byte: SQL out, in order, with bounded memory.
///
/// What [`Reader::next`] hands out belongs to members whose CRC-32 and length were found right, but
/// only [`Reader::finish`] says whether the whole is whole.
pub struct Reader {}

impl Reader {
    /// Reads a whole file. `threads` decompress; with 1 the calling thread does it itself.
    pub fn whole(input: Box<dyn Read + Send>, threads: usize) -> Self {
        let _ = (input, threads);
        todo!()
    }

    /// Reads one section: `input` gives exactly the section's bytes of the file. Its length, its CRC-32
    /// and its SQL's length are checked against the index.
    pub fn section(input: Box<dyn Read + Send>, section: &Section, threads: usize) -> Self {
        let _ = (input, section, threads);
        todo!()
    }

    /// Keeps the index to itself: [`Reader::next`] hands out the SQL of the dump and nothing else, byte
    /// for byte what the dump command wrote. The index is still read and checked, and its lines still count in
    /// [`Report::sql_size`].
    pub fn sql_only(self) -> Self {
        todo!()
    }

    /// The next piece of SQL; none at the end. After an error there is no more.
    pub fn next(&mut self) -> Result<Option<&[u8]>, ReadError> {
        todo!()
    }

    /// Reads what is left and says what was found; an error if the file is not good in any way that the file itself can tell:
    /// a damaged or cut member, an index that is not true, bytes after the marker.
    /// A missing marker is no error here: [`Report::ending`] tells.
    pub fn finish(self) -> Result<Report, ReadError> {
        todo!()
    }
}

impl fmt::Debug for Reader {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Reader").finish_non_exhaustive()
    }
}

/// What was read.
#[derive(Debug, Clone, PartialEq)]
pub struct Report {
    /// Bytes of the file (or section).
    pub size: u64,
    /// Bytes of SQL.
    pub sql_size: u64,
    /// gzip members.
    pub members: u64,
    /// SHA-256 of the bytes of the file (or section).
    pub sha256: Sha256,
    /// How it ends.
    pub ending: Ending,
    /// The index, where there is one; it was found to be true.
    pub index: Option<Index>,
}

/// How a file ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ending {
    /// With the marker: whoever made it says it is whole.
    Marker,
    /// BGZF without the marker: it was cut, or its dump failed.
    NoMarker,
    /// gzip that is no BGZF, made by another program: every member is whole, but whether the last one
    /// is there cannot be known.
    Foreign,
}

/// Why a backup cannot be read.
#[derive(Debug)]
pub enum ReadError {
    /// The bytes did not come.
    Io(io::Error),
    /// The bytes that came are not a good backup: what is wrong (`member at byte 1234: CRC-32 is wrong`).
    Damaged(String),
}

impl fmt::Display for ReadError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Io(error) => write!(f, "{error}"),
            Self::Damaged(what) => f.write_str(what),
        }
    }
}

impl std::error::Error for ReadError {}

/// A file or blob that can be read anywhere.
pub trait ReadAt {
    /// Its size in bytes.
    fn size(&self) -> u64;
    /// The `length` bytes from `offset` on, which are all there.
    fn read_at(&self, offset: u64, length: usize) -> io::Result<Vec<u8>>;
}

/// What a file's tail says.
#[derive(Debug, Clone, PartialEq)]
pub enum Tail {
    /// A whole backup with its index.
    Index(Index),
    /// Ends in the marker, without an index (output of some other command).
    Marker,
    /// No marker: cut, or made by another program.
    NoMarker,
}

/// Reads the index from the tail of a file, in two or three reads.
pub fn read_tail(file: &dyn ReadAt) -> Result<Tail, ReadError> {
    let _ = file;
    todo!()
}
