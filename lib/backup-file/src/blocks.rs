//! Reads BGZF members: in the calling thread, or in a pool.

use std::collections::BTreeMap;
use std::io::{self, Read};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, Sender};
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use crate::ReadError;
use crate::audit::Audit;
use crate::codec::{self, Decompress};
use crate::frames::{Batch, Frames};

/// As long as a thread needs to take some members from the file and hash them, and a fraction of what it
/// needs to decompress them.
const GLANCE: Duration = Duration::from_micros(50);

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

    /// What comes after the BGZF members, and the audit so far.
    pub(crate) fn rest(mut self) -> (Box<dyn Read + Send>, Audit) {
        (self.frames.take_rest(), self.audit)
    }
}

/// Threads that take turns at the file: each takes some members from it, then decompresses them beside the
/// others. The caller's thread puts what they did in order, keeps the audit, and is one of them while it has to wait.
pub(crate) struct Pool {
    intake: Arc<Mutex<Intake>>,
    codec: Box<dyn Decompress>,
    done: Receiver<Done>,
    /// What was done before its turn.
    early: BTreeMap<u64, Batch>,
    /// Whose turn it is.
    turn: u64,
    give_free: Sender<Batch>,
    /// The one that the caller looks at.
    batch: Option<Batch>,
    audit: Audit,
}

/// A batch and which one it is, from 0 on.
type Done = (u64, Batch);

/// Where the threads get their work; one at a time.
struct Intake {
    frames: Frames,
    free: Receiver<Batch>,
    count: u64,
    ended: bool,
}

impl Intake {
    /// The next members of the file; none at its end, and when nobody wants them any more.
    fn next(&mut self) -> Option<Done> {
        if self.ended {
            return None;
        }
        let batch = self.free.recv().ok()?;
        Some(self.fill(batch))
    }

    /// The same; none if all batches are in use.
    fn next_now(&mut self) -> Option<Done> {
        if self.ended {
            return None;
        }
        let batch = self.free.try_recv().ok()?;
        Some(self.fill(batch))
    }

    fn fill(&mut self, mut batch: Batch) -> Done {
        self.frames.fill(&mut batch);
        self.ended = batch.end.is_some();
        self.count += 1;
        (self.count - 1, batch)
    }
}

impl Pool {
    pub(crate) fn new(frames: Frames, threads: usize) -> Result<Self, ReadError> {
        let (give_free, free) = mpsc::channel();
        // One in each thread, one done before its turn for each, one with the caller: these are all there are.
        for _ in 0..=2 * threads {
            // The receiver is there.
            let _ = give_free.send(Batch::new());
        }
        let intake = Arc::new(Mutex::new(Intake {
            frames,
            free,
            count: 0,
            ended: false,
        }));
        let (send, done) = mpsc::channel();
        for _ in 1..threads {
            let (intake, send) = (Arc::clone(&intake), send.clone());
            // It may wait for its input when nobody wants it any more: nobody waits for it.
            spawn("decompress", move || work(&intake, &send))?;
        }
        Ok(Self {
            intake,
            codec: codec::decompressor(),
            done,
            early: BTreeMap::new(),
            turn: 0,
            give_free,
            batch: None,
            audit: Audit::new(),
        })
    }

    /// The next batch; its end is set if it is the last.
    pub(crate) fn next(&mut self) -> Result<&mut Batch, ReadError> {
        self.put_away();
        let batch = loop {
            while let Ok((number, batch)) = self.done.try_recv() {
                self.early.insert(number, batch);
            }
            if let Some(batch) = self.early.remove(&self.turn) {
                break batch;
            }
            let (number, batch) = self.one()?;
            self.early.insert(number, batch);
        };
        self.turn += 1;
        Ok(self.batch.insert(batch))
    }

    /// One more batch that is done, by this thread or another.
    fn one(&mut self) -> Result<Done, ReadError> {
        if let Some(done) = self.help() {
            return Ok(done);
        }
        // The thread that has just given the one before is at the file, and away from it long before it has done
        // the next: without another look this one would sleep as long as that takes, time and again.
        match self.done.recv_timeout(GLANCE) {
            Ok(done) => return Ok(done),
            Err(RecvTimeoutError::Disconnected) => return Err(thread_lost()),
            Err(RecvTimeoutError::Timeout) => {}
        }
        match self.help() {
            Some(done) => Ok(done),
            None => self.done.recv().map_err(|_| thread_lost()),
        }
    }

    /// Does one batch itself; none if another thread is at the file, or no batch is free.
    fn help(&mut self) -> Option<Done> {
        let (number, mut batch) = self.intake.try_lock().ok()?.next_now()?;
        decompress(&mut batch, self.codec.as_mut());
        Some((number, batch))
    }

    /// What the batch holds.
    pub(crate) fn sql(&self) -> &[u8] {
        self.batch.as_ref().map_or(&[], Batch::sql)
    }

    pub(crate) fn audit(mut self) -> Audit {
        self.put_away();
        self.audit
    }

    /// What comes after the BGZF members, and the audit so far.
    pub(crate) fn rest(mut self) -> Result<(Box<dyn Read + Send>, Audit), ReadError> {
        self.put_away();
        let rest = self.intake.lock().map(|mut it| it.frames.take_rest());
        Ok((rest.map_err(|_| thread_lost())?, self.audit))
    }

    /// Gives the batch that the caller has seen back.
    fn put_away(&mut self) {
        if let Some(seen) = self.batch.take() {
            self.audit.take(&seen);
            // At the file's end nobody takes it any more.
            let _ = self.give_free.send(seen);
        }
    }
}

/// What each thread does, to the end of the file.
fn work(intake: &Mutex<Intake>, done: &Sender<Done>) {
    let mut codec = codec::decompressor();
    loop {
        // A lock is poisoned when another thread is lost: then this one is not needed any more.
        let next = intake.lock().ok().and_then(|mut intake| intake.next());
        let Some((number, mut batch)) = next else {
            return;
        };
        decompress(&mut batch, codec.as_mut());
        if done.send((number, batch)).is_err() {
            return;
        }
    }
}

/// Should it panic, the others must not wait for its turn to come.
fn decompress(batch: &mut Batch, codec: &mut dyn Decompress) {
    let sound = catch_unwind(AssertUnwindSafe(|| batch.decompress(codec)));
    if sound.is_err() {
        batch.end = Some(Err(thread_lost()));
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
