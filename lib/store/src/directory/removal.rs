use std::fs;
use std::io;
use std::path::Path;

use crate::Error;
use crate::permission::{Access, path_error};

/// Removes a file, and says whether it was there.
pub(crate) fn remove(path: &Path) -> io::Result<bool> {
    match fs::remove_file(path) {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(error),
    }
}

pub(crate) fn cannot_remove(path: &Path, error: &io::Error) -> Error {
    // It is the directory that must allow it.
    let directory = path.parent().unwrap_or(path);
    let doing = format_args!("cannot remove '{}'", path.display());
    path_error(doing, directory, Access::Write, error)
}
