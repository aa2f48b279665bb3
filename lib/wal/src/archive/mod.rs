//! One cluster's archive in a store.

mod archived;
mod directory;
mod error;
mod list;
mod packed;
mod put;

use std::fs::File;
use std::io::{self, Cursor, Read};
use std::ops::ControlFlow;
use std::path::PathBuf;

use azure_blob::{Client, ErrorKind as ServiceErrorKind};
use backup_file::Sha256;
use store::{Access, Deletion, ErrorKind as StoreErrorKind, Store, path_error};

pub use archived::Archived;
pub use error::{ArchiveError, ArchiveErrorKind};
pub use packed::{Packed, UnpackError, unpack};
pub use put::Put;

use crate::layout::{ARCHIVES, file_name};
use crate::{
    BegunRecord, History, Record, Segment, SystemId, WalName, archive_directory, stored_name,
};

/// What is fetched in one request and kept in memory while it is read. A larger segment is fetched in ranges.
const WHOLE: u64 = 64 << 20;

/// One cluster's archive in a store.
#[derive(Debug, Clone)]
pub struct Archive {
    place: Place,
    system: SystemId,
}

#[derive(Debug, Clone)]
enum Place {
    /// The store and the archive's directory in it, which may not be there yet.
    Directory(store::Directory, PathBuf),
    Container(Client),
}

/// An archived file, to be read.
pub struct Stored {
    /// Its compressed bytes.
    pub input: Box<dyn Read + Send>,
    /// The SHA-256 of what it holds, if that was recorded when it was put there.
    pub raw_sha256: Option<Sha256>,
}

/// What is known of an archived file that is there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Recorded {
    /// Its compressed size in bytes.
    pub size: u64,
    /// The SHA-256 of what it holds, if that was recorded when it was put there.
    pub raw_sha256: Option<Sha256>,
}

impl Archive {
    /// A cluster's archive. Nothing is asked yet, and it need not be there.
    pub fn new(store: &Store, system: SystemId) -> Self {
        let place = match store.place() {
            store::Place::Container(client) => Place::Container(client.clone()),
            store::Place::Directory(directory) => {
                let path = directory.path().join(archive_directory(system));
                Place::Directory(directory.clone(), path)
            }
        };
        Self { place, system }
    }

    /// The clusters whose archives are in a store.
    ///
    /// # Errors
    /// The store cannot be listed.
    pub fn systems(store: &Store) -> Result<Vec<SystemId>, ArchiveError> {
        let names = match store.place() {
            store::Place::Container(client) => {
                let begin = format!("{ARCHIVES}/");
                let found = client.directories_beginning(&begin)?.into_iter();
                found
                    .filter_map(|name| name.strip_prefix(&begin).map(ToOwned::to_owned))
                    .collect()
            }
            store::Place::Directory(directory) => {
                directory::names(&directory.path().join(ARCHIVES))?
            }
        };
        let mut systems: Vec<SystemId> =
            names.iter().filter_map(|name| name.parse().ok()).collect();
        systems.sort_unstable();
        Ok(systems)
    }

    /// The cluster.
    pub fn system(&self) -> SystemId {
        self.system
    }

    /// Its name for people: the directory, or the URL without the token.
    pub fn label(&self) -> String {
        match &self.place {
            Place::Directory(_, path) => path.display().to_string(),
            Place::Container(client) => {
                format!("{}/{}", client.container(), archive_directory(self.system))
            }
        }
    }

    /// The name for people of a file in it.
    pub fn label_of(&self, name: WalName) -> String {
        match &self.place {
            Place::Directory(_, path) => path.join(file_name(name)).display().to_string(),
            Place::Container(client) => client.url(&stored_name(self.system, name)).to_string(),
        }
    }

    /// What is recorded of a file; none if it is not there.
    ///
    /// # Errors
    /// What the system or the service answers instead.
    pub fn recorded(&self, name: WalName) -> Result<Option<Recorded>, ArchiveError> {
        match &self.place {
            Place::Directory(_, path) => {
                let path = path.join(file_name(name));
                match path.symlink_metadata() {
                    Ok(found) => Ok(Some(Recorded {
                        size: found.len(),
                        raw_sha256: None,
                    })),
                    Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
                    Err(error) => {
                        let doing = format_args!("cannot look at '{}'", path.display());
                        Err(path_error(doing, &path, Access::Read, &error).into())
                    }
                }
            }
            Place::Container(client) => match client.properties(&stored_name(self.system, name)) {
                Ok(found) => Ok(Some(Recorded {
                    size: found.size,
                    raw_sha256: found.raw_sha256,
                })),
                Err(error) if error.kind() == ServiceErrorKind::NotFound => Ok(None),
                Err(error) => Err(error.into()),
            },
        }
    }

    /// A file to be read; none if it is not there.
    ///
    /// # Errors
    /// What the system or the service answers instead.
    pub fn get(&self, name: WalName) -> Result<Option<Stored>, ArchiveError> {
        match &self.place {
            Place::Directory(_, path) => {
                let path = path.join(file_name(name));
                match File::open(&path) {
                    Ok(file) => Ok(Some(Stored {
                        input: Box::new(file),
                        raw_sha256: None,
                    })),
                    Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
                    Err(error) => {
                        let doing = format_args!("cannot read '{}'", path.display());
                        Err(path_error(doing, &path, Access::Read, &error).into())
                    }
                }
            }
            Place::Container(client) => {
                let stored = stored_name(self.system, name);
                let whole = match client.get_blob(&stored, WHOLE) {
                    Ok(whole) => whole,
                    Err(error) if error.kind() == ServiceErrorKind::NotFound => return Ok(None),
                    Err(error) => return Err(error.into()),
                };
                let input: Box<dyn Read + Send> = match whole.bytes {
                    Some(bytes) => Box::new(Cursor::new(bytes)),
                    None => Box::new(client.blob(&stored)?.reader()),
                };
                Ok(Some(Stored {
                    input,
                    raw_sha256: whole.properties.raw_sha256,
                }))
            }
        }
    }

    /// The history of a timeline; none if it is not there.
    ///
    /// # Errors
    /// As [`get`](Self::get). Kind [`NotGood`](ArchiveErrorKind::NotGood) if what is there is no such history.
    pub fn history(&self, timeline: u32) -> Result<Option<History>, ArchiveError> {
        let name = WalName::History(timeline);
        let Some(stored) = self.get(name)? else {
            return Ok(None);
        };
        let mut text = Vec::new();
        let unpacked = unpack(stored.input, stored.raw_sha256, |piece| {
            text.extend_from_slice(piece);
            Ok(())
        });
        unpacked.map_err(|error| self.unpack_error(name, &error))?;
        match History::parse(timeline, &text) {
            Ok(history) => Ok(Some(history)),
            Err(error) => Err(self.not_good(name, &error.to_string())),
        }
    }

    /// Reads on what goes on in the segments after its own, which are these: the record when it is whole, none if they
    /// do not hold the rest of it.
    ///
    /// # Errors
    /// As [`get`](Self::get); a segment is damaged.
    pub fn read_on(
        &self,
        mut begun: BegunRecord,
        next: impl IntoIterator<Item = Segment>,
    ) -> Result<Option<Record>, ArchiveError> {
        for segment in next {
            let name = WalName::Segment(segment);
            let Some(stored) = self.get(name)? else {
                return Ok(None);
            };
            let mut ended = None;
            let unpacked = unpack(stored.input, stored.raw_sha256, |piece| {
                match begun.see(piece) {
                    ControlFlow::Continue(()) => Ok(()),
                    ControlFlow::Break(record) => {
                        ended = Some(record);
                        // No more of it is needed.
                        Err(io::ErrorKind::Interrupted.into())
                    }
                }
            });
            match ended {
                Some(record) => return Ok(record),
                None => drop(unpacked.map_err(|error| self.unpack_error(name, &error))?),
            }
        }
        Ok(None)
    }

    /// What kept a file of it from being unpacked, for a person.
    pub fn unpack_error(&self, name: WalName, error: &UnpackError) -> ArchiveError {
        match error {
            UnpackError::Damaged(what) => self.not_good(name, what),
            UnpackError::Read(error) | UnpackError::Write(error) => {
                match azure_blob::Error::from_io(error) {
                    Some(error) => error.clone().into(),
                    None => ArchiveError::new(
                        ArchiveErrorKind::Store(StoreErrorKind::System(error.kind())),
                        format!(
                            "cannot read '{}': {}",
                            self.label_of(name),
                            job::text::reason(error)
                        ),
                    ),
                }
            }
        }
    }

    /// A file of it is not what it should be.
    pub fn not_good(&self, name: WalName, what: &str) -> ArchiveError {
        let said = format!("'{}' is not good: {what}", self.label_of(name));
        ArchiveError::new(ArchiveErrorKind::NotGood, said)
    }

    /// Removes what killed programs left half written in a directory, and returns the names. A container has nothing of
    /// the kind.
    ///
    /// # Errors
    /// It cannot be read, or a file cannot be removed.
    pub fn sweep(&self) -> Result<Vec<String>, ArchiveError> {
        match &self.place {
            Place::Directory(_, path) if path.is_dir() => {
                Ok(store::Directory::open(path)?.sweep()?)
            }
            _ => Ok(Vec::new()),
        }
    }

    /// Removes files, in this order, and calls `done` with what became of each.
    ///
    /// # Errors
    /// Only what concerns all of them. The files that `done` was not called for may still be there then.
    pub fn remove(
        &self,
        names: &[WalName],
        done: &mut dyn FnMut(WalName, Deletion),
    ) -> Result<(), ArchiveError> {
        match &self.place {
            Place::Directory(_, path) => directory::remove(path, names, done),
            Place::Container(client) => {
                let stored: Vec<_> = names
                    .iter()
                    .map(|name| stored_name(self.system, *name))
                    .collect();
                let stored: Vec<&str> = stored.iter().map(String::as_str).collect();
                client.delete(&stored, &mut |at, deletion| {
                    if let Some(name) = names.get(at) {
                        done(*name, deletion.into());
                    }
                })?;
                Ok(())
            }
        }
    }
}

impl std::fmt::Debug for Stored {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Stored").finish_non_exhaustive()
    }
}
