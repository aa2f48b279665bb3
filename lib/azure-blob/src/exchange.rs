//! One request and its answer; how many of them make one success is decided by [`Client::retry`].

use std::env;
use std::io::{self, Read};
use std::path::Path;
use std::sync::PoisonError;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use crc_fast::CrcAlgorithm;
use ureq::http::{Method, Request, Response, StatusCode};
use ureq::tls::{Certificate, RootCerts, TlsConfig};
use ureq::{Agent, Body, Timeout};

use crate::cancel::Cancel;
use crate::client::Inner;
use crate::refusal::{Asked, Refusal};
use crate::retry::{Fault, Tried, Verdict, judge};
use crate::token::Token;
use crate::{Client, ContainerUrl, Error, ErrorKind, Options};

/// The service's version whose words we speak: the first with all that we use is 2021-12-02 (the Cold
/// tier); Azurite 3.37 takes it as the service does.
const VERSION: &str = "2023-11-03";
/// No error's body is longer.
const ERROR_BODY: u64 = 64 << 10;
/// No list of certificates is longer: Mozilla's has 200 KiB.
const CERTIFICATES: usize = 16 << 20;
/// What is read from and written to a socket at once.
const BUFFER: usize = 64 << 10;
/// A fault is told to a person this often.
const TELL_EVERY: Duration = Duration::from_secs(20);

/// A request, the token apart.
#[derive(Debug, Clone)]
pub(crate) struct Call<'a> {
    pub(crate) method: Method,
    /// After the host, encoded.
    pub(crate) path: String,
    /// Without `?` and without the token; may be empty.
    pub(crate) query: String,
    pub(crate) headers: Vec<(&'static str, String)>,
    pub(crate) body: Option<&'a [u8]>,
    /// Bytes that its answer's body has, roughly.
    pub(crate) expected: u64,
}

impl<'a> Call<'a> {
    pub(crate) fn new(method: Method, path: String, query: impl Into<String>) -> Self {
        Self {
            method,
            path,
            query: query.into(),
            headers: Vec::new(),
            body: None,
            expected: 0,
        }
    }

    pub(crate) fn header(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.headers.push((name, value.into()));
        self
    }

    pub(crate) fn body(mut self, body: &'a [u8]) -> Self {
        self.body = Some(body);
        self
    }

    /// A body that the service takes only if it arrives as it is here: `x-ms-content-crc64` (Put Block, Put Block
    /// List) is CRC-64/NVME, little-endian, in base64. `Content-MD5` would say the same at ten times the CPU.
    pub(crate) fn checked_body(self, body: &'a [u8]) -> Self {
        let crc64 = crc_fast::checksum(CrcAlgorithm::Crc64Nvme, body);
        self.header("x-ms-content-crc64", BASE64.encode(crc64.to_le_bytes()))
            .body(body)
    }
}

/// Why something was given up, and whether the service may have done it all the same.
#[derive(Debug)]
pub(crate) struct GivenUp {
    pub(crate) error: Error,
    pub(crate) in_doubt: bool,
}

impl From<GivenUp> for Error {
    fn from(given_up: GivenUp) -> Self {
        given_up.error
    }
}

impl Client {
    /// Tries until there is an answer, or a fault that does not pass, or the deadline.
    pub(crate) fn retry<T>(
        &self,
        asked: &Asked,
        cancel: &Cancel,
        mut attempt: impl FnMut(&Token) -> Result<T, Fault>,
    ) -> Result<T, GivenUp> {
        let inner = self.inner();
        let started = Instant::now();
        let mut attempts = 0;
        let mut in_doubt = false;
        loop {
            let token = inner.tokens.current();
            attempts += 1;
            let fault = match attempt(&token) {
                Ok(done) => return Ok(done),
                Err(fault) => fault,
            };
            in_doubt |= fault.leaves_doubt();
            if let Fault::Refused(refusal) = &fault
                && matches!(refusal.status, 401 | 403)
                && inner.tokens.renewed(&token)
            {
                continue;
            }
            let tried = Tried {
                attempts,
                elapsed: started.elapsed(),
                reached: inner.reached.load(Ordering::Relaxed),
            };
            match judge(&fault, tried, &inner.options, chance()) {
                Verdict::Again(pause) => {
                    self.tell(asked, &fault, pause);
                    if cancel.wait(pause) {
                        let error =
                            Error::new(ErrorKind::Deadline, format!("{}: stopped", asked.doing));
                        return Err(GivenUp { error, in_doubt });
                    }
                }
                Verdict::Final => {
                    let error = self.explain(asked, fault, &token);
                    return Err(GivenUp { error, in_doubt });
                }
                Verdict::TooLate => {
                    let error = self.too_late(asked, fault, tried);
                    return Err(GivenUp { error, in_doubt });
                }
            }
        }
    }

    /// As [`retry`](Self::retry), for what nobody cancels and where doubt does not matter.
    pub(crate) fn ask<T>(
        &self,
        asked: &Asked,
        attempt: impl FnMut(&Token) -> Result<T, Fault>,
    ) -> Result<T, Error> {
        Ok(self.retry(asked, &Cancel::default(), attempt)?)
    }

    /// Makes a request once. A status that is no success is a fault.
    pub(crate) fn send(&self, call: &Call, token: &Token) -> Result<Response<Body>, Fault> {
        let inner = self.inner();
        let answer = inner
            .run(call, token)
            .map_err(|error| fault(&error, &inner.container))?;
        inner.reached.store(true, Ordering::Relaxed);
        let status = answer.status();
        if status.is_success() {
            return match is_done(&call.method, status) {
                true => Ok(answer),
                false => Err(Fault::Malformed(format!(
                    "{} is no answer to {}",
                    status.as_u16(),
                    call.method
                ))),
            };
        }
        let (parts, body) = answer.into_parts();
        // If the rest of the answer does not come, its head says enough.
        let body = body_of(body, ERROR_BODY).unwrap_or_default();
        let refusal = Refusal::read(status, &parts.headers, &body);
        Err(Fault::Refused(Box::new(refusal)))
    }

    fn explain(&self, asked: &Asked, fault: Fault, token: &Token) -> Error {
        let container = &self.inner().container;
        match fault {
            Fault::Refused(refusal) => refusal.explain(asked, container, token),
            Fault::Final(error) => error,
            Fault::Malformed(_) => {
                Error::new(ErrorKind::Malformed, format!("{}: {fault}", asked.doing)).hint(format!(
                    "is {} the Blob service, or a proxy before it?",
                    container.host()
                ))
            }
            Fault::Unreachable(_) => self.unreachable(asked, &fault),
            Fault::Broken(_) => {
                Error::new(ErrorKind::Deadline, format!("{}: {fault}", asked.doing))
            }
        }
    }

    fn unreachable(&self, asked: &Asked, fault: &Fault) -> Error {
        let host = self.inner().container.host();
        Error::new(
            ErrorKind::Unreachable,
            format!("{}: cannot reach {host}: {fault}", asked.doing),
        )
        .hint("is the URL right, does the name resolve here, does a network policy or firewall let it through?")
    }

    fn too_late(&self, asked: &Asked, fault: Fault, tried: Tried) -> Error {
        let error = match fault {
            Fault::Unreachable(_) => self.unreachable(asked, &fault),
            fault => Error::new(ErrorKind::Deadline, format!("{}: {fault}", asked.doing))
                .hint("the service or the network did not recover in time; run it again later"),
        };
        error.and(format_args!(
            " (tried {} in {})",
            times(tried.attempts),
            job::text::duration(tried.elapsed)
        ))
    }

    /// Says that something is tried again, now and then: a log should show why a night was long.
    fn tell(&self, asked: &Asked, fault: &Fault, pause: Duration) {
        let mut told = self
            .inner()
            .told
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        if pause >= Duration::from_secs(1) && told.is_none_or(|at| at.elapsed() >= TELL_EVERY) {
            *told = Some(Instant::now());
            job::say!(
                "{}: {fault}; trying again in {}",
                asked.doing,
                job::text::duration(pause)
            );
        }
    }
}

impl Inner {
    fn run(&self, call: &Call, token: &Token) -> Result<Response<Body>, ureq::Error> {
        let between = if call.query.is_empty() { "" } else { "&" };
        let scheme = if self.container.is_https() {
            "https"
        } else {
            "http"
        };
        let uri = format!(
            "{scheme}://{}{}?{}{between}{}",
            self.container.host(),
            call.path,
            call.query,
            token.query()
        );
        let mut request = Request::builder()
            .method(call.method.clone())
            .uri(uri)
            .header("x-ms-version", VERSION);
        for (name, value) in &call.headers {
            request = request.header(*name, value);
        }
        let bytes = call.body.map_or(0, |body| body.len() as u64) + call.expected;
        let timeout = self.options.request_time(bytes);
        match call.body {
            Some(body) => {
                let request = self.agent.configure_request(request.body(body)?);
                self.agent
                    .run(request.timeout_per_call(Some(timeout)).build())
            }
            None => {
                let request = self.agent.configure_request(request.body(())?);
                self.agent
                    .run(request.timeout_per_call(Some(timeout)).build())
            }
        }
    }
}

/// The connections to the container's host.
pub(crate) fn agent(container: &ContainerUrl, options: &Options) -> Result<Agent, Error> {
    let roots = match container.is_https() {
        true => root_certs()?,
        false => RootCerts::WebPki,
    };
    let proxy = match container.is_loopback() {
        true => None,
        false => crate::proxy(container.is_https(), container.host())?,
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
    Ok(config.new_agent())
}

/// Whom an HTTPS server's certificate is trusted by: the system's certificates, or those that
/// `SSL_CERT_FILE` and `SSL_CERT_DIR` name. In an image without any, Mozilla's list that is compiled in.
///
/// # Errors
/// An `SSL_CERT_FILE` that cannot be read, is no file or too large for one, or has no certificates in it.
pub fn root_certs() -> Result<RootCerts, Error> {
    let named = env::var_os("SSL_CERT_FILE").filter(|path| !path.is_empty());
    if let Some(path) = &named {
        let doing = format!("cannot read SSL_CERT_FILE '{}'", path.display());
        // What is read through without asking what it is: a pipe or a device might have no end.
        job::read_regular(Path::new(path), CERTIFICATES).map_err(|error| {
            Error::new(ErrorKind::Usage, job::Error::io(doing, &error).to_string())
        })?;
    }
    let certs = rustls_native_certs::load_native_certs().certs;
    let certs: Vec<_> = certs
        .iter()
        .map(|cert| Certificate::from_der(cert).to_owned())
        .collect();
    match (certs.is_empty(), named) {
        (false, _) => Ok(RootCerts::Specific(certs.into())),
        (true, None) => Ok(RootCerts::WebPki),
        (true, Some(path)) => Err(Error::new(
            ErrorKind::Usage,
            format!("no certificates in SSL_CERT_FILE '{}'", path.display()),
        )),
    }
}

/// All of a body, no longer than `limit`.
pub(crate) fn body_of(body: Body, limit: u64) -> Result<Vec<u8>, Fault> {
    let length = body.content_length();
    let mut bytes = Vec::new();
    let mut reader = body.into_with_config().limit(limit).reader();
    reader
        .read_to_end(&mut bytes)
        .map_err(|error| broken(&error))?;
    match length {
        Some(length) if length != bytes.len() as u64 => {
            Err(Fault::Broken("the answer was cut".into()))
        }
        _ => Ok(bytes),
    }
}

/// A fault while a body is read.
pub(crate) fn broken(error: &io::Error) -> Fault {
    let stalled = error
        .get_ref()
        .and_then(|inner| inner.downcast_ref::<ureq::Error>())
        .is_some_and(|error| matches!(error, ureq::Error::Timeout(_)));
    Fault::Broken(match error.kind() {
        _ if stalled => "the connection stood still".into(),
        io::ErrorKind::TimedOut | io::ErrorKind::WouldBlock => "the connection stood still".into(),
        io::ErrorKind::UnexpectedEof => "the connection was cut".into(),
        _ => words(error),
    })
}

fn fault(error: &ureq::Error, container: &ContainerUrl) -> Fault {
    match error {
        ureq::Error::Io(error) => io_fault(error, container),
        ureq::Error::Timeout(Timeout::Resolve) => {
            Fault::Unreachable("no answer from the name service".into())
        }
        ureq::Error::Timeout(Timeout::Connect) => Fault::Unreachable("no answer".into()),
        ureq::Error::Timeout(_) => Fault::Broken("the connection stood still".into()),
        ureq::Error::HostNotFound => Fault::Unreachable("no such host".into()),
        ureq::Error::ConnectionFailed => Fault::Unreachable("no connection".into()),
        ureq::Error::Protocol(error) => Fault::Malformed(error.to_string()),
        ureq::Error::Tls(_) | ureq::Error::Rustls(_) => tls_fault(&error.to_string(), container),
        ureq::Error::ConnectProxyFailed(said) => {
            Fault::Unreachable(format!("the proxy does not connect: {said}"))
        }
        other => Fault::Broken(other.to_string()),
    }
}

fn io_fault(error: &io::Error, container: &ContainerUrl) -> Fault {
    use io::ErrorKind as Kind;
    match error.kind() {
        Kind::ConnectionRefused
        | Kind::NetworkUnreachable
        | Kind::HostUnreachable
        | Kind::NetworkDown
        | Kind::AddrNotAvailable => Fault::Unreachable(words(error)),
        Kind::InvalidData => tls_fault(&error.to_string(), container),
        // getaddrinfo's errors have no kind of their own.
        _ if error.to_string().contains("lookup address") => {
            Fault::Unreachable("the name does not resolve".into())
        }
        _ => broken(error),
    }
}

fn tls_fault(said: &str, container: &ContainerUrl) -> Fault {
    if !said.contains("certificate") {
        return Fault::Unreachable(format!("TLS: {said}"));
    }
    Fault::Final(
        Error::new(
            ErrorKind::Unreachable,
            format!(
                "{} has a certificate that is not trusted: {said}",
                container.host()
            ),
        )
        .hint("SSL_CERT_FILE names a file of certificates to trust"),
    )
}

/// A system error's words in lower case, without Rust's number.
fn words(error: &io::Error) -> String {
    let said = job::Error::io("", error).to_string();
    said.trim_start_matches(": ").to_lowercase()
}

/// What the service answers when it has done it: a page of a proxy's (200) must not pass for a block that is
/// stored, or a blob that is deleted.
fn is_done(method: &Method, status: StatusCode) -> bool {
    match *method {
        Method::PUT => status == StatusCode::CREATED,
        Method::DELETE | Method::POST => status == StatusCode::ACCEPTED,
        _ => matches!(status, StatusCode::OK | StatusCode::PARTIAL_CONTENT),
    }
}

fn times(attempts: u32) -> String {
    match attempts {
        1 => "once".into(),
        _ => format!("{attempts} times"),
    }
}

/// Between 0 and 1.
fn chance() -> f64 {
    getrandom::u32().map_or(0.5, |number| f64::from(number) / f64::from(u32::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_checksum_that_goes_with_a_body() {
        let call = Call::new(Method::PUT, String::new(), "").checked_body(b"123456789");
        // The check value of CRC-64/NVME, its last byte first.
        let crc64 = 0xae8b_1486_0a79_9888_u64;
        let expected = BASE64.encode(crc64.to_le_bytes());
        assert_eq!(call.headers, [("x-ms-content-crc64", expected)]);
        assert_eq!(call.body, Some(b"123456789".as_slice()));
    }
}
