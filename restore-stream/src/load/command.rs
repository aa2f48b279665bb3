//! Feeds the SQL to a command.

use std::ffi::OsString;
use std::io::{self, Write};
use std::process::{Command, Stdio};

use dump_text::{Event, Part, PartScanner};
use job::{Error, Progress};
use pg_client::Child;
use pg_text::PgText;

use crate::cli::Args;
use crate::edit::TableChoice;
use crate::load::table_rows::TableRows;
use crate::source::checked::CheckedSql;
use crate::source::chosen::ChosenBackup;
use crate::source::error::unfinished;
use crate::source::selection::not_among;

/// Feeds the chosen backup, or one database of it, to the command's standard input. If anything is wrong, the command is
/// killed before it sees the end of its input.
pub(crate) fn run(chosen: &ChosenBackup, args: &Args) -> Result<(), Error> {
    if let Some(choice) = TableChoice::of(args)? {
        return run_tables(chosen, choice, args);
    }
    let mut input = CheckedSql::open(chosen, args)?;
    let mut child = Child::spawn_with(command(&args.command)?, job::pass_on)?;
    let mut stdin = child
        .take_stdin()
        .ok_or_else(|| Error::failed("the command has no standard input"))?;
    let progress = Progress::new(format!("reading '{}'", chosen.label()), input.sql_length());
    let fed = match args.database.as_ref().filter(|_| chosen.index.is_none()) {
        Some(name) => Search::new(name).feed(&mut input, &mut stdin, &progress),
        None => feed(&mut input, &mut stdin, &progress),
    };
    drop(progress);
    end(child, stdin, fed)
}

/// Feeds rows of some tables to the command.
fn run_tables(chosen: &ChosenBackup, choice: TableChoice, args: &Args) -> Result<(), Error> {
    let rows = TableRows::find(chosen, choice, args)?;
    let mut child = Child::spawn_with(command(&args.command)?, job::pass_on)?;
    let mut stdin = child
        .take_stdin()
        .ok_or_else(|| Error::failed("the command has no standard input"))?;
    let progress = Progress::new(
        format!("reading '{}'", chosen.label()),
        Some(rows.sql_length()),
    );
    let mut refused = None;
    let fed = rows.read(args.threads(), &progress, &mut |piece| {
        stdin.write_all(piece.bytes()).map_err(|error| {
            let why = Error::io("the command reads no more", &error);
            refused = Some(error);
            why
        })
    });
    drop(progress);
    let fed = fed.map_err(|error| match refused {
        Some(error) => Stopped::Refused(error),
        None => Stopped::Damaged(error),
    });
    end(child, stdin, fed)
}

/// Ends the command: well, if it was fed all.
fn end(child: Child, stdin: impl Write, fed: Result<(), Stopped>) -> Result<(), Error> {
    match fed {
        Ok(()) => {
            drop(stdin);
            Ok(child.wait()?)
        }
        Err(Stopped::Damaged(error)) => {
            child.killer().kill();
            Err(error)
        }
        Err(Stopped::Refused(error)) => {
            let name = child.name().to_owned();
            drop(stdin);
            // The command itself says why it reads no more. That it has not read everything is a failure in any case.
            child.wait()?;
            let read = match error.kind() {
                io::ErrorKind::BrokenPipe => return Err(left_early(&name)),
                _ => format!("cannot write to '{name}'"),
            };
            Err(Error::io(read, &error))
        }
    }
}

/// Why feeding has stopped.
enum Stopped {
    Damaged(Error),
    Refused(io::Error),
}

impl From<Error> for Stopped {
    fn from(error: Error) -> Self {
        Self::Damaged(error)
    }
}

fn feed(
    input: &mut CheckedSql<'_>,
    out: &mut dyn Write,
    progress: &Progress,
) -> Result<(), Stopped> {
    while let Some(sql) = input.next()? {
        out.write_all(sql).map_err(Stopped::Refused)?;
        progress.advance(sql.len() as u64);
    }
    Ok(input.finish()?)
}

/// One database of a dump without an index: everything is read, and its part is fed.
struct Search<'a> {
    name: &'a PgText,
    /// Whether the reader is within its part.
    inside: bool,
    found: bool,
    others: Vec<PgText>,
}

impl<'a> Search<'a> {
    fn new(name: &'a PgText) -> Self {
        Self {
            name,
            inside: false,
            found: false,
            others: Vec::new(),
        }
    }

    fn feed(
        mut self,
        input: &mut CheckedSql<'_>,
        out: &mut dyn Write,
        progress: &Progress,
    ) -> Result<(), Stopped> {
        let mut scanner = PartScanner::new();
        while let Some(sql) = input.next()? {
            scanner
                .feed(sql, &mut |event| self.event(event, out))
                .map_err(Stopped::Refused)?;
            progress.advance(sql.len() as u64);
        }
        input.finish()?;
        scanner
            .finish(&mut |event| self.event(event, out))
            .map_err(Stopped::Refused)?
            .map_err(|how| unfinished(&input.label(), how))?;
        match self.found {
            true => Ok(()),
            false => Err(not_among(self.name, &input.label(), &self.others).into()),
        }
    }

    fn event(&mut self, event: Event<'_>, out: &mut dyn Write) -> io::Result<()> {
        match event {
            Event::Begin(part) => {
                self.inside = matches!(part, Part::Database(name) if name.is_meant_by(self.name));
                self.found |= self.inside;
                if let Part::Database(name) = part {
                    self.others.push(name.clone());
                }
                Ok(())
            }
            Event::Piece(piece) if self.inside => out.write_all(piece.bytes()),
            Event::Piece(_) => Ok(()),
        }
    }
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
    let mut command = pg_client::command(program);
    command.args(arguments).stdin(Stdio::piped());
    Ok(command)
}
