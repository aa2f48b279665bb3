//! Zero bytes after the last member, as tapes and disks fill up their last block.

use crate::format::error::{ReadError, damaged};

/// The most zero bytes that may follow the last member of a file without index.
pub(super) const MOST_PADDING: u64 = 64 << 20;

/// No medium pads that much: it is how a file system loses the end of a file.
pub(super) fn too_much_padding(at: u64) -> ReadError {
    damaged(format!(
        "from byte {at} on, after the last member, there are more than 64 MiB of zero bytes"
    ))
}
