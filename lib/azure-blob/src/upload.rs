use chrono::{DateTime, Utc};

use crate::{BlobUrl, Error, Sha256};

/// How a blob is written.
#[derive(Debug, Clone)]
pub struct UploadOptions {
    /// Writes over a blob of the same name; otherwise that is an error.
    pub overwrite: bool,
    /// `Hot`, `Cool`, `Cold`, `Archive`; none: the account's default.
    pub tier: Option<String>,
    /// Until when an immutability policy (unlocked) retains it.
    pub immutable_until: Option<DateTime<Utc>>,
    /// Blob index tags.
    pub tags: Vec<(String, String)>,
    /// The source's size in bytes, where it is known: blocks are chosen by it.
    pub expected_size: Option<u64>,
    /// Bytes of memory that blocks may take; what does not fit into 50,000 blocks of a quarter of that is refused.
    pub memory: u64,
}

impl Default for UploadOptions {
    fn default() -> Self {
        Self {
            overwrite: false,
            tier: None,
            immutable_until: None,
            tags: Vec::new(),
            expected_size: None,
            memory: 256 << 20,
        }
    }
}

/// A block blob that is being written. Nobody sees it before [`Ready::commit`]; if it is dropped, the
/// service forgets its blocks after a week.
///
/// Fill [`space`](Upload::space), say how much with [`filled`](Upload::filled), again and again, then
/// [`finish`](Upload::finish).
#[derive(Debug)]
#[must_use = "nothing is published before it is finished and committed"]
pub struct Upload {}

impl Upload {
    /// Room for the next bytes, never empty. Waits while memory is taken by blocks under way.
    ///
    /// # Errors
    /// What a block met that is under way; more bytes than 50,000 blocks hold.
    pub fn space(&mut self) -> Result<&mut [u8], Error> {
        todo!()
    }

    /// Says that the first `count` bytes of [`space`](Upload::space) are the stream's next ones.
    ///
    /// # Errors
    /// What a block met that is under way.
    pub fn filled(&mut self, count: usize) -> Result<(), Error> {
        let _ = count;
        todo!()
    }

    /// The stream is at its end: waits until all blocks are there.
    ///
    /// # Errors
    /// What a block met.
    pub fn finish(self) -> Result<Ready, Error> {
        todo!()
    }
}

/// All blocks are there; only the list of them is missing.
#[derive(Debug)]
#[must_use = "nothing is published before it is committed"]
pub struct Ready {}

impl Ready {
    /// Bytes.
    pub fn size(&self) -> u64 {
        todo!()
    }

    /// Of all bytes.
    pub fn sha256(&self) -> &Sha256 {
        todo!()
    }

    /// Makes the blob visible (Put Block List). An answer that is lost is resolved by looking.
    ///
    /// # Errors
    /// As every request; kind [`Exists`](crate::ErrorKind::Exists) if the name is taken.
    pub fn commit(self) -> Result<Uploaded, Error> {
        todo!()
    }
}

/// A blob that is there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Uploaded {
    /// Its URL, without the token.
    pub url: BlobUrl,
    /// Bytes.
    pub size: u64,
    /// Of all bytes; its metadata `sha256` says the same.
    pub sha256: Sha256,
    /// Its ETag.
    pub etag: String,
}
