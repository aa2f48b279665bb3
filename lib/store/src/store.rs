use backup_file::{BackupName, Sha256};
use job::Error;

use crate::{Directory, Source};

/// A directory or a container (with a prefix perhaps).
#[derive(Debug)]
pub struct Store {
    place: Place,
}

#[derive(Debug)]
enum Place {
    Directory(Directory),
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

/// What became of a backup that was to be deleted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Deletion {
    /// It is deleted.
    Deleted,
    /// It was not there any more.
    Gone,
    /// An immutability policy, a legal hold or a lease retains it: which.
    Retained(String),
    /// It is still there: why.
    Failed(Error),
}

impl Store {
    /// Whether `text` names a STORE (a directory, or a URL that ends at a container or in `/`) and not a
    /// backup (a file, a blob's URL, `-`). A container URL's last part that ends in `.gz` is a blob, and
    /// so is a path that is not there and ends so.
    pub fn is_store(text: &str) -> bool {
        let _ = text;
        todo!()
    }

    /// Opens a STORE.
    ///
    /// # Errors
    /// A directory that is not there or cannot be read; a URL or token that cannot be understood.
    /// A container is not asked anything yet.
    pub fn open(text: &str) -> Result<Self, Error> {
        let _ = text;
        todo!()
    }

    /// Its name for people: the directory, or the URL without the token.
    pub fn label(&self) -> String {
        todo!()
    }

    /// It, if it is a directory.
    pub fn directory(&self) -> Option<&Directory> {
        match &self.place {
            Place::Directory(directory) => Some(directory),
        }
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

    /// Deletes backups, in a directory with their sidecars, and tells `told` what became of each as
    /// soon as it is known.
    ///
    /// # Errors
    /// Only what concerns all of them (no network, a token without the permission `d`); then those that
    /// `told` has not heard of are still there, or not known to be gone.
    pub fn delete(
        &self,
        backups: &[Backup],
        told: &mut dyn FnMut(&Backup, Deletion),
    ) -> Result<(), Error> {
        let _ = (backups, told);
        todo!()
    }
}
