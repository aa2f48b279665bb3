//! The output of a command instead of a dump of our own.

use std::ffi::OsString;
use std::process::{Command, Stdio};

use backup_file::SectionKind;
use job::{Error, Progress};
use pg_client::Child;

use crate::cluster::{incomplete, warnings};
use crate::completion::Watch;
use crate::output::{Output, Section};

/// Runs `command` and writes what it writes. Says how many bytes that was.
///
/// # Errors
/// It cannot be run, fails, is killed, writes nothing, or writes a dump that does not end as dumps end.
pub(crate) fn copy(command: &[OsString], output: &mut Output) -> Result<u64, Error> {
    let Some((program, arguments)) = command.split_first() else {
        return Err(Error::usage("there is no command after --"));
    };
    let mut command = Command::new(program);
    command
        .args(arguments)
        .stdout(Stdio::piped())
        .stdin(Stdio::inherit());
    let mut child = Child::spawn_with(command, warnings())?;
    let name = child.name().to_owned();
    let mut watch = Watch::default();
    output.begin(SectionKind::Globals)?;
    if let Some(mut stdout) = child.take_stdout() {
        let progress = Progress::new(format!("reading from '{name}'"), None);
        output.copy_from(&mut stdout, &mut |piece| {
            watch.see(piece);
            progress.advance(piece.len() as u64);
        })?;
    }
    child.wait()?;
    if watch.length() == 0 {
        return Err(Error::failed(format!("'{name}' wrote nothing")));
    }
    if !watch.is_complete() {
        return Err(incomplete(&format!("what '{name}' wrote")));
    }
    Ok(watch.length())
}
