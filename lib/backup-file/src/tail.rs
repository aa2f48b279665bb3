//! The end of a backup: the index, its locator, and how both are found from the file's last bytes.

use std::collections::HashSet;
use std::io;

use crate::codec;
use crate::frames::{after_the_marker, is_damaged_marker};
use crate::index_text::{parse, write_lines};
use crate::inflater::too_much_padding;
use crate::member::{self, BEFORE, HEAD_LINE, HEADER, Header, LIMIT, Packer, STORED, size};
use crate::reader::damaged;
use crate::{Index, MARKER, ReadError};

/// The most that an index may take, compressed or not.
pub(crate) const MOST: usize = 16 << 20;
const LOCATOR_LINE: usize = 80;
/// The locator's length in the file.
pub(crate) const LOCATOR: usize = BEFORE + STORED + LOCATOR_LINE + member::AFTER;
/// What a reader of the tail reads first.
const LAST: usize = LOCATOR + MARKER.len();
/// The most zero bytes that may follow the last member of a file without index, as a tape's or a disk's blocks are
/// filled up.
pub(crate) const MOST_PADDING: u64 = 64 << 20;
/// How many zero bytes are looked at together.
const STEP: u64 = 1 << 20;

/// The index's first member, the same in every backup.
pub(crate) fn head() -> Vec<u8> {
    let mut head = Vec::new();
    member::stored(&mut head, HEAD_LINE);
    head
}

/// The whole tail for a file whose sections end at `offset`: the index, its locator, the marker.
pub(crate) fn write(index: &Index, offset: u64, packer: &mut Packer) -> io::Result<Vec<u8>> {
    let text = write_lines(index)?;
    let mut tail = head();
    for block in member::blocks(text.as_bytes(), true) {
        packer.pack(&mut tail, block);
    }
    if text.len() > MOST || tail.len() > MOST {
        return Err(io::Error::other(
            "the index would be larger than 16 MiB: too many databases",
        ));
    }
    let place = Place {
        offset,
        length: size(tail.len()),
        crc32: crc32fast::hash(&tail),
    };
    tail.extend_from_slice(&place.locator());
    tail.extend_from_slice(&MARKER);
    Ok(tail)
}

/// The index out of a whole tail; `start` is where the tail begins in the file, `size` the file's.
pub(crate) fn read(tail: &[u8], start: u64) -> Result<Index, ReadError> {
    let broken = || damaged("the index has no true locator after it");
    let (index, last) = tail
        .split_at_checked(tail.len().saturating_sub(LAST))
        .ok_or_else(broken)?;
    let place = Place::of(last).ok_or_else(broken)?;
    if place.offset != start || place.length != size(index.len()) {
        return Err(damaged(format!(
            "the index is not where its locator says: {} bytes at byte {}, not {} at {}",
            index.len(),
            start,
            place.length,
            place.offset
        )));
    }
    place.open(index)
}

/// Where an index is, and its CRC-32.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Place {
    offset: u64,
    length: u64,
    crc32: u32,
}

impl Place {
    /// The member that tells the place.
    fn locator(&self) -> Vec<u8> {
        let line = format!(
            "-- index offset={:020} length={:020} crc32={:08x}\n",
            self.offset, self.length, self.crc32
        );
        let mut member = Vec::with_capacity(LOCATOR);
        member::stored(&mut member, line.as_bytes());
        member
    }

    /// What the file's last bytes tell; none if they are not, to the bit, a locator and the marker.
    fn of(last: &[u8]) -> Option<Self> {
        let locator = last.strip_suffix(&MARKER)?;
        let line = locator.get(BEFORE + STORED..BEFORE + STORED + LOCATOR_LINE)?;
        let line = std::str::from_utf8(line).ok()?;
        let (offset, rest) = line
            .strip_prefix("-- index offset=")?
            .split_once(" length=")?;
        let (length, crc32) = rest.strip_suffix('\n')?.split_once(" crc32=")?;
        let place = Self {
            offset: offset.parse().ok()?,
            length: length.parse().ok()?,
            crc32: u32::from_str_radix(crc32, 16).ok()?,
        };
        (place.locator() == locator).then_some(place)
    }

    /// Reads the index from its bytes in the file.
    fn open(&self, bytes: &[u8]) -> Result<Index, ReadError> {
        if crc32fast::hash(bytes) != self.crc32 {
            return Err(damaged(format!(
                "the index at byte {} is damaged: its CRC-32 is not the locator's",
                self.offset
            )));
        }
        let index = parse(&text(bytes, self.offset)?)?;
        check_places(&index, self.offset)?;
        Ok(index)
    }
}

/// Whether a member's bytes are a locator's.
pub(crate) fn is_locator(member: &[u8]) -> bool {
    member.len() == LOCATOR && Place::of(&[member, &MARKER].concat()).is_some()
}

/// Whether a file that ends in these bytes has an index, by its locator.
pub(crate) fn is_located(bytes: &[u8]) -> bool {
    Place::of(&bytes[bytes.len().saturating_sub(LAST)..]).is_some()
}

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
    /// Its members are BGZF blocks, the last ones at least, but no marker follows: it was cut, or its dump failed.
    NoMarker,
    /// Ends in something else: made by another program, if it is gzip at all.
    Foreign,
}

/// Reads the index from the tail of a file, in two reads; without one, two or three tell how it ends.
///
/// # Errors
/// [`ReadError::Damaged`] if there is an index but it is not good, or of a newer format; what the sections hold
/// is not looked at. [`ReadError::Io`] if the file cannot be read.
pub fn read_tail(file: &dyn ReadAt) -> Result<Tail, ReadError> {
    let last = file.size().min(size(LAST));
    let last_bytes = fetch(file, file.size() - last, last)?;
    if !last_bytes.ends_with(&MARKER) {
        return without_marker(file);
    }
    let Some(place) = Place::of(&last_bytes) else {
        return if resembles_locator(&last_bytes) {
            Err(damaged(
                "the index's locator, before the file's last 28 bytes, is damaged",
            ))
        } else {
            Ok(Tail::Marker)
        };
    };
    if place.offset.checked_add(place.length) != Some(file.size() - last)
        || place.length > size(MOST)
    {
        return Err(damaged("the index is not where its locator says"));
    }
    let bytes = fetch(file, place.offset, place.length)?;
    place.open(&bytes).map(Tail::Index)
}

/// The tail of a file whose last bytes are not the marker: there may be zero bytes after it.
fn without_marker(file: &dyn ReadAt) -> Result<Tail, ReadError> {
    let unpadded = unpadded(file)?;
    if let Some(end) = marker_end(file, unpadded)? {
        let last = end.min(size(LAST));
        return match Place::of(&fetch(file, end - last, last)?) {
            Some(_) => Err(after_the_marker(end - size(MARKER.len()))),
            None => Ok(Tail::Marker),
        };
    }
    Ok(match ends_in_a_block(file, unpadded)? {
        true => Tail::NoMarker,
        false => Tail::Foreign,
    })
}

/// Where the last member of a file without index ends: before the zero bytes that may follow its marker.
pub(crate) fn end_of_members(file: &dyn ReadAt) -> Result<u64, ReadError> {
    Ok(marker_end(file, unpadded(file)?)?.unwrap_or(file.size()))
}

/// How long a file is without the zero bytes that it ends with.
fn unpadded(file: &dyn ReadAt) -> Result<u64, ReadError> {
    let mut end = file.size();
    let mut step = size(LAST);
    while end > 0 {
        let length = end.min(step);
        let bytes = fetch(file, end - length, length)?;
        let found = bytes.iter().rposition(|byte| *byte != 0);
        end -= length - found.map_or(0, |at| size(at) + 1);
        // The last bytes of a member may be zero too.
        if file.size() - end > MOST_PADDING + size(MARKER.len()) {
            return Err(too_much_padding(end));
        }
        if found.is_some() {
            break;
        }
        step = STEP;
    }
    Ok(end)
}

/// Where the marker ends whose last byte that is not zero comes before `unpadded`, if that is one.
fn marker_end(file: &dyn ReadAt, unpadded: u64) -> Result<Option<u64>, ReadError> {
    let zeros = MARKER.iter().rev().take_while(|byte| **byte == 0).count();
    let (start, end) = MARKER.split_at(MARKER.len() - zeros);
    let end = unpadded + size(end.len());
    match unpadded.checked_sub(size(start.len())) {
        Some(at) if end <= file.size() => {
            let found = fetch(file, at, size(start.len()))? == start;
            Ok(found.then_some(end))
        }
        _ => Ok(None),
    }
}

/// Whether the last member, whole or cut, is a BGZF block of a file that begins with one.
fn ends_in_a_block(file: &dyn ReadAt, unpadded: u64) -> Result<bool, ReadError> {
    let first = fetch(file, 0, file.size().min(size(BEFORE)))?;
    if Header::of(&first) == Header::Short {
        return Ok(true);
    }
    let subfield = 12..14;
    if !first.starts_with(&HEADER[..4]) || first.get(subfield.clone()) != Some(&HEADER[subfield]) {
        return Ok(false);
    }
    // A member's own last bytes may be zero.
    let end = file.size().min(unpadded + size(LIMIT));
    let from = unpadded.saturating_sub(size(LIMIT));
    let last = fetch(file, from, end - from)?;
    // What is shorter could begin anything.
    let begins = |at: &usize| last[*at..].starts_with(&HEADER[..4]);
    let mut places = (0..last.len()).filter(begins);
    Ok(places.any(|at| blocks_to_the_end(&last[at..])))
}

/// Whether from here on there are BGZF blocks, the last of them whole or cut, and at most zero bytes after them; or the
/// end of an index, after which nothing else may come.
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

fn fetch(file: &dyn ReadAt, offset: u64, length: u64) -> Result<Vec<u8>, ReadError> {
    let length = usize::try_from(length).map_err(|_| damaged("the index is too large"))?;
    let bytes = file.read_at(offset, length).map_err(ReadError::Io)?;
    if bytes.len() == length {
        Ok(bytes)
    } else {
        Err(ReadError::Io(io::ErrorKind::UnexpectedEof.into()))
    }
}

/// Whether the file's last bytes were a locator once: most bytes that do not depend on its numbers are right.
fn resembles_locator(last: &[u8]) -> bool {
    let blank = Place {
        offset: 0,
        length: 0,
        crc32: 0,
    }
    .locator();
    let Some(locator) = last
        .len()
        .checked_sub(LAST)
        .map(|from| &last[from..from + LOCATOR])
    else {
        return false;
    };
    let wrong = blank
        .iter()
        .zip(locator)
        .take(BEFORE + STORED + LOCATOR_LINE)
        .filter(|(wanted, found)| **wanted != b'0' && wanted != found)
        .count();
    wrong <= 8
}

/// The lines of an index's members.
fn text(mut bytes: &[u8], offset: u64) -> Result<String, ReadError> {
    let wrong = || damaged(format!("the index at byte {offset} is damaged"));
    let mut codec = codec::decompressor();
    let mut text = Vec::new();
    while !bytes.is_empty() {
        let Header::Block(length) = Header::of(bytes) else {
            return Err(wrong());
        };
        let (member, rest) = bytes.split_at_checked(length).ok_or_else(wrong)?;
        let start = text.len();
        text.resize(start + member::isize(member).min(LIMIT), 0);
        member::unpack(member, &mut text[start..], codec.as_mut()).map_err(|_| wrong())?;
        bytes = rest;
        if text.len() > MOST {
            return Err(damaged("the index is larger than 16 MiB"));
        }
    }
    String::from_utf8(text).map_err(|_| wrong())
}

/// Checks that the sections follow each other from the file's beginning to the index, without a gap, and
/// that each is there once: a name must lead to one place. No sum of their lengths overflows then.
fn check_places(index: &Index, end: u64) -> Result<(), ReadError> {
    let (mut offset, mut sql_offset) = (0_u64, 0_u64);
    let mut kinds = HashSet::new();
    for section in &index.sections {
        if !kinds.insert(&section.kind) {
            return Err(damaged(format!(
                "the index is not true: it has {} twice",
                section.kind
            )));
        }
        if section.offset != offset || section.sql_offset != sql_offset {
            return Err(damaged(format!(
                "the index is not true: {} does not begin where the section before it ends",
                section.kind
            )));
        }
        let ends = offset
            .checked_add(section.length)
            .zip(sql_offset.checked_add(section.sql_length));
        (offset, sql_offset) = ends.ok_or_else(|| {
            damaged(format!(
                "the index is not true: {} is longer than any file",
                section.kind
            ))
        })?;
    }
    if offset != end {
        return Err(damaged(
            "the index is not true: its sections do not end where it begins",
        ));
    }
    Ok(())
}
