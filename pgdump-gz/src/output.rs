//! Where the backup goes: a directory or standard output.

use std::fs::File;
use std::io::{self, IsTerminal, Read, Write};
use std::os::fd::AsFd;
use std::thread;
use std::time::Duration;

use backup_file::{
    About, BackupKind, BackupName, Base, Options, Part, PartWriter, SectionKind, Writer,
};
use chrono::{DateTime, Utc};
use dump_text::Inventory;
use job::{Error, say, text};
use store::{Directory, DirectoryLock, FilePublication, Published, Space, Store};

use crate::contents::{contents, layout};

/// As large as a pipe may be made without privileges.
const PIPE_SIZE: usize = 1 << 20;

/// A place for one backup, made sure of before the dump starts.
#[derive(Debug)]
pub(crate) enum Target {
    /// The lock keeps other runs out while this lives.
    Directory(Directory, DirectoryLock, BackupKind),
    Stdout(File),
}

impl Target {
    /// The directory `dir`, or standard output.
    ///
    /// # Errors
    /// Standard output is a terminal; the directory is missing, is in use by another pgdump-gz, or has
    /// less room than its newest backup takes.
    pub(crate) fn open(dir: Option<&str>, kind: BackupKind) -> Result<Self, Error> {
        match dir {
            Some(dir) => Self::directory(dir, kind),
            None => Self::stdout(),
        }
    }

    fn stdout() -> Result<Self, Error> {
        let stdout = io::stdout();
        if stdout.is_terminal() {
            return Err(Error::usage("a backup is not written to a terminal")
                .hint("send it into a file or a pipe, or name a directory with --dir"));
        }
        // Without the buffer of the standard library, which looks for line ends.
        let file = stdout
            .as_fd()
            .try_clone_to_owned()
            .map_err(|error| Error::io("cannot use standard output", &error))?;
        // Standard output may be a file, and a smaller pipe is only slower.
        let _ = rustix::pipe::fcntl_setpipe_size(&file, PIPE_SIZE);
        Ok(Self::Stdout(file.into()))
    }

    fn directory(dir: &str, kind: BackupKind) -> Result<Self, Error> {
        let url = || {
            Error::usage("--dir takes a directory, not a URL")
                .hint("pipe the backup into blob-put: pgdump-gz | blob-put - URL/")
        };
        if dir.contains("://") {
            return Err(url());
        }
        let store = Store::open(dir)?;
        let directory = store.directory().ok_or_else(url)?;
        let lock = directory.lock()?;
        for name in directory.sweep()? {
            say!("removed '{name}', which a killed run had left in '{dir}'");
        }
        check_room(&store, directory, kind)?;
        Ok(Self::Directory(directory.clone(), lock, kind))
    }

    /// Begins the backup, now. In a directory its name must be free: a name that another backup of this
    /// second has taken is waited for to pass.
    pub(crate) fn begin(self, options: Options) -> Result<(Output, DateTime<Utc>), Error> {
        let (sink, label, started) = match self {
            Self::Stdout(file) => {
                let sink = Sink::Stdout { file, size: 0 };
                (sink, "standard output".to_owned(), Utc::now())
            }
            Self::Directory(directory, lock, kind) => {
                let (name, started) = free_name(&directory, kind);
                let label = format!("'{}'", directory.path().join(&name).display());
                let file = directory.publish_under(lock, &name)?;
                (Sink::File(Box::new(file)), label, started)
            }
        };
        let writer = Writer::new(sink, options);
        Ok((Output { writer, label }, started))
    }
}

fn free_name(directory: &Directory, kind: BackupKind) -> (String, DateTime<Utc>) {
    loop {
        let started = Utc::now();
        let name = BackupName::of(kind, started).to_string();
        if directory.path().join(&name).symlink_metadata().is_err() {
            return (name, started);
        }
        thread::sleep(Duration::from_millis(50));
    }
}

/// A disk that would be full after an hour's dump can mostly be seen to be too small before it.
fn check_room(store: &Store, directory: &Directory, kind: BackupKind) -> Result<(), Error> {
    let Some(newest) = store.list()?.of(kind).pop() else {
        return Ok(());
    };
    let path = directory.path();
    let free = match Space::of(path)? {
        Some(space) if space.free < newest.size => space.free,
        _ => return Ok(()),
    };
    Err(Error::failed(format!(
        "'{}' has {} left, and its newest {kind}, '{}', takes {}",
        path.display(),
        text::bytes(free),
        newest.name,
        text::bytes(newest.size)
    ))
    .hint("make room (blob-prune deletes by age), or take a larger volume"))
}

/// Where members go. Counts and hashes where that is needed.
#[derive(Debug)]
pub(crate) enum Sink {
    File(Box<FilePublication>),
    Stdout { file: File, size: u64 },
}

impl Write for Sink {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Self::File(file) => file.write(bytes),
            Self::Stdout { file, size } => {
                let written = file.write(bytes)?;
                *size += written as u64;
                Ok(written)
            }
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match self {
            Self::File(file) => file.flush(),
            Self::Stdout { file, .. } => file.flush(),
        }
    }
}

/// A backup that is being written. It is no backup before it is finished.
#[derive(Debug)]
pub(crate) struct Output {
    writer: Writer<Sink>,
    /// Where it goes, for people.
    label: String,
}

/// A backup that has been written.
#[derive(Debug)]
pub(crate) struct Written {
    /// Where it is, for people.
    pub(crate) label: String,
    /// The file, if it is in a directory.
    pub(crate) file: Option<Published>,
    /// Its size in bytes.
    pub(crate) size: u64,
}

/// What a dump is written to: the backup itself, or a part of it that waits for its turn.
pub(crate) trait Section {
    /// Adds SQL.
    fn write(&mut self, sql: &[u8]) -> Result<(), Error>;

    /// Adds all of `input`, showing it to `watch`.
    fn copy_from(
        &mut self,
        input: &mut dyn Read,
        watch: &mut dyn FnMut(&[u8]),
    ) -> Result<(), Error>;

    /// Says what the section held, from its first byte on.
    fn holds(&mut self, inventory: &Inventory);
}

impl Output {
    /// Begins a section.
    pub(crate) fn begin(&mut self, kind: SectionKind) -> Result<(), Error> {
        let begun = self.writer.begin(kind);
        begun.map_err(|error| self.failed(&error))
    }

    /// Adds a section that has waited for its turn.
    pub(crate) fn append(&mut self, part: Part) -> Result<(), Error> {
        let appended = self.writer.append(part);
        appended.map_err(|error| self.failed(&error))
    }

    /// Makes it a whole backup, with an index if it is known what it is about, and lets it be seen.
    pub(crate) fn finish(self, about: Option<About>) -> Result<Written, Error> {
        let Self { writer, label } = self;
        let finished = match about {
            Some(about) => writer.finish(about),
            None => writer.finish_without_index(),
        };
        publish(finished, label)
    }

    /// Makes it a whole base backup, and lets it be seen.
    pub(crate) fn finish_base(self, about: About, base: Base) -> Result<Written, Error> {
        let Self { writer, label } = self;
        publish(writer.finish_base(about, base), label)
    }

    fn failed(&self, error: &io::Error) -> Error {
        cannot_write(&self.label, error)
    }
}

/// Lets a backup that was finished be seen.
fn publish(finished: io::Result<Sink>, label: String) -> Result<Written, Error> {
    let sink = finished.map_err(|error| cannot_write(&label, &error))?;
    match sink {
        Sink::Stdout { size, .. } => Ok(Written {
            label,
            file: None,
            size,
        }),
        Sink::File(file) => {
            let published = file.commit()?;
            Ok(Written {
                label,
                size: published.size,
                file: Some(published),
            })
        }
    }
}

impl Section for Output {
    fn write(&mut self, sql: &[u8]) -> Result<(), Error> {
        let written = self.writer.write_all(sql);
        written.map_err(|error| self.failed(&error))
    }

    fn copy_from(
        &mut self,
        input: &mut dyn Read,
        watch: &mut dyn FnMut(&[u8]),
    ) -> Result<(), Error> {
        let copied = self.writer.copy_from(input, watch);
        copied.map(drop).map_err(|error| self.failed(&error))
    }

    fn holds(&mut self, inventory: &Inventory) {
        self.writer.holds(contents(inventory));
        if let Some(layout) = layout(inventory) {
            self.writer.map(layout);
        }
    }
}

/// A section in an unnamed temporary file.
#[derive(Debug)]
pub(crate) struct WaitingSection {
    writer: PartWriter,
}

impl WaitingSection {
    /// Begins it, in `TMPDIR`.
    pub(crate) fn begin(kind: SectionKind, options: Options) -> Result<Self, Error> {
        let file = tempfile::tempfile().map_err(|error| no_room(&error))?;
        let writer = PartWriter::new(file, kind, options);
        Ok(Self { writer })
    }

    /// Ends it; `time` is how long its dump took.
    pub(crate) fn finish(self, time: Duration) -> Result<Part, Error> {
        self.writer.finish(time).map_err(|error| no_room(&error))
    }
}

impl Section for WaitingSection {
    fn write(&mut self, sql: &[u8]) -> Result<(), Error> {
        self.writer.write_all(sql).map_err(|error| no_room(&error))
    }

    fn copy_from(
        &mut self,
        input: &mut dyn Read,
        watch: &mut dyn FnMut(&[u8]),
    ) -> Result<(), Error> {
        let copied = self.writer.copy_from(input, watch);
        copied.map(drop).map_err(|error| no_room(&error))
    }

    fn holds(&mut self, inventory: &Inventory) {
        self.writer.holds(contents(inventory));
        if let Some(layout) = layout(inventory) {
            self.writer.map(layout);
        }
    }
}

fn cannot_write(label: &str, error: &io::Error) -> Error {
    Error::io(format_args!("cannot write to {label}"), error)
}

fn no_room(error: &io::Error) -> Error {
    let directory = std::env::temp_dir();
    Error::io(
        format_args!("cannot write a temporary file in '{}'", directory.display()),
        error,
    )
    .hint("name another directory in TMPDIR, or dump without --jobs, which needs none")
}
