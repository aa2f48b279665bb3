//! How a file ends, by its last bytes: where its index is, and what they tell without one.

use std::io;

use super::padding::{MOST_PADDING, too_much_padding};
use crate::format::error::{ReadError, damaged};
use crate::format::index::Index;
use crate::format::locator::{LOCATOR_AND_MARKER, Locator, had_locator, is_locator};
use crate::format::marker::{MARKER, after_the_marker, is_damaged_marker};
use crate::format::member::{BEFORE, HEADER, Header, LIMIT, as_u64, is_bgzf};
use crate::format::tail::{MOST_INDEX, parse_index};

/// How many zero bytes are looked at together.
const STEP: u64 = 1 << 20;

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
    Index(Box<Index>),
    /// The marker without an index: the output of some other command.
    Marker,
    /// BGZF blocks without the marker: the file was cut, or its dump failed.
    NoMarker,
    /// Something else: another program made the file, if it is gzip at all.
    Foreign,
}

/// Reads the index from the tail of a file in two reads. Without an index, two or three reads tell how the file ends.
///
/// # Errors
/// [`ReadError::Damaged`] if there is an index but it is damaged, or of a newer format. What the sections hold is not read.
/// [`ReadError::Io`] if the file cannot be read.
pub fn read_tail(file: &dyn ReadAt) -> Result<Tail, ReadError> {
    let last = file.size().min(as_u64(LOCATOR_AND_MARKER));
    let last_bytes = fetch(file, file.size() - last, last)?;
    if !last_bytes.ends_with(&MARKER) {
        return without_marker(file);
    }
    let Some(locator) = Locator::at_end_of(&last_bytes) else {
        return if had_locator(&last_bytes) {
            Err(damaged(
                "the index's locator, before the file's last 28 bytes, is damaged",
            ))
        } else {
            Ok(Tail::Marker)
        };
    };
    if locator.offset.checked_add(locator.length) != Some(file.size() - last)
        || locator.length > as_u64(MOST_INDEX)
    {
        return Err(damaged("the index is not where its locator says"));
    }
    let bytes = fetch(file, locator.offset, locator.length)?;
    let index = parse_index(&bytes, &locator)?;
    Ok(Tail::Index(Box::new(index)))
}

/// The tail of a file whose last bytes are not the marker. Zero bytes may follow the marker.
fn without_marker(file: &dyn ReadAt) -> Result<Tail, ReadError> {
    let unpadded = unpadded(file)?;
    if let Some(end) = marker_end(file, unpadded)? {
        let last = end.min(as_u64(LOCATOR_AND_MARKER));
        return match Locator::at_end_of(&fetch(file, end - last, last)?) {
            Some(_) => Err(after_the_marker(end - as_u64(MARKER.len()))),
            None => Ok(Tail::Marker),
        };
    }
    Ok(match ends_in_a_block(file, unpadded)? {
        true => Tail::NoMarker,
        false => Tail::Foreign,
    })
}

/// Where the last member of a file without index ends. Zero bytes may follow it.
pub(crate) fn end_of_members(file: &dyn ReadAt) -> Result<u64, ReadError> {
    Ok(marker_end(file, unpadded(file)?)?.unwrap_or(file.size()))
}

/// How long a file is without the zero bytes at its end.
fn unpadded(file: &dyn ReadAt) -> Result<u64, ReadError> {
    let mut end = file.size();
    let mut step = as_u64(LOCATOR_AND_MARKER);
    while end > 0 {
        let length = end.min(step);
        let bytes = fetch(file, end - length, length)?;
        let found = bytes.iter().rposition(|byte| *byte != 0);
        end -= length - found.map_or(0, |at| as_u64(at) + 1);
        // The last bytes of a member may be zero too.
        if file.size() - end > MOST_PADDING + as_u64(MARKER.len()) {
            return Err(too_much_padding(end));
        }
        if found.is_some() {
            break;
        }
        step = STEP;
    }
    Ok(end)
}

/// Where the marker ends, if the bytes before `unpadded` are a marker's up to its own zero bytes.
fn marker_end(file: &dyn ReadAt, unpadded: u64) -> Result<Option<u64>, ReadError> {
    let zeros = MARKER.iter().rev().take_while(|byte| **byte == 0).count();
    let (start, end) = MARKER.split_at(MARKER.len() - zeros);
    let end = unpadded + as_u64(end.len());
    match unpadded.checked_sub(as_u64(start.len())) {
        Some(at) if end <= file.size() => {
            let found = fetch(file, at, as_u64(start.len()))? == start;
            Ok(found.then_some(end))
        }
        _ => Ok(None),
    }
}

/// Whether the last member, whole or cut, is a BGZF block of a file that begins with one.
fn ends_in_a_block(file: &dyn ReadAt, unpadded: u64) -> Result<bool, ReadError> {
    let first = fetch(file, 0, file.size().min(as_u64(BEFORE)))?;
    if Header::of(&first) == Header::Short {
        return Ok(true);
    }
    if !is_bgzf(&first) {
        return Ok(false);
    }
    // A member's own last bytes may be zero.
    let end = file.size().min(unpadded + as_u64(LIMIT));
    let from = unpadded.saturating_sub(as_u64(LIMIT));
    let last = fetch(file, from, end - from)?;
    // Fewer bytes could be the beginning of anything.
    let begins = |at: &usize| last[*at..].starts_with(&HEADER[..4]);
    let mut starts = (0..last.len()).filter(begins);
    Ok(starts.any(|at| blocks_to_the_end(&last[at..])))
}

/// Whether these bytes are BGZF blocks, the last of them whole or cut, with nothing but zero bytes after them; or blocks
/// up to a locator, whatever follows it: only we write those.
fn blocks_to_the_end(mut bytes: &[u8]) -> bool {
    loop {
        let length = match Header::of(bytes) {
            Header::Short => return true,
            Header::Other => return is_damaged_marker(bytes) || bytes.iter().all(|it| *it == 0),
            Header::Block(length) => length,
        };
        match bytes.split_at_checked(length) {
            None | Some((_, [])) => return true,
            Some((member, _)) if is_locator(member) => return true,
            Some((_, rest)) => bytes = rest,
        }
    }
}

pub(super) fn fetch(file: &dyn ReadAt, offset: u64, length: u64) -> Result<Vec<u8>, ReadError> {
    let length = usize::try_from(length).map_err(|_| damaged("the index is too large"))?;
    let bytes = file.read_at(offset, length).map_err(ReadError::Io)?;
    if bytes.len() == length {
        Ok(bytes)
    } else {
        Err(ReadError::Io(io::ErrorKind::UnexpectedEof.into()))
    }
}
