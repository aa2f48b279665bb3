//! A backup in a container.

use std::io::{self, Read};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use azure_blob::{Blob, Download};
use backup_file::{ReadAt, Sha256};

/// The last error of a blob's readers. An I/O error may lose what it holds on its way through other code; here it is
/// kept.
type LastError = Arc<Mutex<Option<azure_blob::Error>>>;

/// How much of a blob's end is fetched in one request: the locator, the marker, and most indexes as a whole.
const TAIL: u64 = 16 << 10;

/// A blob that can be read anywhere.
#[derive(Debug)]
pub(super) struct RemoteBlob {
    blob: Blob,
    /// Its last bytes, kept once they were read, so that locator and index take one round trip, not two.
    tail: OnceLock<Vec<u8>>,
    last_error: LastError,
}

impl RemoteBlob {
    pub(super) fn new(blob: Blob) -> Self {
        Self {
            blob,
            tail: OnceLock::new(),
            last_error: LastError::default(),
        }
    }

    pub(super) fn label(&self) -> String {
        self.blob.url().to_string()
    }

    pub(super) fn file_name(&self) -> &str {
        self.blob.name()
    }

    pub(super) fn recorded_sha256(&self) -> Option<Sha256> {
        self.blob.properties().sha256
    }

    pub(super) fn is_archived(&self) -> bool {
        self.blob.properties().archived()
    }

    pub(super) fn reader(&self, offset: u64, length: u64) -> RemoteReader {
        RemoteReader {
            download: self.blob.range(offset, length),
            last_error: Arc::clone(&self.last_error),
        }
    }

    /// The client's error, if `error` comes from the client.
    pub(super) fn error(&self, error: &io::Error) -> Option<azure_blob::Error> {
        let own = azure_blob::Error::from_io(error).cloned();
        own.or_else(|| lock(&self.last_error).clone())
    }
}

impl ReadAt for RemoteBlob {
    fn size(&self) -> u64 {
        self.blob.size()
    }

    fn read_at(&self, offset: u64, length: usize) -> io::Result<Vec<u8>> {
        let start = self.size().saturating_sub(TAIL);
        let Some(from) = offset.checked_sub(start).filter(|_| length > 0) else {
            return Ok(self.blob.read_at(offset, length)?);
        };
        let tail = match self.tail.get() {
            Some(tail) => tail,
            None => {
                let length = usize::try_from(self.size() - start).unwrap_or(usize::MAX);
                let bytes = self.blob.read_at(start, length)?;
                self.tail.get_or_init(|| bytes)
            }
        };
        let from = usize::try_from(from).unwrap_or(usize::MAX);
        let wanted = tail.get(from..from.saturating_add(length));
        wanted
            .map(<[u8]>::to_vec)
            .ok_or_else(|| io::ErrorKind::UnexpectedEof.into())
    }
}

/// A part of a blob.
#[derive(Debug)]
pub(super) struct RemoteReader {
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
