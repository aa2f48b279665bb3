//! Unpacks a base backup: its sections at once, each file checked against the manifest.

use std::fs::File;
use std::ops::ControlFlow;
use std::path::{Component, Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};

use backup_file::{Index, Reader, Section, SectionKind};
use crc_fast::{CrcAlgorithm, Digest};
use job::{Error, Progress, in_parallel};
use store::Source;
use tar_stream::{Entry, EntryKind, Event, Flaw, Tar};

use super::data_directory::DataDirectory;
use super::manifest::Manifest;

/// Sections that are unpacked at once, at most: each reads ahead some 10 MiB.
const AT_ONCE: usize = 3;
const CONTROL: &str = "global/pg_control";
/// PostgreSQL's has 8 KiB.
const MOST_CONTROL: u64 = 64 << 10;
/// What a standby has and a recovery to a moment must not: with it the server would follow a primary for ever.
const SIGNALS: [&str; 2] = ["standby.signal", "recovery.signal"];
/// The manifest lists all but itself.
const MANIFEST: &str = "backup_manifest";

/// What was unpacked.
#[derive(Debug, Default)]
pub(crate) struct Unpacked {
    pub(crate) files: usize,
    pub(crate) bytes: u64,
    /// What `global/pg_control` is to hold, which is not there yet.
    pub(crate) control: Vec<u8>,
}

/// Unpacks all of it but `global/pg_control`, and but the files of the databases that are `left_out`.
///
/// # Errors
/// It is damaged, or not what its manifest says (exit code 3); the store or the disk fails.
pub(crate) fn unpack(
    source: &Source,
    index: &Index,
    manifest: &Manifest,
    left_out: &[u32],
    directory: &DataDirectory,
    threads: usize,
) -> Result<Unpacked, Error> {
    let mut sections: Vec<&Section> = index.sections.iter().collect();
    sections.retain(|section| match section.kind {
        SectionKind::DatabaseFiles(oid) => !left_out.contains(&oid),
        _ => true,
    });
    // Replay writes into it all the same.
    for oid in left_out {
        directory.make_directory(&Path::new("base").join(oid.to_string()), 0o700)?;
    }
    // The largest one takes longest.
    sections.sort_by_key(|section| std::cmp::Reverse(section.length));
    let total = sections.iter().map(|section| section.sql_length).sum();
    let progress = Progress::new(format!("unpacking '{}'", source.label()), Some(total));
    let workers = threads.clamp(1, AT_ONCE);
    let failed = AtomicBool::new(false);
    let work = |number: usize| {
        let Some(section) = sections.get(number) else {
            return Ok(Unpacked::default());
        };
        let mut unpacker = Unpacker::new(source, manifest, directory);
        let done = unpacker.section(section, threads.div_ceil(workers), &progress, &failed);
        done.map(|()| unpacker.done)
    };
    let mut all = Unpacked::default();
    let mut first_error = None;
    in_parallel(sections.len(), workers, work, |_, done| match done {
        Ok(done) => {
            all.files += done.files;
            all.bytes += done.bytes;
            if !done.control.is_empty() {
                all.control = done.control;
            }
            ControlFlow::Continue(())
        }
        Err(error) => {
            failed.store(true, Ordering::Relaxed);
            first_error.get_or_insert(error);
            ControlFlow::Break(())
        }
    });
    drop(progress);
    if let Some(error) = first_error {
        return Err(error);
    }
    if let Some(name) = manifest.missing() {
        let name = String::from_utf8_lossy(name);
        let what = format!(
            "'{}' is listed in its manifest, and missing",
            job::shown(&name)
        );
        return Err(not_good(source, what));
    }
    match all.control.is_empty() {
        true => Err(not_good(source, "it has no pg_control")),
        false => Ok(all),
    }
}

/// Unpacks one section.
struct Unpacker<'a> {
    source: &'a Source,
    manifest: &'a Manifest,
    directory: &'a DataDirectory,
    current: Option<Current>,
    done: Unpacked,
}

/// The file that is coming.
struct Current {
    name: PathBuf,
    /// As the manifest has it.
    listed_as: Vec<u8>,
    place: Place,
    size: u64,
    crc: Digest,
}

enum Place {
    File(File),
    /// pg_control, which is kept.
    Control,
    /// It is checked, and not written.
    Nowhere,
}

impl<'a> Unpacker<'a> {
    fn new(source: &'a Source, manifest: &'a Manifest, directory: &'a DataDirectory) -> Self {
        Self {
            source,
            manifest,
            directory,
            current: None,
            done: Unpacked::default(),
        }
    }

    fn section(
        &mut self,
        section: &Section,
        threads: usize,
        progress: &Progress,
        failed: &AtomicBool,
    ) -> Result<(), Error> {
        let input = self.source.range(section.offset, section.length)?;
        let mut reader = Reader::section(input, section, threads);
        let source = self.source;
        let cannot = |error| source.read_error(&error);
        let mut tar = Tar::new();
        while let Some(piece) = reader.next().map_err(cannot)? {
            tar.feed(piece, &mut |_, event| self.see(event))
                .map_err(|stopped| match stopped {
                    Stopped::Flaw(flaw) => not_good(source, flaw),
                    Stopped::Error(error) => error,
                })?;
            progress.advance(piece.len() as u64);
            if failed.load(Ordering::Relaxed) {
                // Another section's error is the one that is reported.
                return Err(Error::failed("another part of the backup failed"));
            }
        }
        reader.finish().map_err(cannot)?;
        match tar.is_between_entries() {
            true => self.end_file(),
            false => Err(not_good(
                source,
                format_args!("a file ends within {}", section.kind),
            )),
        }
    }

    fn see(&mut self, event: Event<'_>) -> Result<(), Stopped> {
        match event {
            Event::Header(_, entry) => Ok(self.begin(&entry)?),
            Event::Content(bytes) => Ok(self.write(bytes)?),
            Event::Filler(_) => Ok(()),
        }
    }

    fn begin(&mut self, entry: &Entry) -> Result<(), Error> {
        self.end_file()?;
        let listed_as = entry.name.strip_prefix(b"./").unwrap_or(&entry.name);
        let name = path(listed_as).ok_or_else(|| {
            let name = String::from_utf8_lossy(&entry.name);
            not_good(
                self.source,
                format_args!("'{}' is no path in a data directory", job::shown(&name)),
            )
        })?;
        match entry.kind {
            EntryKind::Directory => return self.directory.make_directory(&name, entry.mode),
            EntryKind::File => {}
            EntryKind::Other(kind) => {
                return Err(not_good(
                    self.source,
                    format_args!(
                        "'{}' is neither a file nor a directory (type {})",
                        name.display(),
                        char::from(kind).escape_default()
                    ),
                ));
            }
        }
        let place = match name.to_str() {
            Some(CONTROL) if entry.size <= MOST_CONTROL => Place::Control,
            Some(it) if SIGNALS.contains(&it) => Place::Nowhere,
            _ => Place::File(self.directory.make_file(&name, entry.mode)?),
        };
        self.current = Some(Current {
            listed_as: listed_as.to_vec(),
            name,
            place,
            size: entry.size,
            crc: Digest::new(CrcAlgorithm::Crc32Iscsi),
        });
        Ok(())
    }

    fn write(&mut self, bytes: &[u8]) -> Result<(), Error> {
        let Some(current) = &mut self.current else {
            return Err(not_good(self.source, "a directory has content"));
        };
        current.crc.update(bytes);
        match &mut current.place {
            Place::File(file) => self.directory.write(file, &current.name, bytes),
            Place::Control => {
                self.done.control.extend_from_slice(bytes);
                Ok(())
            }
            Place::Nowhere => Ok(()),
        }
    }

    /// Checks the file that has come.
    fn end_file(&mut self) -> Result<(), Error> {
        let Some(current) = self.current.take() else {
            return Ok(());
        };
        self.done.files += 1;
        self.done.bytes += current.size;
        if current.name == Path::new(MANIFEST) {
            return Ok(());
        }
        let wrong = |what: &str| {
            let what = format!("'{}' {what}", current.name.display());
            Err(not_good(self.source, what))
        };
        let Some(listed) = self.manifest.take(&current.listed_as) else {
            return wrong("is not in its manifest, or there twice");
        };
        if listed.size != current.size {
            return wrong("has not the size that its manifest says");
        }
        match listed.crc32c {
            Some(crc) if u64::from(crc) != current.crc.finalize() => {
                wrong("has not the checksum that its manifest says")
            }
            _ => Ok(()),
        }
    }
}

/// A path that stays where it is put.
fn path(name: &[u8]) -> Option<PathBuf> {
    use std::ffi::OsStr;
    use std::os::unix::ffi::OsStrExt;
    let path = Path::new(OsStr::from_bytes(name));
    let mut components = path.components();
    let stays = components.all(|it| matches!(it, Component::Normal(_)));
    (stays && !name.is_empty()).then(|| path.to_owned())
}

fn not_good(source: &Source, what: impl std::fmt::Display) -> Error {
    Error::not_good(format!("'{}' is not good: {what}", source.label()))
}

/// Why a section is unpacked no further.
enum Stopped {
    Flaw(Flaw),
    Error(Error),
}

impl From<Flaw> for Stopped {
    fn from(flaw: Flaw) -> Self {
        Self::Flaw(flaw)
    }
}

impl From<Error> for Stopped {
    fn from(error: Error) -> Self {
        Self::Error(error)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_paths_within_are_taken() {
        assert_eq!(path(b"base/5/1259"), Some("base/5/1259".into()));
        assert!(path(b"gr\xf6\xdfe").is_some());
        for wrong in [&b""[..], b"/etc/passwd", b"../x", b"base/../../x"] {
            assert_eq!(path(wrong), None);
        }
    }
}
