//! The output of a command instead of a dump of our own. A cluster's dump that comes as pg_dumpall writes it gets its
//! sections and its index as if it were ours. One that was changed on the way (a greeting before it, CRLF) is
//! published as it came, without an index, if it is whole.

use std::ffi::OsString;
use std::io::{self, Read};
use std::process::Stdio;

use backup_file::{About, Excluded, SectionKind};
use chrono::{DateTime, Utc};
use dump_text::{Event, Inventory, Part, PartScanner, Piece, client_encoding};
use job::{Error, Progress, say};
use pg_client::Child;
use pg_text::PgText;
use rate_limit::{LimitedReader, RateLimit};

use crate::cluster::{not_whole, warnings};
use crate::output::{Output, Section};
use dump_text::{Flaw, Text, Watch};

/// Bytes that are read at once.
const PIECE: usize = 256 << 10;

/// What a command wrote.
#[derive(Debug)]
pub(crate) struct Copied {
    /// Its program's name.
    pub(crate) program: String,
    /// Bytes.
    pub(crate) length: u64,
    /// For the index, if it was a cluster's dump.
    pub(crate) about: Option<About>,
    /// How many databases that had.
    pub(crate) databases: usize,
}

/// Runs `command` and writes what it writes, read no faster than the limit allows.
///
/// # Errors
/// It cannot be run, fails, is killed, writes nothing, or writes a dump that does not end as dumps end.
pub(crate) fn copy(
    command: &[OsString],
    output: &mut Output,
    started: DateTime<Utc>,
    limit: Option<&RateLimit>,
) -> Result<Copied, Error> {
    let mut child = start(command)?;
    let program = child.name().to_owned();
    let stdout = child
        .take_stream()
        .ok_or_else(|| Error::failed(format!("'{program}' has no output")))?;
    let stdout = LimitedReader::new(stdout, limit);
    let mut text = Passing {
        output,
        watch: Watch::thorough(),
        progress: Progress::new(format!("reading from '{program}'"), None),
        versions: Versions::default(),
        databases: 0,
        inventory: None,
    };
    let wrote = format!("what '{program}' wrote");
    let scanned = text.pass(stdout, &program)?;
    child.wait()?;
    let Passing {
        watch,
        versions,
        databases,
        ..
    } = text;
    if watch.length() == 0 {
        return Err(Error::failed(format!("'{program}' wrote nothing")));
    }
    watch.check().map_err(|flaw| not_whole(&wrote, flaw))?;
    if !scanned {
        return Err(not_whole(&wrote, Flaw::Cut));
    }
    for oddity in watch.oddities() {
        say!("warning: {wrote}: {oddity}");
    }
    Ok(Copied {
        program,
        length: watch.length(),
        about: is_one_cluster(&watch).then(|| versions.about(started)),
        databases,
    })
}

/// Whether a reader of one section finds in it what pg_dumpall wrote.
fn is_plain_cluster(watch: &Watch) -> bool {
    watch.is_plain() && watch.text() == Text::Cluster
}

/// Whether no other dump follows it: an index says where the databases of one cluster are.
fn is_one_cluster(watch: &Watch) -> bool {
    is_plain_cluster(watch) && watch.count() == 1
}

fn start(command: &[OsString]) -> Result<Child, Error> {
    let Some((program, arguments)) = command.split_first() else {
        return Err(Error::usage("there is no command after --"));
    };
    let mut command = pg_client::command(program);
    command.args(arguments);
    command.stdin(Stdio::inherit()).stdout(Stdio::piped());
    Ok(Child::spawn_with(command, warnings())?)
}

/// A text on its way into the backup.
struct Passing<'a> {
    output: &'a mut Output,
    watch: Watch,
    progress: Progress,
    versions: Versions,
    databases: usize,
    /// Of the database that passes.
    inventory: Option<Inventory>,
}

impl Passing<'_> {
    /// Whether it ended where a dump may end, as far as that can be told.
    fn pass(&mut self, mut stdout: impl Read, program: &str) -> Result<bool, Error> {
        let unreadable = |error: io::Error| {
            Error::io(format_args!("cannot read what '{program}' writes"), &error)
        };
        self.output.begin(SectionKind::Globals)?;
        let mut piece = vec![0; PIECE];
        let begun = fill(&mut stdout, &mut piece, Watch::ENOUGH).map_err(unreadable)?;
        self.see(&piece[..begun]);
        // What psql cannot read is refused now, and not after hours.
        self.watch
            .check_opening()
            .map_err(|flaw| not_whole(&format!("what '{program}' wrote"), flaw))?;
        if !is_plain_cluster(&self.watch) {
            self.output.write(&piece[..begun])?;
            self.copy(stdout)?;
            return Ok(true);
        }
        let mut scanner = PartScanner::new();
        let mut length = begun;
        while length > 0 {
            scanner.feed(&piece[..length], &mut |event| self.event(event))?;
            length = fill(&mut stdout, &mut piece, 1).map_err(unreadable)?;
            self.see(&piece[..length]);
        }
        Ok(scanner.finish(&mut |event| self.event(event))?.is_ok())
    }

    fn copy(&mut self, mut stdout: impl Read) -> Result<(), Error> {
        let Self {
            output,
            watch,
            progress,
            ..
        } = self;
        output.copy_from(&mut stdout, &mut |piece| {
            watch.see(piece);
            progress.advance(piece.len() as u64);
        })
    }

    fn see(&mut self, piece: &[u8]) {
        self.watch.see(piece);
        self.progress.advance(piece.len() as u64);
    }

    fn event(&mut self, event: Event<'_>) -> Result<(), Error> {
        match event {
            Event::Begin(Part::Globals | Part::Unnamed) => {
                self.end_of_database();
                Ok(())
            }
            Event::Begin(Part::Database(name)) => {
                self.databases += 1;
                self.end_of_database();
                self.inventory = Some(Inventory::default());
                self.output.begin(SectionKind::Database(name.clone()))
            }
            Event::Begin(Part::End) => {
                self.end_of_database();
                self.output.begin(SectionKind::End)
            }
            Event::Piece(piece) => {
                match piece {
                    Piece::Comment(line) => self.versions.read(line),
                    Piece::Statement(sql) if self.databases == 0 => self.versions.see(sql),
                    _ => {}
                }
                if let Some(inventory) = &mut self.inventory {
                    inventory.see(piece);
                }
                self.output.write(piece.bytes())
            }
        }
    }

    fn end_of_database(&mut self) {
        if let Some(inventory) = self.inventory.take() {
            self.output.holds(&inventory);
        }
    }
}

/// Reads until there are at least `wanted` bytes, or the end.
fn fill(input: &mut impl Read, buffer: &mut [u8], wanted: usize) -> io::Result<usize> {
    let mut length = 0;
    while length < wanted {
        match input.read(&mut buffer[length..]) {
            Ok(0) => break,
            Ok(read) => length += read,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(length)
}

/// What the comments of the first database's dump say of the server and the client, and the globals of their encoding.
#[derive(Debug, Default)]
struct Versions {
    encoding: Option<String>,
    server: Option<String>,
    client: Option<String>,
}

impl Versions {
    /// A statement of the globals.
    fn see(&mut self, statement: &[u8]) {
        if self.encoding.is_none() {
            self.encoding = client_encoding(statement);
        }
    }

    fn read(&mut self, comment: &[u8]) {
        let version = |words: &[u8]| {
            let version = comment.strip_prefix(words)?.trim_ascii_end();
            Some(PgText::from(version).to_string())
        };
        if self.server.is_none() {
            self.server = version(b"-- Dumped from database version ");
        }
        if self.client.is_none() {
            self.client = version(b"-- Dumped by pg_dump version ");
        }
    }

    fn about(self, started: DateTime<Utc>) -> About {
        let unknown = || "unknown".to_owned();
        About {
            server_version: self.server.unwrap_or_else(unknown),
            client_version: self.client.unwrap_or_else(unknown),
            encoding: self.encoding,
            // Nobody knows what the command was told.
            excluded: Excluded::default(),
            server_role: None,
            started,
            finished: Utc::now(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_those_of_the_first_database() {
        let mut versions = Versions::default();
        for line in [
            "-- Roles\n",
            "-- Dumped from database version 15.18 (Debian 15.18-0+deb12u1)\n",
            "-- Dumped by pg_dump version 16.1\n",
            "-- Dumped from database version 1\n",
        ] {
            versions.read(line.as_bytes());
        }
        let about = versions.about(DateTime::UNIX_EPOCH);
        assert_eq!(about.server_version, "15.18 (Debian 15.18-0+deb12u1)");
        assert_eq!(about.client_version, "16.1");
        assert_eq!(
            Versions::default().about(Utc::now()).client_version,
            "unknown"
        );
    }

    #[test]
    fn a_slow_writer_is_waited_for() {
        struct Slow(u8);
        impl Read for Slow {
            fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
                self.0 += 1;
                match self.0 {
                    1 => Err(io::ErrorKind::Interrupted.into()),
                    2..=4 => {
                        buffer[0] = self.0;
                        Ok(1)
                    }
                    _ => Ok(0),
                }
            }
        }
        let mut buffer = [0; 8];
        assert_eq!(fill(&mut Slow(0), &mut buffer, 2).unwrap(), 2);
        assert_eq!(fill(&mut Slow(0), &mut buffer, 8).unwrap(), 3);
        assert_eq!(buffer[..3], [2, 3, 4]);
    }
}
