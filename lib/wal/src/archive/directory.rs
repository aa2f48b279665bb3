//! An archive in a directory.

use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use chrono::{DateTime, Utc};
use store::{Access, Deletion, path_error};

use super::archived::Archived;
use super::error::ArchiveError;
use crate::WalName;
use crate::layout::{file_name, name_in_archive};

/// The names in a directory; none if it is not there.
pub(super) fn names(path: &Path) -> Result<Vec<String>, ArchiveError> {
    let cannot = |error: &io::Error| cannot_read(path, error);
    let entries = match fs::read_dir(path) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(cannot(&error)),
    };
    let mut names = Vec::new();
    for entry in entries {
        let entry = entry.map_err(|error| cannot(&error))?;
        names.extend(entry.file_name().into_string());
    }
    Ok(names)
}

/// The archived files whose names begin with `begin`, in the order of their names in the store.
pub(super) fn files(path: &Path, begin: &str) -> Result<Vec<Archived>, ArchiveError> {
    let mut found = Vec::new();
    for file in names(path)? {
        let Some(name) = name_in_archive(&file).filter(|_| file.starts_with(begin)) else {
            continue;
        };
        let path = path.join(&file);
        // This does not follow a link.
        match path.symlink_metadata() {
            Ok(metadata) if metadata.is_file() => found.push(Archived {
                name,
                size: metadata.len(),
                stored: written(&metadata),
            }),
            Ok(_) => {}
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(cannot_read(&path, &error)),
        }
    }
    found.sort_by_cached_key(|file| file_name(file.name));
    Ok(found)
}

/// Removes files, in this order. That they are gone is durable when this returns.
pub(super) fn remove(
    path: &Path,
    names: &[WalName],
    done: &mut dyn FnMut(WalName, Deletion),
) -> Result<(), ArchiveError> {
    for name in names {
        let file = path.join(file_name(*name));
        let deletion = match fs::remove_file(&file) {
            Ok(()) => Deletion::Deleted,
            Err(error) if error.kind() == io::ErrorKind::NotFound => Deletion::Gone,
            Err(error) => {
                let doing = format_args!("cannot remove '{}'", file.display());
                Deletion::Failed(path_error(doing, path, Access::Write, &error))
            }
        };
        done(*name, deletion);
    }
    match fs::File::open(path).and_then(|directory| directory.sync_all()) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            let doing = format_args!("cannot flush directory '{}'", path.display());
            Err(path_error(doing, path, Access::Write, &error).into())
        }
        _ => Ok(()),
    }
}

fn written(metadata: &fs::Metadata) -> Option<DateTime<Utc>> {
    let nanoseconds = u32::try_from(metadata.mtime_nsec()).unwrap_or(0);
    DateTime::from_timestamp(metadata.mtime(), nanoseconds)
}

fn cannot_read(path: &Path, error: &io::Error) -> ArchiveError {
    let doing = format_args!("cannot read '{}'", path.display());
    path_error(doing, path, Access::Read, error).into()
}
