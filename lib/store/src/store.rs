use std::io;
use std::path::Path;

use azure_blob::{Client, ErrorKind, Options, is_url};
use backup_file::{BackupKind, BackupName, Sha256, sidecar_name};

use crate::address::local_path;
use crate::directory::{cannot_remove, flush, remove};
use crate::{Directory, Error, Source};

/// A directory, or a container, perhaps with a prefix.
#[derive(Debug)]
pub struct Store {
    location: Location,
}

#[derive(Debug)]
enum Location {
    Directory(Directory),
    Container(Client),
}

/// What a store is.
#[derive(Debug, Clone, Copy)]
pub enum Place<'a> {
    /// A directory.
    Directory(&'a Directory),
    /// A container, perhaps with a prefix.
    Container(&'a Client),
}

/// A backup in a store.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Backup {
    /// Its name.
    pub name: BackupName,
    /// Its size in bytes.
    pub size: u64,
    /// The SHA-256 that was recorded when it was made, if the listing has it.
    pub sha256: Option<Sha256>,
    /// Changes when the bytes change: a blob's ETag, a file's inode and time of modification.
    pub version: String,
}

/// The backups of a store by their kind, each oldest first.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Listing {
    /// The dumps.
    pub dumps: Vec<Backup>,
    /// The base backups.
    pub bases: Vec<Backup>,
}

impl Listing {
    /// Those of one kind.
    pub fn of(self, kind: BackupKind) -> Vec<Backup> {
        match kind {
            BackupKind::Dump => self.dumps,
            BackupKind::Base => self.bases,
        }
    }

    /// All of them: the dumps, then the base backups.
    pub fn all(&self) -> impl Iterator<Item = &Backup> {
        self.dumps.iter().chain(&self.bases)
    }
}

/// What became of a backup that was to be deleted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Deletion {
    /// It is deleted.
    Deleted,
    /// It was not there any more.
    Gone,
    /// Something retains it: `immutability policy`, `legal hold` or `lease`.
    Retained(String),
    /// It is still there, and why.
    Failed(Error),
}

impl Store {
    /// Whether `text` names a STORE (a directory or a container's URL) and not a backup (a file, a blob's URL, `-`).
    /// A URL that ends in `.gz` names a blob; a path that does not exist and ends in `.gz` names a file.
    pub fn is_store(text: &str) -> bool {
        if is_url(text) {
            let address = text.split(['?', '#']).next().unwrap_or(text);
            return !address.ends_with(".gz");
        }
        match Path::new(text).metadata() {
            Ok(found) => found.is_dir(),
            Err(_) => text != "-" && !text.ends_with(".gz"),
        }
    }

    /// Opens a STORE.
    ///
    /// # Errors
    /// A directory that is not there or cannot be read; a URL or token that cannot be understood.
    /// A container is not asked anything yet.
    pub fn open(text: &str) -> Result<Self, Error> {
        Self::open_with(text, Options::default())
    }

    /// As [`Store::open`], with these options for a container.
    ///
    /// # Errors
    /// As [`Store::open`].
    pub fn open_with(text: &str, options: Options) -> Result<Self, Error> {
        let location = if is_url(text) {
            Location::Container(Client::open(text, options)?)
        } else {
            Location::Directory(Directory::open(local_path(text)?)?)
        };
        Ok(Self { location })
    }

    /// Its name for people: the directory, or the URL without the token.
    pub fn label(&self) -> String {
        match &self.location {
            Location::Directory(directory) => directory.path().display().to_string(),
            Location::Container(client) => client.container().to_string(),
        }
    }

    /// What it is.
    pub fn place(&self) -> Place<'_> {
        match &self.location {
            Location::Directory(directory) => Place::Directory(directory),
            Location::Container(client) => Place::Container(client),
        }
    }

    /// The directory, if it is one.
    pub fn directory(&self) -> Option<&Directory> {
        match &self.location {
            Location::Directory(directory) => Some(directory),
            Location::Container(_) => None,
        }
    }

    /// The container, if it is one.
    pub fn container(&self) -> Option<&Client> {
        match &self.location {
            Location::Directory(_) => None,
            Location::Container(client) => Some(client),
        }
    }

    /// The backups in it. Files and blobs of other names are ignored.
    ///
    /// # Errors
    /// The directory cannot be read; what the service answered.
    pub fn list(&self) -> Result<Listing, Error> {
        let mut backups = match &self.location {
            Location::Directory(directory) => in_directory(directory)?,
            Location::Container(client) => in_container(client)?,
        };
        backups.sort_by_key(|backup| backup.name);
        let is_dump = |backup: &Backup| backup.name.kind() == BackupKind::Dump;
        let (dumps, bases) = backups.into_iter().partition(is_dump);
        Ok(Listing { dumps, bases })
    }

    /// One of its backups, to be read.
    ///
    /// # Errors
    /// It is not there any more, or cannot be read.
    pub fn source(&self, backup: &Backup) -> Result<Source, Error> {
        let name = backup.name.to_string();
        match &self.location {
            Location::Directory(directory) => Source::file(&directory.path().join(name)),
            Location::Container(client) => Ok(Source::blob(client.blob(&name)?)),
        }
    }

    /// Whether a backup that was listed is gone: a prune may run at the same time.
    ///
    /// # Errors
    /// What the system or the service answers instead.
    pub fn is_gone(&self, backup: &Backup) -> Result<bool, Error> {
        let name = backup.name.to_string();
        match &self.location {
            Location::Directory(directory) => {
                let path = directory.path().join(name);
                match path.symlink_metadata() {
                    Ok(_) => Ok(false),
                    Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(true),
                    Err(error) => Err(Error::io(
                        format_args!("cannot look at '{}'", path.display()),
                        &error,
                    )),
                }
            }
            Location::Container(client) => match client.properties(&name) {
                Ok(_) => Ok(false),
                Err(error) if error.kind() == ErrorKind::NotFound => Ok(true),
                Err(error) => Err(error.into()),
            },
        }
    }

    /// Deletes backups, in a directory with their sidecars. Calls `done` with what became of each as soon as it is
    /// known.
    ///
    /// # Errors
    /// Only what concerns all of them (no network, a token without the permission `d`). The backups that `done` was
    /// not called for may still be there then.
    pub fn delete(
        &self,
        backups: &[Backup],
        done: &mut dyn FnMut(&Backup, Deletion),
    ) -> Result<(), Error> {
        match &self.location {
            Location::Directory(directory) => delete_files(directory, backups, done),
            Location::Container(client) => delete_blobs(client, backups, done),
        }
    }
}

/// The bytes of all of them. Sizes may lie: a sum that is too large is `u64::MAX`.
pub fn total_size<'a>(backups: impl IntoIterator<Item = &'a Backup>) -> u64 {
    let sizes = backups.into_iter().map(|backup| backup.size);
    sizes.fold(0, u64::saturating_add)
}

fn is_backup(name: &str) -> bool {
    BackupName::parse(name).is_some()
}

fn in_directory(directory: &Directory) -> Result<Vec<Backup>, Error> {
    let files = directory.files(is_backup)?.into_iter();
    Ok(files
        .filter_map(|file| {
            Some(Backup {
                name: BackupName::parse(&file.name)?,
                size: file.size,
                sha256: None,
                version: file.version,
            })
        })
        .collect())
}

fn in_container(client: &Client) -> Result<Vec<Backup>, Error> {
    let items = client.list_named(is_backup)?.into_iter();
    Ok(items
        .filter_map(|item| {
            Some(Backup {
                name: BackupName::parse(&item.name)?,
                size: item.properties.size,
                sha256: item.properties.sha256,
                version: item.properties.etag,
            })
        })
        .collect())
}

fn delete_files(
    directory: &Directory,
    backups: &[Backup],
    done: &mut dyn FnMut(&Backup, Deletion),
) -> Result<(), Error> {
    for backup in backups {
        done(backup, delete_file(directory, &backup.name.to_string()));
    }
    flush(directory.path()).map_err(|error| {
        Error::io(
            format_args!("cannot flush directory '{}'", directory.path().display()),
            &error,
        )
    })
}

/// Removes the sidecar first: a backup may lack its sidecar, but a sidecar never stands without its backup.
fn delete_file(directory: &Directory, name: &str) -> Deletion {
    let path = directory.path().join(name);
    let sidecar = directory.path().join(sidecar_name(name));
    let removed = remove(&sidecar)
        .map_err(|error| cannot_remove(&sidecar, &error))
        .and_then(|_| remove(&path).map_err(|error| cannot_remove(&path, &error)));
    match removed {
        Ok(true) => Deletion::Deleted,
        Ok(false) => Deletion::Gone,
        Err(error) => Deletion::Failed(error),
    }
}

fn delete_blobs(
    client: &Client,
    backups: &[Backup],
    done: &mut dyn FnMut(&Backup, Deletion),
) -> Result<(), Error> {
    let names: Vec<String> = backups.iter().map(|it| it.name.to_string()).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    client.delete(&names, &mut |at, deletion| {
        done(&backups[at], deletion.into());
    })?;
    Ok(())
}

impl From<azure_blob::Deletion> for Deletion {
    fn from(deletion: azure_blob::Deletion) -> Self {
        match deletion {
            azure_blob::Deletion::Deleted => Self::Deleted,
            azure_blob::Deletion::Gone => Self::Gone,
            azure_blob::Deletion::Retained(by) => Self::Retained(by),
            azure_blob::Deletion::Failed(error) => Self::Failed(error.into()),
        }
    }
}
