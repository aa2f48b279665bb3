//! Man pages and shell completions of the five programs, for packages and the image.
//!
//! They are made from the programs' own command lines: each `cli.rs` is compiled here once more. So it may
//! name nothing of its program but what stands beside it here.

#[path = "../../backup-verify/src/cli.rs"]
#[allow(
    dead_code,
    reason = "what only the program itself does with its arguments"
)]
mod backup_verify;
#[path = "../../blob-prune/src/cli.rs"]
#[allow(dead_code, reason = "as above")]
mod blob_prune;
#[path = "../../blob-put/src/cli.rs"]
#[allow(dead_code, reason = "as above")]
mod blob_put;
// Of backup-verify's command line.
#[path = "../../backup-verify/src/limits.rs"]
#[allow(dead_code, reason = "as above")]
mod limits;
mod man;
#[path = "../../backup-verify/src/moment.rs"]
#[allow(dead_code, reason = "as above")]
mod moment;
#[path = "../../pgdump-gz/src/cli.rs"]
#[allow(dead_code, reason = "as above")]
mod pgdump_gz;
#[path = "../../restore-stream/src/cli.rs"]
#[allow(dead_code, reason = "as above")]
mod restore_stream;

use std::fs;
use std::io;
use std::path::Path;

use clap::{Command, CommandFactory};
use clap_complete::{Shell, generate};

/// The command lines of the programs.
#[must_use]
pub fn commands() -> [Command; 5] {
    [
        pgdump_gz::Args::command(),
        blob_put::Args::command(),
        blob_prune::Args::command(),
        backup_verify::Args::command(),
        restore_stream::Args::command(),
    ]
}

/// Where a package has a program's files, below `share/`.
#[must_use]
pub fn paths(program: &str) -> [String; 4] {
    [
        format!("man/man1/{program}.1"),
        format!("bash-completion/completions/{program}"),
        format!("zsh/site-functions/_{program}"),
        format!("fish/vendor_completions.d/{program}.fish"),
    ]
}

/// Writes all of them below a directory, which is made where it is missing.
///
/// # Errors
/// A file or directory cannot be written.
pub fn write(share: &Path) -> io::Result<()> {
    for command in commands() {
        let name = command.get_name().to_owned();
        let complete = |shell| {
            let mut script = Vec::new();
            generate(shell, &mut command.clone(), name.as_str(), &mut script);
            script
        };
        let [man, bash, zsh, fish] = paths(&name);
        for (path, bytes) in [
            (man, man::page(&command)?),
            (bash, complete(Shell::Bash)),
            (zsh, complete(Shell::Zsh)),
            (fish, complete(Shell::Fish)),
        ] {
            let path = share.join(path);
            if let Some(directory) = path.parent() {
                fs::create_dir_all(directory)?;
            }
            fs::write(path, bytes)?;
        }
    }
    Ok(())
}
