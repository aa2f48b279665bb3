//! Put Block List: the moment a blob appears.

use ureq::http::Method;

use crate::cancel::Cancel;
use crate::exchange::{Call, GivenUp};
use crate::properties::write_sha256;
use crate::refusal::Asked;
use crate::token::Need;
use crate::upload::Target;
use crate::url::encode_value;
use crate::{BlobUrl, Error, ErrorKind, Sha256, UploadOptions};

/// All blocks are there; only the list of them is missing.
#[derive(Debug)]
#[must_use = "nothing is published before it is committed"]
pub struct Ready {
    pub(crate) target: Target,
    pub(crate) options: UploadOptions,
    pub(crate) count: u64,
    pub(crate) size: u64,
    pub(crate) sha256: Sha256,
}

impl Ready {
    /// Bytes.
    pub fn size(&self) -> u64 {
        self.size
    }

    /// Of all bytes.
    pub fn sha256(&self) -> &Sha256 {
        &self.sha256
    }

    /// Makes the blob visible (Put Block List). An answer that is lost is resolved by looking.
    ///
    /// # Errors
    /// As every request; kind [`Exists`](crate::ErrorKind::Exists) if the name is taken.
    pub fn commit(self) -> Result<Uploaded, Error> {
        let needs = self.options.needs();
        let doing = format!("cannot commit block list of '{}'", self.target.name);
        let asked = Asked::new(doing, &needs);
        let etag = match self.put_list(&asked, "Uncommitted", !self.options.overwrite) {
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

    /// An unmet `If-None-Match: *` may also be said as 412.
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

    /// As [`name_taken`](Self::name_taken), after an answer was lost: where nobody may look, the blob that is
    /// there may be this one.
    fn doubtful(&self, error: Error) -> Error {
        let error = self.name_taken(error);
        match self.target.client.token().has('r') {
            true => error,
            false => error.hint_if(
                ErrorKind::Exists,
                "an answer was lost before, so it may be this upload that is there: backup-verify tells; with 'r' in its token blob-put would know",
            ),
        }
    }

    /// The ETag of our blob, if the commit whose answer was lost was done.
    fn committed_etag(&self) -> Option<String> {
        match self.target.client.properties(&self.target.name) {
            Ok(there) => {
                (there.size == self.size && there.sha256 == Some(self.sha256)).then_some(there.etag)
            }
            // The token may write and not read: a list of committed blocks is taken only if the blob
            // that is there is made of these, and nobody else has their IDs.
            Err(error) if error.kind() == ErrorKind::Token && self.count > 0 => {
                let needs = [Need::Overwrite];
                let doing = format!("cannot confirm '{}'", self.target.name);
                self.put_list(&Asked::new(doing, &needs), "Committed", false)
                    .ok()
            }
            Err(_) => None,
        }
    }

    /// Gives the ETag.
    fn put_list(&self, asked: &Asked, which: &str, only_new: bool) -> Result<String, GivenUp> {
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
        // Fifty thousand blocks take their time to be listed.
        call.expected = (self.count + 1) << 8;
        client.retry(asked, &Cancel::default(), |token| {
            let answer = client.send(&call, token)?;
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
