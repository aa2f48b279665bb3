use std::io::{self, Read};

use crate::{BlobUrl, Error, Properties};

/// A blob to be read. Every request is pinned to its ETag: if it is written meanwhile, reading ends in
/// an error of kind [`Changed`](crate::ErrorKind::Changed).
#[derive(Debug, Clone)]
pub struct Blob {
    properties: Properties,
}

impl Blob {
    /// Its name, the prefix taken off.
    pub fn name(&self) -> &str {
        todo!()
    }

    /// Its URL, without the token.
    pub fn url(&self) -> BlobUrl {
        todo!()
    }

    /// What the service said of it.
    pub fn properties(&self) -> &Properties {
        &self.properties
    }

    /// Its size in bytes.
    pub fn size(&self) -> u64 {
        self.properties.size
    }

    /// All its bytes.
    pub fn reader(&self) -> Download {
        self.range(0, self.size())
    }

    /// `length` bytes from `offset` on (fewer if it ends before), several ranges ahead.
    pub fn range(&self, offset: u64, length: u64) -> Download {
        let _ = (offset, length);
        todo!()
    }

    /// The `length` bytes from `offset` on, in one request.
    ///
    /// # Errors
    /// As every request; and if the blob ends before.
    pub fn read_at(&self, offset: u64, length: usize) -> Result<Vec<u8>, Error> {
        let _ = (offset, length);
        todo!()
    }
}

/// The bytes of a blob, in order, with bounded memory, several ranges ahead. Its I/O errors hold an
/// [`Error`] ([`Error::from_io`]).
#[derive(Debug)]
pub struct Download {}

impl Read for Download {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let _ = into;
        todo!()
    }
}
