//! Put Block List: the moment a blob appears.

use ureq::http::Method;

use super::options::UploadOptions;
use super::target::Target;
use crate::properties::write_sha256;
use crate::request::{Call, GivenUp, Operation};
use crate::transport::Cancel;
use crate::url::encode_value;
use crate::{BlobUrl, Error, ErrorKind, Permission, Sha256};

/// The service has all blocks; only the list of them is missing.
#[derive(Debug)]
#[must_use = "nothing is published before it is committed"]
pub struct Staged {
    pub(super) target: Target,
    pub(super) options: UploadOptions,
    pub(super) count: u64,
    pub(super) size: u64,
    pub(super) sha256: Sha256,
}

impl Staged {
    /// Bytes.
    pub fn size(&self) -> u64 {
        self.size
    }

    /// Of all bytes.
    pub fn sha256(&self) -> &Sha256 {
        &self.sha256
    }

    /// Makes the blob visible (Put Block List). After a lost answer it looks whether the blob is there.
    ///
    /// # Errors
    /// As every request; kind [`Exists`](crate::ErrorKind::Exists) if the name is taken.
    pub fn commit(self) -> Result<Uploaded, Error> {
        let needs = self.options.needs();
        let cannot = format!("cannot commit block list of '{}'", self.target.name);
        let operation = Operation::new(cannot, &needs);
        let etag = match self.put_list(&operation, "Uncommitted", !self.options.overwrite) {
            Ok(etag) => etag,
            Err(given_up) if given_up.in_doubt => match self.committed_etag() {
                Some(etag) => etag,
                None => return Err(self.doubtful(given_up.error)),
            },
            Err(given_up) => return Err(self.name_taken(given_up.error)),
        };
        Ok(Uploaded {
            url: self.target.client.url(&self.target.name),
            size: self.size,
            sha256: self.sha256,
            etag,
        })
    }

    /// The service may also say 412 of an unmet `If-None-Match: *`.
    fn name_taken(&self, error: Error) -> Error {
        match error.kind() {
            ErrorKind::Changed if !self.options.overwrite => error.of_kind(ErrorKind::Exists),
            _ => error,
        }
        .hint_if(
            ErrorKind::Exists,
            "nothing was changed; --overwrite writes over it",
        )
    }

    /// As [`name_taken`](Self::name_taken) after a lost answer: where the credential may not read, the blob that is
    /// there may be this one.
    fn doubtful(&self, error: Error) -> Error {
        let error = self.name_taken(error);
        let sas = self.target.client.sas();
        if sas.as_ref().is_some_and(|token| token.has('r')) {
            return error;
        }
        let may_read = match sas {
            Some(_) => "with 'r' in its token",
            None => "if its identity may read",
        };
        let hint = format!(
            "an answer was lost before, so it may be this upload that is there: backup-verify tells; {may_read} blob-put would know"
        );
        error.hint_if(ErrorKind::Exists, &hint)
    }

    /// The ETag of our blob, if the commit whose answer was lost was done.
    fn committed_etag(&self) -> Option<String> {
        match self.target.client.properties(&self.target.name) {
            Ok(there) => {
                (there.size == self.size && there.sha256 == Some(self.sha256)).then_some(there.etag)
            }
            // The credential may write, but not read. The service takes a list of committed blocks only if the blob that
            // is there consists of them, and only ours have these IDs.
            Err(error) if error.kind() == ErrorKind::Token && self.count > 0 => {
                let needs = [Permission::Overwrite];
                let cannot = format!("cannot confirm '{}'", self.target.name);
                self.put_list(&Operation::new(cannot, &needs), "Committed", false)
                    .ok()
            }
            Err(_) => None,
        }
    }

    /// Puts the list, and returns the blob's ETag.
    fn put_list(
        &self,
        operation: &Operation,
        which: &str,
        only_new: bool,
    ) -> Result<String, GivenUp> {
        let body = self.block_list(which);
        let client = &self.target.client;
        let mut call = Call::new(
            Method::PUT,
            client.url(&self.target.name).path(),
            "comp=blocklist",
        )
        .header("content-type", "application/xml")
        .header("x-ms-blob-content-type", "application/gzip")
        .header("x-ms-meta-sha256", write_sha256(&self.sha256))
        .checked_body(body.as_bytes());
        if only_new {
            call = call.header("if-none-match", "*");
        }
        if let Some(tier) = &self.options.tier {
            call = call.header("x-ms-access-tier", tier);
        }
        if let Some(until) = self.options.immutable_until {
            let date = until.format("%a, %d %b %Y %H:%M:%S GMT").to_string();
            call = call
                .header("x-ms-immutability-policy-until-date", date)
                .header("x-ms-immutability-policy-mode", "Unlocked");
        }
        if !self.options.tags.is_empty() {
            call = call.header("x-ms-tags", tags(&self.options.tags));
        }
        // The service takes its time over a list of fifty thousand blocks.
        call.expected = (self.count + 1) << 8;
        let exchange = client.exchange();
        exchange.retry(operation, &Cancel::default(), |authorization| {
            let answer = exchange.send(&call, authorization)?;
            let etag = answer
                .headers()
                .get("etag")
                .and_then(|etag| etag.to_str().ok());
            Ok(etag.unwrap_or_default().to_owned())
        })
    }

    fn block_list(&self, which: &str) -> String {
        let ids = (0..self.count).map(|index| self.target.block_id(index));
        let entries: String = ids.map(|id| format!("<{which}>{id}</{which}>")).collect();
        format!("<?xml version=\"1.0\" encoding=\"utf-8\"?><BlockList>{entries}</BlockList>")
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

fn tags(tags: &[(String, String)]) -> String {
    let pairs = tags.iter();
    let pairs = pairs.map(|(key, value)| format!("{}={}", encode_value(key), encode_value(value)));
    pairs.collect::<Vec<_>>().join("&")
}
