//! The end of a backup as bytes, after its maps: the index, its locator, the marker.

use std::collections::HashSet;
use std::io;

use super::error::{ReadError, damaged};
use super::index::{Index, SectionKind};
use super::index_text::{self, write_lines};
use super::locator::{LOCATOR_AND_MARKER, Locator};
use super::marker::MARKER;
use super::member::{self, HEAD_LINE, Header, LIMIT, Packer, as_u64};
use crate::codec;

/// The most that an index may take, compressed or not.
pub(crate) const MOST_INDEX: usize = 16 << 20;

/// The index's first member, the same in every backup.
pub(crate) fn head() -> Vec<u8> {
    let mut head = Vec::new();
    member::stored(&mut head, HEAD_LINE);
    head
}

/// The whole tail of a file whose sections and maps end at `offset`: the index, its locator, the marker.
pub(crate) fn write(index: &Index, offset: u64, packer: &mut Packer) -> io::Result<Vec<u8>> {
    let text = write_lines(index)?;
    let mut tail = head();
    for block in member::blocks(text.as_bytes(), true) {
        packer.pack(&mut tail, block);
    }
    if text.len() > MOST_INDEX || tail.len() > MOST_INDEX {
        return Err(io::Error::other(
            "the index would be larger than 16 MiB: too many databases",
        ));
    }
    let locator = Locator {
        offset,
        length: as_u64(tail.len()),
        crc32: crc32fast::hash(&tail),
    };
    tail.extend_from_slice(&locator.member());
    tail.extend_from_slice(&MARKER);
    Ok(tail)
}

/// The index out of a whole tail, which begins at byte `start` of the file.
pub(crate) fn parse(tail: &[u8], start: u64) -> Result<Index, ReadError> {
    let broken = || damaged("the index has no true locator after it");
    let (index, last) = tail
        .split_at_checked(tail.len().saturating_sub(LOCATOR_AND_MARKER))
        .ok_or_else(broken)?;
    let locator = Locator::at_end_of(last).ok_or_else(broken)?;
    if locator.offset != start || locator.length != as_u64(index.len()) {
        return Err(damaged(format!(
            "the index is not where its locator says: {} bytes at byte {}, not {} at {}",
            index.len(),
            start,
            locator.length,
            locator.offset
        )));
    }
    parse_index(index, &locator)
}

/// The index out of its members, where its locator said that they are.
pub(crate) fn parse_index(members: &[u8], locator: &Locator) -> Result<Index, ReadError> {
    if crc32fast::hash(members) != locator.crc32 {
        return Err(damaged(format!(
            "the index at byte {} is damaged: its CRC-32 is not the locator's",
            locator.offset
        )));
    }
    let index = index_text::parse(&text(members, locator.offset)?)?;
    check_sections(&index, locator.offset)?;
    Ok(index)
}

/// The lines in the members of an index that begins at byte `offset` of the file.
fn text(mut members: &[u8], offset: u64) -> Result<String, ReadError> {
    let wrong = || damaged(format!("the index at byte {offset} is damaged"));
    let mut codec = codec::decompressor();
    let mut text = Vec::new();
    while !members.is_empty() {
        let Header::Block(length) = Header::of(members) else {
            return Err(wrong());
        };
        let (member, rest) = members.split_at_checked(length).ok_or_else(wrong)?;
        let start = text.len();
        text.resize(start + member::sql_length(member).min(LIMIT), 0);
        member::unpack(member, &mut text[start..], codec.as_mut()).map_err(|_| wrong())?;
        members = rest;
        if text.len() > MOST_INDEX {
            return Err(damaged("the index is larger than 16 MiB"));
        }
    }
    String::from_utf8(text).map_err(|_| wrong())
}

/// Checks that the sections follow each other without a gap from the file's beginning, and the maps from there to the
/// index, and that each is there once: a name must lead to one place. After this no sum of their offsets and lengths
/// overflows.
fn check_sections(index: &Index, end: u64) -> Result<(), ReadError> {
    let (mut offset, mut sql_offset) = (0_u64, 0_u64);
    let mut kinds = HashSet::new();
    for section in &index.sections {
        if !kinds.insert(&section.kind) && !section.kind.may_repeat() {
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
    for section in &index.sections {
        let Some(map) = &section.map else { continue };
        let is_database = matches!(section.kind, SectionKind::Database(_));
        if !is_database || map.offset != offset {
            return Err(damaged(format!(
                "the index is not true: the map of {} does not begin where what is before it ends",
                section.kind
            )));
        }
        offset = offset.checked_add(map.length).ok_or_else(|| {
            damaged(format!(
                "the index is not true: the map of {} is longer than any file",
                section.kind
            ))
        })?;
    }
    if offset != end {
        return Err(damaged(
            "the index is not true: its sections and their maps do not end where it begins",
        ));
    }
    Ok(())
}
