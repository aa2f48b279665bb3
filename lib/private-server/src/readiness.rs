//! Whether a server takes connections. It says so in `postmaster.pid`, in words that are the same in every language. Its
//! log is in the language of `lc_messages`, and may go to a file.

use std::fs;
use std::io;
use std::path::Path;

use crate::Error;

/// The line with the status: `LOCK_FILE_LINE_PM_STATUS` of PostgreSQL's `miscadmin.h` (counted from 1; PostgreSQL 10 and newer).
const STATUS_LINE: usize = 8;
/// `PM_STATUS_READY`, without the blanks that fill it up.
const READY: &str = "ready";

/// Whether the server of a data directory is ready.
///
/// # Errors
/// [`ErrorKind::Directory`](crate::ErrorKind::Directory): its file cannot be read.
pub(crate) fn is_ready(data: &Path) -> Result<bool, Error> {
    let path = data.join("postmaster.pid");
    let file = match fs::read(&path) {
        Ok(file) => file,
        // It has not been written yet.
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
        Err(error) => {
            let doing = format_args!("cannot read '{}'", path.display());
            return Err(Error::directory(doing, &error));
        }
    };
    Ok(status(&String::from_utf8_lossy(&file)) == Some(READY))
}

fn status(pid_file: &str) -> Option<&str> {
    pid_file.lines().nth(STATUS_LINE - 1).map(str::trim_end)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_status_is_the_eighth_line() {
        let file = "4711\n/data\n1764468000\n5432\n/socket\n\n   1234567   8\nready   \n";
        assert_eq!(status(file), Some("ready"));
        let file = file.replace("ready   ", "starting");
        assert_eq!(status(&file), Some("starting"));
        assert_eq!(status("4711\n/data\n"), None);
        assert_eq!(is_ready(Path::new("/nonexistent")), Ok(false));
    }
}
