//! PostgreSQL's write-ahead log (WAL), as it is archived in a store.
//!
//! | | |
//! |---|---|
//! | [`Lsn`], [`SegmentSize`], [`Segment`] | places in the WAL, and the files that it is cut into |
//! | [`WalName`] | the names of all that PostgreSQL archives: segments, `.history`, `.backup`, `.partial` |
//! | [`LongHeader`] | what a segment says of itself: timeline, address, system identifier, size |
//! | [`RecordReader`] | the records of a segment: where and when transactions ended |
//! | [`DataDirectory`], [`ControlFile`] | what stands beside a pg_wal: the system identifier |
//! | [`History`] | a timeline history file: where one timeline forked from another |
//! | [`SystemId`], [`stored_name`], [`archive_directory`] | where an archived file is in a store |
//! | [`Holdings`] | what an archive holds, and how far a recovery gets with it |
//! | [`Archive`] | one cluster's archive in a store: puts, gets, lists and removes |
//!
//! Only [`Archive`] and [`DataDirectory`] read a disk or ask a service. To all else bytes and names come in, and answers go out.

mod archive;
mod control;
mod data_directory;
mod header;
mod history;
mod holdings;
mod layout;
mod lsn;
mod name;
mod records;
mod segment;

pub use archive::{
    Archive, ArchiveError, ArchiveErrorKind, Archived, Packed, Put, Recorded, Stored, UnpackError,
    unpack,
};
pub use control::{ControlError, ControlFile};
pub use data_directory::DataDirectory;
pub use header::{HeaderError, LongHeader, Mismatch};
pub use history::{Contradiction, Fork, History, HistoryError};
pub use holdings::{Beyond, Gap, Holdings, Reach, Stretch};
pub use layout::{SystemId, archive_directory, name_in_archive, stored_name};
pub use lsn::Lsn;
pub use name::WalName;
pub use records::{BegunRecord, Meaning, Record, RecordReader};
pub use segment::{Segment, SegmentSize};
