//! How a writer's batches of SQL become members in its output: in the calling thread, and in lanes beside
//! it when there is more SQL than it can keep up with.

use std::io::{self, Write};
use std::time::Instant;

use crate::SectionKind;
use crate::failure::Failure;
use crate::lanes::Lanes;
use crate::member::{self, BLOCK, Packer};
use crate::output::{End, Output, Part};
use crate::pace::Pace;

/// How many blocks go from hand to hand at once.
const BATCH: usize = 8;
/// The bytes a batch takes: its blocks, and one more, by which it is known that they are not the section's last.
const ROOM: usize = BATCH * BLOCK + 1;

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

/// Compresses batches into an output.
///
/// The calling thread does it itself as long as it keeps up: the SQL is in its CPU's cache, nobody has to be woken,
/// and a server on the same machine keeps the other CPUs. When it does not, lanes compress, and it only reads and writes.
pub(crate) struct Press<W> {
    output: Output<W>,
    level: u8,
    threads: usize,
    packer: Packer,
    pace: Pace,
    /// Opened when they are first needed.
    lanes: Option<Lanes<Batch>>,
    /// Batches that are in nobody's hands.
    free: Vec<Batch>,
    /// No more is taken.
    failure: Option<Failure>,
}

impl<W: Write> Press<W> {
    pub(crate) fn new(sink: W, level: u8, threads: usize) -> Self {
        Self {
            output: Output::new(sink),
            level,
            threads,
            packer: Packer::new(level),
            pace: Pace::default(),
            lanes: None,
            free: Vec::new(),
            failure: None,
        }
    }

    /// Begins a section.
    pub(crate) fn begin(&mut self, kind: SectionKind) -> io::Result<()> {
        self.attempt(|press| {
            press.output.begin(kind);
            Ok(())
        })
    }

    /// Ends the section that is open.
    pub(crate) fn end(&mut self, end: End) -> io::Result<()> {
        self.attempt(|press| {
            press.drain()?;
            press.output.end(end);
            Ok(())
        })
    }

    /// Adds a section that was compressed apart.
    pub(crate) fn append(&mut self, part: Part) -> io::Result<()> {
        self.attempt(|press| press.output.append(part))
    }

    /// Takes the SQL of `batch`, and leaves an empty one in its place.
    pub(crate) fn press(&mut self, batch: &mut Batch) -> io::Result<()> {
        let keeps_up = self.pace.keeps_up(Instant::now());
        self.attempt(|press| {
            if press.threads > 1 && !keeps_up {
                press.send(batch)
            } else {
                press.compress(batch)
            }
        })?;
        self.pace.waits(Instant::now());
        Ok(())
    }

    /// Waits for all that was given to be written, and gives the output back.
    pub(crate) fn close(mut self) -> io::Result<Output<W>> {
        self.attempt(Self::drain)?;
        Ok(self.output)
    }

    /// In the calling thread.
    fn compress(&mut self, batch: &mut Batch) -> io::Result<()> {
        let since = Instant::now();
        batch.compress(&mut self.packer);
        self.pace.compressed(since.elapsed());
        self.drain()?;
        self.write(batch)
    }

    /// In a lane.
    fn send(&mut self, batch: &mut Batch) -> io::Result<()> {
        let empty = self.empty()?;
        let full = std::mem::replace(batch, empty);
        self.lanes()?.send(full)
    }

    /// A batch to be filled. Waits when the lanes have as much as they may.
    fn empty(&mut self) -> io::Result<Batch> {
        let most = 2 * self.threads;
        let lanes = self.lanes()?;
        if lanes.jobs() == most
            && let Some(mut done) = lanes.receive()?
        {
            self.write(&mut done)?;
            return Ok(done);
        }
        Ok(self.free.pop().unwrap_or_else(Batch::new))
    }

    fn lanes(&mut self) -> io::Result<&mut Lanes<Batch>> {
        let lanes = match self.lanes.take() {
            Some(lanes) => lanes,
            None => {
                let level = self.level;
                Lanes::open(self.threads, || {
                    let mut packer = Packer::new(level);
                    move |batch: &mut Batch| batch.compress(&mut packer)
                })?
            }
        };
        Ok(self.lanes.insert(lanes))
    }

    /// Writes all that is in the lanes.
    fn drain(&mut self) -> io::Result<()> {
        while let Some(lanes) = &mut self.lanes
            && let Some(mut done) = lanes.receive()?
        {
            self.write(&mut done)?;
            self.free.push(done);
        }
        Ok(())
    }

    fn write(&mut self, batch: &mut Batch) -> io::Result<()> {
        self.output.members(&batch.members, batch.filled)?;
        batch.clear();
        Ok(())
    }

    /// Does `work`, unless some has failed already.
    fn attempt<T>(&mut self, work: impl FnOnce(&mut Self) -> io::Result<T>) -> io::Result<T> {
        if let Some(failure) = &self.failure {
            return Err(failure.error());
        }
        let done = work(self);
        self.failure = done.as_ref().err().map(Failure::of);
        done
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use proptest::prelude::*;

    use super::*;

    fn batch(sql: &[u8]) -> Batch {
        let mut batch = Batch::new();
        batch.room()[..sql.len()].copy_from_slice(sql);
        batch.fill(sql.len());
        batch
    }

    fn sql(seed: usize) -> Vec<u8> {
        let lines = (seed..).map(|number| format!("{number}\t{:x}\n", number * 7919));
        let mut sql: Vec<u8> = lines.take(60_000).collect::<String>().into();
        sql.truncate(BATCH * BLOCK);
        sql
    }

    /// What becomes of a section, of whose batches some go through lanes and others do not.
    fn pressed(in_lanes: &[bool], threads: usize) -> Vec<u8> {
        let mut press = Press::new(Vec::new(), 1, threads);
        press.begin(SectionKind::Globals).unwrap();
        for (at, in_lane) in in_lanes.iter().enumerate() {
            let mut batch = batch(&sql(at));
            if *in_lane {
                press.send(&mut batch).unwrap();
            } else {
                press.compress(&mut batch).unwrap();
            }
            assert!(batch.is_empty());
        }
        let end = End {
            took: Duration::ZERO,
            contents: None,
        };
        press.end(end).unwrap();
        press.close().unwrap().finish_without_index().unwrap()
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(20))]
        #[test]
        fn in_lanes_or_not_the_bytes_are_the_same(
            in_lanes in proptest::collection::vec(any::<bool>(), 0..20),
            threads in 2_usize..5,
        ) {
            let inline = pressed(&vec![false; in_lanes.len()], 1);
            prop_assert!(pressed(&in_lanes, threads) == inline);
        }
    }

    #[test]
    fn a_full_disk_ends_the_lanes_too() {
        let mut room = vec![0; 1_000_000];
        let mut press = Press::new(room.as_mut_slice(), 1, 3);
        press.begin(SectionKind::Globals).unwrap();
        let send = |press: &mut Press<_>| press.attempt(|press| press.send(&mut batch(&sql(1))));
        let error = (0..100).find_map(|_| send(&mut press).err()).unwrap();
        assert_eq!(error.kind(), io::ErrorKind::WriteZero);
        assert_eq!(send(&mut press).unwrap_err().kind(), error.kind());
        assert_eq!(press.close().err().unwrap().kind(), error.kind());
    }

    #[test]
    fn memory_is_bounded() {
        let threads = 3;
        let mut press = Press::new(io::sink(), 1, threads);
        press.begin(SectionKind::Globals).unwrap();
        for at in 0..40 {
            press.send(&mut batch(&sql(at))).unwrap();
            assert!(press.lanes().unwrap().jobs() <= 2 * threads);
        }
        press.drain().unwrap();
        assert!(press.free.len() <= 2 * threads);
    }
}
