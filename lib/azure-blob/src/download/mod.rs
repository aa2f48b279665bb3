//! Get Blob: a blob that is read whole or in part, several ranges ahead.

mod pinned;
mod prefetch;

use std::io::{self, Read};

use pinned::PinnedBlob;
use prefetch::Prefetch;

use crate::transport::Cancel;
use crate::{BlobUrl, Client, Error, ErrorKind, ListedBlob, Properties};

/// A blob to be read. Every request is pinned to its ETag: if it is written meanwhile, reading ends in an error of
/// kind [`Changed`](crate::ErrorKind::Changed).
#[derive(Debug, Clone)]
pub struct Blob {
    pinned: PinnedBlob,
}

impl Client {
    /// A blob to be read, pinned to what it is now: asks for its properties.
    ///
    /// # Errors
    /// Kind [`NotFound`](crate::ErrorKind::NotFound) if there is none.
    pub fn blob(&self, name: &str) -> Result<Blob, Error> {
        let pinned = PinnedBlob {
            client: self.clone(),
            name: name.to_owned(),
            properties: self.properties(name)?,
        };
        Ok(Blob { pinned })
    }

    /// A blob to be read, pinned to what the listing said of it: asks nothing.
    pub fn blob_of(&self, listed: &ListedBlob) -> Blob {
        let pinned = PinnedBlob {
            client: self.clone(),
            name: listed.name.clone(),
            properties: listed.properties.clone(),
        };
        Blob { pinned }
    }
}

impl Blob {
    /// Its name, the prefix taken off.
    pub fn name(&self) -> &str {
        &self.pinned.name
    }

    /// Its URL, without the token.
    pub fn url(&self) -> BlobUrl {
        self.pinned.client.url(&self.pinned.name)
    }

    /// What the service said of it.
    pub fn properties(&self) -> &Properties {
        &self.pinned.properties
    }

    /// Its size in bytes.
    pub fn size(&self) -> u64 {
        self.pinned.size()
    }

    /// All its bytes.
    pub fn reader(&self) -> Download {
        self.range(0, self.size())
    }

    /// `length` bytes from `offset` on (fewer if it ends before), fetched several ranges ahead.
    pub fn range(&self, offset: u64, length: u64) -> Download {
        let start = offset.min(self.size());
        let end = start.saturating_add(length).min(self.size());
        let concurrency = self.pinned.client.options().concurrency;
        Download {
            ranges: Prefetch::new(self.pinned.clone(), start..end, concurrency),
            current: Vec::new(),
            at: 0,
        }
    }

    /// The `length` bytes from `offset` on, in one request.
    ///
    /// # Errors
    /// As every request; and if the blob ends before.
    pub fn read_at(&self, offset: u64, length: usize) -> Result<Vec<u8>, Error> {
        if offset
            .checked_add(length as u64)
            .is_none_or(|end| end > self.size())
        {
            return Err(Error::new(
                ErrorKind::Malformed,
                format!("'{}' ends before byte {offset} + {length}", self.name()),
            ));
        }
        let mut bytes = vec![0; length];
        self.pinned.fetch(offset, &mut bytes, &Cancel::default())?;
        Ok(bytes)
    }
}

/// The bytes of a blob in order, in bounded memory, fetched several ranges ahead. Its I/O errors hold an
/// [`Error`] ([`Error::from_io`]).
#[derive(Debug)]
pub struct Download {
    ranges: Prefetch,
    /// The range that is being read, and how much of it was.
    current: Vec<u8>,
    at: usize,
}

impl Read for Download {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        if into.is_empty() {
            return Ok(0);
        }
        if self.at == self.current.len() {
            let done = std::mem::take(&mut self.current);
            self.at = 0;
            match self.ranges.next(done)? {
                Some(bytes) => self.current = bytes,
                None => return Ok(0),
            }
        }
        let mut rest = self.current.get(self.at..).unwrap_or_default();
        let count = rest.read(into)?;
        self.at += count;
        Ok(count)
    }
}
