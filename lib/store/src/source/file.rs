//! A backup in a file, or one that comes through a pipe.

use std::fs::File;
use std::io::{self, IsTerminal, Read};
use std::os::fd::AsFd;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use backup_file::{ReadAt, Sha256, sidecar_name, sidecar_sha256};

use crate::permission::{Access, path_error};
use crate::sidecar::read_sidecar;
use crate::{Error, ErrorKind};

/// A file that can be read anywhere.
#[derive(Debug)]
pub(super) struct Seekable {
    path: PathBuf,
    file: Arc<File>,
    size: u64,
}

/// A pipe, a socket or a device: it can be read once, from its beginning to its end.
#[derive(Debug)]
pub(super) struct Stream {
    label: String,
    file: File,
    taken: AtomicBool,
}

/// What a path leads to.
#[derive(Debug)]
pub(super) enum Opened {
    Seekable(Seekable),
    Stream(Stream),
}

/// Opens a file, or a pipe by its name (`/dev/fd/63`).
pub(super) fn open(path: &Path) -> Result<Opened, Error> {
    let doing = || format!("cannot open '{}'", path.display());
    let file = File::open(path).map_err(|error| path_error(doing(), path, Access::Read, &error))?;
    let found = file
        .metadata()
        .map_err(|error| Error::io(doing(), &error))?;
    if found.is_dir() {
        let kind = ErrorKind::System(io::ErrorKind::IsADirectory);
        return Err(Error::new(kind, format!("{}: it is a directory", doing())));
    }
    if found.is_file() {
        return Ok(Opened::Seekable(Seekable {
            path: path.to_path_buf(),
            file: Arc::new(file),
            size: found.len(),
        }));
    }
    Ok(Opened::Stream(Stream::new(
        path.display().to_string(),
        file,
    )))
}

impl Seekable {
    pub(super) fn label(&self) -> String {
        self.path.display().to_string()
    }

    pub(super) fn file_name(&self) -> Option<&str> {
        self.path.file_name()?.to_str()
    }

    pub(super) fn recorded_sha256(&self) -> Result<Option<Sha256>, Error> {
        let Some(name) = self.file_name() else {
            return Ok(None);
        };
        let path = self.path.with_file_name(sidecar_name(name));
        let Some(text) = read_sidecar(&path)? else {
            return Ok(None);
        };
        match sidecar_sha256(&text, name) {
            Some(digest) => Ok(Some(digest)),
            None => Err(Error::new(
                ErrorKind::NotGood,
                format!("'{}' gives no SHA-256 of '{name}'", path.display()),
            )
            .hint(
                "`sha256sum NAME > NAME.sha256` writes it anew, if the backup is good without it",
            )),
        }
    }

    /// The bytes from `offset` on, `length` of them or all to the end. Each reader has its own position.
    pub(super) fn reader(&self, offset: u64, length: Option<u64>) -> Window {
        Window {
            file: Arc::clone(&self.file),
            offset,
            left: length.unwrap_or(u64::MAX),
        }
    }
}

impl ReadAt for Seekable {
    fn size(&self) -> u64 {
        self.size
    }

    fn read_at(&self, offset: u64, length: usize) -> io::Result<Vec<u8>> {
        let mut bytes = vec![0; length];
        self.file.read_exact_at(&mut bytes, offset)?;
        Ok(bytes)
    }
}

/// A part of a file, read without moving the file's own position.
#[derive(Debug)]
pub(super) struct Window {
    file: Arc<File>,
    offset: u64,
    left: u64,
}

impl Read for Window {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let wanted = usize::try_from(self.left)
            .unwrap_or(usize::MAX)
            .min(buffer.len());
        let got = self.file.read_at(&mut buffer[..wanted], self.offset)?;
        self.offset += got as u64;
        self.left -= got as u64;
        Ok(got)
    }
}

impl Stream {
    fn new(label: String, file: File) -> Self {
        Self {
            label,
            file,
            taken: AtomicBool::new(false),
        }
    }

    pub(super) fn standard_input() -> Result<Self, Error> {
        let stdin = io::stdin();
        if stdin.is_terminal() {
            let said = "standard input is a terminal, not a backup";
            return Err(Error::new(ErrorKind::Usage, said)
                .hint("redirect or pipe the backup into it, or give its name instead of -"));
        }
        // A descriptor of its own: std's standard input has a buffer that is of no use here.
        let descriptor = stdin
            .as_fd()
            .try_clone_to_owned()
            .map_err(|error| Error::io("cannot read standard input", &error))?;
        Ok(Self::new("standard input".to_owned(), descriptor.into()))
    }

    pub(super) fn label(&self) -> &str {
        &self.label
    }

    pub(super) fn reader(&self) -> Result<File, Error> {
        if self.taken.swap(true, Ordering::Relaxed) {
            let said = format!("{} can be read once", self.label);
            return Err(Error::new(ErrorKind::NotSeekable, said));
        }
        self.file
            .try_clone()
            .map_err(|error| Error::io(format_args!("cannot read {}", self.label), &error))
    }
}
