//! How a file gets into an archive: once, under its name, for ever.

use std::io::Write;
use std::thread;
use std::time::{Duration, Instant};

use azure_blob::{Client, ErrorKind as ServiceErrorKind, Record};
use backup_file::Sha256;
use sha2::{Digest, Sha256 as Hasher};
use store::{Directory, ErrorKind as StoreErrorKind, FilePublication};

use super::error::{ArchiveError, ArchiveErrorKind};
use super::packed::{Packed, UnpackError, unpack};
use super::{Archive, Place};
use crate::layout::{archive_directory, file_name};
use crate::{WalName, stored_name};

/// How long a writer waits for its turn.
const TURN: Duration = Duration::from_secs(10);
const PAUSE: Duration = Duration::from_millis(20);

/// What became of a file that was to be archived. Either way it is in the store, and durable.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Put {
    /// It was put there now.
    New,
    /// It was there already, with the same content.
    Same,
}

impl Archive {
    /// Puts a file there, unless the same one is there already. `writer` says who puts it. A partial segment whose name
    /// is taken goes beside the other one.
    ///
    /// # Errors
    /// Kind [`Taken`](ArchiveErrorKind::Taken) if another content has the name; what the system or the service says.
    pub fn put(&self, name: WalName, packed: &Packed, writer: &str) -> Result<Put, ArchiveError> {
        match self.put_as(name, packed, writer) {
            Err(error) if error.kind() == ArchiveErrorKind::Taken => {
                match name.beside(&packed.raw_sha256) {
                    Some(beside) => self.put_as(beside, packed, writer),
                    None => Err(error),
                }
            }
            put => put,
        }
    }

    fn put_as(&self, name: WalName, packed: &Packed, writer: &str) -> Result<Put, ArchiveError> {
        let put = match &self.place {
            Place::Directory(store, _) => self.publish(store, name, &packed.bytes),
            Place::Container(client) => {
                let record = Record {
                    raw_sha256: packed.raw_sha256,
                    raw_size: packed.raw_size,
                    writer: writer.to_owned(),
                };
                put_blob(client, &stored_name(self.system, name), packed, &record)
            }
        };
        match put {
            Err(error) if is_taken(&error) => self.compare(name, &packed.raw_sha256),
            Ok(()) => Ok(Put::New),
            Err(error) => Err(error),
        }
    }

    /// Whether the file that is there under this name has this content.
    ///
    /// # Errors
    /// Kind [`Taken`](ArchiveErrorKind::Taken) if it has another.
    pub fn compare(&self, name: WalName, raw_sha256: &Sha256) -> Result<Put, ArchiveError> {
        let there = match self.recorded(name) {
            Err(error) if is_token(&error) => {
                return Err(error.hint(format!(
                    "'{name}' is there, and without 'r' in the token it cannot be compared: give the token r, c and w"
                )));
            }
            there => there?,
        };
        let recorded = there.and_then(|there| there.raw_sha256);
        let there = match recorded {
            Some(recorded) => Some(recorded),
            None => self.content(name)?,
        };
        match there {
            Some(there) if there == *raw_sha256 => {
                if let Place::Directory(store, _) = &self.place {
                    // Whoever put it there may have been killed before its name was durable.
                    store.make(&archive_directory(self.system))?.flush()?;
                }
                Ok(Put::Same)
            }
            Some(_) => Err(self.taken(name, "another content")),
            None => Err(ArchiveError::new(
                ArchiveErrorKind::Store(StoreErrorKind::Service(ServiceErrorKind::Changed)),
                format!(
                    "'{}' was there a moment ago, and is gone",
                    self.label_of(name)
                ),
            )
            .hint("does a prune run? PostgreSQL tries again")),
        }
    }

    /// The SHA-256 of what the file under this name holds, by reading it; none if it is not there.
    fn content(&self, name: WalName) -> Result<Option<Sha256>, ArchiveError> {
        let Some(stored) = self.get(name)? else {
            return Ok(None);
        };
        let mut hasher = Hasher::new();
        let unpacked = unpack(stored.input, stored.raw_sha256, |piece| {
            hasher.update(piece);
            Ok(())
        });
        match unpacked {
            Ok(_) => Ok(Some(hasher.finalize().into())),
            Err(UnpackError::Damaged(what)) => {
                Err(self.taken(name, &format!("a damaged file ({what})")))
            }
            Err(error) => Err(self.unpack_error(name, &error)),
        }
    }

    fn taken(&self, name: WalName, by: &str) -> ArchiveError {
        ArchiveError::new(
            ArchiveErrorKind::Taken,
            format!("'{}' is there with {by}: nothing was changed", self.label_of(name)),
        )
        .hint("does another server (a clone, an old primary) archive here? Each cluster needs one archive, and a copy needs archive_mode = off")
    }

    fn publish(&self, store: &Directory, name: WalName, bytes: &[u8]) -> Result<(), ArchiveError> {
        let directory = store.make(&archive_directory(self.system))?;
        let mut publication = begin(&directory, &file_name(name))?.bare();
        publication.write_all(bytes).map_err(|error| {
            let path = directory.path().join(file_name(name));
            let doing = format_args!("cannot write '{}'", path.display());
            store::path_error(doing, &path, store::Access::Write, &error)
        })?;
        publication.commit()?;
        Ok(())
    }
}

/// Where a file system has neither way to take a free name, one writes at a time: another may be about to finish.
fn begin(directory: &Directory, name: &str) -> Result<FilePublication, store::Error> {
    let since = Instant::now();
    loop {
        match directory.publish(name) {
            Err(error) if error.kind() == StoreErrorKind::Locked && since.elapsed() < TURN => {
                thread::sleep(PAUSE);
            }
            begun => return begun,
        }
    }
}

fn put_blob(
    client: &Client,
    name: &str,
    packed: &Packed,
    record: &Record,
) -> Result<(), ArchiveError> {
    Ok(client.put_blob(name, &packed.bytes, record)?)
}

fn is_taken(error: &ArchiveError) -> bool {
    use StoreErrorKind::{Exists, Service};
    matches!(
        error.kind(),
        ArchiveErrorKind::Store(Exists | Service(ServiceErrorKind::Exists))
    )
}

fn is_token(error: &ArchiveError) -> bool {
    let token = StoreErrorKind::Service(ServiceErrorKind::Token);
    error.kind() == ArchiveErrorKind::Store(token)
}
