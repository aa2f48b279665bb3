//! The backup file: an ordinary gzip file whose members are BGZF blocks. Each database begins a member of its own, the
//! last lines are the index, and the file ends in the BGZF end-of-file marker only if the dump succeeded.
//! `docs/format.md` describes it byte by byte.
//!
//! `format` says what the bytes are, `write` makes them and `read` reads them. These two do not know each other; both
//! stand on `codec` and `workers`.

mod codec;
mod format;
mod io_error;
mod read;
mod workers;
mod write;

pub use codec::{DEFAULT_LEVEL, LEVELS};
pub use format::base::{Base, WalRange, lsn, parse_lsn};
pub use format::contents::{Contents, TableRows};
pub use format::error::ReadError;
pub use format::index::{About, Excluded, Index, MapPlace, Section, SectionKind};
pub use format::kind::{BackupKind, FileKind};
pub use format::map::{CopyBlock, CopyTarget, Layout, Map, Span};
pub use format::marker::MARKER;
pub use format::name::BackupName;
pub use format::sidecar::{Sha256, sidecar_line, sidecar_name, sidecar_sha256};
pub use format::standby::{ServerRole, Standby};
pub use read::first_and_last::FirstAndLast;
pub use read::map::read_map;
pub use read::passing::{NotWhole, PassingMembers};
pub use read::range::{Coverage, RangeReader, RangeReport};
pub use read::reader::Reader;
pub use read::report::{Ending, Report};
pub use read::tail::{ReadAt, Tail, read_tail};
pub use write::output::Part;
pub use write::writer::{Options, PartWriter, Writer};
