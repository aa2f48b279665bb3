//! Get Blob Properties.

use chrono::{DateTime, Utc};
use ureq::http::{HeaderMap, Method};

use crate::request::{Call, Operation};
use crate::transport::Fault;
use crate::{Client, Error, Permission, Sha256};

/// What the service knows of a blob (Get Blob Properties, List Blobs).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Properties {
    /// Bytes.
    pub size: u64,
    /// Changes with each write. Quoted, as in the service's headers.
    pub etag: String,
    /// The SHA-256 that its uploader recorded (metadata `sha256`, hexadecimal).
    pub sha256: Option<Sha256>,
    /// The SHA-256 of what it holds decompressed, if its uploader recorded that (metadata `raw_sha256`).
    pub raw_sha256: Option<Sha256>,
    /// `Hot`, `Cool`, `Cold`, `Archive`, …
    pub tier: Option<String>,
    /// When it was last written.
    pub last_modified: Option<DateTime<Utc>>,
}

impl Properties {
    /// Whether it must be rehydrated before it can be read.
    pub fn archived(&self) -> bool {
        self.tier.as_deref() == Some("Archive")
    }

    pub(crate) fn read(headers: &HeaderMap) -> Result<Self, Fault> {
        let text = |name| headers.get(name).and_then(|value| value.to_str().ok());
        let size = text("content-length").and_then(|size| size.parse().ok());
        let etag = text("etag");
        let (Some(size), Some(etag)) = (size, etag) else {
            return Err(Fault::Malformed("it has no size or no ETag".into()));
        };
        let modified =
            text("last-modified").and_then(|date| DateTime::parse_from_rfc2822(date).ok());
        Ok(Self {
            size,
            etag: quoted(etag),
            sha256: text("x-ms-meta-sha256").and_then(read_sha256),
            raw_sha256: text("x-ms-meta-raw_sha256").and_then(read_sha256),
            tier: text("x-ms-access-tier").map(ToOwned::to_owned),
            last_modified: modified.map(|date| date.to_utc()),
        })
    }
}

impl Client {
    /// What the service knows of a blob.
    ///
    /// # Errors
    /// Kind [`NotFound`](crate::ErrorKind::NotFound) if there is none.
    pub fn properties(&self, name: &str) -> Result<Properties, Error> {
        let call = Call::new(Method::HEAD, self.url(name).path(), "");
        let operation = Operation::new(format!("cannot look at '{name}'"), &[Permission::Read]);
        let exchange = self.exchange();
        exchange.ask(&operation, |authorization| {
            let answer = exchange.send(&call, authorization)?;
            Properties::read(answer.headers())
        })
    }
}

/// An ETag is bare in listings, and quoted in headers.
pub(crate) fn quoted(etag: &str) -> String {
    match etag.starts_with('"') || etag.starts_with("W/") {
        true => etag.to_owned(),
        false => format!("\"{etag}\""),
    }
}

/// 64 hexadecimal digits.
pub(crate) fn read_sha256(digits: &str) -> Option<Sha256> {
    let mut digest = [0; 32];
    hex::decode_to_slice(digits.trim(), &mut digest).ok()?;
    Some(digest)
}

/// In hexadecimal.
pub(crate) fn write_sha256(digest: &Sha256) -> String {
    hex::encode(digest)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_digest_survives_its_digits() {
        let digest: Sha256 = std::array::from_fn(|at| u8::try_from(at * 8).unwrap());
        assert_eq!(read_sha256(&write_sha256(&digest)), Some(digest));
        for wrong in ["", "00", &"+1".repeat(32), &"é".repeat(32), &"0".repeat(65)] {
            assert_eq!(read_sha256(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn an_etag_is_quoted_once() {
        assert_eq!(quoted("0x8D"), "\"0x8D\"");
        assert_eq!(quoted("\"0x8D\""), "\"0x8D\"");
    }
}
