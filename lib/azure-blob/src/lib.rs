//! The Blob service over SAS REST: names, the token, listing, upload, download, deletion.
//!
//! | | |
//! |---|---|
//! | [`ContainerUrl`], [`BlobUrl`] | where backups live, without the token |
//! | [`Token`], [`TokenSource`] | the SAS token: where it comes from, what it allows, until when |
//! | [`Client`] | everything that is asked of one container |
//! | [`Blob`], [`Download`] | one blob, pinned to its ETag, read whole or in part |
//! | [`Upload`] | a stream of unknown length into a block blob that appears at its end |
//!
//! Whatever can pass is tried again, in one place (`retry.rs`); whatever cannot ends in an [`Error`]
//! that names what was asked of whom.

mod batch;
mod blocks;
mod cancel;
mod client;
mod commit;
mod delete;
mod download;
mod error;
mod exchange;
mod list;
mod no_proxy;
mod plan;
mod properties;
mod proxy;
mod ranges;
mod refusal;
mod retry;
mod secret;
mod token;
mod token_source;
mod upload;
mod url;

pub use client::{Client, Options};
pub use commit::{Ready, Uploaded};
pub use delete::Deletion;
pub use download::{Blob, Download};
pub use error::{Error, ErrorKind};
pub use exchange::root_certs;
pub use list::Item;
pub use properties::Properties;
pub use proxy::proxy;
pub use token::{Need, Token};
pub use token_source::TokenSource;
pub use upload::{Upload, UploadOptions};
pub use url::{BlobUrl, ContainerUrl, ends_in_slash, is_url};

/// A SHA-256 digest.
pub type Sha256 = [u8; 32];
