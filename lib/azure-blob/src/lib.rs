//! The Blob service over REST: names, the credential, listing, upload, download, deletion.
//!
//! | | |
//! |---|---|
//! | [`ContainerUrl`], [`BlobUrl`] | where backups live, without the token |
//! | [`CredentialSource`] | where the credential comes from: a SAS token or an identity |
//! | [`Token`] | the SAS token: what it allows, until when |
//! | [`Client`] | everything that is asked of one container |
//! | [`Blob`], [`Download`] | one blob, pinned to its ETag, read whole or in part |
//! | [`Upload`] | a stream of unknown length into a block blob that appears at its end |
//! | [`Record`], [`WholeBlob`] | a small blob, put or got in one request |
//!
//! A request goes down four floors: the operations (`list`, `upload`, `download`, `delete`) say what they want,
//! `request` tries until it is answered, `credential` lets it in, `transport` reaches the host. Faults that may pass are
//! retried, which one place decides (`transport/retry.rs`); all others end in an [`Error`] that says what was asked of
//! whom.

mod client;
mod credential;
mod delete;
mod download;
mod error;
mod list;
mod options;
mod properties;
mod request;
mod transport;
mod upload;
mod url;
mod whole;
mod worker;

pub use client::Client;
#[cfg(fuzzing)]
pub use credential::shown_of_token_answer;
pub use credential::{
    CREDENTIAL_VARIABLES, CredentialSource, IdentitySource, Permission, SasOrigin, Token,
};
pub use delete::Deletion;
pub use download::{Blob, Download};
pub use error::{Error, ErrorKind};
pub use list::ListedBlob;
#[cfg(fuzzing)]
pub use list::is_listing;
pub use options::Options;
pub use properties::Properties;
pub use transport::{is_certificate_error, proxy, root_certs};
pub use upload::{Staged, Upload, UploadOptions, Uploaded};
pub use url::{BlobUrl, ContainerUrl, ends_in_slash, is_url};
pub use whole::{Record, WholeBlob};

/// A SHA-256 digest.
pub type Sha256 = [u8; 32];
