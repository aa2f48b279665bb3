//! A whole pg_wal directory: every complete segment that the store lacks.

use std::collections::BTreeSet;
use std::fs;
use std::ops::ControlFlow;

use job::{Error, Exit, say, text};
use store::{Access, Store, path_error};
use wal::{DataDirectory, LongHeader, Put, Segment, SegmentSize, WalName};

use super::archiver::Archiver;
use super::file::WalFile;

/// Sends what the store lacks.
///
/// # Errors
/// Any of it is not in the store now. All else was tried.
pub(super) fn run(data: &DataDirectory, store: &Store, at_once: usize) -> Result<(), Error> {
    if !data.archive_status().is_dir() {
        return Err(Error::usage(format!(
            "'{}' is no pg_wal directory: it has no archive_status",
            data.pg_wal().display()
        ))
        .hint("blob-put --wal \"$PGDATA/pg_wal/\" STORE/"));
    }
    let names = complete(data)?;
    let Some(first) = names.first() else {
        say!(
            "'{}' holds nothing complete to archive",
            data.pg_wal().display()
        );
        return Ok(());
    };
    let system = open(data, *first)?.system();
    let archiver = Archiver::new(store, system, data);
    for name in archiver.archive().sweep()? {
        say!("removed '{name}', which a killed run left");
    }
    let (mut new, mut same) = (0, 0);
    let mut failures: Vec<Error> = Vec::new();
    job::in_parallel(
        names.len(),
        at_once,
        |at| names.get(at).map(|name| put(data, &archiver, *name)),
        |_, put| match put {
            Some(Ok(Put::New)) => {
                new += 1;
                ControlFlow::Continue(())
            }
            Some(Ok(Put::Same)) => {
                same += 1;
                ControlFlow::Continue(())
            }
            Some(Err(error)) => {
                // What is wrong with one file says nothing of the others; a store that does not answer does.
                let goes_on = matches!(error.exit(), Exit::NotGood | Exit::Refused);
                if goes_on {
                    job::say_error(&error);
                }
                failures.push(error);
                match goes_on {
                    true => ControlFlow::Continue(()),
                    false => ControlFlow::Break(()),
                }
            }
            None => ControlFlow::Continue(()),
        },
    );
    say!(
        "{}: {} archived, {same} there already",
        archiver.archive().label(),
        text::count(new, "file")
    );
    match failures.pop() {
        None => Ok(()),
        Some(last) if matches!(last.exit(), Exit::NotGood | Exit::Refused) => Err(Error::new(
            last.exit(),
            format!("{} not archived", were(failures.len() + 1)),
        )),
        Some(last) => Err(last),
    }
}

fn were(count: usize) -> String {
    match count {
        1 => "1 file was".into(),
        _ => format!("{count} files were"),
    }
}

fn put(data: &DataDirectory, archiver: &Archiver, name: WalName) -> Result<Put, Error> {
    let file = open(data, name)?;
    match archiver.archive().recorded(name)? {
        Some(_) => archiver.compare(file),
        None => archiver.put(file),
    }
}

fn open(data: &DataDirectory, name: WalName) -> Result<WalFile, Error> {
    WalFile::open(&data.pg_wal().join(name.to_string()), name, data)
}

/// The files that will not change any more, histories first. A segment is complete if PostgreSQL noted it as ready or
/// done, or if the next one has been begun: WAL is written in order, and a segment is flushed before the next begins.
fn complete(data: &DataDirectory) -> Result<Vec<WalName>, Error> {
    let names = names(data)?;
    let status = data.archive_status();
    let is_noted = |name: WalName| {
        let noted = ["ready", "done"].map(|how| status.join(format!("{name}.{how}")));
        noted.iter().any(|path| path.exists())
    };
    let is_begun = |segment: Segment| {
        names.contains(&WalName::Segment(segment)) && size_of(data, segment).is_some()
    };
    let is_complete = |name: &WalName| match name {
        WalName::Segment(segment) => {
            is_noted(*name)
                || size_of(data, *segment)
                    .and_then(|size| segment.next(size))
                    .is_some_and(is_begun)
        }
        WalName::History(_) => true,
        WalName::Partial(_) | WalName::Backup(..) => is_noted(*name),
        WalName::OtherPartial(..) => false,
    };
    // Their order has the histories first.
    Ok(names.iter().copied().filter(is_complete).collect())
}

fn names(data: &DataDirectory) -> Result<BTreeSet<WalName>, Error> {
    let path = data.pg_wal();
    let cannot = |error: &std::io::Error| -> Error {
        let doing = format_args!("cannot read directory '{}'", path.display());
        path_error(doing, path, Access::Read, error).into()
    };
    let mut names = BTreeSet::new();
    for entry in fs::read_dir(path).map_err(|error| cannot(&error))? {
        let entry = entry.map_err(|error| cannot(&error))?;
        let name = entry.file_name().into_string().ok();
        names.extend(name.and_then(|name| WalName::parse(&name)));
    }
    Ok(names)
}

/// The size of segments by the header of this one; none if it is not the one that its name says: one that was recycled,
/// or not begun.
fn size_of(data: &DataDirectory, segment: Segment) -> Option<SegmentSize> {
    let path = data.pg_wal().join(segment.to_string());
    let header = LongHeader::read(&first_bytes(&path)?).ok()?;
    header.check(segment).ok().map(|()| header.segment_size)
}

fn first_bytes(path: &std::path::Path) -> Option<Vec<u8>> {
    use std::io::Read;
    let mut bytes = Vec::new();
    let file = fs::File::open(path).ok()?;
    file.take(LongHeader::BYTES as u64)
        .read_to_end(&mut bytes)
        .ok()?;
    Some(bytes)
}
