use std::io;
use std::path::Path;

use azure_blob::{Client, ErrorKind, Options, is_url};
use backup_file::{BackupName, Sha256, sidecar_name};
use job::Error;

use crate::directory::{cannot_remove, remove};
use crate::publication::flush;
use crate::{Directory, Source};

/// A directory or a container (with a prefix perhaps).
#[derive(Debug)]
pub struct Store {
    place: Place,
}

#[derive(Debug)]
enum Place {
    Directory(Directory),
    Container(Client),
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
    /// What is another one when its bytes are: a blob's ETag, when a file was changed and which it is.
    pub version: String,
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

    /// As [`Store::open`], with the patience of one's own for a container.
    ///
    /// # Errors
    /// As [`Store::open`].
    pub fn open_with(text: &str, options: Options) -> Result<Self, Error> {
        let place = if is_url(text) {
            Place::Container(Client::open(text, options)?)
        } else {
            Place::Directory(Directory::open(path(text)?)?)
        };
        Ok(Self { place })
    }

    /// Its name for people: the directory, or the URL without the token.
    pub fn label(&self) -> String {
        match &self.place {
            Place::Directory(directory) => directory.path().display().to_string(),
            Place::Container(client) => client.container().to_string(),
        }
    }

    /// It, if it is a directory.
    pub fn directory(&self) -> Option<&Directory> {
        match &self.place {
            Place::Directory(directory) => Some(directory),
            Place::Container(_) => None,
        }
    }

    /// It, if it is a container.
    pub fn container(&self) -> Option<&Client> {
        match &self.place {
            Place::Directory(_) => None,
            Place::Container(client) => Some(client),
        }
    }

    /// The backups that are there (names in a backup's form only), oldest first.
    ///
    /// # Errors
    /// The directory cannot be read; what the service answered.
    pub fn list(&self) -> Result<Vec<Backup>, Error> {
        let mut backups = match &self.place {
            Place::Directory(directory) => in_directory(directory)?,
            Place::Container(client) => in_container(client)?,
        };
        backups.sort_by_key(|backup| backup.name);
        Ok(backups)
    }

    /// One of its backups, to be read.
    ///
    /// # Errors
    /// It is not there any more, or cannot be read.
    pub fn source(&self, backup: &Backup) -> Result<Source, Error> {
        let name = backup.name.to_string();
        match &self.place {
            Place::Directory(directory) => Source::file(&directory.path().join(name)),
            Place::Container(client) => Ok(Source::blob(client.blob(&name)?)),
        }
    }

    /// Whether a backup that was listed is not there any more: a prune works beside.
    ///
    /// # Errors
    /// What the system or the service answers instead.
    pub fn is_gone(&self, backup: &Backup) -> Result<bool, Error> {
        let name = backup.name.to_string();
        match &self.place {
            Place::Directory(directory) => {
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
            Place::Container(client) => match client.properties(&name) {
                Ok(_) => Ok(false),
                Err(error) if error.kind() == ErrorKind::NotFound => Ok(true),
                Err(error) => Err(error.into()),
            },
        }
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
        match &self.place {
            Place::Directory(directory) => delete_files(directory, backups, told),
            Place::Container(client) => delete_blobs(client, backups, told),
        }
    }
}

/// What is not a URL is a path; but not one that holds a token, which would be shown in messages.
pub(crate) fn path(text: &str) -> Result<&Path, Error> {
    match text.split_once("://") {
        Some((scheme, _)) if !scheme.contains('/') => Err(Error::usage(format!(
            "'{scheme}://' is not understood: a URL begins with https://"
        ))),
        _ if text.contains("sig=") => Err(Error::usage(
            "what holds a SAS token must be a URL that begins with https://",
        )),
        _ => Ok(Path::new(text)),
    }
}

/// How many bytes they have together; the largest number where it would be larger, as sizes may lie.
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
    told: &mut dyn FnMut(&Backup, Deletion),
) -> Result<(), Error> {
    for backup in backups {
        told(backup, delete_file(directory, &backup.name.to_string()));
    }
    flush(directory.path()).map_err(|error| {
        Error::io(
            format_args!("cannot flush directory '{}'", directory.path().display()),
            &error,
        )
    })
}

/// The sidecar first: a backup without one is a true state, a sidecar without its backup is not.
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
    told: &mut dyn FnMut(&Backup, Deletion),
) -> Result<(), Error> {
    let names: Vec<String> = backups.iter().map(|it| it.name.to_string()).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    client.delete(&names, &mut |at, deletion| {
        told(&backups[at], deletion.into());
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
