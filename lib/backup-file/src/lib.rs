//! The backup file: an ordinary gzip file whose members are BGZF blocks, whose databases each begin a
//! member, whose last lines are its index, and which ends in the BGZF end-of-file marker only if the
//! dump succeeded. `docs/format.md` describes it byte by byte.

mod audit;
mod blocks;
mod codec;
mod contents;
mod ends;
mod failure;
mod frames;
mod index;
mod index_text;
mod inflater;
mod lanes;
mod member;
mod name;
mod output;
mod pace;
mod press;
mod reader;
mod sidecar;
mod stream;
mod tail;
mod writer;

pub use contents::{Contents, TableRows};
pub use ends::Ends;
pub use index::{About, Index, Section, SectionKind};
pub use name::BackupName;
pub use output::Part;
pub use reader::{Ending, ReadError, Reader, Report};
pub use sidecar::{sidecar_line, sidecar_name, sidecar_sha256};
pub use tail::{ReadAt, Tail, read_tail};
pub use writer::{DEFAULT_LEVEL, LEVELS, Options, PartWriter, Writer};

/// The BGZF end-of-file marker: an empty member (SAM specification §4.1.2).
pub const MARKER: [u8; 28] = [
    0x1f, 0x8b, 0x08, 0x04, 0, 0, 0, 0, 0, 0xff, 0x06, 0, 0x42, 0x43, 0x02, 0, 0x1b, 0, 0x03, 0, 0,
    0, 0, 0, 0, 0, 0, 0,
];

/// A SHA-256 digest.
pub type Sha256 = [u8; 32];
