//! How a writer's batches of SQL become members in its output: in the calling thread, or in a pool.

use std::io::{self, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{self, Receiver, Sender};
use std::thread::{self, JoinHandle};

use crate::SectionKind;
use crate::failure::Failure;
use crate::lanes::{self, Entry, Exit};
use crate::member::{self, BLOCK, Packer};
use crate::output::{End, Output, Part};

/// How many blocks go from hand to hand at once.
const BATCH: usize = 8;
/// The bytes a batch takes: its blocks, and one more, by which it is known that they are not the section's last.
pub(crate) const ROOM: usize = BATCH * BLOCK + 1;

/// Some SQL, and the members that it becomes.
pub(crate) struct Batch {
    sql: Box<[u8]>,
    filled: usize,
    last: bool,
    members: Vec<u8>,
}

impl Batch {
    pub(crate) fn new() -> Self {
        Self {
            sql: vec![0; ROOM].into_boxed_slice(),
            filled: 0,
            last: false,
            members: Vec::new(),
        }
    }

    /// Where more SQL goes; never empty.
    pub(crate) fn room(&mut self) -> &mut [u8] {
        &mut self.sql[self.filled..]
    }

    /// `count` more bytes of SQL are there; true if that is all there is room for: [`Batch::overflow`] then.
    pub(crate) fn fill(&mut self, count: usize) -> bool {
        self.filled += count;
        self.filled == ROOM
    }

    /// Takes the byte too many, for the next batch.
    pub(crate) fn overflow(&mut self) -> u8 {
        self.filled = ROOM - 1;
        self.sql[ROOM - 1]
    }

    /// The section ends with this batch.
    pub(crate) fn end(&mut self) {
        self.last = true;
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.filled == 0
    }

    fn compress(&mut self, packer: &mut Packer) {
        self.members.clear();
        for block in member::blocks(&self.sql[..self.filled], self.last) {
            packer.pack(&mut self.members, block);
        }
    }

    fn clear(&mut self) {
        self.filled = 0;
        self.last = false;
    }
}

/// What is done with the output, in order.
enum Step {
    /// The next batch out of the lanes is written.
    Batch,
    Begin(SectionKind),
    End(End),
    Part(Part),
    /// No more: the output is given back.
    Close,
}

/// Compresses batches into an output.
pub(crate) enum Press<W> {
    /// In the calling thread.
    Here { output: Output<W>, packer: Packer },
    /// In threads: some compress, one writes.
    Pool(Pool<W>),
    /// It has failed.
    Gone(Failure),
}

/// Threads that compress, and one that writes.
pub(crate) struct Pool<W> {
    entry: Entry<Batch>,
    steps: Sender<Step>,
    free: Receiver<Batch>,
    /// Set when the rest is not wanted any more.
    dropped: Arc<AtomicBool>,
    lanes: Vec<JoinHandle<()>>,
    writer: JoinHandle<io::Result<Output<W>>>,
}

impl<W: Write + Send + 'static> Press<W> {
    pub(crate) fn new(sink: W, level: u8, threads: usize) -> Self {
        let output = Output::new(sink);
        if threads <= 1 {
            let packer = Packer::new(level);
            return Self::Here { output, packer };
        }
        match Pool::new(output, level, threads) {
            Ok(pool) => Self::Pool(pool),
            Err(error) => Self::Gone(Failure::of(&error)),
        }
    }

    /// Begins a section.
    pub(crate) fn begin(&mut self, kind: SectionKind) -> io::Result<()> {
        match self {
            Self::Here { output, .. } => {
                output.begin(kind);
                Ok(())
            }
            _ => self.step(Step::Begin(kind)),
        }
    }

    /// Ends the section that is open.
    pub(crate) fn end(&mut self, end: End) -> io::Result<()> {
        match self {
            Self::Here { output, .. } => {
                output.end(end);
                Ok(())
            }
            _ => self.step(Step::End(end)),
        }
    }

    /// Adds a section that was compressed apart.
    pub(crate) fn append(&mut self, part: Part) -> io::Result<()> {
        match self {
            Self::Here { output, .. } => {
                let done = output.append(part);
                self.check(done)
            }
            _ => self.step(Step::Part(part)),
        }
    }

    /// Takes the SQL of `batch`, and leaves an empty one in its place.
    pub(crate) fn press(&mut self, batch: &mut Batch) -> io::Result<()> {
        match self {
            Self::Here { output, packer } => {
                batch.compress(packer);
                let done = output.members(&batch.members, batch.filled);
                batch.clear();
                self.check(done)
            }
            Self::Pool(pool) => match pool.press(batch) {
                Some(()) => Ok(()),
                None => self.fail(),
            },
            Self::Gone(failure) => Err(failure.error()),
        }
    }

    /// Waits for all that was given to be written, and gives the output back.
    pub(crate) fn close(&mut self) -> io::Result<Output<W>> {
        let closed = Self::Gone(Failure::Closed);
        match std::mem::replace(self, closed) {
            Self::Here { output, .. } => Ok(output),
            Self::Pool(pool) => {
                let done = pool.close();
                if let Err(error) = &done {
                    *self = Self::Gone(Failure::of(error));
                }
                done
            }
            Self::Gone(failure) => {
                let error = failure.error();
                *self = Self::Gone(failure);
                Err(error)
            }
        }
    }

    /// Ends the threads, if there are any; what was not written yet never will be.
    pub(crate) fn stop(&mut self) {
        let gone = Self::Gone(Failure::Closed);
        if let Self::Pool(pool) = std::mem::replace(self, gone) {
            pool.dropped.store(true, Ordering::Relaxed);
            // What went wrong does not matter to anybody now.
            let _ = pool.join();
        }
    }

    fn step(&mut self, step: Step) -> io::Result<()> {
        match self {
            Self::Pool(pool) if pool.steps.send(step).is_ok() => Ok(()),
            _ => self.fail(),
        }
    }

    fn check(&mut self, done: io::Result<()>) -> io::Result<()> {
        if let Err(error) = &done {
            *self = Self::Gone(Failure::of(error));
        }
        done
    }

    /// Why no more is taken.
    fn fail(&mut self) -> io::Result<()> {
        match self.close() {
            Err(error) => Err(error),
            Ok(_) => {
                *self = Self::Gone(Failure::Thread);
                Err(Failure::Thread.error())
            }
        }
    }
}

impl<W: Write + Send + 'static> Pool<W> {
    fn new(output: Output<W>, level: u8, threads: usize) -> io::Result<Self> {
        let lanes = lanes::open(threads, || {
            let mut packer = Packer::new(level);
            move |batch: &mut Batch| batch.compress(&mut packer)
        })?;
        let (steps, receive_steps) = mpsc::channel();
        let (give_free, free) = mpsc::channel();
        // Two for each lane, one being filled, one being written: these are all there ever are.
        for _ in 0..2 * threads + 1 {
            // The receiver is there.
            let _ = give_free.send(Batch::new());
        }
        let dropped = Arc::new(AtomicBool::new(false));
        let stop = Arc::clone(&dropped);
        let writer = thread::Builder::new()
            .name("sink".into())
            .spawn(move || write(output, &receive_steps, lanes.exit, &give_free, &stop))?;
        Ok(Self {
            entry: lanes.entry,
            steps,
            free,
            dropped,
            lanes: lanes.threads,
            writer,
        })
    }

    fn press(&mut self, batch: &mut Batch) -> Option<()> {
        // Waits here when the lanes are busy.
        let empty = self.free.recv().ok()?;
        let full = std::mem::replace(batch, empty);
        self.steps.send(Step::Batch).ok()?;
        self.entry.send(full).then_some(())
    }

    fn close(self) -> io::Result<Output<W>> {
        // If the writing thread is gone, it says why when it is joined.
        let _ = self.steps.send(Step::Close);
        self.join()
    }

    fn join(self) -> io::Result<Output<W>> {
        drop((self.entry, self.steps, self.free));
        for lane in self.lanes {
            lane.join().map_err(|_| Failure::Thread.error())?;
        }
        self.writer
            .join()
            .unwrap_or_else(|_| Err(Failure::Thread.error()))
    }
}

/// The writing thread.
fn write<W: Write>(
    mut output: Output<W>,
    steps: &Receiver<Step>,
    mut exit: Exit<Batch>,
    free: &Sender<Batch>,
    dropped: &AtomicBool,
) -> io::Result<Output<W>> {
    for step in steps {
        if dropped.load(Ordering::Relaxed) {
            break;
        }
        match step {
            Step::Batch => {
                let mut batch = exit.receive().ok_or_else(|| Failure::Thread.error())?;
                output.members(&batch.members, batch.filled)?;
                batch.clear();
                // Nobody takes it any more after the last.
                let _ = free.send(batch);
            }
            Step::Begin(kind) => output.begin(kind),
            Step::End(end) => output.end(end),
            Step::Part(part) => output.append(part)?,
            Step::Close => return Ok(output),
        }
    }
    Err(Failure::Closed.error())
}
