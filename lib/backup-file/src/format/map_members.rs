//! A map as members: its head, and its lines cut as a section's SQL is.

use std::io;

use memchr::memchr;
use pg_text::PgText;

use super::error::{ReadError, damaged};
use super::index::{MapPlace, Section};
use super::map::{Checkpoints, Layout, MOST_MAP, Map};
use super::map_text::{Parser, write_lines};
use super::member::{self, BLOCK, Header, LIMIT, MAP_HEAD_LINE, Packer};
use crate::codec;

/// A map's first member, the same in every map.
pub(crate) fn head() -> Vec<u8> {
    let mut head = Vec::new();
    member::stored(&mut head, MAP_HEAD_LINE);
    head
}

/// The members of the map of a section of this length. None if they, or their text, would be larger than a map may be, or
/// if the layout cannot be true.
pub(crate) fn write(
    database: &PgText,
    sql_length: u64,
    layout: &Layout,
    checkpoints: &Checkpoints,
    packer: &mut Packer,
) -> io::Result<Option<Vec<u8>>> {
    if !layout.is_sound(sql_length) {
        return Ok(None);
    }
    let mut members = head();
    let mut text: Vec<u8> = Vec::new();
    let mut length = MAP_HEAD_LINE.len();
    write_lines(database, layout, checkpoints, &mut |line| {
        length += line.len();
        if length > MOST_MAP {
            return Ok(());
        }
        text.extend_from_slice(line.as_bytes());
        // The last block is cut when it is known to be the last.
        while text.len() > BLOCK {
            packer.pack(&mut members, &text[..BLOCK]);
            text.drain(..BLOCK);
        }
        Ok(())
    })?;
    for block in member::blocks(&text, true) {
        packer.pack(&mut members, block);
    }
    Ok((length.max(members.len()) <= MOST_MAP).then_some(members))
}

/// The map of a database out of its members, where the index said that they are.
pub(crate) fn parse(
    members: &[u8],
    place: &MapPlace,
    section: &Section,
    database: &PgText,
) -> Result<Map, ReadError> {
    let wrong = |what: &str| {
        damaged(format!(
            "the map of {} at byte {} is damaged: {what}",
            section.kind, place.offset
        ))
    };
    if crc32fast::hash(members) != place.crc32 {
        return Err(wrong("its CRC-32 is not the index's"));
    }
    let mut members = members
        .strip_prefix(head().as_slice())
        .ok_or_else(|| wrong("it does not begin as a map begins"))?;
    let mut codec = codec::decompressor();
    let mut parser = Parser::new(section, database);
    let (mut text, mut sum) = (Vec::new(), 0);
    while !members.is_empty() {
        let Header::Block(length) = Header::of(members) else {
            return Err(wrong("what follows is no member"));
        };
        let (member, rest) = members
            .split_at_checked(length)
            .ok_or_else(|| wrong("its last member is cut"))?;
        let start = text.len();
        text.resize(start + member::sql_length(member).min(LIMIT), 0);
        member::unpack(member, &mut text[start..], codec.as_mut()).map_err(wrong)?;
        sum += text.len() - start;
        if sum > MOST_MAP {
            return Err(wrong("it is larger than 16 MiB"));
        }
        members = rest;
        let mut lines = text.as_slice();
        while let Some(end) = memchr(b'\n', lines) {
            parser.line(&lines[..end])?;
            lines = &lines[end + 1..];
        }
        let left = lines.len();
        text.drain(..text.len() - left);
    }
    match text.is_empty() {
        true => parser.finish(),
        false => Err(wrong("its last line has no end")),
    }
}
