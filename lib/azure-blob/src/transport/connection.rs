//! The connections to a host.

mod spare;

use ureq::config::Config;
use ureq::http::Uri;
use ureq::tls::{RootCerts, TlsConfig};
use ureq::unversioned::resolver::{DefaultResolver, ResolvedSocketAddrs, Resolver};
use ureq::unversioned::transport::{DefaultConnector, NextTimeout};
use ureq::{Agent, Error as HttpError, Proxy};

use self::spare::WithSpare;
use super::certificates::root_certs;
use super::proxy::proxy;
use crate::{Error, Options};

/// Bytes read from or written to a socket at once.
const BUFFER: usize = 64 << 10;

/// How a host is reached.
#[derive(Debug)]
pub(crate) struct Route {
    pub(crate) https: bool,
    /// What the certificate of an https server must lead to.
    pub(crate) roots: RootCerts,
    pub(crate) proxy: Option<Proxy>,
    /// Where the connections go, if not to the host that the requests name. A server that is told apart by the name in
    /// TLS (SNI) may be at an address of another name.
    pub(crate) address: Option<Uri>,
}

impl Route {
    /// As the environment says: the proxy, and the certificates to trust.
    ///
    /// # Errors
    /// A proxy or certificates that cannot be understood.
    pub(crate) fn to(https: bool, authority: &str, is_loopback: bool) -> Result<Self, Error> {
        let roots = match https {
            true => root_certs()?,
            false => RootCerts::WebPki,
        };
        let proxy = match is_loopback {
            true => None,
            false => proxy(https, authority)?,
        };
        Ok(Self {
            https,
            roots,
            proxy,
            address: None,
        })
    }
}

/// An agent that keeps as many connections as there are requests at once.
pub(crate) fn agent(route: Route, options: &Options) -> Agent {
    // The connection to a proxy is made by the same connector as the one through it.
    let has_proxy = route.proxy.is_some();
    let config = Agent::config_builder()
        .http_status_as_error(false)
        .max_redirects(0)
        .max_redirects_will_error(false)
        .https_only(route.https)
        .proxy(route.proxy)
        .tls_config(TlsConfig::builder().root_certs(route.roots).build())
        .user_agent(format!("{}/{}", job::program(), env!("CARGO_PKG_VERSION")))
        // Each connection has its own.
        .input_buffer_size(BUFFER)
        .output_buffer_size(BUFFER)
        .max_idle_connections(options.concurrency + 4)
        .max_idle_connections_per_host(options.concurrency + 4)
        .timeout_resolve(Some(options.connect_timeout))
        .timeout_connect(Some(options.connect_timeout))
        .timeout_per_read(Some(options.stall_timeout))
        .timeout_per_write(Some(options.stall_timeout))
        .build();
    let resolver = NameService {
        resolver: DefaultResolver::default(),
        address: route.address,
    };
    let connector = DefaultConnector::default();
    match options.spare_connection && !has_proxy {
        true => Agent::with_parts(config, WithSpare::new(connector), resolver),
        false => Agent::with_parts(config, connector, resolver),
    }
}

/// Resolves names as ureq does, and says so when that fails. getaddrinfo's errors reach us as I/O errors without
/// a kind: once they have left the resolver, only their words tell them from a broken connection.
#[derive(Debug)]
struct NameService {
    resolver: DefaultResolver,
    /// What is resolved instead of the request's host.
    address: Option<Uri>,
}

impl Resolver for NameService {
    fn resolve(
        &self,
        uri: &Uri,
        config: &Config,
        timeout: NextTimeout,
    ) -> Result<ResolvedSocketAddrs, HttpError> {
        let uri = self.address.as_ref().unwrap_or(uri);
        let resolved = self.resolver.resolve(uri, config, timeout);
        resolved.map_err(|error| match error {
            // One with a number is the system's own: too many open files, say.
            HttpError::Io(error) if error.raw_os_error().is_none() => HttpError::HostNotFound,
            error => error,
        })
    }
}
