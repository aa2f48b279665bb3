//! The connections to a container's host.

use ureq::config::Config;
use ureq::http::Uri;
use ureq::tls::{RootCerts, TlsConfig};
use ureq::unversioned::resolver::{DefaultResolver, ResolvedSocketAddrs, Resolver};
use ureq::unversioned::transport::{DefaultConnector, NextTimeout};
use ureq::{Agent, Error as HttpError};

use super::certificates::root_certs;
use super::proxy::proxy;
use crate::{ContainerUrl, Error, Options};

/// Bytes read from or written to a socket at once.
const BUFFER: usize = 64 << 10;

/// An agent that keeps as many connections as there are requests at once.
pub(super) fn agent(container: &ContainerUrl, options: &Options) -> Result<Agent, Error> {
    let roots = match container.is_https() {
        true => root_certs()?,
        false => RootCerts::WebPki,
    };
    let proxy = match container.is_loopback() {
        true => None,
        false => proxy(container.is_https(), container.host())?,
    };
    let config = Agent::config_builder()
        .http_status_as_error(false)
        .max_redirects(0)
        .max_redirects_will_error(false)
        .https_only(container.is_https())
        .proxy(proxy)
        .tls_config(TlsConfig::builder().root_certs(roots).build())
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
    let connector = DefaultConnector::default();
    let resolver = NameService(DefaultResolver::default());
    Ok(Agent::with_parts(config, connector, resolver))
}

/// Resolves names as ureq does, and says so when that fails. getaddrinfo's errors reach us as I/O errors without
/// a kind: once they have left the resolver, only their words tell them from a broken connection.
#[derive(Debug)]
struct NameService(DefaultResolver);

impl Resolver for NameService {
    fn resolve(
        &self,
        uri: &Uri,
        config: &Config,
        timeout: NextTimeout,
    ) -> Result<ResolvedSocketAddrs, HttpError> {
        let resolved = self.0.resolve(uri, config, timeout);
        resolved.map_err(|error| match error {
            // One with a number is the system's own: too many open files, say.
            HttpError::Io(error) if error.raw_os_error().is_none() => HttpError::HostNotFound,
            error => error,
        })
    }
}
