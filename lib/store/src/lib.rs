//! Where backups live: a directory or a container. And where one is read from: a file, a blob, or
//! standard input.

use std::io::Read;

use backup_file::{BackupName, ReadAt, Sha256};
use job::Error;

/// A directory or a container (with a prefix perhaps).
#[derive(Debug)]
pub struct Store {}

impl Store {
    /// Whether `text` names a STORE (a directory, or a URL that ends at a container or in `/`) and not a
    /// backup (a file, a blob's URL, `-`). A container URL's last part that ends in `.gz` is a blob.
    pub fn is_store(text: &str) -> bool {
        let _ = text;
        todo!()
    }

    /// Opens a STORE; nothing is asked of it yet.
    pub fn open(text: &str) -> Result<Self, Error> {
        let _ = text;
        todo!()
    }

    /// Its name for people: the directory, or the URL without the token.
    pub fn label(&self) -> String {
        todo!()
    }

    /// The backups that are there (names in a backup's form only), oldest first.
    pub fn list(&self) -> Result<Vec<Backup>, Error> {
        todo!()
    }

    /// One of its backups, to be read.
    pub fn source(&self, backup: &Backup) -> Result<Source, Error> {
        let _ = backup;
        todo!()
    }
}

/// A backup in a store.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Backup {
    /// Its name.
    pub name: BackupName,
    /// Its size in bytes.
    pub size: u64,
    /// The SHA-256 that was recorded when it was made, where the listing has it.
    pub sha256: Option<Sha256>,
}

/// Something that a backup is read from: a file, a blob, or standard input.
#[derive(Debug)]
pub struct Source {}

impl Source {
    /// Opens what `text` names: `-`, a blob's URL, or a file.
    pub fn open(text: &str) -> Result<Self, Error> {
        let _ = text;
        todo!()
    }

    /// Its name for people.
    pub fn label(&self) -> String {
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
