//! Reads BGZF members: in the calling thread, or in a pool.

use std::io;
use std::sync::mpsc::{self, Receiver, Sender};
use std::thread::{self, JoinHandle};

use crate::ReadError;
use crate::audit::Audit;
use crate::codec::{self, Decompress};
use crate::frames::{Batch, Frames};
use crate::lanes::{self, Exit, Lanes};

/// All in the calling thread.
pub(crate) struct Here {
    frames: Frames,
    codec: Box<dyn Decompress>,
    batch: Batch,
    audit: Audit,
}

impl Here {
    pub(crate) fn new(frames: Frames) -> Self {
        Self {
            frames,
            codec: codec::decompressor(),
            batch: Batch::new(),
            audit: Audit::new(),
        }
    }

    /// The next batch; its end is set if it is the last.
    pub(crate) fn next(&mut self) -> &mut Batch {
        self.frames.fill(&mut self.batch);
        self.batch.decompress(self.codec.as_mut());
        self.audit.take(&self.batch);
        &mut self.batch
    }

    /// What the batch holds.
    pub(crate) fn sql(&self) -> &[u8] {
        self.batch.sql()
    }

    pub(crate) fn audit(self) -> Audit {
        self.audit
    }
}

/// One thread reads and frames, some decompress, one keeps the audit. The batches go round:
/// frames → lane → the caller → audit → frames.
pub(crate) struct Pool {
    exit: Exit<Batch>,
    auditor: Auditor,
    /// The one that the caller looks at.
    batch: Option<Batch>,
}

impl Pool {
    pub(crate) fn new(mut frames: Frames, threads: usize) -> Result<Self, ReadError> {
        let Lanes {
            mut entry, exit, ..
        } = lanes::open(threads, || {
            let mut codec = codec::decompressor();
            move |batch: &mut Batch| batch.decompress(codec.as_mut())
        })
        .map_err(ReadError::Io)?;
        // Two for each lane, one being framed, one with the caller, one in the audit: these are all there are.
        let (auditor, free) = Auditor::new(2 * threads + 3)?;
        // It may wait for its input when nobody wants it any more: nobody waits for it.
        spawn("frames", move || {
            for mut batch in free {
                frames.fill(&mut batch);
                let last = batch.end.is_some();
                if !entry.send(batch) || last {
                    break;
                }
            }
        })?;
        Ok(Self {
            exit,
            auditor,
            batch: None,
        })
    }

    /// The next batch; its end is set if it is the last.
    pub(crate) fn next(&mut self) -> Result<&mut Batch, ReadError> {
        if let Some(seen) = self.batch.take() {
            self.auditor.take(seen);
        }
        let batch = self.exit.receive().ok_or_else(thread_lost)?;
        Ok(self.batch.insert(batch))
    }

    /// What the batch holds.
    pub(crate) fn sql(&self) -> &[u8] {
        self.batch.as_ref().map_or(&[], Batch::sql)
    }

    pub(crate) fn audit(mut self) -> Result<Audit, ReadError> {
        if let Some(seen) = self.batch.take() {
            self.auditor.take(seen);
        }
        self.auditor.finish()
    }
}

/// The thread that keeps the audit, and gives the batches back.
pub(crate) struct Auditor {
    batches: Sender<Batch>,
    thread: JoinHandle<Audit>,
}

impl Auditor {
    /// Starts the thread, and says where free batches come from: `count` of them, ever.
    pub(crate) fn new(count: usize) -> Result<(Self, Receiver<Batch>), ReadError> {
        let (give_free, free) = mpsc::channel();
        for _ in 0..count {
            // The receiver is there.
            let _ = give_free.send(Batch::new());
        }
        let (batches, receive) = mpsc::channel::<Batch>();
        let thread = spawn("audit", move || {
            let mut audit = Audit::new();
            for batch in receive {
                audit.take(&batch);
                // Nobody takes it any more after the last.
                let _ = give_free.send(batch);
            }
            audit
        })?;
        Ok((Self { batches, thread }, free))
    }

    /// Takes a batch that was read.
    pub(crate) fn take(&self, batch: Batch) {
        // If the thread is gone, it is found out when it is joined.
        let _ = self.batches.send(batch);
    }

    /// The audit of all that was taken.
    pub(crate) fn finish(self) -> Result<Audit, ReadError> {
        drop(self.batches);
        self.thread.join().map_err(|_| thread_lost())
    }
}

pub(crate) fn spawn<T: Send + 'static>(
    name: &str,
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<JoinHandle<T>, ReadError> {
    thread::Builder::new()
        .name(name.into())
        .spawn(work)
        .map_err(ReadError::Io)
}

pub(crate) fn thread_lost() -> ReadError {
    ReadError::Io(io::Error::other("a thread that reads has ended"))
}
