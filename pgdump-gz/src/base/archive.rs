//! What a base backup's archive holds, seen as it passes into the backup.

use std::collections::BTreeSet;
use std::ops::Range;

use backup_file::{SectionKind, WalRange};
use job::Error;
use tar_stream::{Event, Flaw, Tar};

use super::label::Label;
use super::manifest::ManifestEnd;
use crate::output::{Output, Section};

/// More than any backup_label has.
const MOST_LABEL: usize = 64 << 10;
/// The beginning of pg_control: the system identifier and the version of its format (`pg_control.h`).
const CONTROL: usize = 12;

/// The archive, as it passes.
#[derive(Debug)]
pub(crate) struct Archive {
    tar: Tar,
    content: Content,
}

/// What passes, and what is kept of it.
#[derive(Debug)]
struct Content {
    section: Option<SectionKind>,
    entry: Entry,
    label: Vec<u8>,
    control: Vec<u8>,
    manifest: ManifestEnd,
    /// Where the manifest's text is.
    manifest_range: Range<u64>,
    databases: BTreeSet<u32>,
}

/// The entry that is passing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Entry {
    Label,
    Control,
    Manifest,
    Other,
}

/// What a whole archive says of itself.
#[derive(Debug)]
pub(crate) struct Found {
    pub(crate) system_identifier: u64,
    pub(crate) wal: Vec<WalRange>,
    pub(crate) from_standby: bool,
    pub(crate) manifest: Range<u64>,
    /// The OIDs of the databases whose files it has.
    pub(crate) databases: BTreeSet<u32>,
}

impl Archive {
    pub(crate) fn new() -> Self {
        Self {
            tar: Tar::new(),
            content: Content {
                section: None,
                entry: Entry::Other,
                label: Vec::new(),
                control: Vec::new(),
                manifest: ManifestEnd::default(),
                manifest_range: 0..0,
                databases: BTreeSet::new(),
            },
        }
    }

    /// Takes the next bytes into the backup.
    pub(crate) fn pass(&mut self, bytes: &[u8], output: &mut Output) -> Result<(), Error> {
        let Self { tar, content } = self;
        let on = &mut |at, event: Event<'_>| content.see(at, event, output);
        tar.feed::<Stopped>(bytes, on).map_err(Stopped::into_error)
    }

    /// What it holds, now that it has ended.
    ///
    /// # Errors
    /// It is no whole base backup, or contradicts itself.
    pub(crate) fn end(self, output: &mut Output) -> Result<Found, Error> {
        let Self { tar, content } = self;
        output.write(tar.end().map_err(not_whole)?)?;
        let label = Label::parse(&content.label)
            .ok_or_else(|| not_whole("its backup_label cannot be read"))?;
        let system_identifier =
            system_identifier(&content.control).ok_or_else(|| not_whole("it has no pg_control"))?;
        let wal = content.manifest.wal_ranges().map_err(not_whole)?;
        let start = wal.first().map(|range| (range.timeline, range.start));
        if start != Some((label.timeline, label.start)) {
            return Err(not_whole(
                "its manifest and its backup_label begin elsewhere",
            ));
        }
        Ok(Found {
            system_identifier,
            wal,
            from_standby: label.from_standby,
            manifest: content.manifest_range,
            databases: content.databases,
        })
    }
}

impl Content {
    fn see(&mut self, at: u64, event: Event<'_>, output: &mut Output) -> Result<(), Stopped> {
        let bytes = match event {
            Event::Header(block, entry) => {
                self.begin(at + block.len() as u64, &entry.name, output)?;
                block
            }
            Event::Content(bytes) => {
                self.keep(bytes);
                bytes
            }
            Event::Filler(bytes) => bytes,
        };
        Ok(output.write(bytes)?)
    }

    /// An entry begins, whose content begins at byte `at`.
    fn begin(&mut self, at: u64, name: &[u8], output: &mut Output) -> Result<(), Error> {
        let name = name.strip_prefix(b"./").unwrap_or(name);
        self.entry = match name {
            b"backup_label" => Entry::Label,
            b"global/pg_control" => Entry::Control,
            b"backup_manifest" => Entry::Manifest,
            _ => Entry::Other,
        };
        if self.entry == Entry::Manifest {
            self.manifest_range = at..at;
        }
        let section = section(name);
        if let SectionKind::DatabaseFiles(oid) = section {
            self.databases.insert(oid);
        }
        if self.section.as_ref() != Some(&section) {
            output.begin(section.clone())?;
            self.section = Some(section);
        }
        Ok(())
    }

    fn keep(&mut self, bytes: &[u8]) {
        let keep = |kept: &mut Vec<u8>, most: usize| {
            let room = most - kept.len();
            kept.extend_from_slice(&bytes[..bytes.len().min(room)]);
        };
        match self.entry {
            Entry::Label => keep(&mut self.label, MOST_LABEL),
            Entry::Control => keep(&mut self.control, CONTROL),
            Entry::Manifest => {
                self.manifest_range.end += bytes.len() as u64;
                self.manifest.see(bytes);
            }
            Entry::Other => {}
        }
    }
}

/// The section that an entry belongs to.
fn section(name: &[u8]) -> SectionKind {
    if name == b"backup_manifest" {
        return SectionKind::Manifest;
    }
    let below = name.strip_prefix(b"base/");
    let directory = below.and_then(|below| below.split(|byte| *byte == b'/').next());
    let oid = directory.and_then(|digits| std::str::from_utf8(digits).ok()?.parse().ok());
    oid.map_or(SectionKind::Files, SectionKind::DatabaseFiles)
}

/// The system identifier in a pg_control, whichever byte order its machine has.
fn system_identifier(control: &[u8]) -> Option<u64> {
    let identifier = control.get(..8)?.try_into().ok()?;
    let version: [u8; 4] = control.get(8..CONTROL)?.try_into().ok()?;
    // It is the major version in hundreds (1300, 1700, 1800).
    match u32::from_le_bytes(version) {
        ..=0xffff => Some(u64::from_le_bytes(identifier)),
        _ => Some(u64::from_be_bytes(identifier)),
    }
}

/// Why the archive is taken no further.
#[derive(Debug)]
enum Stopped {
    Flaw(Flaw),
    Output(Error),
}

impl Stopped {
    fn into_error(self) -> Error {
        match self {
            Self::Flaw(flaw) => not_whole(flaw),
            Self::Output(error) => error,
        }
    }
}

impl From<Flaw> for Stopped {
    fn from(flaw: Flaw) -> Self {
        Self::Flaw(flaw)
    }
}

impl From<Error> for Stopped {
    fn from(error: Error) -> Self {
        Self::Output(error)
    }
}

pub(crate) fn not_whole(what: impl std::fmt::Display) -> Error {
    Error::failed(format!("what pg_basebackup wrote is not whole: {what}")).hint(
        "pg_basebackup on the PATH must be PostgreSQL's own, of the server's version or newer",
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sections_by_names() {
        for (name, wanted) in [
            ("backup_label", SectionKind::Files),
            ("base", SectionKind::Files),
            ("base/16384", SectionKind::DatabaseFiles(16384)),
            ("base/16384/", SectionKind::DatabaseFiles(16384)),
            ("base/1/PG_VERSION", SectionKind::DatabaseFiles(1)),
            ("base/pgsql_tmp", SectionKind::Files),
            ("global/1262", SectionKind::Files),
            ("pg_wal/base/1", SectionKind::Files),
            ("backup_manifest", SectionKind::Manifest),
        ] {
            assert_eq!(section(name.as_bytes()), wanted, "{name}");
        }
    }

    #[test]
    fn system_identifiers_of_either_byte_order() {
        let control = |order: fn(u64) -> [u8; 8], version: [u8; 4]| {
            [&order(0x1234_5678_9abc_def0)[..], &version].concat()
        };
        let little = control(u64::to_le_bytes, 1300_u32.to_le_bytes());
        let big = control(u64::to_be_bytes, 1800_u32.to_be_bytes());
        for control in [little, big] {
            assert_eq!(system_identifier(&control), Some(0x1234_5678_9abc_def0));
            assert_eq!(system_identifier(&control[..11]), None);
        }
    }
}
