use chrono::{DateTime, Utc};

use crate::Sha256;

/// What the service knows of a blob (Get Blob Properties, List Blobs).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Properties {
    /// Bytes.
    pub size: u64,
    /// Changes with each write; quoted, as the service gives it in headers.
    pub etag: String,
    /// The SHA-256 that its uploader recorded (metadata `sha256`, hexadecimal).
    pub sha256: Option<Sha256>,
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
}
