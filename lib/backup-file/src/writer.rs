use std::collections::HashSet;
use std::fmt;
use std::fs::File;
use std::io::{self, Read, Write};
use std::ops::RangeInclusive;
use std::time::{Duration, Instant};

use crate::member::Packer;
use crate::output::{End, Part};
use crate::press::{Batch, Press};
use crate::{About, Contents, SectionKind};

/// The levels that `--level` takes: the fastest to the smallest. With ISA-L, 1 to 3 are ISA-L's and the
/// higher ones zlib-rs'; without it, all are. Beyond 8 zlib-rs takes longer and gains nothing in blocks of 64 KiB.
pub const LEVELS: RangeInclusive<u8> = 1..=8;
/// The level that the figures of `docs/performance.md` justify: ISA-L's 1 takes a seventh less time than its 2 and
/// less than half of its 3's, for less than 1 % more bytes; zlib-rs' 1 is half as large again as its 2.
pub const DEFAULT_LEVEL: u8 = if cfg!(feature = "isal") { 1 } else { 2 };

/// How to compress.
#[derive(Debug, Clone, Copy)]
pub struct Options {
    /// One of [`LEVELS`]; one beyond them counts as the nearest.
    pub level: u8,
    /// How many threads compress when the calling thread, which does it itself as long as it keeps up, does not.
    /// With 1 it always does. Each takes about 1 MiB of memory, twice.
    pub threads: usize,
}

/// Writes a backup: SQL in, members out, in order, with bounded memory. Nothing that was written is a
/// whole backup before [`Writer::finish`] has written the marker; a writer that is dropped never writes it,
/// and ends its threads before it is gone.
///
/// When the sink fails, the call that finds out or the next one gives the error, and so does every later one.
pub struct Writer<W: Write> {
    press: Press<W>,
    /// SQL that was not given to the press yet.
    batch: Batch,
    section: Option<Open>,
    /// Of the sections so far.
    kinds: HashSet<SectionKind>,
    level: u8,
}

/// The section that is open.
struct Open {
    since: Instant,
    took: Option<Duration>,
    contents: Option<Contents>,
}

impl<W: Write> Writer<W> {
    /// Begins a backup. The sink gets large pieces (up to half a megabyte): it needs no buffer.
    pub fn new(sink: W, options: Options) -> Self {
        let level = options.level.clamp(*LEVELS.start(), *LEVELS.end());
        Self {
            press: Press::new(sink, level, options.threads),
            batch: Batch::new(),
            section: None,
            kinds: HashSet::new(),
            level,
        }
    }

    /// Begins a section; all SQL up to the next belongs to it. It starts a new member.
    ///
    /// # Errors
    /// The sink's, or that there was one of its kind and name.
    pub fn begin(&mut self, kind: SectionKind) -> io::Result<()> {
        self.end()?;
        self.once(&kind)?;
        self.section = Some(Open {
            since: Instant::now(),
            took: None,
            contents: None,
        });
        self.press.begin(kind)
    }

    /// Adds SQL to the section.
    ///
    /// # Errors
    /// The sink's.
    pub fn write_all(&mut self, mut sql: &[u8]) -> io::Result<()> {
        while !sql.is_empty() {
            let room = self.batch.room();
            let (now, later) = sql.split_at(sql.len().min(room.len()));
            room[..now.len()].copy_from_slice(now);
            self.filled(now.len())?;
            sql = later;
        }
        Ok(())
    }

    /// Reads `input` to its end straight into the blocks, showing each piece to `watch`, and says how many bytes came.
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
            let room = self.batch.room();
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

    /// Adds a section that was compressed apart (same bytes as if it had been written here, if the level is the same).
    ///
    /// # Errors
    /// The sink's, or that the part's file cannot be read or has changed, or that there was one of its name.
    pub fn append(&mut self, part: Part) -> io::Result<()> {
        self.end()?;
        self.once(part.kind())?;
        self.press.append(part)
    }

    /// Says how long the dump of the section that is open took (default: from its beginning to its end).
    pub fn took(&mut self, time: Duration) {
        if let Some(open) = &mut self.section {
            open.took = Some(time);
        }
    }

    /// Says what the dump in the section that is open held. Lists of tables that take more than 8 MiB in
    /// all are left out of the index, the longest first.
    pub fn holds(&mut self, contents: Contents) {
        if let Some(open) = &mut self.section {
            open.contents = Some(contents);
        }
    }

    /// Ends a backup of a cluster: the index, its locator, the marker. Flushes, and gives the sink back.
    ///
    /// # Errors
    /// The sink's, or that SQL was written before the first section began, or that the index would be larger than 16 MiB.
    pub fn finish(mut self, about: About) -> io::Result<W> {
        self.end()?;
        let mut packer = Packer::new(self.level);
        self.press.close()?.finish(about, &mut packer)
    }

    /// Ends the output of some other command: no index, only the marker.
    ///
    /// # Errors
    /// The sink's.
    pub fn finish_without_index(mut self) -> io::Result<W> {
        self.end()?;
        self.press.close()?.finish_without_index()
    }

    /// An index that has one name twice would lead to one of two places.
    fn once(&mut self, kind: &SectionKind) -> io::Result<()> {
        match self.kinds.insert(kind.clone()) {
            true => Ok(()),
            false => Err(io::Error::other(format!("the dump has {kind} twice"))),
        }
    }

    /// Counts `count` bytes that were put into the batch.
    fn filled(&mut self, count: usize) -> io::Result<()> {
        if self.batch.fill(count) {
            let first = self.batch.overflow();
            self.press.press(&mut self.batch)?;
            self.batch.room()[0] = first;
            self.batch.fill(1);
        }
        Ok(())
    }

    /// Ends the section that is open.
    fn end(&mut self) -> io::Result<()> {
        if !self.batch.is_empty() {
            self.batch.end();
            self.press.press(&mut self.batch)?;
        }
        match self.section.take() {
            Some(open) => self.press.end(End {
                took: open.took.unwrap_or_else(|| open.since.elapsed()),
                contents: open.contents,
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
    /// The error of the beginning, if there was one.
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

    /// Ends the section; `time` is how long its dump took.
    ///
    /// # Errors
    /// The file's.
    pub fn finish(mut self, time: Duration) -> io::Result<Part> {
        self.begun?;
        self.writer.took(time);
        self.writer.end()?;
        self.writer.press.close()?.into_part()
    }
}
