//! Tablespaces that the WAL creates. A server that replays that writes into the directory that the record names. On the
//! machine of the server that the WAL is of, that directory is in use, and its files have the same names.

use std::fs::File;
use std::io::Read;
use std::path::Path;

use job::Error;
use wal::{Meaning, Record, RecordReader, WalName};

const PIECE: usize = 64 << 10;

/// Reads the records of a segment that is a file.
///
/// # Errors
/// The system's.
pub(crate) fn read(path: &Path, on: &mut dyn FnMut(Record)) -> Result<(), Error> {
    let cannot = |error| Error::io(format_args!("cannot read '{}'", path.display()), &error);
    let mut file = File::open(path).map_err(cannot)?;
    let (mut reader, mut piece) = (RecordReader::new(), vec![0; PIECE]);
    loop {
        match file.read(&mut piece).map_err(cannot)? {
            0 => return Ok(()),
            read => reader.see(piece.get(..read).unwrap_or_default(), on),
        }
    }
}

/// Refuses a segment in which a tablespace is created.
///
/// # Errors
/// There is one (exit code 4), or the file cannot be read.
pub(crate) fn check(name: WalName, path: &Path) -> Result<(), Error> {
    let WalName::Segment(_) = name else {
        return Ok(());
    };
    let mut created = None;
    read(path, &mut |record| {
        if let Meaning::TablespaceCreation { location } = record.meaning
            && !location.is_empty()
        {
            created.get_or_insert(location);
        }
    })?;
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
    .hint("name a moment before that; or, on a machine where that directory is there and no other server's: --allow-tablespaces")
}
