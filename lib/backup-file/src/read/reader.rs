//! Reads a backup, or any gzip file.

use std::fmt;
use std::io::{Cursor, Read};

use super::audit::Audit;
use super::batch::{Batch, LastMember, Place, Stop};
use super::bgzf::Bgzf;
use super::foreign::Foreign;
use super::frames::Frames;
use super::input::read_full;
use super::report::{Ending, Report};
use crate::format::error::{ReadError, damaged};
use crate::format::index::Section;
use crate::format::member::{BEFORE, Header, as_u64, sql_length};
use crate::workers::thread::lost;

/// Reads a backup, or any gzip file, checking every byte: SQL out, in order, with bounded memory.
///
/// What [`Reader::next`] hands out belongs to members whose CRC-32 and length are right (in a file of another program,
/// a member is handed out before its end has been read). Only [`Reader::finish`] says whether the file is whole.
///
/// With more than one thread, the others read ahead, up to 2 MiB for each; they end soon after the reader is dropped.
pub struct Reader {
    source: Source,
    threads: usize,
    /// The section that the input is, if it is not a whole file.
    expected: Option<Section>,
    /// The maps and the index are not handed out.
    sql_only: bool,
    /// Set when the end was reached: how the file ends, or what is wrong.
    ended: Option<Result<Ending, ReadError>>,
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

    /// Does not hand out the maps and the index: [`Reader::next`] gives what the dump command wrote, byte for byte, and
    /// nothing else. They are still read and checked, and their lines still count in [`Report::sql_size`].
    pub fn sql_only(self) -> Self {
        Self {
            sql_only: true,
            ..self
        }
    }

    /// The next piece of SQL, up to 512 KiB; none at the end. After an error, each call returns the same error.
    ///
    /// # Errors
    /// The input's, or what is damaged.
    #[expect(
        clippy::should_implement_trait,
        reason = "an iterator cannot lend what it hands out"
    )]
    pub fn next(&mut self) -> Result<Option<&[u8]>, ReadError> {
        while self.ended.is_none() {
            if let Source::Input(_) = self.source {
                self.begin_reading();
                continue;
            }
            match self.source.advance() {
                Ok(Advance::Other(last)) => self.read_foreign(last),
                Ok(Advance::Sql { dump }) if !dump && self.sql_only => {}
                Ok(Advance::Sql { .. }) if self.source.sql().is_empty() => {}
                Ok(Advance::Sql { .. }) => return Ok(Some(self.source.sql())),
                Ok(Advance::End(ending)) => self.ended = Some(Ok(ending)),
                Err(error) => self.ended = Some(Err(error)),
            }
        }
        match &self.ended {
            Some(Err(error)) => Err(error.again()),
            _ => Ok(None),
        }
    }

    /// The piece that came last.
    pub fn current(&self) -> &[u8] {
        self.source.sql()
    }

    /// The BGZF members of the piece that came last: where each begins in the file (or section), and how many bytes of SQL
    /// it holds, both in bytes. None where the file is something else.
    pub fn members(&self) -> impl Iterator<Item = (u64, u64)> {
        let batch = match &self.source {
            Source::Bgzf(bgzf) => bgzf.batch(),
            _ => None,
        };
        let members = batch.into_iter().flat_map(Batch::members);
        members.map(|(offset, member)| (offset, as_u64(sql_length(member))))
    }

    /// Reads what is left and reports what was found. It is an error if the file itself tells that it is not good: a
    /// damaged or cut member, an index that is not true, bytes after the marker. A missing marker is none:
    /// [`Report::ending`] tells.
    ///
    /// # Errors
    /// The input's, or what is damaged.
    pub fn finish(mut self) -> Result<Report, ReadError> {
        while self.next()?.is_some() {}
        let ending = match self.ended {
            Some(Ok(ending)) => ending,
            Some(Err(error)) => return Err(error),
            None => return Err(ReadError::Io(lost())),
        };
        let audit = self.source.into_audit()?;
        match &self.expected {
            Some(section) => audit.section(section),
            None => audit.whole(ending),
        }
    }

    /// Looks at the first bytes to see how the rest is to be read.
    fn begin_reading(&mut self) {
        let Source::Input(input) = std::mem::replace(&mut self.source, Source::None) else {
            return;
        };
        self.set(Source::new(input, self.threads, self.expected.is_some()));
    }

    /// Reads what follows the BGZF members of a file without index, which is something else, as gunzip does.
    fn read_foreign(&mut self, last: LastMember) {
        let source = std::mem::replace(&mut self.source, Source::None);
        self.set(source.into_foreign(self.threads, last));
    }

    fn set(&mut self, source: Result<Source, ReadError>) {
        match source {
            Ok(source) => self.source = source,
            Err(error) => self.ended = Some(Err(error)),
        }
    }
}

impl fmt::Debug for Reader {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Reader").finish_non_exhaustive()
    }
}

/// Where the SQL comes from.
enum Source {
    /// Nothing was read yet.
    Input(Box<dyn Read + Send>),
    Bgzf(Bgzf),
    Foreign(Foreign),
    /// It could not be begun.
    None,
}

/// What a source gives next.
enum Advance {
    Sql {
        /// It is the dump's, and not a map's or the index's.
        dump: bool,
    },
    /// Something else than a BGZF member; the last member was one.
    Other(LastMember),
    End(Ending),
}

impl Source {
    fn new(
        mut input: Box<dyn Read + Send>,
        threads: usize,
        section: bool,
    ) -> Result<Self, ReadError> {
        let mut first = [0; BEFORE];
        let filled = read_full(input.as_mut(), &mut first)?;
        let first = &first[..filled];
        if first.is_empty() && !section {
            return Err(damaged("the file is empty"));
        }
        let bgzf = section || Header::of(first) != Header::Other;
        if !bgzf && !first.starts_with(&[0x1f, 0x8b]) {
            return Err(damaged("this is no gzip file"));
        }
        let input = Box::new(Cursor::new(first.to_vec()).chain(input));
        if bgzf {
            let bgzf = Bgzf::new(Frames::new(input, section), threads);
            bgzf.map(Self::Bgzf).map_err(ReadError::Io)
        } else {
            Self::foreign(input, threads, Audit::new(), None)
        }
    }

    /// `audit` and `last` are of the BGZF members that were read before, if there are any.
    fn foreign(
        input: Box<dyn Read + Send>,
        threads: usize,
        audit: Audit,
        last: Option<LastMember>,
    ) -> Result<Self, ReadError> {
        let foreign = Foreign::new(input, threads, audit, last);
        foreign.map(Self::Foreign).map_err(ReadError::Io)
    }

    /// What follows the BGZF members, of which `last` is the last one.
    fn into_foreign(self, threads: usize, last: LastMember) -> Result<Self, ReadError> {
        let Self::Bgzf(bgzf) = self else {
            return Err(ReadError::Io(lost()));
        };
        let (rest, audit) = bgzf.into_rest().map_err(ReadError::Io)?;
        Self::foreign(rest, threads, audit, Some(last))
    }

    /// Gets the next SQL.
    fn advance(&mut self) -> Result<Advance, ReadError> {
        match self {
            Self::Bgzf(bgzf) => {
                let batch = bgzf.next().map_err(ReadError::Io)?;
                Ok(match batch.end.take().transpose()? {
                    Some(Stop::End(LastMember::Marker)) => Advance::End(Ending::Marker),
                    Some(Stop::End(_)) => Advance::End(Ending::NoMarker),
                    Some(Stop::Other(last)) => Advance::Other(last),
                    None => Advance::Sql {
                        dump: batch.place == Place::Sections,
                    },
                })
            }
            Self::Foreign(foreign) => Ok(match foreign.next()? {
                Some(ending) => Advance::End(ending),
                None => Advance::Sql { dump: true },
            }),
            Self::Input(_) | Self::None => Err(ReadError::Io(lost())),
        }
    }

    /// The SQL that the last step got.
    fn sql(&self) -> &[u8] {
        match self {
            Self::Bgzf(bgzf) => bgzf.sql(),
            Self::Foreign(foreign) => foreign.sql(),
            Self::Input(_) | Self::None => &[],
        }
    }

    fn into_audit(self) -> Result<Audit, ReadError> {
        match self {
            Self::Bgzf(bgzf) => Ok(bgzf.into_audit()),
            Self::Foreign(foreign) => Ok(foreign.into_audit()),
            Self::Input(_) | Self::None => Err(ReadError::Io(lost())),
        }
    }
}
