//! Reporting one I/O error more than once.

use std::io;

/// A copy of an error, which the standard library does not make: the same code, or the same kind and message.
pub(crate) fn copy(error: &io::Error) -> io::Error {
    match error.raw_os_error() {
        Some(code) => io::Error::from_raw_os_error(code),
        None => io::Error::new(error.kind(), error.to_string()),
    }
}
