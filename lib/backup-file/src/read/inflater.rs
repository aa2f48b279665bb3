//! Decompresses gzip members of any kind, one after the other.

use std::io::{self, Read};

use super::batch::LastMember;
use super::chunks::{Chunk, Chunks};
use super::padding::{MOST_PADDING, too_much_padding};
use super::report::Ending;
use crate::codec::{self, Corrupt, Decompress};
use crate::format::error::{ReadError, cut, damaged, damaged_member};
use crate::format::locator::{LOCATOR, is_locator};
use crate::format::marker::{MARKER, damaged_marker, is_damaged_marker};
use crate::format::member::{BEFORE, HEADER, Header, as_u64};
use crate::format::tail::head;
use crate::workers::read_ahead::ReadAhead;

/// Decompresses member after member.
pub(super) struct Inflater {
    chunks: ReadAhead<Chunks>,
    /// How much of the bytes at hand was used.
    at: usize,
    /// Where the next byte is in the file.
    offset: u64,
    /// Where the first byte was in the file.
    start: u64,
    /// There are no more bytes.
    ended: bool,
    codec: Box<dyn Decompress>,
    /// Where the member begins whose header was read and whose end was not.
    member: Option<u64>,
    /// The first bytes of that member: enough to recognize the members that only we write.
    raw: Vec<u8>,
    members: u64,
    sql_size: u64,
    /// The member that came last.
    last: Option<LastMember>,
    /// Whether any member was no BGZF block.
    plain: bool,
    /// The index's first member.
    head: Vec<u8>,
}

/// What an inflater has read when it has ended.
#[derive(Debug, Clone, Copy)]
pub(super) struct Totals {
    /// Bytes of the file.
    pub(super) size: u64,
    pub(super) members: u64,
    pub(super) sql_size: u64,
    /// How the file has ended.
    pub(super) ending: Ending,
}

const DATA: &str = "its compressed data is not what was written";

const FHCRC: u8 = 2;
const FEXTRA: u8 = 4;
const FNAME: u8 = 8;
const FCOMMENT: u8 = 16;
const RESERVED: u8 = 0xe0;

impl Inflater {
    /// Reads what is left of a file from its byte `start` on; `last` is the BGZF member before it, if there is one.
    /// `threads` read ahead, the one that decompresses among them.
    pub(super) fn new(
        input: Box<dyn Read + Send>,
        threads: usize,
        start: u64,
        last: Option<LastMember>,
    ) -> io::Result<Self> {
        Ok(Self {
            chunks: ReadAhead::new(Chunks::new(input), threads)?,
            at: 0,
            offset: start,
            start,
            ended: false,
            codec: codec::decompressor(),
            member: None,
            raw: Vec::with_capacity(LOCATOR + 1),
            members: 0,
            sql_size: 0,
            last,
            plain: false,
            head: head(),
        })
    }

    /// What was read, when all was.
    pub(super) fn totals(&self) -> Totals {
        Totals {
            size: self.offset - self.start,
            members: self.members,
            sql_size: self.sql_size,
            ending: self.ending(),
        }
    }

    fn ending(&self) -> Ending {
        match self.last {
            Some(LastMember::Block) => Ending::NoMarker,
            // A marker ends the BGZF blocks before it, and says nothing of other members.
            Some(LastMember::Marker) if !self.plain => Ending::Marker,
            _ => Ending::Foreign,
        }
    }

    /// Fills `out`, or as much of it as there is; says how much.
    pub(super) fn fill(&mut self, out: &mut [u8]) -> Result<usize, ReadError> {
        let mut filled = 0;
        while filled < out.len() {
            match self.member {
                Some(member) => filled += self.body(member, &mut out[filled..])?,
                None => {
                    if !self.more()? || self.is_padding()? {
                        break;
                    }
                    self.raw.clear();
                    self.member = Some(self.header()?);
                    self.codec.restart();
                }
            }
        }
        self.sql_size += as_u64(filled);
        Ok(filled)
    }

    /// Decompresses more of a member, up to its end or the end of the bytes at hand.
    fn body(&mut self, member: u64, out: &mut [u8]) -> Result<usize, ReadError> {
        if !self.more()? {
            return Err(cut(self.offset, member));
        }
        let input = &at_hand(&self.chunks)[self.at..];
        let step = self
            .codec
            .stream(input, out)
            .map_err(|corrupt| match corrupt {
                Corrupt::Data => damaged_member(member, DATA),
                Corrupt::Sum => damaged_member(member, "its CRC-32 or its length is wrong"),
            })?;
        if step.read == 0 && step.written == 0 && !step.ended {
            return Err(damaged_member(member, DATA));
        }
        self.used(step.read);
        if step.ended {
            self.end_member(member)?;
        }
        Ok(step.written)
    }

    /// A member has ended: tells by its first bytes of what kind it was.
    fn end_member(&mut self, start: u64) -> Result<(), ReadError> {
        self.members += 1;
        self.member = None;
        if self.raw == self.head || is_locator(&self.raw) {
            return Err(damaged(format!(
                "at byte {start} there is an index of pgdump-gz, but the file is not one backup of pgdump-gz: a header before it is damaged, or files were put together"
            )));
        }
        if is_damaged_marker(&self.raw) {
            return Err(damaged_marker(start));
        }
        let kind = match self.raw.starts_with(&HEADER) {
            true if self.raw == MARKER => LastMember::Marker,
            true => LastMember::Block,
            false => LastMember::Plain,
        };
        if kind == LastMember::Block
            && Header::of(&self.raw) != Header::Block(self.length_since(start))
        {
            return Err(damaged_member(
                start,
                "it is a BGZF block of another length",
            ));
        }
        self.plain |= kind == LastMember::Plain;
        self.last = Some(kind);
        Ok(())
    }

    /// How many bytes were used since byte `start` of the file.
    fn length_since(&self, start: u64) -> usize {
        usize::try_from(self.offset - start).unwrap_or(usize::MAX)
    }

    /// Whether nothing but zero bytes follow the last member: the padding of a tape or a disk, which gunzip ignores.
    fn is_padding(&mut self) -> Result<bool, ReadError> {
        let start = self.offset;
        if self.last.is_none() || at_hand(&self.chunks)[self.at] != 0 {
            return Ok(false);
        }
        while self.more()? {
            let rest = &at_hand(&self.chunks)[self.at..];
            let zeros = rest.iter().take_while(|byte| **byte == 0).count();
            if zeros < rest.len() {
                return Err(no_gzip(start));
            }
            self.used(zeros);
            if self.offset - start > MOST_PADDING {
                return Err(too_much_padding(start));
            }
        }
        Ok(true)
    }

    /// Reads a member's header, and says where it begins.
    fn header(&mut self) -> Result<u64, ReadError> {
        let start = self.offset;
        let mut header = Vec::with_capacity(BEFORE);
        self.keep(2, start, &mut header)?;
        if header != HEADER[..2] {
            return Err(if start == 0 {
                damaged("this is no gzip file")
            } else {
                no_gzip(start)
            });
        }
        self.keep(8, start, &mut header)?;
        let flags = header[3];
        if header[2] != 8 || flags & RESERVED != 0 {
            return Err(damaged_member(start, "its header is not gzip's"));
        }
        if flags & FEXTRA != 0 {
            self.keep(2, start, &mut header)?;
            let length = u16::from_le_bytes([header[10], header[11]]);
            self.keep(usize::from(length), start, &mut header)?;
        }
        let mut sum = crc32fast::Hasher::new();
        sum.update(&header);
        for text in [FNAME, FCOMMENT] {
            if flags & text != 0 {
                self.skip_text(start, &mut sum)?;
            }
        }
        if flags & FHCRC != 0 {
            let wanted = u32::from(u16::from_le_bytes(self.take(start)?));
            if wanted != sum.finalize() & 0xffff {
                return Err(damaged_member(start, "its header's CRC-16 is wrong"));
            }
        }
        Ok(start)
    }

    /// Reads `count` more bytes of a header.
    fn keep(&mut self, count: usize, member: u64, header: &mut Vec<u8>) -> Result<(), ReadError> {
        for _ in 0..count {
            let [byte] = self.take(member)?;
            header.push(byte);
        }
        Ok(())
    }

    /// Skips a text that ends in a zero byte.
    fn skip_text(&mut self, member: u64, sum: &mut crc32fast::Hasher) -> Result<(), ReadError> {
        loop {
            let byte = self.take::<1>(member)?;
            sum.update(&byte);
            if byte == [0] {
                return Ok(());
            }
        }
    }

    /// The next bytes of the member at byte `member`.
    fn take<const N: usize>(&mut self, member: u64) -> Result<[u8; N], ReadError> {
        let mut taken = [0; N];
        for byte in &mut taken {
            if !self.more()? {
                return Err(cut(self.offset, member));
            }
            *byte = at_hand(&self.chunks)[self.at];
            self.used(1);
        }
        Ok(taken)
    }

    /// Whether there are bytes at hand; gets more if need be.
    fn more(&mut self) -> Result<bool, ReadError> {
        if self.at == at_hand(&self.chunks).len() && !self.ended {
            let chunk = self.chunks.next().map_err(ReadError::Io)?;
            if let Some(error) = chunk.error.take() {
                return Err(error);
            }
            self.at = 0;
            self.ended = chunk.bytes().is_empty();
        }
        Ok(!self.ended)
    }

    /// `count` more of the bytes at hand were used.
    fn used(&mut self, count: usize) {
        // One more than the longest member that only we write: what is longer is none of them.
        let wanted = (LOCATOR + 1 - self.raw.len()).min(count);
        let used = &at_hand(&self.chunks)[self.at..self.at + wanted];
        self.raw.extend_from_slice(used);
        self.at += count;
        self.offset += as_u64(count);
    }
}

/// The bytes that were read last, used or not.
fn at_hand(chunks: &ReadAhead<Chunks>) -> &[u8] {
    chunks.current().map_or(&[], Chunk::bytes)
}

fn no_gzip(at: u64) -> ReadError {
    damaged(format!(
        "at byte {at}, after the last member, there are bytes that are no gzip"
    ))
}
