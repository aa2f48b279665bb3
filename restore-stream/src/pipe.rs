//! The SQL to a command's standard input.

use std::ffi::OsString;
use std::io::{self, Write};
use std::process::{Command, Stdio};

use job::{Error, Progress};
use pg_client::Child;

use crate::checked::Checked;
use crate::choose::Chosen;
use crate::cli::Args;

/// Feeds the chosen backup, or one database of it, to the command. It is killed, not let see the end of
/// its input, if anything is wrong.
pub(crate) fn run(chosen: &Chosen, args: &Args) -> Result<(), Error> {
    let mut input = Checked::open(chosen, args)?;
    let mut child = Child::spawn_with(command(&args.command)?, job::pass_on)?;
    let mut stdin = child
        .take_stdin()
        .ok_or_else(|| Error::failed("the command has no standard input"))?;
    let progress = Progress::new(format!("reading '{}'", chosen.label()), input.sql_length());
    let fed = loop {
        match input.next() {
            Ok(Some(sql)) => {
                if let Err(error) = stdin.write_all(sql) {
                    break Fed::Refused(error);
                }
                progress.advance(sql.len() as u64);
            }
            Ok(None) => match input.finish() {
                Ok(()) => break Fed::Whole,
                Err(error) => break Fed::Damaged(error),
            },
            Err(error) => break Fed::Damaged(error),
        }
    };
    drop(progress);
    match fed {
        Fed::Whole => {
            drop(stdin);
            child.wait()
        }
        Fed::Damaged(error) => {
            child.killer().kill();
            Err(error)
        }
        Fed::Refused(error) => {
            let name = child.name().to_owned();
            drop(stdin);
            // Why it reads no more is its to say; that it did not read all is a failure in any case.
            child.wait()?;
            let read = match error.kind() {
                io::ErrorKind::BrokenPipe => return Err(left_early(&name)),
                _ => format!("cannot write to '{name}'"),
            };
            Err(Error::io(read, &error))
        }
    }
}

enum Fed {
    Whole,
    Damaged(Error),
    Refused(io::Error),
}

fn left_early(name: &str) -> Error {
    Error::failed(format!(
        "'{name}' ended before it had read the whole backup"
    ))
}

fn command(words: &[OsString]) -> Result<Command, Error> {
    let (program, arguments) = words
        .split_first()
        .ok_or_else(|| Error::usage("no command is given"))?;
    let mut command = Command::new(program);
    command.args(arguments).stdin(Stdio::piped());
    Ok(command)
}
