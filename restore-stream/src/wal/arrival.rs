//! How a file of the archive comes to where PostgreSQL wants it: checked, durable, and all at once.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::process;

use job::{Error, OnStop};
use store::{Access, path_error};
use wal::{Archive, History, LongHeader, Stored, UnpackError, WalName, unpack};

/// How a temporary file's name begins. PostgreSQL removes what begins like this from pg_wal when it starts.
const TEMPORARY: &str = "xlogtemp.restore-stream";
/// The most that is kept of a history, to read it.
const HISTORY: usize = 1 << 20;
/// Only the owner reads WAL, as in all of a data directory.
const MODE: u32 = 0o600;

/// A file that is being written. Dropping it removes it, and so does a stop signal.
#[derive(Debug)]
struct Temporary {
    path: PathBuf,
    file: File,
    _on_stop: OnStop,
}

/// Decompresses a file, checks that it is whole and the one that its name says, and puts it to `to`. Returns a segment's
/// header.
///
/// # Errors
/// It is not, or cannot be read or written. Then there is nothing at `to` that was not there before.
pub(crate) fn place(
    stored: Stored,
    name: WalName,
    archive: &Archive,
    to: &Path,
) -> Result<Option<LongHeader>, Error> {
    let mut temporary = Temporary::beside(to)?;
    let keep = match name {
        WalName::History(_) => HISTORY,
        _ => LongHeader::BYTES,
    };
    let mut first = Vec::new();
    let unpacked = unpack(stored.input, stored.raw_sha256, |piece| {
        let room = keep.saturating_sub(first.len());
        first.extend(piece.iter().take(room));
        temporary.file.write_all(piece)
    });
    let size = unpacked.map_err(|error| match error {
        UnpackError::Write(error) => cannot_write(to, &error),
        error => archive.unpack_error(name, &error).into(),
    })?;
    let header = check(name, archive, &first, size)
        .map_err(|what| Error::from(archive.not_good(name, &what)))?;
    temporary.finish(to)?;
    Ok(header)
}

/// What the bytes themselves tell of being the right ones.
fn check(
    name: WalName,
    archive: &Archive,
    first: &[u8],
    size: u64,
) -> Result<Option<LongHeader>, String> {
    match name {
        WalName::Segment(segment)
        | WalName::Partial(segment)
        | WalName::OtherPartial(segment, _) => {
            let header = LongHeader::read(first).map_err(|error| error.to_string())?;
            header.check(segment).map_err(|error| error.to_string())?;
            if header.system != archive.system() {
                return Err(format!("it is of the cluster {}", header.system));
            }
            let wanted = header.segment_size.bytes();
            match size == wanted {
                true => Ok(Some(header)),
                false => Err(format!("it has {size} bytes, not {wanted}")),
            }
        }
        WalName::History(timeline) => match History::parse(timeline, first) {
            Ok(_) => Ok(None),
            Err(error) => Err(error.to_string()),
        },
        WalName::Backup(..) => Ok(None),
    }
}

impl Temporary {
    fn beside(to: &Path) -> Result<Self, Error> {
        // Several are fetched at once.
        let name = to.file_name().unwrap_or_default().to_string_lossy();
        let path = to.with_file_name(format!("{TEMPORARY}.{}.{name}", process::id()));
        let on_stop = {
            let path = path.clone();
            job::on_stop(move || drop(fs::remove_file(path)))
        };
        let options = OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(true)
            .mode(MODE)
            .open(&path);
        let file = options.map_err(|error| cannot_write(to, &error))?;
        Ok(Self {
            path,
            file,
            _on_stop: on_stop,
        })
    }

    /// Gives it its name. It is durable when this returns.
    fn finish(&self, to: &Path) -> Result<(), Error> {
        self.file
            .sync_all()
            .and_then(|()| fs::rename(&self.path, to))
            .and_then(|()| flush(to))
            .map_err(|error| cannot_write(to, &error))
    }
}

impl Drop for Temporary {
    fn drop(&mut self) {
        // It has its name, or nobody wants it.
        let _ = fs::remove_file(&self.path);
    }
}

fn flush(to: &Path) -> io::Result<()> {
    let directory = match to.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    };
    File::open(directory)?.sync_all()
}

fn cannot_write(to: &Path, error: &io::Error) -> Error {
    let doing = format_args!("cannot write '{}'", to.display());
    path_error(doing, to, Access::Write, error).into()
}
