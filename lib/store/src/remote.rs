//! A backup in a container.

use std::io::{self, Read};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use azure_blob::{Blob, Download};
use backup_file::{ReadAt, Sha256};

/// The last error of a blob's readers. An I/O error on its way through other code may lose what it
/// carried; here it is not lost.
type LastError = Arc<Mutex<Option<azure_blob::Error>>>;

/// A blob that can be read anywhere.
#[derive(Debug)]
pub(crate) struct RemoteBlob {
    blob: Blob,
    last_error: LastError,
}

impl RemoteBlob {
    pub(crate) fn new(blob: Blob) -> Self {
        Self {
            blob,
            last_error: LastError::default(),
        }
    }

    pub(crate) fn label(&self) -> String {
        self.blob.url().to_string()
    }

    pub(crate) fn file_name(&self) -> &str {
        self.blob.name()
    }

    pub(crate) fn recorded_sha256(&self) -> Option<Sha256> {
        self.blob.properties().sha256
    }

    pub(crate) fn is_archived(&self) -> bool {
        self.blob.properties().archived()
    }

    pub(crate) fn reader(&self, offset: u64, length: u64) -> RemoteReader {
        RemoteReader {
            download: self.blob.range(offset, length),
            last_error: Arc::clone(&self.last_error),
        }
    }

    /// What the client said, where `error` is the client's.
    pub(crate) fn error(&self, error: &io::Error) -> Option<azure_blob::Error> {
        let own = azure_blob::Error::from_io(error).cloned();
        own.or_else(|| lock(&self.last_error).clone())
    }
}

impl ReadAt for RemoteBlob {
    fn size(&self) -> u64 {
        self.blob.size()
    }

    fn read_at(&self, offset: u64, length: usize) -> io::Result<Vec<u8>> {
        Ok(self.blob.read_at(offset, length)?)
    }
}

/// A part of a blob.
#[derive(Debug)]
pub(crate) struct RemoteReader {
    download: Download,
    last_error: LastError,
}

impl Read for RemoteReader {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.download.read(buffer).inspect_err(|error| {
            if let Some(error) = azure_blob::Error::from_io(error) {
                *lock(&self.last_error) = Some(error.clone());
            }
        })
    }
}

fn lock(error: &LastError) -> MutexGuard<'_, Option<azure_blob::Error>> {
    error.lock().unwrap_or_else(PoisonError::into_inner)
}
