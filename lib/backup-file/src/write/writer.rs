//! Writes a backup, or one section of it.

use std::collections::HashSet;
use std::fmt;
use std::fs::File;
use std::io::{self, Read, Write};
use std::time::{Duration, Instant};

use super::buffer::SqlBuffer;
use super::compressor::Compressor;
use super::output::{Part, SectionEnd};
use crate::codec::LEVELS;
use crate::format::base::Base;
use crate::format::contents::Contents;
use crate::format::index::{About, SectionKind};
use crate::format::map::Layout;
use crate::format::member::Packer;

/// How to compress.
#[derive(Debug, Clone, Copy)]
pub struct Options {
    /// One of [`LEVELS`]; any other counts as the nearest of them.
    pub level: u8,
    /// How many threads compress when the calling thread does not keep up. As long as it does, it compresses itself;
    /// with 1 it always does. Each thread takes about 2 MiB of memory.
    pub threads: usize,
}

/// Writes a backup: SQL in, members out, in order, with bounded memory. What was written is no whole backup before
/// [`Writer::finish`] has written the marker. A writer that is dropped never writes it, and waits for its threads to end.
///
/// If the sink fails, the call that finds out or the next one returns the error, and so does every later one.
pub struct Writer<W: Write> {
    compressor: Compressor<W>,
    /// SQL that the compressor has not got yet.
    buffer: SqlBuffer,
    section: Option<OpenSection>,
    /// The kinds of the sections so far.
    kinds: HashSet<SectionKind>,
    level: u8,
}

/// The section that is open.
struct OpenSection {
    since: Instant,
    took: Option<Duration>,
    contents: Option<Contents>,
    layout: Option<Layout>,
}

impl<W: Write> Writer<W> {
    /// Begins a backup. The sink gets large pieces (up to half a megabyte): it needs no buffer.
    pub fn new(sink: W, options: Options) -> Self {
        let level = options.level.clamp(*LEVELS.start(), *LEVELS.end());
        Self {
            compressor: Compressor::new(sink, level, options.threads),
            buffer: SqlBuffer::new(),
            section: None,
            kinds: HashSet::new(),
            level,
        }
    }

    /// Begins a section, in a new member. All SQL up to the next section belongs to it.
    ///
    /// # Errors
    /// The sink's, or that there was one of its kind and name.
    pub fn begin(&mut self, kind: SectionKind) -> io::Result<()> {
        self.end()?;
        self.check_new(&kind)?;
        self.section = Some(OpenSection {
            since: Instant::now(),
            took: None,
            contents: None,
            layout: None,
        });
        self.compressor.begin(kind)
    }

    /// Adds SQL to the section.
    ///
    /// # Errors
    /// The sink's.
    pub fn write_all(&mut self, mut sql: &[u8]) -> io::Result<()> {
        while !sql.is_empty() {
            let room = self.buffer.room();
            let (now, later) = sql.split_at(sql.len().min(room.len()));
            room[..now.len()].copy_from_slice(now);
            self.filled(now.len())?;
            sql = later;
        }
        Ok(())
    }

    /// Reads `input` to its end straight into the blocks, and returns how many bytes came. `watch` sees each piece.
    ///
    /// # Errors
    /// The input's and the sink's.
    pub fn copy_from(
        &mut self,
        input: &mut dyn Read,
        watch: &mut dyn FnMut(&[u8]),
    ) -> io::Result<u64> {
        let mut sum = 0;
        loop {
            let room = self.buffer.room();
            let count = match input.read(room) {
                Ok(0) => return Ok(sum),
                Ok(count) => count,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => return Err(error),
            };
            watch(&room[..count]);
            sum += u64::try_from(count).unwrap_or(0);
            self.filled(count)?;
        }
    }

    /// Adds a section that was compressed apart. It has the same blocks as if it had been written here.
    ///
    /// # Errors
    /// The sink's, or that the part's file cannot be read or has changed, or that there was one of its name.
    pub fn append(&mut self, part: Part) -> io::Result<()> {
        self.end()?;
        self.check_new(part.kind())?;
        self.compressor.append(part)
    }

    /// Sets how long the dump of the open section took. By default it is the time from its beginning to its end.
    pub fn took(&mut self, time: Duration) {
        if let Some(open) = &mut self.section {
            open.took = Some(time);
        }
    }

    /// Sets what the dump in the open section held.
    pub fn holds(&mut self, contents: Contents) {
        if let Some(open) = &mut self.section {
            open.contents = Some(contents);
        }
    }

    /// Sets where the rows are in the open section, which is a database's, for its map. The places are those of all SQL of
    /// the section. A map of more than 16 MiB is left out, and so are those for which the maps before them leave less
    /// than 32 MiB together.
    pub fn map(&mut self, layout: Layout) {
        if let Some(open) = &mut self.section {
            open.layout = Some(layout);
        }
    }

    /// Ends a backup of a cluster with the index, its locator and the marker. Flushes the sink and gives it back.
    ///
    /// # Errors
    /// The sink's, or that SQL was written before the first section began, or that the index would be larger than 16 MiB.
    pub fn finish(mut self, about: About) -> io::Result<W> {
        self.end()?;
        let mut packer = Packer::new(self.level);
        self.compressor.close()?.finish(about, None, &mut packer)
    }

    /// As [`Writer::finish`], for a base backup.
    ///
    /// # Errors
    /// As [`Writer::finish`].
    pub fn finish_base(mut self, about: About, base: Base) -> io::Result<W> {
        self.end()?;
        let mut packer = Packer::new(self.level);
        let output = self.compressor.close()?;
        output.finish(about, Some(base), &mut packer)
    }

    /// Ends the output of some other command with the marker alone, without an index.
    ///
    /// # Errors
    /// The sink's.
    pub fn finish_without_index(mut self) -> io::Result<W> {
        self.end()?;
        self.compressor.close()?.finish_without_index()
    }

    /// Checks that there was no such section yet: a name in the index must lead to one place.
    fn check_new(&mut self, kind: &SectionKind) -> io::Result<()> {
        match self.kinds.insert(kind.clone()) || kind.may_repeat() {
            true => Ok(()),
            false => Err(io::Error::other(format!("the dump has {kind} twice"))),
        }
    }

    /// Counts `count` bytes that were put into the buffer.
    fn filled(&mut self, count: usize) -> io::Result<()> {
        if self.buffer.fill(count) {
            let first = self.buffer.take_overflow();
            self.compressor.take(&mut self.buffer)?;
            self.buffer.room()[0] = first;
            self.buffer.fill(1);
        }
        Ok(())
    }

    /// Ends the section that is open.
    fn end(&mut self) -> io::Result<()> {
        if !self.buffer.is_empty() {
            self.buffer.end_section();
            self.compressor.take(&mut self.buffer)?;
        }
        match self.section.take() {
            Some(open) => self.compressor.end(SectionEnd {
                took: open.took.unwrap_or_else(|| open.since.elapsed()),
                contents: open.contents,
                layout: open.layout,
            }),
            None => Ok(()),
        }
    }
}

impl<W: Write> fmt::Debug for Writer<W> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Writer").finish_non_exhaustive()
    }
}

/// Compresses one section into a file of its own, to be appended later.
#[derive(Debug)]
pub struct PartWriter {
    writer: Writer<File>,
    /// The error of beginning the section, which `finish` returns.
    begun: io::Result<()>,
}

impl PartWriter {
    /// Begins a section in `file` (unnamed, empty).
    pub fn new(file: File, kind: SectionKind, options: Options) -> Self {
        let mut writer = Writer::new(file, options);
        let begun = writer.begin(kind);
        Self { writer, begun }
    }

    /// As [`Writer::write_all`].
    ///
    /// # Errors
    /// The file's.
    pub fn write_all(&mut self, sql: &[u8]) -> io::Result<()> {
        self.writer.write_all(sql)
    }

    /// As [`Writer::copy_from`].
    ///
    /// # Errors
    /// The input's and the file's.
    pub fn copy_from(
        &mut self,
        input: &mut dyn Read,
        watch: &mut dyn FnMut(&[u8]),
    ) -> io::Result<u64> {
        self.writer.copy_from(input, watch)
    }

    /// As [`Writer::holds`].
    pub fn holds(&mut self, contents: Contents) {
        self.writer.holds(contents);
    }

    /// As [`Writer::map`].
    pub fn map(&mut self, layout: Layout) {
        self.writer.map(layout);
    }

    /// Ends the section; `time` is how long its dump took.
    ///
    /// # Errors
    /// The file's.
    pub fn finish(mut self, time: Duration) -> io::Result<Part> {
        self.begun?;
        self.writer.took(time);
        self.writer.end()?;
        self.writer.compressor.close()?.into_part()
    }
}
