use std::io::{self, Write};
use std::path::PathBuf;

use backup_file::Sha256;
use job::Error;

/// A file that is being written under a temporary name. Nobody sees it under its own name before
/// [`FilePublication::commit`]; dropping it removes it, and so does a stop signal. If the program is killed,
/// [`Directory::sweep`](crate::Directory::sweep) of the next run removes it.
///
/// Give it large writes: it is not buffered.
#[derive(Debug)]
#[must_use = "the file is removed when this is dropped"]
pub struct FilePublication {}

/// A file that stands under its own name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Published {
    /// Its path: the directory as it was given, and the name.
    pub path: PathBuf,
    /// Its size in bytes.
    pub size: u64,
    /// Its SHA-256, which its sidecar holds too.
    pub sha256: Sha256,
}

impl FilePublication {
    /// Makes it visible: flushed to the disk, renamed without overwriting, then its sidecar
    /// `NAME.sha256` beside it, then the directory flushed.
    ///
    /// # Errors
    /// Exit code 4 if the name is taken meanwhile; nothing is left then, nor after any other error
    /// before the rename.
    pub fn commit(self) -> Result<Published, Error> {
        todo!()
    }
}

impl Write for FilePublication {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let _ = bytes;
        todo!()
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
