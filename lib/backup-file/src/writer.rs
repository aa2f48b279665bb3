use std::io::{self, Read, Write};
use std::marker::PhantomData;
use std::ops::RangeInclusive;
use std::time::Duration;

use crate::{About, SectionKind};

/// The levels that `--level` takes: the fastest to the smallest.
pub const LEVELS: RangeInclusive<u8> = 1..=8;
/// The level that the figures of `docs/performance.md` justify.
pub const DEFAULT_LEVEL: u8 = 3;

/// How to compress.
#[derive(Debug, Clone, Copy)]
pub struct Options {
    /// One of [`LEVELS`].
    pub level: u8,
    /// How many threads compress; with 1 the calling thread does it itself.
    pub threads: usize,
}

/// Writes a backup: SQL in, members out, in order, with bounded memory. Nothing that was written is a
/// whole backup before [`Writer::finish`] has written the marker.
#[derive(Debug)]
pub struct Writer<W> {
    sink: PhantomData<W>,
}

impl<W: Write + Send + 'static> Writer<W> {
    /// Begins a backup.
    pub fn new(sink: W, options: Options) -> Self {
        let _ = (sink, options);
        todo!()
    }

    /// Begins a section; all SQL up to the next belongs to it. It starts a new member.
    pub fn begin(&mut self, kind: SectionKind) -> io::Result<()> {
        let _ = kind;
        todo!()
    }

    /// Adds SQL to the section.
    pub fn write_all(&mut self, sql: &[u8]) -> io::Result<()> {
        let _ = sql;
        todo!()
    }

    /// Reads `input` to its end straight into the blocks, showing each piece to `watch`, and says how many bytes came.
    pub fn copy_from(
        &mut self,
        input: &mut dyn Read,
        watch: &mut dyn FnMut(&[u8]),
    ) -> io::Result<u64> {
        let _ = (input, watch);
        todo!()
    }

    /// Adds a section that was compressed apart (same bytes as if it had been written here).
    pub fn append(&mut self, part: Part) -> io::Result<()> {
        let _ = part;
        todo!()
    }

    /// Says how long the dump of the section that is open took (default: from its beginning to its end).
    pub fn took(&mut self, time: Duration) {
        let _ = time;
        todo!()
    }

    /// Ends a backup of a cluster: the index, its locator, the marker. Flushes, and gives the sink back.
    pub fn finish(self, about: About) -> io::Result<W> {
        let _ = about;
        todo!()
    }

    /// Ends the output of some other command: no index, only the marker.
    pub fn finish_without_index(self) -> io::Result<W> {
        todo!()
    }
}

/// Compresses one section into a file of its own, to be appended later.
#[derive(Debug)]
pub struct PartWriter {}

impl PartWriter {
    /// Begins a section in `file` (unnamed, empty).
    pub fn new(file: std::fs::File, kind: SectionKind, options: Options) -> Self {
        let _ = (file, kind, options);
        todo!()
    }

    /// As [`Writer::write_all`].
    pub fn write_all(&mut self, sql: &[u8]) -> io::Result<()> {
        let _ = sql;
        todo!()
    }

    /// As [`Writer::copy_from`].
    pub fn copy_from(
        &mut self,
        input: &mut dyn Read,
        watch: &mut dyn FnMut(&[u8]),
    ) -> io::Result<u64> {
        let _ = (input, watch);
        todo!()
    }

    /// Ends the section; `time` is how long its dump took.
    pub fn finish(self, time: Duration) -> io::Result<Part> {
        let _ = time;
        todo!()
    }
}

/// A compressed section that waits for its turn.
#[derive(Debug)]
pub struct Part {}
