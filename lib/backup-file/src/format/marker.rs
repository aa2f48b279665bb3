//! The member that a whole file ends in.

use super::error::{ReadError, damaged};
use super::member::{BEFORE, sql_length};

/// The BGZF end-of-file marker: an empty member (SAM specification §4.1.2).
pub const MARKER: [u8; 28] = [
    0x1f, 0x8b, 0x08, 0x04, 0, 0, 0, 0, 0, 0xff, 0x06, 0, 0x42, 0x43, 0x02, 0, 0x1b, 0, 0x03, 0, 0,
    0, 0, 0, 0, 0, 0, 0,
];

/// Whether a member was the end-of-file marker before some of its bits changed, also bits that mean nothing to gunzip.
/// An empty member of another program may be as long, but its header has little in common with the marker's.
pub(crate) fn is_damaged_marker(member: &[u8]) -> bool {
    if member.len() != MARKER.len() || member == MARKER || sql_length(member) != 0 {
        return false;
    }
    let header = member.iter().zip(&MARKER).take(BEFORE);
    header.map(|(is, was)| (is ^ was).count_ones()).sum::<u32>() <= 8
}

pub(crate) fn damaged_marker(at: u64) -> ReadError {
    damaged(format!("the end-of-file marker at byte {at} is damaged"))
}

pub(crate) fn after_the_marker(at: u64) -> ReadError {
    damaged(format!(
        "there are bytes after the end-of-file marker at byte {at}"
    ))
}
