//! `STORE/[NAME]`: a container or a directory, and the name there.

use std::path::{Path, PathBuf};

use azure_blob::{BlobUrl, Client, ContainerUrl, Options, ends_in_slash, is_url};
use backup_file::{BackupKind, BackupName};
use chrono::Utc;
use job::Error;
use rate_limit::RateLimit;
use store::Directory;

use crate::cli::Args;

/// Where the backup goes.
pub(crate) struct Destination {
    pub(crate) location: Location,
    pub(crate) name: String,
    /// Whether the name is one that was made here, for standard input: it is that of a dump until it is known what comes.
    pub(crate) is_own: bool,
}

/// The store.
pub(crate) enum Location {
    Container(Client),
    Directory(Directory),
}

impl Location {
    /// Its name for people: the URL without the token, or the directory.
    pub(crate) fn label(&self) -> String {
        match self {
            Self::Container(client) => client.container().to_string(),
            Self::Directory(directory) => directory.path().display().to_string(),
        }
    }
}

impl Destination {
    /// Takes note of what comes. Returns whether it gets another name for that.
    ///
    /// # Errors
    /// Its name says that it is something else.
    pub(crate) fn expect(&mut self, kind: BackupKind) -> Result<bool, Error> {
        match BackupName::parse(&self.name) {
            Some(named) if named.kind() != kind && self.is_own => {
                self.name = BackupName::of(kind, named.started()).to_string();
                Ok(true)
            }
            Some(named) if named.kind() != kind => Err(Error::not_good(format!(
                "'{}' is the name of a {}, and this is a {kind}: nothing was published",
                self.name,
                named.kind()
            ))
            .hint("leave the name out, and it gets the proper one: STORE/")),
            _ => Ok(false),
        }
    }

    /// `own_name` is the name of the source; standard input has none.
    pub(crate) fn open(args: &Args, own_name: Option<&str>) -> Result<Self, Error> {
        match is_url(&args.destination) {
            true => in_container(args, own_name),
            false => in_directory(args, own_name),
        }
    }
}

fn in_container(args: &Args, own_name: Option<&str>) -> Result<Destination, Error> {
    let text = &args.destination;
    let options = options(args);
    let (store, _) = ContainerUrl::parse(text)?;
    if ends_in_slash(text) || store.prefix().is_empty() {
        return Ok(Destination {
            location: Location::Container(Client::open(text, options)?),
            name: own_name.map_or_else(name_of_now, ToOwned::to_owned),
            is_own: own_name.is_none(),
        });
    }
    let (blob, _) = BlobUrl::parse(text)?;
    // `blob-put - "$STORE"`, where STORE has a prefix and its slash was forgotten, would upload a blob with the name of
    // the prefix, which no other program takes for a backup.
    if !blob.name().contains('.') && !args.raw {
        return Err(
            Error::usage(format!("'{blob}' may be a prefix or a name")).hint(format!(
                "write {blob}/ for a prefix, or a name that ends in .sql.gz"
            )),
        );
    }
    let (client, name) = Client::open_blob(text, options)?;
    Ok(Destination {
        location: Location::Container(client),
        name,
        is_own: false,
    })
}

fn options(args: &Args) -> Options {
    Options {
        concurrency: args.concurrency.into(),
        max_rate: args.max_rate.map(RateLimit::new),
        ..Options::default().within(args.deadline)
    }
}

fn in_directory(args: &Args, own_name: Option<&str>) -> Result<Destination, Error> {
    for (given, option) in [
        (args.overwrite, "--overwrite"),
        (args.tier.is_some(), "--tier"),
        (args.immutable_days.is_some(), "--immutable-days"),
        (!args.tag.is_empty(), "--tag"),
    ] {
        if given {
            return Err(Error::usage(format!(
                "{option} is for a container, not for a directory"
            )));
        }
    }
    let path = Path::new(&args.destination);
    let is_directory = args.destination.ends_with('/') || path.is_dir();
    let (directory, name) = match is_directory {
        true => (
            path.to_path_buf(),
            own_name.map_or_else(name_of_now, ToOwned::to_owned),
        ),
        false => split(path)?,
    };
    Ok(Destination {
        location: Location::Directory(Directory::open(directory)?),
        name,
        is_own: is_directory && own_name.is_none(),
    })
}

fn split(path: &Path) -> Result<(PathBuf, String), Error> {
    let name = path.file_name().and_then(|name| name.to_str());
    let Some(name) = name else {
        return Err(Error::usage(format!("'{}' is no name", path.display())));
    };
    let directory = path
        .parent()
        .filter(|parent| !parent.as_os_str().is_empty());
    Ok((
        directory.unwrap_or(Path::new(".")).to_path_buf(),
        name.to_owned(),
    ))
}

fn name_of_now() -> String {
    BackupName::new(Utc::now()).to_string()
}
