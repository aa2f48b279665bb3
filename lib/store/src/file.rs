//! A backup in a file, and one that comes through a pipe.

use std::fs::File;
use std::io::{self, IsTerminal, Read};
use std::os::fd::AsFd;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use backup_file::{ReadAt, Sha256, sidecar_name, sidecar_sha256};
use job::Error;

use crate::permission::{Access, path_error};
use crate::sidecar::read_sidecar;

/// A file that can be read anywhere.
#[derive(Debug)]
pub(crate) struct Seekable {
    path: PathBuf,
    file: Arc<File>,
    size: u64,
}

/// A pipe, a socket, a device: it can be read once, from its beginning to its end.
#[derive(Debug)]
pub(crate) struct Stream {
    label: String,
    file: File,
    taken: AtomicBool,
}

/// What a path leads to.
#[derive(Debug)]
pub(crate) enum Opened {
    Seekable(Seekable),
    Stream(Stream),
}

/// Opens a file, or a pipe by its name (`/dev/fd/63`).
pub(crate) fn open(path: &Path) -> Result<Opened, Error> {
    let doing = || format!("cannot open '{}'", path.display());
    let file = File::open(path).map_err(|error| path_error(doing(), path, Access::Read, &error))?;
    let found = file
        .metadata()
        .map_err(|error| Error::io(doing(), &error))?;
    if found.is_dir() {
        return Err(Error::failed(format!("{}: it is a directory", doing())));
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
    pub(crate) fn label(&self) -> String {
        self.path.display().to_string()
    }

    pub(crate) fn file_name(&self) -> Option<&str> {
        self.path.file_name()?.to_str()
    }

    pub(crate) fn recorded_sha256(&self) -> Result<Option<Sha256>, Error> {
        let Some(name) = self.file_name() else {
            return Ok(None);
        };
        let path = self.path.with_file_name(sidecar_name(name));
        let Some(text) = read_sidecar(&path)? else {
            return Ok(None);
        };
        match sidecar_sha256(&text, name) {
            Some(digest) => Ok(Some(digest)),
            None => Err(Error::not_good(format!(
                "'{}' gives no SHA-256 of '{name}'",
                path.display()
            ))
            .hint(
                "`sha256sum NAME > NAME.sha256` writes it anew, if the backup is good without it",
            )),
        }
    }

    /// The bytes from `offset` on, `length` of them or all to the end; each reader has its own place.
    pub(crate) fn reader(&self, offset: u64, length: Option<u64>) -> Window {
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
pub(crate) struct Window {
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

    pub(crate) fn standard_input() -> Result<Self, Error> {
        let stdin = io::stdin();
        if stdin.is_terminal() {
            return Err(Error::usage("standard input is a terminal, not a backup")
                .hint("redirect or pipe the backup into it, or give its name instead of -"));
        }
        // Its own descriptor: std's has a buffer in front that is of no use here.
        let descriptor = stdin
            .as_fd()
            .try_clone_to_owned()
            .map_err(|error| Error::io("cannot read standard input", &error))?;
        Ok(Self::new("standard input".to_owned(), descriptor.into()))
    }

    pub(crate) fn label(&self) -> &str {
        &self.label
    }

    pub(crate) fn reader(&self) -> Result<File, Error> {
        if self.taken.swap(true, Ordering::Relaxed) {
            return Err(Error::failed(format!("{} can be read once", self.label)));
        }
        self.file
            .try_clone()
            .map_err(|error| Error::io(format_args!("cannot read {}", self.label), &error))
    }
}
