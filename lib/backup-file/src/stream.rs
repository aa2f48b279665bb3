//! Reads gzip streams of other programs (RFC 1952): one deflate stream after the other, in one thread at a
//! time, while another reads ahead and keeps the audit.

use std::io::Read;
use std::sync::mpsc::{self, Receiver, Sender};

use crate::ReadError;
use crate::audit::Audit;
use crate::blocks::{spawn, thread_lost};
use crate::codec::{self, Corrupt, Decompress};
use crate::frames::{Batch, cut};
use crate::member::{HEADER, size};
use crate::reader::damaged;

/// How much SQL is handed out at once.
const PIECE: usize = 512 << 10;
/// How many pieces go round between the thread that decompresses and the caller.
const PIECES: usize = 4;
/// How many batches of the file go round.
const BATCHES: usize = 8;

/// All in the calling thread.
pub(crate) struct Here {
    inflater: Inflater,
    piece: Vec<u8>,
    filled: usize,
}

impl Here {
    pub(crate) fn new(input: Box<dyn Read + Send>) -> Self {
        Self {
            inflater: Inflater::new(Chunks::Here {
                input,
                batch: Batch::new(),
                audit: Audit::new(),
            }),
            piece: vec![0; PIECE],
            filled: 0,
        }
    }

    /// The next piece; empty at the end.
    pub(crate) fn next(&mut self) -> Result<&[u8], ReadError> {
        self.filled = self.inflater.fill(&mut self.piece)?;
        Ok(self.sql())
    }

    /// The piece that came last.
    pub(crate) fn sql(&self) -> &[u8] {
        &self.piece[..self.filled]
    }

    pub(crate) fn audit(self) -> Result<Audit, ReadError> {
        self.inflater.audit()
    }
}

/// One thread reads and keeps the audit, one decompresses.
pub(crate) struct Pool {
    pieces: Receiver<Result<Vec<u8>, ReadError>>,
    give_free: Sender<Vec<u8>>,
    piece: Vec<u8>,
    audit: Receiver<Result<Audit, ReadError>>,
}

impl Pool {
    pub(crate) fn new(mut input: Box<dyn Read + Send>) -> Result<Self, ReadError> {
        let (give_free_batch, free_batches) = mpsc::channel();
        for _ in 0..BATCHES {
            // The receiver is there.
            let _ = give_free_batch.send(Batch::new());
        }
        let (send_batch, batches) = mpsc::channel();
        let (send_file, file) = mpsc::channel();
        // It may wait for its input when nobody wants it any more: nobody waits for it.
        spawn("read", move || {
            let mut audit = Audit::new();
            let mut offset = 0;
            for mut batch in free_batches {
                let read = batch.read(input.as_mut(), offset);
                audit.take(&batch);
                offset += size(batch.bytes().len());
                let more = matches!(read, Ok(true));
                if send_batch.send(read.map(|_| batch)).is_err() || !more {
                    break;
                }
            }
            // If nobody wants it, the reader was dropped.
            let _ = send_file.send(audit);
        })?;
        let (give_free, free) = mpsc::channel::<Vec<u8>>();
        for _ in 0..PIECES {
            // The receiver is there.
            let _ = give_free.send(Vec::new());
        }
        let (send_piece, pieces) = mpsc::channel();
        let (send_audit, audit) = mpsc::channel();
        spawn("inflate", move || {
            let mut inflater = Inflater::new(Chunks::Pool {
                batches,
                batch: None,
                give_free: give_free_batch,
                audit: file,
            });
            for mut piece in free {
                piece.resize(PIECE, 0);
                let filled = inflater.fill(&mut piece);
                let more = matches!(filled, Ok(1..));
                let piece = filled.map(|filled| {
                    piece.truncate(filled);
                    piece
                });
                if send_piece.send(piece).is_err() || !more {
                    break;
                }
            }
            // If nobody wants it, the reader was dropped.
            let _ = send_audit.send(inflater.audit());
        })?;
        Ok(Self {
            pieces,
            give_free,
            piece: Vec::new(),
            audit,
        })
    }

    /// The next piece; empty at the end.
    pub(crate) fn next(&mut self) -> Result<&[u8], ReadError> {
        // After the last piece nobody takes it any more.
        let _ = self.give_free.send(std::mem::take(&mut self.piece));
        self.piece = self.pieces.recv().unwrap_or_else(|_| Err(thread_lost()))?;
        Ok(&self.piece)
    }

    /// The piece that came last.
    pub(crate) fn sql(&self) -> &[u8] {
        &self.piece
    }

    pub(crate) fn audit(self) -> Result<Audit, ReadError> {
        self.audit.recv().unwrap_or_else(|_| Err(thread_lost()))
    }
}

/// The file's bytes, a batch at a time.
enum Chunks {
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
struct Inflater {
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
    members: u64,
    sql_size: u64,
}

const DATA: &str = "its compressed data is not what was written";

const FHCRC: u8 = 2;
const FEXTRA: u8 = 4;
const FNAME: u8 = 8;
const FCOMMENT: u8 = 16;
const RESERVED: u8 = 0xe0;

impl Inflater {
    fn new(chunks: Chunks) -> Self {
        Self {
            chunks,
            at: 0,
            offset: 0,
            ended: false,
            codec: codec::decompressor(),
            member: None,
            members: 0,
            sql_size: 0,
        }
    }

    fn audit(self) -> Result<Audit, ReadError> {
        let mut audit = self.chunks.audit()?;
        audit.stream(self.members, self.sql_size);
        Ok(audit)
    }

    /// Fills `out`, or as much of it as there is; says how much.
    fn fill(&mut self, out: &mut [u8]) -> Result<usize, ReadError> {
        let mut filled = 0;
        while filled < out.len() {
            match self.member {
                Some(member) => filled += self.body(member, &mut out[filled..])?,
                None => {
                    if !self.more()? {
                        break;
                    }
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
            self.members += 1;
            self.member = None;
        }
        Ok(step.written)
    }

    /// Reads a member's header, and says where it begins.
    fn header(&mut self) -> Result<u64, ReadError> {
        let start = self.offset;
        let mut header = Vec::with_capacity(HEADER.len());
        self.keep(2, start, &mut header)?;
        if header != HEADER[..2] {
            return Err(if start == 0 {
                damaged("this is no gzip file")
            } else {
                damaged(format!(
                    "at byte {start}, after the last member, there are bytes that are no gzip"
                ))
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
        // Only the members of a file that begins otherwise come here.
        if header.starts_with(&HEADER) {
            return Err(damaged(format!(
                "the member at byte {start} is a BGZF block, those before it are not: their header is damaged"
            )));
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
        self.at += count;
        self.offset += size(count);
    }
}

fn wrong(member: u64, what: &str) -> ReadError {
    damaged(format!("the member at byte {member} is damaged: {what}"))
}
