use std::fmt;
use std::io::{self, Cursor, Read};

use crate::audit::Audit;
use crate::failure::Failure;
use crate::frames::{self, Frames, Last, Stop};
use crate::member::{BEFORE, Header};
use crate::{Index, Section, blocks, stream};

/// Reads a backup, or any gzip file, checking every byte: SQL out, in order, with bounded memory.
///
/// What [`Reader::next`] hands out belongs to members whose CRC-32 and length were found right (in a
/// stream of another program: so far as it was read), but only [`Reader::finish`] says whether the whole is whole.
///
/// With more than one thread, the others read ahead, up to 2 MiB for each; they end soon after the reader is dropped.
pub struct Reader {
    source: Source,
    threads: usize,
    expected: Option<Section>,
    sql_only: bool,
    /// The end was reached.
    ended: Option<Result<Ending, Wrong>>,
}

/// Where the SQL comes from.
enum Source {
    /// Nothing was read yet.
    Input(Box<dyn Read + Send>),
    BlocksHere(Box<blocks::Here>),
    Blocks(Box<blocks::Pool>),
    StreamHere(Box<stream::Here>),
    Stream(stream::Pool),
    /// It could not be begun.
    None,
}

impl Reader {
    /// Reads a whole file. `threads` decompress, the calling thread among them (while it has to wait for the others).
    pub fn whole(input: Box<dyn Read + Send>, threads: usize) -> Self {
        Self {
            source: Source::Input(input),
            threads,
            expected: None,
            sql_only: false,
            ended: None,
        }
    }

    /// Reads one section: `input` gives exactly the section's bytes of the file. Its length, its CRC-32
    /// and its SQL's length are checked against the index.
    pub fn section(input: Box<dyn Read + Send>, section: &Section, threads: usize) -> Self {
        Self {
            expected: Some(section.clone()),
            ..Self::whole(input, threads)
        }
    }

    /// Keeps the index to itself: [`Reader::next`] hands out the SQL of the dump and nothing else, byte
    /// for byte what the dump command wrote. The index is still read and checked, and its lines still count in
    /// [`Report::sql_size`].
    pub fn sql_only(self) -> Self {
        Self {
            sql_only: true,
            ..self
        }
    }

    /// The next piece of SQL, up to 512 KiB; none at the end. After an error there is no more: the same error again.
    ///
    /// # Errors
    /// The input's, or what is damaged.
    #[expect(
        clippy::should_implement_trait,
        reason = "it lends what it hands out: no iterator can"
    )]
    pub fn next(&mut self) -> Result<Option<&[u8]>, ReadError> {
        while self.ended.is_none() {
            if let Source::Input(_) = self.source {
                self.begin();
                continue;
            }
            match self.source.advance() {
                Ok(Advance::Other(last)) => self.go_on(last),
                Ok(Advance::Sql { index }) if index && self.sql_only => {}
                Ok(Advance::Sql { .. }) if self.source.sql().is_empty() => {}
                Ok(Advance::Sql { .. }) => return Ok(Some(self.source.sql())),
                Ok(Advance::End(ending)) => self.ended = Some(Ok(ending)),
                Err(error) => self.ended = Some(Err(Wrong::of(&error))),
            }
        }
        match &self.ended {
            Some(Err(wrong)) => Err(wrong.error()),
            _ => Ok(None),
        }
    }

    /// Reads what is left and says what was found; an error if the file is not good in any way that the file itself can tell:
    /// a damaged or cut member, an index that is not true, bytes after the marker.
    /// A missing marker is no error here: [`Report::ending`] tells.
    ///
    /// # Errors
    /// The input's, or what is damaged.
    pub fn finish(mut self) -> Result<Report, ReadError> {
        while self.next()?.is_some() {}
        let ending = match self.ended {
            Some(Ok(ending)) => ending,
            Some(Err(wrong)) => return Err(wrong.error()),
            None => return Err(blocks::thread_lost()),
        };
        let audit = self.source.audit()?;
        match &self.expected {
            Some(section) => audit.section(section),
            None => audit.whole(ending),
        }
    }

    /// Looks at the first bytes to see how the rest is to be read.
    fn begin(&mut self) {
        let Source::Input(input) = std::mem::replace(&mut self.source, Source::None) else {
            return;
        };
        self.set(Source::new(input, self.threads, self.expected.is_some()));
    }

    /// Behind the BGZF members of a file without index comes something else: the rest is read as gunzip reads it.
    fn go_on(&mut self, last: Last) {
        let source = std::mem::replace(&mut self.source, Source::None);
        self.set(source.go_on(self.threads, last));
    }

    fn set(&mut self, source: Result<Source, ReadError>) {
        match source {
            Ok(source) => self.source = source,
            Err(error) => self.ended = Some(Err(Wrong::of(&error))),
        }
    }
}

impl fmt::Debug for Reader {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Reader").finish_non_exhaustive()
    }
}

/// What came.
enum Advance {
    Sql {
        index: bool,
    },
    /// No BGZF member; the last that was one.
    Other(Last),
    End(Ending),
}

impl Source {
    fn new(
        mut input: Box<dyn Read + Send>,
        threads: usize,
        section: bool,
    ) -> Result<Self, ReadError> {
        let mut first = [0; BEFORE];
        let mut filled = 0;
        while filled < first.len() {
            let count = frames::read(input.as_mut(), &mut first[filled..])?;
            if count == 0 {
                break;
            }
            filled += count;
        }
        let first = &first[..filled];
        if first.is_empty() && !section {
            return Err(damaged("the file is empty"));
        }
        let blocks = section || Header::of(first) != Header::Other;
        if !blocks && !first.starts_with(&[0x1f, 0x8b]) {
            return Err(damaged("this is no gzip file"));
        }
        let input = Box::new(Cursor::new(first.to_vec()).chain(input));
        if !blocks {
            return Self::stream(input, threads, Audit::new(), None);
        }
        let frames = Frames::new(input, section);
        Ok(match threads > 1 {
            false => Self::BlocksHere(Box::new(blocks::Here::new(frames))),
            true => Self::Blocks(Box::new(blocks::Pool::new(frames, threads)?)),
        })
    }

    /// Reads gzip of any kind. `audit` and `last` are of the BGZF members before it, if there are any.
    fn stream(
        input: Box<dyn Read + Send>,
        threads: usize,
        audit: Audit,
        last: Option<Last>,
    ) -> Result<Self, ReadError> {
        Ok(match threads > 1 {
            false => Self::StreamHere(Box::new(stream::Here::new(input, audit, last))),
            true => Self::Stream(stream::Pool::new(input, audit, last)?),
        })
    }

    fn go_on(self, threads: usize, last: Last) -> Result<Self, ReadError> {
        let (rest, audit) = match self {
            Self::BlocksHere(blocks) => blocks.rest(),
            Self::Blocks(blocks) => blocks.rest()?,
            _ => return Err(blocks::thread_lost()),
        };
        Self::stream(rest, threads, audit, Some(last))
    }

    /// Gets the next SQL.
    fn advance(&mut self) -> Result<Advance, ReadError> {
        let batch = match self {
            Self::BlocksHere(blocks) => blocks.next(),
            Self::Blocks(blocks) => blocks.next()?,
            Self::StreamHere(stream) => return stream.next().map(Advance::of_stream),
            Self::Stream(stream) => return stream.next().map(Advance::of_stream),
            Self::Input(_) | Self::None => return Err(blocks::thread_lost()),
        };
        match batch.end.take().transpose()? {
            Some(Stop::End(Last::Marker)) => Ok(Advance::End(Ending::Marker)),
            Some(Stop::End(_)) => Ok(Advance::End(Ending::NoMarker)),
            Some(Stop::Other(last)) => Ok(Advance::Other(last)),
            None => Ok(Advance::Sql { index: batch.index }),
        }
    }

    /// The SQL that the last advance got.
    fn sql(&self) -> &[u8] {
        match self {
            Self::BlocksHere(blocks) => blocks.sql(),
            Self::Blocks(blocks) => blocks.sql(),
            Self::StreamHere(stream) => stream.sql(),
            Self::Stream(stream) => stream.sql(),
            Self::Input(_) | Self::None => &[],
        }
    }

    fn audit(self) -> Result<Audit, ReadError> {
        match self {
            Self::BlocksHere(blocks) => Ok(blocks.audit()),
            Self::Blocks(blocks) => Ok(blocks.audit()),
            Self::StreamHere(stream) => stream.audit(),
            Self::Stream(stream) => stream.audit(),
            Self::Input(_) | Self::None => Err(blocks::thread_lost()),
        }
    }
}

impl Advance {
    fn of_stream(ending: Option<Ending>) -> Self {
        match ending {
            Some(ending) => Self::End(ending),
            None => Self::Sql { index: false },
        }
    }
}

/// What was read.
#[derive(Debug, Clone, PartialEq)]
pub struct Report {
    /// Bytes of the file (or section).
    pub size: u64,
    /// Bytes of SQL, the index's lines included: what gunzip would write.
    pub sql_size: u64,
    /// gzip members.
    pub members: u64,
    /// How it ends. A section that is what the index says ends in [`Ending::Marker`]: it is whole.
    pub ending: Ending,
    /// The index, where there is one; it was found to be true.
    pub index: Option<Index>,
}

/// How a file ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ending {
    /// With the marker: whoever made it says it is whole.
    Marker,
    /// BGZF without the marker: it was cut, or its dump failed.
    NoMarker,
    /// gzip that is no BGZF, or not all of it, made by another program: every member is whole, but whether the last
    /// one is there cannot be known.
    Foreign,
}

/// Why a backup cannot be read.
#[derive(Debug)]
pub enum ReadError {
    /// The bytes did not come.
    Io(io::Error),
    /// The bytes that came are not a good backup: what is wrong (`the member at byte 1234 is damaged: its CRC-32 is wrong`).
    Damaged(String),
}

pub(crate) fn damaged(what: impl Into<String>) -> ReadError {
    ReadError::Damaged(what.into())
}

impl fmt::Display for ReadError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Io(error) => write!(f, "{error}"),
            Self::Damaged(what) => f.write_str(what),
        }
    }
}

impl std::error::Error for ReadError {}

/// A read error that is said more than once.
#[derive(Debug)]
enum Wrong {
    Io(Failure),
    Damaged(String),
}

impl Wrong {
    fn of(error: &ReadError) -> Self {
        match error {
            ReadError::Io(error) => Self::Io(Failure::of(error)),
            ReadError::Damaged(what) => Self::Damaged(what.clone()),
        }
    }

    fn error(&self) -> ReadError {
        match self {
            Self::Io(failure) => ReadError::Io(failure.error()),
            Self::Damaged(what) => ReadError::Damaged(what.clone()),
        }
    }
}
