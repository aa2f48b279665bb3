use std::sync::Arc;

use chrono::{DateTime, Utc};

use crate::request::Exchange;
use crate::{BlobUrl, ContainerUrl, Error, Options, Permission, Token, TokenSource};

/// Everything that is asked of one container. Names are relative to the container URL's prefix.
/// Clones share connections and token.
#[derive(Debug, Clone)]
pub struct Client {
    exchange: Arc<Exchange>,
}

impl Client {
    /// A client for a container URL (`https://ACCOUNT.blob.core.windows.net/CONTAINER[/PREFIX][?TOKEN]`),
    /// with the token from the environment or the URL. Nothing is asked of the service yet.
    ///
    /// # Errors
    /// A URL or token that cannot be understood, no token at all, plain http to another machine.
    pub fn open(container: &str, options: Options) -> Result<Self, Error> {
        let (container, query) = ContainerUrl::parse(container)?;
        Self::new(container, TokenSource::find(query.as_deref())?, options)
    }

    /// A client for the container (and prefix) of a blob's URL, and the blob's name in it.
    ///
    /// # Errors
    /// As [`Client::open`].
    pub fn open_blob(blob: &str, options: Options) -> Result<(Self, String), Error> {
        let (blob, query) = BlobUrl::parse(blob)?;
        let token = TokenSource::find(query.as_deref())?;
        let client = Self::new(blob.container().clone(), token, options)?;
        Ok((client, blob.name().to_owned()))
    }

    /// A client with a token from a source of the caller's choice.
    ///
    /// # Errors
    /// As [`Client::open`].
    pub fn new(
        container: ContainerUrl,
        token: TokenSource,
        mut options: Options,
    ) -> Result<Self, Error> {
        options.concurrency = options.concurrency.max(1);
        let exchange = Arc::new(Exchange::new(container, token, options)?);
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

    /// The token as it is now.
    pub fn token(&self) -> Token {
        self.exchange.token()
    }

    /// Whether the token itself allows all of `needs` here. Asks nothing of the service, which alone knows
    /// whether the token is valid now.
    ///
    /// # Errors
    /// Kind [`Token`](crate::ErrorKind::Token): what it lacks.
    pub fn check(&self, needs: &[Permission]) -> Result<(), Error> {
        self.token().check(needs, self.container())
    }

    /// When the token expires; none if it does not say (a stored access policy does).
    pub fn expires(&self) -> Option<DateTime<Utc>> {
        self.token().expires()
    }
}
