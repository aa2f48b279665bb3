use std::sync::Arc;

use chrono::{DateTime, Utc};

use crate::credential::CredentialSource;
use crate::request::Exchange;
use crate::{BlobUrl, ContainerUrl, Error, Options, Permission, Token};

/// Everything that is asked of one container. Names are relative to the container URL's prefix.
/// Clones share connections and credential.
#[derive(Debug, Clone)]
pub struct Client {
    exchange: Arc<Exchange>,
}

impl Client {
    /// A client for a container URL (`https://ACCOUNT.blob.core.windows.net/CONTAINER[/PREFIX][?TOKEN]`),
    /// with the credential that the environment or the URL holds. Nobody is asked anything yet.
    ///
    /// # Errors
    /// A URL or credential that cannot be understood, no credential at all, plain http to another machine.
    pub fn open(container: &str, options: Options) -> Result<Self, Error> {
        let (container, query) = ContainerUrl::parse(container)?;
        let source = CredentialSource::find(query.as_deref(), &container)?;
        Self::new(container, source, options)
    }

    /// A client for the container (and prefix) of a blob's URL, and the blob's name in it.
    ///
    /// # Errors
    /// As [`Client::open`].
    pub fn open_blob(blob: &str, options: Options) -> Result<(Self, String), Error> {
        let (blob, query) = BlobUrl::parse(blob)?;
        let source = CredentialSource::find(query.as_deref(), blob.container())?;
        let client = Self::new(blob.container().clone(), source, options)?;
        Ok((client, blob.name().to_owned()))
    }

    /// A client with a credential of the caller's choice.
    ///
    /// # Errors
    /// As [`Client::open`].
    pub fn new(
        container: ContainerUrl,
        source: impl Into<CredentialSource>,
        mut options: Options,
    ) -> Result<Self, Error> {
        options.concurrency = options.concurrency.max(1);
        let exchange = Arc::new(Exchange::new(container, source.into(), options)?);
        Ok(Self { exchange })
    }

    /// Where its requests go through.
    pub(crate) fn exchange(&self) -> &Exchange {
        &self.exchange
    }

    /// The container, and the prefix of its names.
    pub fn container(&self) -> &ContainerUrl {
        self.exchange.container()
    }

    /// How patient it is.
    pub fn options(&self) -> &Options {
        self.exchange.options()
    }

    /// The URL of a blob, without the token.
    pub fn url(&self, name: &str) -> BlobUrl {
        self.container().blob(name)
    }

    /// The SAS token as it is now; none with an identity, which says nothing of itself.
    pub fn sas(&self) -> Option<Token> {
        self.exchange.credential().sas()
    }

    /// Whether the SAS token itself allows all of `needs` here; an identity is not asked. Asks nothing of the service,
    /// which alone knows whether the token is valid now.
    ///
    /// # Errors
    /// Kind [`Token`](crate::ErrorKind::Token): what it lacks.
    pub fn check(&self, needs: &[Permission]) -> Result<(), Error> {
        match self.sas() {
            Some(token) => token.check(needs, self.container()),
            None => Ok(()),
        }
    }

    /// When the SAS token expires; none if it does not say (a stored access policy does), and with an identity.
    pub fn expires(&self) -> Option<DateTime<Utc>> {
        self.sas()?.expires()
    }
}
