//! Decompresses gzip members of any kind, one after the other.

use std::io::Read;
use std::sync::mpsc::{Receiver, Sender};

use crate::audit::Audit;
use crate::blocks::thread_lost;
use crate::codec::{self, Corrupt, Decompress};
use crate::frames::{Batch, Last, cut, damaged_marker, is_damaged_marker};
use crate::member::{BEFORE, HEADER, Header, size};
use crate::reader::damaged;
use crate::tail::{LOCATOR, MOST_PADDING, head, is_locator};
use crate::{Ending, MARKER, ReadError};

/// The file's bytes, a batch at a time.
pub(crate) enum Chunks {
    Here {
        input: Box<dyn Read + Send>,
        batch: Batch,
        audit: Audit,
    },
    Pool {
        batches: Receiver<Result<Batch, ReadError>>,
        batch: Option<Batch>,
        give_free: Sender<Batch>,
        audit: Receiver<Audit>,
    },
}

impl Chunks {
    /// Goes on to the next bytes.
    fn advance(&mut self, offset: u64) -> Result<(), ReadError> {
        match self {
            Self::Here {
                input,
                batch,
                audit,
            } => {
                batch.read(input.as_mut(), offset)?;
                audit.take(batch);
            }
            Self::Pool {
                batches,
                batch,
                give_free,
                ..
            } => {
                if let Some(seen) = batch.take() {
                    // At the file's end nobody takes it any more.
                    let _ = give_free.send(seen);
                }
                *batch = Some(batches.recv().unwrap_or_else(|_| Err(thread_lost()))?);
            }
        }
        Ok(())
    }

    /// The bytes at hand.
    fn bytes(&self) -> &[u8] {
        match self {
            Self::Here { batch, .. } => batch.bytes(),
            Self::Pool { batch, .. } => batch.as_ref().map_or(&[], Batch::bytes),
        }
    }

    fn audit(self) -> Result<Audit, ReadError> {
        match self {
            Self::Here { audit, .. } => Ok(audit),
            Self::Pool { audit, .. } => audit.recv().map_err(|_| thread_lost()),
        }
    }
}

/// Decompresses member after member.
pub(crate) struct Inflater {
    chunks: Chunks,
    /// How much of the bytes at hand was used.
    at: usize,
    /// The same in the file.
    offset: u64,
    /// There are no more bytes.
    ended: bool,
    codec: Box<dyn Decompress>,
    /// Where the member begins that is being read, its header done.
    member: Option<u64>,
    /// Its first bytes: as many as tell what of ours it may be.
    raw: Vec<u8>,
    members: u64,
    sql_size: u64,
    /// The member that came last.
    last: Option<Last>,
    /// Whether any member was no BGZF block.
    plain: bool,
    /// The index's first member.
    head: Vec<u8>,
}

const DATA: &str = "its compressed data is not what was written";

const FHCRC: u8 = 2;
const FEXTRA: u8 = 4;
const FNAME: u8 = 8;
const FCOMMENT: u8 = 16;
const RESERVED: u8 = 0xe0;

impl Inflater {
    pub(crate) fn new(chunks: Chunks, offset: u64, last: Option<Last>) -> Self {
        Self {
            chunks,
            at: 0,
            offset,
            ended: false,
            codec: codec::decompressor(),
            member: None,
            raw: Vec::with_capacity(LOCATOR + 1),
            members: 0,
            sql_size: 0,
            last,
            plain: false,
            head: head(),
        }
    }

    pub(crate) fn audit(self) -> Result<Audit, ReadError> {
        let mut audit = self.chunks.audit()?;
        audit.stream(self.members, self.sql_size);
        Ok(audit)
    }

    /// How the file has ended.
    pub(crate) fn ending(&self) -> Ending {
        match self.last {
            Some(Last::Block) => Ending::NoMarker,
            // It is the marker of the BGZF blocks before it, and says nothing of the others.
            Some(Last::Marker) if !self.plain => Ending::Marker,
            _ => Ending::Foreign,
        }
    }

    /// Fills `out`, or as much of it as there is; says how much.
    pub(crate) fn fill(&mut self, out: &mut [u8]) -> Result<usize, ReadError> {
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
        self.sql_size += size(filled);
        Ok(filled)
    }

    /// Goes on with a member after its header, up to its end or the end of the bytes at hand.
    fn body(&mut self, member: u64, out: &mut [u8]) -> Result<usize, ReadError> {
        if !self.more()? {
            return Err(cut(self.offset, member));
        }
        let input = &self.chunks.bytes()[self.at..];
        let step = self
            .codec
            .stream(input, out)
            .map_err(|corrupt| match corrupt {
                Corrupt::Data => wrong(member, DATA),
                Corrupt::Sum => wrong(member, "its CRC-32 or its length is wrong"),
            })?;
        if step.read == 0 && step.written == 0 && !step.ended {
            return Err(wrong(member, DATA));
        }
        self.used(step.read);
        if step.ended {
            self.end_member(member)?;
        }
        Ok(step.written)
    }

    /// A member has ended: what kind it was.
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
            true if self.raw == MARKER => Last::Marker,
            true => Last::Block,
            false => Last::Plain,
        };
        if kind == Last::Block && Header::of(&self.raw) != Header::Block(self.length(start)) {
            return Err(wrong(start, "it is a BGZF block of another length"));
        }
        self.plain |= kind == Last::Plain;
        self.last = Some(kind);
        Ok(())
    }

    /// How many bytes were used since then.
    fn length(&self, start: u64) -> usize {
        usize::try_from(self.offset - start).unwrap_or(usize::MAX)
    }

    /// Whether nothing but zero bytes follow the last member: a tape's or a disk's padding, which gunzip passes over.
    fn is_padding(&mut self) -> Result<bool, ReadError> {
        let start = self.offset;
        if self.last.is_none() || self.chunks.bytes()[self.at] != 0 {
            return Ok(false);
        }
        while self.more()? {
            let rest = &self.chunks.bytes()[self.at..];
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
            return Err(wrong(start, "its header is not gzip's"));
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
                return Err(wrong(start, "its header's CRC-16 is wrong"));
            }
        }
        Ok(start)
    }

    fn keep(&mut self, count: usize, member: u64, header: &mut Vec<u8>) -> Result<(), ReadError> {
        for _ in 0..count {
            let [byte] = self.take(member)?;
            header.push(byte);
        }
        Ok(())
    }

    /// Passes over a text that ends in a zero byte.
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
            *byte = self.chunks.bytes()[self.at];
            self.used(1);
        }
        Ok(taken)
    }

    /// Whether there are bytes at hand; gets more if need be.
    fn more(&mut self) -> Result<bool, ReadError> {
        if self.at == self.chunks.bytes().len() && !self.ended {
            self.chunks.advance(self.offset)?;
            self.at = 0;
            self.ended = self.chunks.bytes().is_empty();
        }
        Ok(!self.ended)
    }

    fn used(&mut self, count: usize) {
        // One more than the longest of ours, so that what is longer is none.
        let wanted = (LOCATOR + 1 - self.raw.len()).min(count);
        let used = &self.chunks.bytes()[self.at..self.at + wanted];
        self.raw.extend_from_slice(used);
        self.at += count;
        self.offset += size(count);
    }
}

fn no_gzip(at: u64) -> ReadError {
    damaged(format!(
        "at byte {at}, after the last member, there are bytes that are no gzip"
    ))
}

/// More than any medium pads with is a file system's way to lose a tail.
pub(crate) fn too_much_padding(at: u64) -> ReadError {
    damaged(format!(
        "from byte {at} on, after the last member, there are more than 64 MiB of zero bytes"
    ))
}

fn wrong(member: u64, what: &str) -> ReadError {
    damaged(format!("the member at byte {member} is damaged: {what}"))
}
