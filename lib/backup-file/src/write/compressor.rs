//! How a writer's SQL becomes members in its output: in the calling thread, and in workers beside it when more SQL
//! comes than it can keep up with.

use std::io::{self, Write};
use std::time::Instant;

use super::back_pressure::BackPressure;
use super::buffer::SqlBuffer;
use super::output::{Output, Part, SectionEnd};
use crate::format::index::SectionKind;
use crate::format::member::Packer;
use crate::io_error;
use crate::workers::queue::Workers;

/// Compresses SQL into an output.
///
/// The calling thread does it itself as long as it keeps up: the SQL is in its CPU's cache, no thread has to be woken,
/// and a server on the same machine keeps the other CPUs. When it does not keep up, workers compress, and it only reads
/// and writes.
pub(super) struct Compressor<W> {
    output: Output<W>,
    level: u8,
    threads: usize,
    packer: Packer,
    back_pressure: BackPressure,
    /// Started when they are first needed.
    workers: Option<Workers<SqlBuffer>>,
    /// Buffers that are not in use.
    free: Vec<SqlBuffer>,
    /// The first error. Nothing more is taken after it.
    failure: Option<io::Error>,
}

impl<W: Write> Compressor<W> {
    pub(super) fn new(sink: W, level: u8, threads: usize) -> Self {
        Self {
            output: Output::new(sink),
            level,
            threads,
            packer: Packer::new(level),
            back_pressure: BackPressure::default(),
            workers: None,
            free: Vec::new(),
            failure: None,
        }
    }

    /// Begins a section.
    pub(super) fn begin(&mut self, kind: SectionKind) -> io::Result<()> {
        self.attempt(|it| {
            it.output.begin(kind);
            Ok(())
        })
    }

    /// Ends the section that is open.
    pub(super) fn end(&mut self, end: SectionEnd) -> io::Result<()> {
        self.attempt(|it| {
            it.drain()?;
            it.output.end(end, &mut it.packer)
        })
    }

    /// Adds a section that was compressed apart.
    pub(super) fn append(&mut self, part: Part) -> io::Result<()> {
        self.attempt(|it| it.output.append(part))
    }

    /// Takes the SQL of `buffer`, and leaves an empty one in its place.
    pub(super) fn take(&mut self, buffer: &mut SqlBuffer) -> io::Result<()> {
        let keeps_up = self.back_pressure.keeps_up(Instant::now());
        self.attempt(|it| {
            if it.threads > 1 && !keeps_up {
                it.submit(buffer)
            } else {
                it.compress(buffer)
            }
        })?;
        self.back_pressure.waits(Instant::now());
        Ok(())
    }

    /// Waits for all that was given to be written, and gives the output back.
    pub(super) fn close(mut self) -> io::Result<Output<W>> {
        self.attempt(Self::drain)?;
        Ok(self.output)
    }

    /// Compresses in the calling thread.
    fn compress(&mut self, buffer: &mut SqlBuffer) -> io::Result<()> {
        let since = Instant::now();
        buffer.compress(&mut self.packer);
        self.back_pressure.compressed(since.elapsed());
        self.drain()?;
        self.write(buffer)
    }

    /// Has a worker compress.
    fn submit(&mut self, buffer: &mut SqlBuffer) -> io::Result<()> {
        let empty = self.empty_buffer()?;
        let full = std::mem::replace(buffer, empty);
        self.workers()?.submit(full)
    }

    /// A buffer to be filled. Waits if the workers have as many as they may have.
    fn empty_buffer(&mut self) -> io::Result<SqlBuffer> {
        let most = 2 * self.threads;
        let workers = self.workers()?;
        if workers.jobs() == most
            && let Some(mut done) = workers.next_done()?
        {
            self.write(&mut done)?;
            return Ok(done);
        }
        Ok(self.free.pop().unwrap_or_else(SqlBuffer::new))
    }

    fn workers(&mut self) -> io::Result<&mut Workers<SqlBuffer>> {
        let workers = match self.workers.take() {
            Some(workers) => workers,
            None => {
                let level = self.level;
                Workers::start("compress", self.threads, || {
                    let mut packer = Packer::new(level);
                    move |buffer: &mut SqlBuffer| buffer.compress(&mut packer)
                })?
            }
        };
        Ok(self.workers.insert(workers))
    }

    /// Writes all that the workers have.
    fn drain(&mut self) -> io::Result<()> {
        while let Some(workers) = &mut self.workers
            && let Some(mut done) = workers.next_done()?
        {
            self.write(&mut done)?;
            self.free.push(done);
        }
        Ok(())
    }

    fn write(&mut self, buffer: &mut SqlBuffer) -> io::Result<()> {
        self.output.members(buffer.members(), buffer.filled())?;
        buffer.clear();
        Ok(())
    }

    /// Does `work`, unless work has failed before: then that error comes again.
    fn attempt<T>(&mut self, work: impl FnOnce(&mut Self) -> io::Result<T>) -> io::Result<T> {
        if let Some(failure) = &self.failure {
            return Err(io_error::copy(failure));
        }
        let done = work(self);
        self.failure = done.as_ref().err().map(io_error::copy);
        done
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use proptest::prelude::*;

    use super::*;
    use crate::format::member::{BLOCK, unpack_all};

    /// What a buffer has room for, without the byte that shows that the section goes on.
    const SQL: usize = 8 * BLOCK;

    fn buffer(sql: &[u8]) -> SqlBuffer {
        let mut buffer = SqlBuffer::new();
        buffer.room()[..sql.len()].copy_from_slice(sql);
        buffer.fill(sql.len());
        buffer
    }

    fn sql(seed: usize) -> Vec<u8> {
        let lines = (seed..).map(|number| format!("{number}\t{:x}\n", number * 7919));
        let mut sql: Vec<u8> = lines.take(60_000).collect::<String>().into();
        sql.truncate(SQL);
        sql
    }

    /// The blocks that a section becomes when workers compress some of its buffers and the calling thread the others.
    fn blocks(by_workers: &[bool], threads: usize) -> Vec<Vec<u8>> {
        let mut compressor = Compressor::new(Vec::new(), 1, threads);
        compressor.begin(SectionKind::Globals).unwrap();
        for (at, by_worker) in by_workers.iter().enumerate() {
            let mut buffer = buffer(&sql(at));
            if *by_worker {
                compressor.submit(&mut buffer).unwrap();
            } else {
                compressor.compress(&mut buffer).unwrap();
            }
            assert!(buffer.is_empty());
        }
        let end = SectionEnd {
            took: Duration::ZERO,
            contents: None,
            layout: None,
        };
        compressor.end(end).unwrap();
        let output = compressor.close().unwrap();
        unpack_all(&output.finish_without_index().unwrap())
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(20))]
        #[test]
        fn by_workers_or_not_the_blocks_are_the_same(
            by_workers in proptest::collection::vec(any::<bool>(), 0..20),
            threads in 2_usize..5,
        ) {
            let inline = blocks(&vec![false; by_workers.len()], 1);
            prop_assert!(blocks(&by_workers, threads) == inline);
        }
    }

    #[test]
    fn a_full_disk_ends_the_workers_too() {
        let mut room = vec![0; 1_000_000];
        let mut compressor = Compressor::new(room.as_mut_slice(), 1, 3);
        compressor.begin(SectionKind::Globals).unwrap();
        let submit = |it: &mut Compressor<_>| it.attempt(|it| it.submit(&mut buffer(&sql(1))));
        let error = (0..100)
            .find_map(|_| submit(&mut compressor).err())
            .unwrap();
        assert_eq!(error.kind(), io::ErrorKind::WriteZero);
        assert_eq!(submit(&mut compressor).unwrap_err().kind(), error.kind());
        assert_eq!(compressor.close().err().unwrap().kind(), error.kind());
    }

    #[test]
    fn memory_is_bounded() {
        let threads = 3;
        let mut compressor = Compressor::new(io::sink(), 1, threads);
        compressor.begin(SectionKind::Globals).unwrap();
        for at in 0..40 {
            compressor.submit(&mut buffer(&sql(at))).unwrap();
            assert!(compressor.workers().unwrap().jobs() <= 2 * threads);
        }
        compressor.drain().unwrap();
        assert!(compressor.free.len() <= 2 * threads);
    }
}
