//! One member: a BGZF block (SAM specification §4.1), bit for bit as `docs/format.md` has it.

use crate::codec::{self, Compress, Decompress};

/// How many bytes of SQL a member holds, unless it is a section's last.
pub(crate) const BLOCK: usize = 65_280;
/// The most that any program's BGZF block holds uncompressed, and the most that it takes in the file.
pub(crate) const LIMIT: usize = 65_536;
/// The first bytes of every header; BSIZE follows.
pub(crate) const HEADER: [u8; 16] = [
    0x1f, 0x8b, 0x08, 0x04, 0, 0, 0, 0, 0, 0xff, 0x06, 0, 0x42, 0x43, 0x02, 0,
];
/// Bytes before the deflate stream.
pub(crate) const BEFORE: usize = 18;
/// Bytes after the deflate stream: CRC-32 and ISIZE.
pub(crate) const AFTER: usize = 8;
/// Bytes that a stored deflate block takes beside what it stores.
pub(crate) const STORED: usize = 5;

/// The text of the index's first member, by which readers know the index: no block of a section may be the same.
pub(crate) const HEAD_LINE: &[u8] =
    b"-- index of this backup, one JSON object per line (format.md)\n";
/// The text of a map's first member, by which readers know a map.
pub(crate) const MAP_HEAD_LINE: &[u8] =
    b"-- map of a database, a JSON object or array per line (format.md)\n";

/// Cuts SQL into blocks, each to be a member. `last`: the section ends with this SQL.
pub(crate) fn blocks(sql: &[u8], last: bool) -> impl Iterator<Item = &[u8]> {
    let tail = match sql.chunks(BLOCK).next_back() {
        Some(block) if last && (block.len() == BLOCK || is_head(block)) => 1,
        _ => 0,
    };
    let (body, tail) = sql.split_at(sql.len() - tail);
    body.chunks(BLOCK).chain(tail.chunks(BLOCK))
}

/// Whether readers would take a block for the beginning of a map or of the index.
fn is_head(block: &[u8]) -> bool {
    block == HEAD_LINE || block == MAP_HEAD_LINE
}

/// Makes members.
pub(crate) struct Packer {
    codec: Box<dyn Compress>,
    /// Room for one deflate stream, no larger than the stored block that takes its place where compression gains nothing.
    deflate: Box<[u8]>,
}

impl Packer {
    pub(crate) fn new(level: u8) -> Self {
        Self {
            codec: codec::compressor(level),
            deflate: vec![0; STORED + BLOCK].into_boxed_slice(),
        }
    }

    /// Appends a member that holds `block` (at most [`BLOCK`] bytes), stored where compression gains nothing.
    pub(crate) fn pack(&mut self, out: &mut Vec<u8>, block: &[u8]) {
        let room = &mut self.deflate[..STORED + block.len()];
        match self.codec.compress(block, room) {
            Some(length) => {
                let start = begin(out);
                out.extend_from_slice(&room[..length]);
                end(out, start, block);
            }
            None => stored(out, block),
        }
    }
}

/// Appends a member that stores `block` (at most [`BLOCK`] bytes) as it is.
pub(crate) fn stored(out: &mut Vec<u8>, block: &[u8]) {
    let start = begin(out);
    let length = u16::try_from(block.len()).unwrap_or(u16::MAX);
    out.push(1);
    out.extend_from_slice(&length.to_le_bytes());
    out.extend_from_slice(&(!length).to_le_bytes());
    out.extend_from_slice(block);
    end(out, start, block);
}

/// Leaves room for a header, and returns where it begins.
fn begin(out: &mut Vec<u8>) -> usize {
    let start = out.len();
    out.resize(start + BEFORE, 0);
    start
}

/// Writes header and trailer around the deflate stream of the member that begins at `start`.
fn end(out: &mut Vec<u8>, start: usize, block: &[u8]) {
    let size = u32::try_from(block.len()).unwrap_or(u32::MAX);
    out.extend_from_slice(&crc32fast::hash(block).to_le_bytes());
    out.extend_from_slice(&size.to_le_bytes());
    let bsize = u16::try_from(out.len() - start - 1).unwrap_or(u16::MAX);
    out[start..start + HEADER.len()].copy_from_slice(&HEADER);
    out[start + HEADER.len()..start + BEFORE].copy_from_slice(&bsize.to_le_bytes());
}

/// What the first bytes of a member say, read strictly: in a file of ours another bit of the header is damage.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Header {
    /// A BGZF block of this many bytes.
    Block(usize),
    /// Not enough bytes to tell; what there is could begin a BGZF block.
    Short,
    /// No BGZF block.
    Other,
}

impl Header {
    pub(crate) fn of(bytes: &[u8]) -> Self {
        let known = bytes.len().min(HEADER.len());
        if bytes[..known] != HEADER[..known] {
            return Self::Other;
        }
        let Some(bsize) = bytes.get(HEADER.len()..BEFORE) else {
            return Self::Short;
        };
        block_length([bsize[0], bsize[1]]).map_or(Self::Other, Self::Block)
    }
}

/// Whether a member that begins with these bytes is a BGZF block of any program's: its header's time, flags and
/// operating system do not count.
pub(crate) fn is_bgzf(first: &[u8]) -> bool {
    let subfield = 12..14;
    first.starts_with(&HEADER[..4]) && first.get(subfield.clone()) == Some(&HEADER[subfield])
}

/// The length of any program's BGZF block by its header; none if the header is no such.
pub(crate) fn foreign_block_length(header: &[u8; BEFORE]) -> Option<usize> {
    let from_extra_length = 10..16;
    let proper = header[..4] == HEADER[..4]
        && header[from_extra_length.clone()] == HEADER[from_extra_length];
    proper
        .then(|| block_length([header[16], header[17]]))
        .flatten()
}

/// The length of a block by its header's BSIZE; none if it is too short for a block.
fn block_length(bsize: [u8; 2]) -> Option<usize> {
    // The shortest deflate stream has two bytes.
    const SHORTEST: usize = BEFORE + 2 + AFTER;
    let length = usize::from(u16::from_le_bytes(bsize)) + 1;
    (length >= SHORTEST).then_some(length)
}

/// Decompresses a whole member into `out`, which is as long as its ISIZE says. The error says what is wrong with it.
pub(crate) fn unpack(
    member: &[u8],
    out: &mut [u8],
    codec: &mut dyn Decompress,
) -> Result<(), &'static str> {
    let deflate = &member[BEFORE..member.len() - AFTER];
    codec
        .block(deflate, out)
        .map_err(|_| "its compressed data is not what was written")?;
    if crc32fast::hash(out) != last_u32(member, 4) {
        return Err("its CRC-32 is wrong");
    }
    Ok(())
}

/// How many bytes of SQL a whole member (of at least 28 bytes) holds, by its ISIZE.
pub(crate) fn sql_length(member: &[u8]) -> usize {
    usize::try_from(last_u32(member, 0)).unwrap_or(usize::MAX)
}

/// A length in memory as a length in a file.
pub(crate) fn as_u64(length: usize) -> u64 {
    u64::try_from(length).unwrap_or(u64::MAX)
}

fn last_u32(bytes: &[u8], before_end: usize) -> u32 {
    bytes[..bytes.len() - before_end]
        .last_chunk()
        .map_or(0, |four| u32::from_le_bytes(*four))
}

/// What each of these members holds.
#[cfg(test)]
pub(crate) fn unpack_all(mut members: &[u8]) -> Vec<Vec<u8>> {
    let mut blocks = Vec::new();
    while let Header::Block(length) = Header::of(members) {
        let (member, rest) = members.split_at(length);
        let mut block = vec![0; sql_length(member)];
        unpack(member, &mut block, codec::decompressor().as_mut()).unwrap();
        blocks.push(block);
        members = rest;
    }
    assert!(members.is_empty());
    blocks
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lengths(sql: &[u8], last: bool) -> Vec<usize> {
        blocks(sql, last).map(<[u8]>::len).collect()
    }

    #[test]
    fn a_section_ends_in_a_short_block() {
        let sql = vec![b'x'; 2 * BLOCK];
        assert_eq!(lengths(b"", true), [0; 0]);
        assert_eq!(lengths(&sql[..1], true), [1]);
        assert_eq!(lengths(&sql[..BLOCK - 1], true), [BLOCK - 1]);
        assert_eq!(lengths(&sql[..BLOCK], true), [BLOCK - 1, 1]);
        assert_eq!(lengths(&sql[..BLOCK + 1], true), [BLOCK, 1]);
        assert_eq!(lengths(&sql, true), [BLOCK, BLOCK - 1, 1]);
        assert_eq!(lengths(&sql, false), [BLOCK, BLOCK]);
    }

    #[test]
    fn no_block_is_the_index_s_head() {
        let length = HEAD_LINE.len();
        assert_eq!(lengths(HEAD_LINE, true), [length - 1, 1]);
        let after_a_block = [&[b'x'; BLOCK], HEAD_LINE].concat();
        assert_eq!(lengths(&after_a_block, true), [BLOCK, length - 1, 1]);
        assert_eq!(lengths(&[HEAD_LINE, b"\n"].concat(), true), [length + 1]);
    }

    #[test]
    fn what_gains_nothing_is_stored() {
        // Noise, so that no byte can be told by those before it.
        let mut state = 1_u32;
        let mut random = move || {
            state = state.wrapping_mul(747_796_405).wrapping_add(2_891_336_453);
            (state >> 24).to_le_bytes()[0]
        };
        let block: Vec<u8> = (0..BLOCK).map(|_| random()).collect();
        for level in codec::LEVELS {
            let mut member = Vec::new();
            Packer::new(level).pack(&mut member, &block);
            assert!(
                member.len() <= BEFORE + STORED + BLOCK + AFTER,
                "level {level}"
            );
            assert_eq!(Header::of(&member), Header::Block(member.len()));
            let mut out = vec![0; sql_length(&member)];
            unpack(&member, &mut out, codec::decompressor().as_mut()).unwrap();
            assert!(out == block);
        }
    }
}
