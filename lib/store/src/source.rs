use std::io::Read;

use backup_file::{ReadAt, Sha256};
use job::Error;

/// Something that a backup is read from: a file, a blob, or standard input.
#[derive(Debug)]
pub struct Source {}

impl Source {
    /// Opens what `text` names: `-`, a blob's URL, or a file (a pipe's name too: then it is read as
    /// standard input is).
    ///
    /// # Errors
    /// What is not there, cannot be read, or is a directory.
    pub fn open(text: &str) -> Result<Self, Error> {
        let _ = text;
        todo!()
    }

    /// Its name for people.
    pub fn label(&self) -> String {
        todo!()
    }

    /// The last part of its name (`postgresql_backup_….sql.gz`); none for standard input.
    pub fn file_name(&self) -> Option<&str> {
        todo!()
    }

    /// Its size in bytes, where that is known before it is read.
    pub fn size(&self) -> Option<u64> {
        todo!()
    }

    /// The SHA-256 that was recorded when it was made (`NAME.sha256`, the blob's metadata).
    pub fn recorded_sha256(&self) -> Result<Option<Sha256>, Error> {
        todo!()
    }

    /// All its bytes. Standard input can be read once.
    pub fn reader(&self) -> Result<Box<dyn Read + Send>, Error> {
        todo!()
    }

    /// `length` bytes from `offset` on; not from standard input.
    pub fn range(&self, offset: u64, length: u64) -> Result<Box<dyn Read + Send>, Error> {
        let _ = (offset, length);
        todo!()
    }

    /// It, if it can be read anywhere (not standard input).
    pub fn read_at(&self) -> Option<&dyn ReadAt> {
        todo!()
    }
}
