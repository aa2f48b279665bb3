//! The member after the index, which says where the index is.

use super::marker::MARKER;
use super::member::{AFTER, BEFORE, STORED, stored};

const LINE: usize = 80;
/// The locator's length in the file.
pub(crate) const LOCATOR: usize = BEFORE + STORED + LINE + AFTER;
/// The length of the locator and the marker: the last bytes of a backup with an index.
pub(crate) const LOCATOR_AND_MARKER: usize = LOCATOR + MARKER.len();

/// Where an index is in the file, and its CRC-32 there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Locator {
    pub(crate) offset: u64,
    pub(crate) length: u64,
    pub(crate) crc32: u32,
}

impl Locator {
    /// The locator as a member.
    pub(crate) fn member(&self) -> Vec<u8> {
        let line = format!(
            "-- index offset={:020} length={:020} crc32={:08x}\n",
            self.offset, self.length, self.crc32
        );
        let mut member = Vec::with_capacity(LOCATOR);
        stored(&mut member, line.as_bytes());
        member
    }

    /// The locator of a file that ends in these bytes; none unless they end, to the bit, in a locator and the marker.
    pub(crate) fn at_end_of(bytes: &[u8]) -> Option<Self> {
        let locator = bytes.strip_suffix(&MARKER)?;
        Self::parse(&locator[locator.len().saturating_sub(LOCATOR)..])
    }

    fn parse(member: &[u8]) -> Option<Self> {
        let line = member.get(BEFORE + STORED..BEFORE + STORED + LINE)?;
        let line = std::str::from_utf8(line).ok()?;
        let (offset, rest) = line
            .strip_prefix("-- index offset=")?
            .split_once(" length=")?;
        let (length, crc32) = rest.strip_suffix('\n')?.split_once(" crc32=")?;
        let locator = Self {
            offset: offset.parse().ok()?,
            length: length.parse().ok()?,
            crc32: u32::from_str_radix(crc32, 16).ok()?,
        };
        // Nothing else of the member is checked above, and numbers can be written in several ways.
        (locator.member() == member).then_some(locator)
    }
}

/// Whether a member is a locator.
pub(crate) fn is_locator(member: &[u8]) -> bool {
    member.len() == LOCATOR && Locator::parse(member).is_some()
}

/// Whether a file that ends in these bytes had a locator before they were damaged: most bytes of the member before the
/// marker that do not depend on its numbers are a locator's.
pub(crate) fn had_locator(bytes: &[u8]) -> bool {
    let Some(from) = bytes.len().checked_sub(LOCATOR_AND_MARKER) else {
        return false;
    };
    let blank = Locator {
        offset: 0,
        length: 0,
        crc32: 0,
    };
    let wrong = blank
        .member()
        .iter()
        .zip(&bytes[from..from + LOCATOR])
        .take(BEFORE + STORED + LINE)
        .filter(|(wanted, found)| **wanted != b'0' && wanted != found)
        .count();
    wrong <= 8
}
