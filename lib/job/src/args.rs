use std::process;

use clap::Parser;
use clap::error::ErrorKind;

use crate::Error;

/// The exit codes, for the end of each `--help`.
pub const EXIT_CODES: &str = "\
Exit codes:
  0    done
  1    failed: network, disk, server, or the dump itself
  2    wrong usage
  3    not good: the backup or the store is corrupt, incomplete, stale, shrunk
       or nearly full
  4    refused for safety: would overwrite, would delete the last good backup,
       or the target is not empty
  129  stopped by SIGHUP
  130  stopped by SIGINT
  143  stopped by SIGTERM";

/// Parses the command line. `--help` and `--version` are answered here and end the process.
///
/// # Errors
/// A command line that cannot be understood: exit code 2.
pub fn parse_args<T: Parser>() -> Result<T, Error> {
    T::try_parse().map_err(|error| match error.kind() {
        ErrorKind::DisplayHelp | ErrorKind::DisplayVersion => {
            let printed = error.print();
            process::exit(i32::from(printed.is_err()));
        }
        _ => usage(&error),
    })
}

/// clap's words, without the `error: ` in front: ours begin with the program's name.
fn usage(error: &clap::Error) -> Error {
    let said = error.render().to_string();
    let said = said.trim_end();
    Error::usage(said.strip_prefix("error: ").unwrap_or(said))
}
