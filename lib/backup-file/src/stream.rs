//! Reads gzip streams of other programs (RFC 1952): one deflate stream after the other, in one thread at a
//! time, while another reads ahead and keeps the audit. Members may be of any kind, BGZF blocks among them, and zero
//! bytes may follow the last one, as gunzip reads it. A backup with its index is no such file.

use std::io::Read;
use std::sync::mpsc::{self, Receiver, Sender};

use crate::audit::Audit;
use crate::blocks::{spawn, thread_lost};
use crate::frames::{Batch, Last};
use crate::inflater::{Chunks, Inflater};
use crate::member::size;
use crate::{Ending, ReadError};

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
    /// `audit` and `last` are of the BGZF members that were read before, if there are any.
    pub(crate) fn new(input: Box<dyn Read + Send>, audit: Audit, last: Option<Last>) -> Self {
        let offset = audit.size();
        let chunks = Chunks::Here {
            input,
            batch: Batch::new(),
            audit,
        };
        Self {
            inflater: Inflater::new(chunks, offset, last),
            piece: vec![0; PIECE],
            filled: 0,
        }
    }

    /// Gets the next piece; at the end says how it ended.
    pub(crate) fn next(&mut self) -> Result<Option<Ending>, ReadError> {
        self.filled = self.inflater.fill(&mut self.piece)?;
        Ok((self.filled == 0).then(|| self.inflater.ending()))
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
    pieces: Receiver<Result<Filled, ReadError>>,
    give_free: Sender<Vec<u8>>,
    piece: Vec<u8>,
    audit: Receiver<Result<Audit, ReadError>>,
}

/// What the thread that decompresses gives.
enum Filled {
    Piece(Vec<u8>),
    End(Ending),
}

impl Pool {
    /// `audit` and `last` are of the BGZF members that were read before, if there are any.
    pub(crate) fn new(
        mut input: Box<dyn Read + Send>,
        mut audit: Audit,
        last: Option<Last>,
    ) -> Result<Self, ReadError> {
        let start = audit.size();
        let (give_free_batch, free_batches) = mpsc::channel();
        for _ in 0..BATCHES {
            // The receiver is there.
            let _ = give_free_batch.send(Batch::new());
        }
        let (send_batch, batches) = mpsc::channel();
        let (send_file, file) = mpsc::channel();
        // It may wait for its input when nobody wants it any more: nobody waits for it.
        spawn("read", move || {
            let mut offset = start;
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
            let chunks = Chunks::Pool {
                batches,
                batch: None,
                give_free: give_free_batch,
                audit: file,
            };
            let mut inflater = Inflater::new(chunks, start, last);
            for mut piece in free {
                piece.resize(PIECE, 0);
                let filled = inflater.fill(&mut piece);
                let more = matches!(filled, Ok(1..));
                let piece = filled.map(|filled| match filled {
                    0 => Filled::End(inflater.ending()),
                    _ => {
                        piece.truncate(filled);
                        Filled::Piece(piece)
                    }
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

    /// Gets the next piece; at the end says how it ended.
    pub(crate) fn next(&mut self) -> Result<Option<Ending>, ReadError> {
        // After the last piece nobody takes it any more.
        let _ = self.give_free.send(std::mem::take(&mut self.piece));
        match self.pieces.recv().unwrap_or_else(|_| Err(thread_lost()))? {
            Filled::Piece(piece) => {
                self.piece = piece;
                Ok(None)
            }
            Filled::End(ending) => Ok(Some(ending)),
        }
    }

    /// The piece that came last.
    pub(crate) fn sql(&self) -> &[u8] {
        &self.piece
    }

    pub(crate) fn audit(self) -> Result<Audit, ReadError> {
        self.audit.recv().unwrap_or_else(|_| Err(thread_lost()))
    }
}
