//! What is uploaded: a file or standard input, checked while it is read.

use std::fs::File;
use std::io::{self, IsTerminal, Read, Stdin};
use std::path::{Path, PathBuf};

use backup_file::{BackupKind, FirstAndLast, PassingMembers, Sha256, sidecar_name, sidecar_sha256};
use job::{Error, Progress};
use store::{Access, flaw_at, path_error};

/// As long as a first member can be.
const AHEAD: usize = 64 << 10;

/// A file or standard input.
pub(crate) struct Source {
    label: String,
    bytes: Bytes,
    size: Option<u64>,
    sidecar: Option<PathBuf>,
    name: Option<String>,
    /// What was read of it to see what it is.
    ahead: Vec<u8>,
}

enum Bytes {
    File(File),
    Stdin(Stdin),
}

impl Source {
    /// Opens what SOURCE names.
    pub(crate) fn open(text: &str) -> Result<Self, Error> {
        if text == "-" {
            return Self::stdin();
        }
        let path = Path::new(text);
        let cannot = |error: &io::Error| -> Error {
            path_error(
                format_args!("cannot read '{text}'"),
                path,
                Access::Read,
                error,
            )
            .into()
        };
        let file = File::open(path).map_err(|error| cannot(&error))?;
        let metadata = file.metadata().map_err(|error| cannot(&error))?;
        if metadata.is_dir() {
            return Err(Error::usage(format!(
                "'{text}' is a directory, not a backup"
            )));
        }
        let name = path.file_name().and_then(|name| name.to_str());
        Ok(Self {
            label: format!("'{text}'"),
            bytes: Bytes::File(file),
            // A pipe's name has no size.
            size: metadata.is_file().then_some(metadata.len()),
            sidecar: name.map(|name| path.with_file_name(sidecar_name(name))),
            name: name.map(ToOwned::to_owned),
            ahead: Vec::new(),
        })
    }

    fn stdin() -> Result<Self, Error> {
        let stdin = io::stdin();
        if stdin.is_terminal() {
            return Err(Error::usage("standard input is a terminal")
                .hint("put a dump before it: pgdump-gz | blob-put - …"));
        }
        Ok(Self {
            label: "standard input".into(),
            bytes: Bytes::Stdin(stdin),
            size: None,
            sidecar: None,
            name: None,
            ahead: Vec::new(),
        })
    }

    /// The file's name; none for standard input.
    pub(crate) fn name(&self) -> Option<&str> {
        self.name.as_deref()
    }

    /// Bytes, where that is known.
    pub(crate) fn size(&self) -> Option<u64> {
        self.size
    }

    /// What it is, by its first bytes, which are waited for; none if it is no BGZF, or is too short to tell.
    pub(crate) fn kind(&mut self) -> Result<Option<BackupKind>, Error> {
        let mut ends = FirstAndLast::default();
        let mut piece = vec![0; AHEAD];
        while self.ahead.len() < AHEAD {
            let count = self.read_on(&mut piece)?;
            self.ahead.extend(piece.iter().take(count));
            ends.see(piece.get(..count).unwrap_or_default());
            if count == 0 || ends.kind().is_some() {
                break;
            }
        }
        Ok(ends.kind())
    }

    /// Reads the next bytes into `space`, and returns how many; 0 at the end.
    fn read(&mut self, space: &mut [u8]) -> Result<usize, Error> {
        if self.ahead.is_empty() {
            return self.read_on(space);
        }
        let count = self.ahead.len().min(space.len());
        let taken = self.ahead.drain(..count);
        space
            .iter_mut()
            .zip(taken)
            .for_each(|(to, byte)| *to = byte);
        Ok(count)
    }

    fn read_on(&mut self, space: &mut [u8]) -> Result<usize, Error> {
        loop {
            let read = match &mut self.bytes {
                Bytes::File(file) => file.read(space),
                Bytes::Stdin(stdin) => stdin.lock().read(space),
            };
            match read {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => {
                    return Err(Error::io(
                        format_args!("cannot read {}", self.label),
                        &error,
                    ));
                }
                Ok(count) => return Ok(count),
            }
        }
    }

    /// The SHA-256 in the sidecar of the file.
    fn recorded_sha256(&self) -> Result<Option<Sha256>, Error> {
        let (Some(path), Some(name)) = (&self.sidecar, &self.name) else {
            return Ok(None);
        };
        let text = store::read_sidecar(path)?;
        Ok(text.and_then(|text| sidecar_sha256(&text, name)))
    }
}

/// The source's bytes, checked while they are read.
pub(crate) struct CheckedInput {
    source: Source,
    /// None with `--raw`.
    checks: Option<StreamChecks>,
    progress: Progress,
}

/// What is checked of the bytes while they are read.
#[derive(Default)]
struct StreamChecks {
    members: PassingMembers,
    ends: FirstAndLast,
}

impl StreamChecks {
    fn pass(&mut self, bytes: &[u8]) -> Result<(), String> {
        self.ends.see(bytes);
        self.members.pass(bytes).map_err(|flaw| flaw.to_string())
    }

    /// Why the stream, which has ended, is no backup to publish.
    fn end(&self) -> Result<(), String> {
        self.members.end().map_err(|flaw| flaw.to_string())?;
        let is_base = self.ends.kind() == Some(BackupKind::Base);
        if is_base && !matches!(self.ends.text(), Ok(None)) {
            return Err(
                "is a base backup without an index, which says which WAL it needs: make it with pgdump-gz --base"
                    .to_owned(),
            );
        }
        // bgzip writes the same marker, whatever the dump that it compresses ends with.
        match flaw_at(&self.ends) {
            Ok(Some(flaw)) => Err(format!("is not good: {flaw}")),
            // The contents of the members are left to backup-verify.
            Ok(None) | Err(_) => Ok(()),
        }
    }
}

impl CheckedInput {
    pub(crate) fn new(source: Source, raw: bool, progress: Progress) -> Self {
        Self {
            source,
            checks: (!raw).then(StreamChecks::default),
            progress,
        }
    }

    /// Reads the next bytes into `space`, and returns how many; 0 at the end.
    pub(crate) fn read(&mut self, space: &mut [u8]) -> Result<usize, Error> {
        let count = self.source.read(space)?;
        if let Some(checks) = &mut self.checks {
            let bytes = space.get(..count).unwrap_or_default();
            checks.pass(bytes).map_err(|what| self.not_good(&what))?;
        }
        self.progress.advance(count as u64);
        Ok(count)
    }

    /// How many bytes of text the members hold; not known with `--raw`.
    pub(crate) fn sql_size(&self) -> Option<u64> {
        self.checks.as_ref().map(|checks| checks.members.text())
    }

    /// Whether the bytes, which have ended, may be published.
    pub(crate) fn check(&self, sha256: &Sha256) -> Result<(), Error> {
        if let Some(checks) = &self.checks {
            checks.end().map_err(|what| self.not_good(&what))?;
        }
        match self.source.recorded_sha256()? {
            Some(recorded) if recorded != *sha256 => Err(Error::not_good(format!(
                "{} is not what its .sha256 says: nothing was published",
                self.source.label
            ))
            .hint("the file was damaged after it was made")),
            _ => Ok(()),
        }
    }

    fn not_good(&self, what: &str) -> Error {
        Error::not_good(format!(
            "{} {what}: nothing was published",
            self.source.label
        ))
        .hint("its own message says why a dump failed; what is no backup of pgdump-gz needs --raw")
    }
}
