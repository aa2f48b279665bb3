//! A file to be archived, and whether it is what its name says.

use std::fs::File;
use std::io::{self, Read, Seek};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use backup_file::Sha256;
use job::Error;
use sha2::{Digest, Sha256 as Hasher};
use store::{Access, path_error};
use wal::{DataDirectory, LongHeader, Packed, Segment, SystemId, WalName};

/// A file to be archived that is what its name says, as far as its header tells.
#[derive(Debug)]
pub(super) struct WalFile {
    path: PathBuf,
    name: WalName,
    file: File,
    size: u64,
    system: SystemId,
    /// None if it is no segment.
    header: Option<LongHeader>,
}

impl WalFile {
    /// Opens a file and checks its header: address and timeline against the name, size, system identifier.
    ///
    /// # Errors
    /// It cannot be read, or is not what its name says.
    pub(super) fn open(path: &Path, name: WalName, data: &DataDirectory) -> Result<Self, Error> {
        let cannot = |error: &io::Error| -> Error {
            let doing = format_args!("cannot read '{}'", path.display());
            path_error(doing, path, Access::Read, error).into()
        };
        let file = File::open(path).map_err(|error| cannot(&error))?;
        let metadata = file.metadata().map_err(|error| cannot(&error))?;
        let not_good = |what: &str| {
            Error::not_good(format!("'{}' {what}: it was not archived", path.display()))
        };
        if !metadata.is_file() {
            return Err(not_good("is no regular file"));
        }
        let size = metadata.len();
        let own = data.system()?;
        let header = match name {
            WalName::Segment(segment) | WalName::Partial(segment) => {
                let header = header(&file).map_err(|error| cannot(&error))?;
                let header = LongHeader::read(&header)
                    .map_err(|error| not_good(&format!("is no WAL segment: {error}")))?;
                Some(checked(header, segment, size).map_err(|what| {
                    not_good(&format!("is not what its name says: {what}"))
                        .hint("PostgreSQL reuses old segments under new names; this one is not the one that was to be archived")
                })?)
            }
            _ => None,
        };
        let system = match (header.map(|header| header.system), own) {
            (Some(says), Some(own)) if says != own => {
                return Err(not_good(&format!(
                    "is of the cluster {says}, and its data directory of {own}"
                ))
                .hint("pg_controldata shows the system identifier of a data directory"));
            }
            (Some(system), _) | (None, Some(system)) => system,
            (None, None) => {
                return Err(Error::usage(format!(
                    "cannot tell which cluster '{}' is of: there is no global/pg_control beside its directory",
                    path.display()
                ))
                .hint("run it in the data directory, as PostgreSQL does"));
            }
        };
        Ok(Self {
            path: path.to_path_buf(),
            name,
            file,
            size,
            system,
            header,
        })
    }

    pub(super) fn name(&self) -> WalName {
        self.name
    }

    /// Bytes.
    pub(super) fn size(&self) -> u64 {
        self.size
    }

    pub(super) fn system(&self) -> SystemId {
        self.system
    }

    pub(super) fn header(&self) -> Option<&LongHeader> {
        self.header.as_ref()
    }

    /// The SHA-256 of it, as it is.
    ///
    /// # Errors
    /// It cannot be read.
    pub(super) fn sha256(&mut self) -> Result<Sha256, Error> {
        let mut hasher = Hasher::new();
        io::copy(&mut self.file, &mut hasher)
            .and_then(|_| self.file.rewind())
            .map_err(|error| {
                Error::io(
                    format_args!("cannot read '{}'", self.path.display()),
                    &error,
                )
            })?;
        Ok(hasher.finalize().into())
    }

    /// Compresses and hashes it.
    ///
    /// # Errors
    /// It cannot be read, or has another length than before.
    pub(super) fn pack(&mut self) -> Result<Packed, Error> {
        self.pack_by(Packed::of)
    }

    /// The same sooner, for some more work.
    ///
    /// # Errors
    /// As [`pack`](Self::pack).
    pub(super) fn pack_soon(&mut self) -> Result<Packed, Error> {
        self.pack_by(Packed::soon)
    }

    fn pack_by(
        &mut self,
        pack: impl FnOnce(&mut dyn Read, u64) -> io::Result<Packed>,
    ) -> Result<Packed, Error> {
        let cannot = format!("cannot read '{}'", self.path.display());
        let packed = pack(&mut self.file, self.size).map_err(|error| Error::io(&cannot, &error))?;
        match packed.raw_size == self.size {
            true => Ok(packed),
            false => Err(Error::failed(format!("{cannot}: its size changes"))),
        }
    }
}

fn header(file: &File) -> io::Result<Vec<u8>> {
    let mut header = vec![0; LongHeader::BYTES];
    let mut filled = 0;
    while filled < header.len() {
        match file.read_at(&mut header[filled..], filled as u64)? {
            0 => break,
            count => filled += count,
        }
    }
    header.truncate(filled);
    Ok(header)
}

fn checked(header: LongHeader, segment: Segment, size: u64) -> Result<LongHeader, String> {
    header.check(segment).map_err(|error| error.to_string())?;
    let wanted = header.segment_size.bytes();
    match size == wanted {
        true => Ok(header),
        false => Err(format!("it has {size} bytes, not {wanted}")),
    }
}
