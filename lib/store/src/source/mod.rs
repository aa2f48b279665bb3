//! What a backup is read from.

mod blob;
mod digest;
mod file;

use std::io::{self, Read};
use std::path::Path;

use azure_blob::{Blob, Client, Options, Permission, is_url};
use backup_file::{ReadAt, ReadError, Sha256};
use blob::RemoteBlob;
pub use digest::{DigestCheck, hex};
use file::{Opened, Seekable, Stream};

use crate::address::local_path;
use crate::{Error, ErrorKind};

/// Something that a backup is read from: a file, a blob, or standard input.
#[derive(Debug)]
pub struct Source {
    input: Input,
}

#[derive(Debug)]
enum Input {
    File(Seekable),
    Blob(RemoteBlob),
    Stream(Stream),
}

impl Source {
    /// Opens what `text` names: `-`, a blob's URL, a file, or a pipe (`/dev/fd/63`), which is read as standard input
    /// is.
    ///
    /// # Errors
    /// What is not there, cannot be read, or is a directory; a token that does not allow to read.
    pub fn open(text: &str) -> Result<Self, Error> {
        Self::open_with(text, Options::default())
    }

    /// As [`Source::open`], with these options for a blob.
    ///
    /// # Errors
    /// As [`Source::open`].
    pub fn open_with(text: &str, options: Options) -> Result<Self, Error> {
        if text == "-" {
            let input = Input::Stream(Stream::standard_input()?);
            return Ok(Self { input });
        }
        if is_url(text) {
            let (client, name) = Client::open_blob(text, options)?;
            client.check(&[Permission::Read])?;
            return Ok(Self::blob(client.blob(&name)?));
        }
        Self::file(local_path(text)?)
    }

    pub(crate) fn blob(blob: Blob) -> Self {
        let input = Input::Blob(RemoteBlob::new(blob));
        Self { input }
    }

    pub(crate) fn file(path: &Path) -> Result<Self, Error> {
        let input = match file::open(path)? {
            Opened::Seekable(file) => Input::File(file),
            Opened::Stream(stream) => Input::Stream(stream),
        };
        Ok(Self { input })
    }

    /// Its name for people.
    pub fn label(&self) -> String {
        match &self.input {
            Input::File(file) => file.label(),
            Input::Blob(blob) => blob.label(),
            Input::Stream(stream) => stream.label().to_owned(),
        }
    }

    /// Whether it is an archived blob, which must be rehydrated before it can be read.
    pub fn is_archived(&self) -> bool {
        match &self.input {
            Input::Blob(blob) => blob.is_archived(),
            _ => false,
        }
    }

    /// The last part of its name (`postgresql_backup_….sql.gz`); none for standard input.
    pub fn file_name(&self) -> Option<&str> {
        match &self.input {
            Input::File(file) => file.file_name(),
            Input::Blob(blob) => Some(blob.file_name()),
            Input::Stream(_) => None,
        }
    }

    /// Its size in bytes, where that is known before it is read.
    pub fn size(&self) -> Option<u64> {
        self.read_at().map(ReadAt::size)
    }

    /// The SHA-256 that was recorded when it was made (`NAME.sha256`, the blob's metadata).
    ///
    /// # Errors
    /// The record cannot be read. Kind [`NotGood`](ErrorKind::NotGood): it has no SHA-256 of this backup.
    pub fn recorded_sha256(&self) -> Result<Option<Sha256>, Error> {
        match &self.input {
            Input::File(file) => file.recorded_sha256(),
            Input::Blob(blob) => Ok(blob.recorded_sha256()),
            Input::Stream(_) => Ok(None),
        }
    }

    /// All its bytes. Standard input can be read once.
    ///
    /// # Errors
    /// It cannot be read, or was read already and cannot be read twice.
    pub fn reader(&self) -> Result<Box<dyn Read + Send>, Error> {
        Ok(match &self.input {
            Input::File(file) => Box::new(file.reader(0, None)),
            Input::Blob(blob) => Box::new(blob.reader(0, blob.size())),
            Input::Stream(stream) => Box::new(stream.reader()?),
        })
    }

    /// All its bytes, and the check of their SHA-256, where one was recorded when the backup was made.
    ///
    /// # Errors
    /// As [`Source::reader`] and [`Source::recorded_sha256`].
    pub fn checked_reader(&self) -> Result<(Box<dyn Read + Send>, Option<DigestCheck>), Error> {
        let recorded = self.recorded_sha256()?;
        let reader = self.reader()?;
        Ok(match recorded {
            Some(sha256) => {
                let (recorded, reader) = DigestCheck::new(self.label(), sha256, reader);
                (reader, Some(recorded))
            }
            None => (reader, None),
        })
    }

    /// `length` bytes from `offset` on (fewer if it ends before); not from standard input.
    ///
    /// # Errors
    /// It cannot be read, or not from anywhere.
    pub fn range(&self, offset: u64, length: u64) -> Result<Box<dyn Read + Send>, Error> {
        match &self.input {
            Input::File(file) => Ok(Box::new(file.reader(offset, Some(length)))),
            Input::Blob(blob) => Ok(Box::new(blob.reader(offset, length))),
            Input::Stream(stream) => Err(Error::new(
                ErrorKind::NotSeekable,
                format!("{} can only be read from its beginning", stream.label()),
            )),
        }
    }

    /// The same, if it can be read at any offset (not standard input).
    pub fn read_at(&self) -> Option<&dyn ReadAt> {
        match &self.input {
            Input::File(file) => Some(file),
            Input::Blob(blob) => Some(blob),
            Input::Stream(_) => None,
        }
    }

    /// What ended the reading of it, for a person. Bytes that are no good backup are kind
    /// [`NotGood`](ErrorKind::NotGood), bytes that did not arrive another.
    pub fn read_error(&self, error: &ReadError) -> Error {
        match error {
            ReadError::Io(error) => self.io_error(error),
            ReadError::Damaged(what) => {
                let said = format!("'{}' is not good: {what}", self.label());
                Error::new(ErrorKind::NotGood, said)
            }
        }
    }

    /// Why bytes of it did not arrive, for a person.
    pub fn io_error(&self, error: &io::Error) -> Error {
        let remote = match &self.input {
            Input::Blob(blob) => blob.error(error),
            _ => None,
        };
        match remote {
            // It names the blob, and has a hint.
            Some(error) => error.into(),
            None => Error::io(format_args!("cannot read '{}'", self.label()), error),
        }
    }
}
