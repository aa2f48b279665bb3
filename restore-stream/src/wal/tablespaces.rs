//! Tablespaces that the WAL creates. A server that replays that writes into the directory that the record names. On the
//! machine of the server that the WAL is of, that directory is in use, and its files have the same names.

use std::fs::File;
use std::io::Read;
use std::ops::ControlFlow;
use std::path::Path;

use job::Error;
use wal::{Archive, BegunRecord, Meaning, Record, RecordReader, WalName};

const PIECE: usize = 64 << 10;

/// Reads the records of a segment that is a file. Returns the last one if it goes on in the next segment.
///
/// # Errors
/// The system's.
pub(crate) fn read(path: &Path, on: &mut dyn FnMut(Record)) -> Result<Option<BegunRecord>, Error> {
    let mut reader = RecordReader::new();
    let _ = pieces(path, |piece| {
        reader.see(piece, on);
        ControlFlow::<()>::Continue(())
    })?;
    Ok(reader.begun())
}

/// Reads on in the next segment, and breaks with the record when it is whole, or with none if it does not go on there.
///
/// # Errors
/// The system's.
pub(crate) fn read_on(
    path: &Path,
    begun: &mut BegunRecord,
) -> Result<ControlFlow<Option<Record>>, Error> {
    pieces(path, |piece| begun.see(piece))
}

fn pieces<T>(
    path: &Path,
    mut on: impl FnMut(&[u8]) -> ControlFlow<T>,
) -> Result<ControlFlow<T>, Error> {
    let cannot = |error| Error::io(format_args!("cannot read '{}'", path.display()), &error);
    let mut file = File::open(path).map_err(cannot)?;
    let mut piece = vec![0; PIECE];
    loop {
        let read = file.read(&mut piece).map_err(cannot)?;
        if read == 0 {
            return Ok(ControlFlow::Continue(()));
        }
        let done = on(piece.get(..read).unwrap_or_default());
        if done.is_break() {
            return Ok(done);
        }
    }
}

/// Refuses a segment in which a tablespace is created, or begins to be: replay creates it when it has the next segment.
///
/// # Errors
/// There is one (exit code 4), or the file or the archive cannot be read.
pub(crate) fn check(name: WalName, path: &Path, archive: &Archive) -> Result<(), Error> {
    let WalName::Segment(segment) = name else {
        return Ok(());
    };
    let mut created = None;
    let mut see = |record: Record| {
        if let Meaning::TablespaceCreation { location } = record.meaning
            && location.starts_with(b"/")
        {
            created.get_or_insert(location);
        }
    };
    let begun = read(path, &mut see)?;
    if let Some(begun) = begun.filter(BegunRecord::may_matter) {
        let next = begun.next(segment);
        // Without it the WAL ends here, and nothing is created.
        archive.read_on(begun, next)?.map(see);
    }
    match created {
        None => Ok(()),
        Some(directory) => Err(refused(&directory)),
    }
}

/// The refusal of a recovery that would create a tablespace there.
pub(crate) fn refused(directory: &[u8]) -> Error {
    Error::refused(format!(
        "the WAL creates a tablespace in '{}', and the recovered server would write into that directory, in which another may keep its data",
        job::shown(&String::from_utf8_lossy(directory))
    ))
    .hint("name a moment before that; or, on a machine where that directory is there and no other server's, restore the whole cluster: --data-dir DIR --allow-tablespaces")
}
