//! The file beside a backup that says its SHA-256.

use std::io;
use std::path::Path;

use crate::permission::{Access, path_error};
use crate::{Error, ErrorKind};

/// A line has some 110 bytes; `sha256sum *.gz` may have written one for each backup.
const LONGEST: usize = 1 << 20;

/// The text of a sidecar; none if there is none. Returns soon whatever is in its place: a pipe, a device.
///
/// # Errors
/// It cannot be read. Kind [`NotGood`](ErrorKind::NotGood): it is no regular file, or longer than any sidecar.
pub fn read_sidecar(path: &Path) -> Result<Option<String>, Error> {
    match job::read_regular(path, LONGEST) {
        Ok(bytes) => Ok(Some(String::from_utf8_lossy(&bytes).into_owned())),
        Err(error) => match error.kind() {
            io::ErrorKind::NotFound => Ok(None),
            io::ErrorKind::InvalidInput | io::ErrorKind::FileTooLarge => {
                let path = path.display();
                let said = format!("'{path}' is no sidecar: {error}");
                Err(Error::new(ErrorKind::NotGood, said)
                    .hint("remove it, if the backup is good without it"))
            }
            _ => {
                let doing = format_args!("cannot read '{}'", path.display());
                Err(path_error(doing, path, Access::Read, &error))
            }
        },
    }
}
