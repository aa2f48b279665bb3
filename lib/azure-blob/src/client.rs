use std::time::Duration;

use chrono::{DateTime, Utc};

use crate::{Blob, Properties, Upload, UploadOptions};
use crate::{BlobUrl, ContainerUrl, Deletion, Error, Item, Need, TokenSource};

/// How patient a client is, and how many requests it makes at once.
#[derive(Debug, Clone)]
pub struct Options {
    /// How long one operation (an upload, a listing, one range of a download) may be retried without
    /// any progress before it is given up.
    pub deadline: Duration,
    /// How long a host that has never answered is tried.
    pub first_contact: Duration,
    /// Time to connect, TLS included.
    pub connect_timeout: Duration,
    /// How long a socket may stand still, either way.
    pub stall_timeout: Duration,
    /// How long one request may take as a whole.
    pub request_timeout: Duration,
    /// The first pause before a request is tried again; it doubles each time, up to `max_pause`.
    pub first_pause: Duration,
    /// The longest such pause.
    pub max_pause: Duration,
    /// Requests at once.
    pub concurrency: usize,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            deadline: Duration::from_secs(15 * 60),
            first_contact: Duration::from_secs(10),
            connect_timeout: Duration::from_secs(10),
            stall_timeout: Duration::from_secs(60),
            request_timeout: Duration::from_secs(10 * 60),
            first_pause: Duration::from_millis(500),
            max_pause: Duration::from_secs(30),
            concurrency: 8,
        }
    }
}

/// Everything that is asked of one container. Names are relative to the container URL's prefix.
/// Cloning shares connections and token.
#[derive(Debug, Clone)]
pub struct Client {
    container: ContainerUrl,
}

impl Client {
    /// A client for a container URL (`https://ACCOUNT.blob.core.windows.net/CONTAINER[/PREFIX][?TOKEN]`),
    /// with the token from the environment or the URL. Nothing is asked of the service yet.
    ///
    /// # Errors
    /// A URL or token that cannot be understood, no token at all, plain http to a host that is not this one.
    pub fn open(container: &str, options: Options) -> Result<Self, Error> {
        let _ = (container, options);
        todo!()
    }

    /// A client for the container (and prefix) of a blob's URL, and the blob's name in it.
    ///
    /// # Errors
    /// As [`Client::open`].
    pub fn open_blob(blob: &str, options: Options) -> Result<(Self, String), Error> {
        let _ = (blob, options);
        todo!()
    }

    /// A client with a token from a source of the caller's choice.
    ///
    /// # Errors
    /// As [`Client::open`].
    pub fn new(
        container: ContainerUrl,
        token: TokenSource,
        options: Options,
    ) -> Result<Self, Error> {
        let _ = (container, token, options);
        todo!()
    }

    /// The container, and the prefix of its names.
    pub fn container(&self) -> &ContainerUrl {
        &self.container
    }

    /// The URL of a blob, without the token.
    pub fn url(&self, name: &str) -> BlobUrl {
        let _ = name;
        todo!()
    }

    /// Whether the token allows all this, here and now, as far as it says itself. Asks nothing of the service.
    ///
    /// # Errors
    /// Kind [`Token`](crate::ErrorKind::Token): what it lacks, or since when it has expired.
    pub fn check(&self, needs: &[Need]) -> Result<(), Error> {
        let _ = needs;
        todo!()
    }

    /// When the token expires; none if it does not say (a stored access policy does).
    pub fn expires(&self) -> Option<DateTime<Utc>> {
        todo!()
    }

    /// The blobs directly under the prefix (not in deeper "directories"), in the order of their names.
    ///
    /// # Errors
    /// As every request.
    pub fn list(&self) -> Result<Vec<Item>, Error> {
        todo!()
    }

    /// What the service knows of a blob.
    ///
    /// # Errors
    /// Kind [`NotFound`](crate::ErrorKind::NotFound) if there is none.
    pub fn properties(&self, name: &str) -> Result<Properties, Error> {
        let _ = name;
        todo!()
    }

    /// A blob to be read, pinned to what it is now: asks for its properties.
    ///
    /// # Errors
    /// Kind [`NotFound`](crate::ErrorKind::NotFound) if there is none.
    pub fn blob(&self, name: &str) -> Result<Blob, Error> {
        let _ = name;
        todo!()
    }

    /// A blob to be read, pinned to what the listing said of it: asks nothing.
    pub fn blob_of(&self, item: &Item) -> Blob {
        let _ = item;
        todo!()
    }

    /// Begins an upload under `name`. A tiny block that is never committed is put first: it proves that
    /// the container can be reached and written to before anything is read of a source.
    ///
    /// # Errors
    /// As every request; kind [`Exists`](crate::ErrorKind::Exists) if the token can read and the name is taken.
    pub fn upload(&self, name: &str, options: UploadOptions) -> Result<Upload, Error> {
        let _ = (name, options);
        todo!()
    }

    /// Deletes blobs, many in a request where the service takes that, and tells `told` what became of
    /// each (by its place in `names`) as soon as it is known.
    ///
    /// # Errors
    /// Only what concerns all of them (no network, a token without `d`); then those that `told` has not
    /// heard of may still be there.
    pub fn delete(
        &self,
        names: &[&str],
        told: &mut dyn FnMut(usize, Deletion),
    ) -> Result<(), Error> {
        let _ = (names, told);
        todo!()
    }
}
