//! Where a writer's members go: the sink, and the account of what it was given.

use std::fs::File;
use std::io::{self, Read, Seek, Write};
use std::time::Duration;

use crate::format::base::Base;
use crate::format::contents::Contents;
use crate::format::index::{About, Index, MapPlace, Section, SectionKind, milliseconds};
use crate::format::map::{Checkpoints, Layout};
use crate::format::map_members;
use crate::format::marker::MARKER;
use crate::format::member::{Packer, as_u64};
use crate::format::tail;

/// A sink, and the account of the sections in it.
#[derive(Debug)]
pub(super) struct Output<W> {
    sink: W,
    /// The sections that have ended, in order.
    sections: Vec<Section>,
    /// The section that has begun and not ended.
    open: Option<SectionStart>,
    /// The maps of sections that have ended, which follow the last section: the section's place in `sections`, and the
    /// map's members.
    maps: Vec<(usize, Vec<u8>)>,
    /// What the maps take together.
    maps_length: usize,
    /// Where the next member goes.
    offset: u64,
    sql_offset: u64,
}

/// The most that all maps of a backup may take in the file: they wait in memory for its end.
const MOST_MAPS: usize = 32 << 20;

/// What is known of a section when it ends.
#[derive(Debug)]
pub(super) struct SectionEnd {
    pub(super) took: Duration,
    pub(super) contents: Option<Contents>,
    pub(super) layout: Option<Layout>,
}

/// What is known of a section when it begins, and its CRC-32 so far.
#[derive(Debug)]
struct SectionStart {
    kind: SectionKind,
    offset: u64,
    sql_offset: u64,
    crc32: crc32fast::Hasher,
    checkpoints: Checkpoints,
}

impl<W: Write> Output<W> {
    pub(super) fn new(sink: W) -> Self {
        Self {
            sink,
            sections: Vec::new(),
            open: None,
            maps: Vec::new(),
            maps_length: 0,
            offset: 0,
            sql_offset: 0,
        }
    }

    /// Begins a section; the one before has ended.
    pub(super) fn begin(&mut self, kind: SectionKind) {
        self.open = Some(SectionStart {
            kind,
            offset: self.offset,
            sql_offset: self.sql_offset,
            crc32: crc32fast::Hasher::new(),
            checkpoints: Checkpoints::default(),
        });
    }

    /// Adds whole members that hold `sql` bytes.
    pub(super) fn members(&mut self, members: &[u8], sql: usize) -> io::Result<()> {
        if let Some(open) = &mut self.open {
            let (sql, file) = (self.sql_offset, self.offset);
            open.checkpoints
                .pass(sql - open.sql_offset, file - open.offset);
            open.crc32.update(members);
        }
        self.offset += as_u64(members.len());
        self.sql_offset += as_u64(sql);
        self.sink.write_all(members)
    }

    /// Ends the section that is open.
    pub(super) fn end(&mut self, end: SectionEnd, packer: &mut Packer) -> io::Result<()> {
        if let Some(open) = self.open.take() {
            if let (SectionKind::Database(name), Some(layout)) = (&open.kind, &end.layout) {
                let map = map_members::write(
                    name,
                    self.sql_offset - open.sql_offset,
                    layout,
                    &open.checkpoints,
                    packer,
                )?;
                self.keep_map(map);
            }
            self.sections.push(Section {
                kind: open.kind,
                offset: open.offset,
                length: self.offset - open.offset,
                sql_offset: open.sql_offset,
                sql_length: self.sql_offset - open.sql_offset,
                crc32: open.crc32.finalize(),
                seconds: milliseconds(end.took.as_secs_f64()),
                contents: end.contents,
                map: None,
            });
        }
        Ok(())
    }

    /// Keeps the map of the section that comes next, if there is room for it. Which maps there is room for depends on
    /// their order in the file alone.
    fn keep_map(&mut self, map: Option<Vec<u8>>) {
        let room = MOST_MAPS - self.maps_length;
        if let Some(map) = map.filter(|map| map.len() <= room) {
            self.maps_length += map.len();
            self.maps.push((self.sections.len(), map));
        }
    }

    /// Adds a section that was compressed into a file of its own.
    pub(super) fn append(&mut self, part: Part) -> io::Result<()> {
        let Part {
            mut file,
            section,
            map,
        } = part;
        let mut crc32 = crc32fast::Hasher::new();
        let mut piece = vec![0; 256 << 10];
        let mut left = section.length;
        file.rewind()?;
        while left > 0 {
            let next = usize::try_from(left).unwrap_or(usize::MAX).min(piece.len());
            file.read_exact(&mut piece[..next])?;
            crc32.update(&piece[..next]);
            self.sink.write_all(&piece[..next])?;
            left -= as_u64(next);
        }
        if crc32.finalize() != section.crc32 {
            return Err(io::Error::other(format!(
                "the temporary file of {} does not hold what was written to it",
                section.kind
            )));
        }
        let (length, sql_length) = (section.length, section.sql_length);
        self.keep_map(map);
        self.sections.push(Section {
            offset: self.offset,
            sql_offset: self.sql_offset,
            ..section
        });
        self.offset += length;
        self.sql_offset += sql_length;
        Ok(())
    }

    /// Writes the maps, the index, its locator, the marker.
    pub(super) fn finish(
        mut self,
        about: About,
        base: Option<Base>,
        packer: &mut Packer,
    ) -> io::Result<W> {
        let covered: u64 = self.sections.iter().map(|section| section.length).sum();
        if covered != self.offset {
            return Err(io::Error::other(
                "SQL was written before the first section began",
            ));
        }
        for (at, map) in std::mem::take(&mut self.maps) {
            self.sections[at].map = Some(MapPlace {
                offset: self.offset,
                length: as_u64(map.len()),
                crc32: crc32fast::hash(&map),
            });
            self.sink.write_all(&map)?;
            self.offset += as_u64(map.len());
        }
        let index = Index {
            about,
            sections: std::mem::take(&mut self.sections),
            base: base.map(Box::new),
        };
        let tail = tail::write(&index, self.offset, packer)?;
        self.sink.write_all(&tail)?;
        self.flush()
    }

    /// Writes only the marker.
    pub(super) fn finish_without_index(mut self) -> io::Result<W> {
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
    pub(super) fn into_part(mut self) -> io::Result<Part> {
        let section = self
            .sections
            .pop()
            .ok_or_else(|| io::Error::other("a part without a section"))?;
        Ok(Part {
            file: self.sink,
            section,
            map: self.maps.pop().map(|(_, map)| map),
        })
    }
}

/// A compressed section that waits for its turn.
#[derive(Debug)]
pub struct Part {
    file: File,
    section: Section,
    map: Option<Vec<u8>>,
}

impl Part {
    /// What it is.
    pub fn kind(&self) -> &SectionKind {
        &self.section.kind
    }
}
