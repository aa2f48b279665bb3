//! The Blob service over SAS REST: names, the token, listing, upload, download, deletion.
//!
//! | | |
//! |---|---|
//! | [`ContainerUrl`], [`BlobUrl`] | where backups live, without the token |
//! | [`Token`], [`TokenSource`] | the SAS token: where it comes from, what it allows, until when |
//! | [`Client`] | everything that is asked of one container |
//! | [`Blob`], [`Download`] | one blob, pinned to its ETag, read whole or in part |
//! | [`Upload`] | a stream of unknown length into a block blob that appears at its end |
//! | [`Record`], [`WholeBlob`] | a small blob, put or got in one request |
//!
//! A request goes down three floors: the operations (`list`, `upload`, `download`, `delete`) say what they want,
//! `request` tries until it is answered, `credential` lets it in. Faults that may pass are retried, which one place
//! decides (`request/retry.rs`); all others end in an [`Error`] that says what was asked of whom.

mod client;
mod credential;
mod delete;
mod download;
mod error;
mod list;
mod options;
mod properties;
mod request;
mod upload;
mod url;
mod whole;
mod worker;

pub use client::Client;
pub use credential::{Permission, Token, TokenSource};
pub use delete::Deletion;
pub use download::{Blob, Download};
pub use error::{Error, ErrorKind};
pub use list::ListedBlob;
#[cfg(fuzzing)]
pub use list::is_listing;
pub use options::Options;
pub use properties::Properties;
pub use request::{is_certificate_error, proxy, root_certs};
pub use upload::{Staged, Upload, UploadOptions, Uploaded};
pub use url::{BlobUrl, ContainerUrl, ends_in_slash, is_url};
pub use whole::{Record, WholeBlob};

/// A SHA-256 digest.
pub type Sha256 = [u8; 32];
