use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use chrono::{DateTime, Utc};
use ureq::Agent;

use crate::token_source::Tokens;
use crate::{BlobUrl, ContainerUrl, Error, Need, Token, TokenSource, exchange};

/// The slowest link that is good enough, in bytes a second: 1 Mbit/s.
const SLOWEST: u64 = 128 << 10;

/// How patient a client is, and how many requests it makes at once.
#[derive(Debug, Clone)]
pub struct Options {
    /// How long one request may be tried again and again before it is given up. Every success, and every
    /// part of a download that arrives, begins it anew.
    pub deadline: Duration,
    /// How long a host that has never answered is tried: a wrong name or a closed network is told soon.
    pub first_contact: Duration,
    /// Time to connect, TLS included.
    pub connect_timeout: Duration,
    /// How long a socket may stand still, either way.
    pub stall_timeout: Duration,
    /// How long one request may take as a whole, and a second more for each 128 KiB of its body and of those
    /// that are under way at once.
    pub request_timeout: Duration,
    /// The first pause before a request is tried again; it doubles each time, up to `max_pause`.
    pub first_pause: Duration,
    /// The longest such pause.
    pub max_pause: Duration,
    /// Requests at once for one blob; at least 1.
    pub concurrency: usize,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            deadline: Duration::from_secs(15 * 60),
            first_contact: Duration::from_secs(10),
            connect_timeout: Duration::from_secs(10),
            stall_timeout: Duration::from_secs(60),
            request_timeout: Duration::from_secs(2 * 60),
            first_pause: Duration::from_millis(500),
            max_pause: Duration::from_secs(30),
            concurrency: 10,
        }
    }
}

impl Options {
    /// With this deadline (`--deadline`): for a host that has never answered too, and for each attempt, so
    /// that one which stands still ends it in time.
    #[must_use]
    pub fn within(self, deadline: Duration) -> Self {
        let most = deadline.max(Duration::from_secs(1));
        Self {
            deadline,
            first_contact: deadline,
            connect_timeout: self.connect_timeout.min(most),
            stall_timeout: self.stall_timeout.min(most),
            request_timeout: self.request_timeout.min(most),
            ..self
        }
    }

    /// How long a request may take whose bodies have so many bytes together: with all that are under way at
    /// once on a link that no backup should have to be content with.
    pub(crate) fn request_time(&self, bytes: u64) -> Duration {
        let under_way = bytes.saturating_mul(self.concurrency as u64);
        self.request_timeout
            .saturating_add(Duration::from_secs(under_way / SLOWEST))
    }
}

/// Everything that is asked of one container. Names are relative to the container URL's prefix.
/// Cloning shares connections and token.
#[derive(Debug, Clone)]
pub struct Client {
    inner: Arc<Inner>,
}

#[derive(Debug)]
pub(crate) struct Inner {
    pub(crate) container: ContainerUrl,
    pub(crate) tokens: Tokens,
    pub(crate) options: Options,
    pub(crate) agent: Agent,
    /// Whether the host has ever answered.
    pub(crate) reached: AtomicBool,
    /// When a fault was last told.
    pub(crate) told: Mutex<Option<Instant>>,
}

impl Client {
    /// A client for a container URL (`https://ACCOUNT.blob.core.windows.net/CONTAINER[/PREFIX][?TOKEN]`),
    /// with the token from the environment or the URL. Nothing is asked of the service yet.
    ///
    /// # Errors
    /// A URL or token that cannot be understood, no token at all, plain http to a host that is not this one.
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
        Ok(Self {
            inner: Arc::new(Inner {
                agent: exchange::agent(&container, &options)?,
                tokens: Tokens::new(token)?,
                container,
                options,
                reached: AtomicBool::new(false),
                told: Mutex::new(None),
            }),
        })
    }

    pub(crate) fn inner(&self) -> &Inner {
        &self.inner
    }

    /// The container, and the prefix of its names.
    pub fn container(&self) -> &ContainerUrl {
        &self.inner.container
    }

    /// How patient it is.
    pub fn options(&self) -> &Options {
        &self.inner.options
    }

    /// The URL of a blob, without the token.
    pub fn url(&self, name: &str) -> BlobUrl {
        self.inner.container.blob(name)
    }

    /// The token as it is now.
    pub fn token(&self) -> Token {
        self.inner.tokens.current()
    }

    /// Whether the token allows all this here, as far as it says itself. Asks nothing of the service, which
    /// alone knows whether it is valid now: the next request tells.
    ///
    /// # Errors
    /// Kind [`Token`](crate::ErrorKind::Token): what it lacks.
    pub fn check(&self, needs: &[Need]) -> Result<(), Error> {
        self.token().check(needs, self.container())
    }

    /// When the token expires; none if it does not say (a stored access policy does).
    pub fn expires(&self) -> Option<DateTime<Utc>> {
        self.token().expires()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slow_link_is_waited_for() {
        let options = Options::default();
        assert_eq!(options.request_time(0), options.request_timeout);
        // Ten blocks of 4 MiB share 1 Mbit/s: each needs 320 s.
        let block = options.request_time(4 << 20) - options.request_timeout;
        assert_eq!(block, Duration::from_secs(320));
        assert!(options.request_time(u64::MAX) > block);
    }

    #[test]
    fn a_deadline_is_for_each_attempt_too() {
        let options = Options::default().within(Duration::from_secs(5));
        assert_eq!(options.stall_timeout, Duration::from_secs(5));
        assert_eq!(options.request_timeout, Duration::from_secs(5));
        let patient = Options::default().within(Duration::from_secs(36_000));
        assert_eq!(patient.stall_timeout, Options::default().stall_timeout);
    }
}
