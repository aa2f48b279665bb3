//! Where a writer's members go: the sink, and the account of what it has got.

use std::fs::File;
use std::io::{self, Read, Seek, Write};
use std::time::Duration;

use crate::index_text::milliseconds;
use crate::member::{Packer, size};
use crate::tail;
use crate::{About, Contents, Index, MARKER, Section, SectionKind, contents};

/// A sink that keeps the account of its sections.
#[derive(Debug)]
pub(crate) struct Output<W> {
    sink: W,
    /// The sections that have ended, in order.
    sections: Vec<Section>,
    /// The open one, as far as it has come.
    open: Option<Open>,
    /// Where the next member goes.
    offset: u64,
    sql_offset: u64,
}

/// What is known of a section when it ends.
#[derive(Debug)]
pub(crate) struct End {
    pub(crate) took: Duration,
    pub(crate) contents: Option<Contents>,
}

#[derive(Debug)]
struct Open {
    kind: SectionKind,
    offset: u64,
    sql_offset: u64,
    crc32: crc32fast::Hasher,
}

impl<W: Write> Output<W> {
    pub(crate) fn new(sink: W) -> Self {
        Self {
            sink,
            sections: Vec::new(),
            open: None,
            offset: 0,
            sql_offset: 0,
        }
    }

    /// Begins a section; the one before has ended.
    pub(crate) fn begin(&mut self, kind: SectionKind) {
        self.open = Some(Open {
            kind,
            offset: self.offset,
            sql_offset: self.sql_offset,
            crc32: crc32fast::Hasher::new(),
        });
    }

    /// Adds whole members that hold `sql` bytes.
    pub(crate) fn members(&mut self, members: &[u8], sql: usize) -> io::Result<()> {
        if let Some(open) = &mut self.open {
            open.crc32.update(members);
        }
        self.offset += size(members.len());
        self.sql_offset += size(sql);
        self.sink.write_all(members)
    }

    /// Ends the section that is open.
    pub(crate) fn end(&mut self, end: End) {
        if let Some(open) = self.open.take() {
            self.sections.push(Section {
                kind: open.kind,
                offset: open.offset,
                length: self.offset - open.offset,
                sql_offset: open.sql_offset,
                sql_length: self.sql_offset - open.sql_offset,
                crc32: open.crc32.finalize(),
                seconds: milliseconds(end.took.as_secs_f64()),
                contents: end.contents,
            });
        }
    }

    /// Adds a section that is in a file already.
    pub(crate) fn append(&mut self, part: Part) -> io::Result<()> {
        let Part { mut file, section } = part;
        let mut crc32 = crc32fast::Hasher::new();
        let mut piece = vec![0; 256 << 10];
        let mut left = section.length;
        file.rewind()?;
        while left > 0 {
            let most = usize::try_from(left).unwrap_or(usize::MAX).min(piece.len());
            file.read_exact(&mut piece[..most])?;
            crc32.update(&piece[..most]);
            self.sink.write_all(&piece[..most])?;
            left -= size(most);
        }
        if crc32.finalize() != section.crc32 {
            return Err(io::Error::other(format!(
                "the temporary file of {} does not hold what was written to it",
                section.kind
            )));
        }
        let (length, sql_length) = (section.length, section.sql_length);
        self.sections.push(Section {
            offset: self.offset,
            sql_offset: self.sql_offset,
            ..section
        });
        self.offset += length;
        self.sql_offset += sql_length;
        Ok(())
    }

    /// Writes the index, its locator, the marker.
    pub(crate) fn finish(mut self, about: About, packer: &mut Packer) -> io::Result<W> {
        let covered: u64 = self.sections.iter().map(|section| section.length).sum();
        if covered != self.offset {
            return Err(io::Error::other(
                "SQL was written before the first section began",
            ));
        }
        let mut index = Index {
            about,
            sections: std::mem::take(&mut self.sections),
        };
        contents::shorten(
            index
                .sections
                .iter_mut()
                .filter_map(|it| it.contents.as_mut()),
        );
        let tail = tail::write(&index, self.offset, packer)?;
        self.sink.write_all(&tail)?;
        self.flush()
    }

    /// Writes the marker only.
    pub(crate) fn finish_without_index(mut self) -> io::Result<W> {
        self.sink.write_all(&MARKER)?;
        self.flush()
    }

    fn flush(mut self) -> io::Result<W> {
        self.sink.flush()?;
        Ok(self.sink)
    }
}

impl Output<File> {
    /// The one section that was written, as a part of another output.
    pub(crate) fn into_part(mut self) -> io::Result<Part> {
        let section = self
            .sections
            .pop()
            .ok_or_else(|| io::Error::other("a part without a section"))?;
        Ok(Part {
            file: self.sink,
            section,
        })
    }
}

/// A compressed section that waits for its turn.
#[derive(Debug)]
pub struct Part {
    file: File,
    section: Section,
}

impl Part {
    /// What it is.
    pub fn kind(&self) -> &SectionKind {
        &self.section.kind
    }
}
