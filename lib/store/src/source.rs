use std::io::{self, Read};
use std::path::Path;

use azure_blob::{Blob, Client, Options, Permission, is_url};
use backup_file::{ReadAt, ReadError, Sha256};
use job::Error;

use crate::Recorded;
use crate::file::{self, Opened, Seekable, Stream};
use crate::remote::RemoteBlob;
use crate::store::path;

/// Something that a backup is read from: a file, a blob, or standard input.
#[derive(Debug)]
pub struct Source {
    kind: Kind,
}

#[derive(Debug)]
enum Kind {
    File(Seekable),
    Blob(RemoteBlob),
    Stream(Stream),
}

impl Source {
    /// Opens what `text` names: `-`, a blob's URL, or a file (a pipe's name too: then it is read as
    /// standard input is).
    ///
    /// # Errors
    /// What is not there, cannot be read, or is a directory; a token that does not allow to read.
    pub fn open(text: &str) -> Result<Self, Error> {
        Self::open_with(text, Options::default())
    }

    /// As [`Source::open`], with the patience of one's own for a blob.
    ///
    /// # Errors
    /// As [`Source::open`].
    pub fn open_with(text: &str, options: Options) -> Result<Self, Error> {
        if text == "-" {
            let kind = Kind::Stream(Stream::standard_input()?);
            return Ok(Self { kind });
        }
        if is_url(text) {
            let (client, name) = Client::open_blob(text, options)?;
            client.check(&[Permission::Read])?;
            return Ok(Self::blob(client.blob(&name)?));
        }
        Self::file(path(text)?)
    }

    pub(crate) fn blob(blob: Blob) -> Self {
        let kind = Kind::Blob(RemoteBlob::new(blob));
        Self { kind }
    }

    pub(crate) fn file(path: &Path) -> Result<Self, Error> {
        let kind = match file::open(path)? {
            Opened::Seekable(file) => Kind::File(file),
            Opened::Stream(stream) => Kind::Stream(stream),
        };
        Ok(Self { kind })
    }

    /// Its name for people.
    pub fn label(&self) -> String {
        match &self.kind {
            Kind::File(file) => file.label(),
            Kind::Blob(blob) => blob.label(),
            Kind::Stream(stream) => stream.label().to_owned(),
        }
    }

    /// Whether it is an archived blob, which must be rehydrated before it can be read.
    pub fn is_archived(&self) -> bool {
        match &self.kind {
            Kind::Blob(blob) => blob.is_archived(),
            _ => false,
        }
    }

    /// The last part of its name (`postgresql_backup_….sql.gz`); none for standard input.
    pub fn file_name(&self) -> Option<&str> {
        match &self.kind {
            Kind::File(file) => file.file_name(),
            Kind::Blob(blob) => Some(blob.file_name()),
            Kind::Stream(_) => None,
        }
    }

    /// Its size in bytes, where that is known before it is read.
    pub fn size(&self) -> Option<u64> {
        self.read_at().map(ReadAt::size)
    }

    /// The SHA-256 that was recorded when it was made (`NAME.sha256`, the blob's metadata).
    ///
    /// # Errors
    /// What was recorded cannot be read, or is no SHA-256 of this backup (exit code 3).
    pub fn recorded_sha256(&self) -> Result<Option<Sha256>, Error> {
        match &self.kind {
            Kind::File(file) => file.recorded_sha256(),
            Kind::Blob(blob) => Ok(blob.recorded_sha256()),
            Kind::Stream(_) => Ok(None),
        }
    }

    /// All its bytes. Standard input can be read once.
    ///
    /// # Errors
    /// It cannot be read, or was read already and cannot be read twice.
    pub fn reader(&self) -> Result<Box<dyn Read + Send>, Error> {
        Ok(match &self.kind {
            Kind::File(file) => Box::new(file.reader(0, None)),
            Kind::Blob(blob) => Box::new(blob.reader(0, blob.size())),
            Kind::Stream(stream) => Box::new(stream.reader()?),
        })
    }

    /// All its bytes, and what its SHA-256 is to be compared with, where one was recorded when it was
    /// made (`NAME.sha256`, the blob's metadata).
    ///
    /// # Errors
    /// As [`Source::reader`]; what was recorded cannot be read, or is no SHA-256 of this backup (exit code 3).
    pub fn checked_reader(&self) -> Result<(Box<dyn Read + Send>, Option<Recorded>), Error> {
        let recorded = self.recorded_sha256()?;
        let reader = self.reader()?;
        Ok(match recorded {
            Some(sha256) => {
                let (recorded, reader) = Recorded::new(self.label(), sha256, reader);
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
        match &self.kind {
            Kind::File(file) => Ok(Box::new(file.reader(offset, Some(length)))),
            Kind::Blob(blob) => Ok(Box::new(blob.reader(offset, length))),
            Kind::Stream(stream) => Err(Error::failed(format!(
                "{} can only be read from its beginning",
                stream.label()
            ))),
        }
    }

    /// It, if it can be read anywhere (not standard input).
    pub fn read_at(&self) -> Option<&dyn ReadAt> {
        match &self.kind {
            Kind::File(file) => Some(file),
            Kind::Blob(blob) => Some(blob),
            Kind::Stream(_) => None,
        }
    }

    /// What ended the reading of it, for a person: bytes that did not come are exit code 1, bytes that
    /// are no good backup exit code 3.
    pub fn read_error(&self, error: &ReadError) -> Error {
        match error {
            ReadError::Io(error) => self.io_error(error),
            ReadError::Damaged(what) => {
                Error::not_good(format!("'{}' is not good: {what}", self.label()))
            }
        }
    }

    /// That bytes of it did not come: exit code 1.
    pub fn io_error(&self, error: &io::Error) -> Error {
        let remote = match &self.kind {
            Kind::Blob(blob) => blob.error(error),
            _ => None,
        };
        match remote {
            // It names the blob, and says what to do.
            Some(error) => error.into(),
            None => Error::io(format_args!("cannot read '{}'", self.label()), error),
        }
    }
}
