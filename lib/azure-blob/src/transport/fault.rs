//! What an attempt may end in instead of success.

use std::error::Error as _;
use std::fmt;
use std::io::{self, Read};

use ureq::{Body, Timeout};

use super::refusal::Refusal;
use crate::{Error, ErrorKind};

/// What an attempt met instead of what was asked for.
#[derive(Debug)]
pub(crate) enum Fault {
    /// The service answered that it does not do it.
    Refused(Box<Refusal>),
    /// There was no connection: name, route, port, TLS.
    Unreachable(String),
    /// The connection was cut or stood still. Nobody knows whether the service has done it.
    Broken(String),
    /// A whole answer that is not the service's.
    Malformed(String),
    /// No other attempt would change it.
    Final(Error),
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Refused(refusal) => refusal.fmt(f),
            Self::Unreachable(what) | Self::Broken(what) => f.write_str(what),
            Self::Malformed(what) => write!(f, "the answer is not the service's: {what}"),
            Self::Final(error) => error.fmt(f),
        }
    }
}

impl Fault {
    /// Whether the service may have done what was asked although it did not say so.
    pub(crate) fn leaves_doubt(&self) -> bool {
        match self {
            Self::Refused(refusal) => refusal.status >= 500,
            Self::Broken(_) | Self::Malformed(_) => true,
            Self::Unreachable(_) | Self::Final(_) => false,
        }
    }

    /// What kept a request from being answered.
    pub(crate) fn of(error: &ureq::Error, host: &str) -> Self {
        match error {
            ureq::Error::Timeout(Timeout::Resolve) => {
                Self::Unreachable("no answer from the name service".into())
            }
            ureq::Error::Timeout(Timeout::Connect) => Self::Unreachable("no answer".into()),
            ureq::Error::Timeout(_) => Self::Broken("the connection stood still".into()),
            ureq::Error::HostNotFound => Self::Unreachable("the name does not resolve".into()),
            ureq::Error::ConnectionFailed => Self::Unreachable("no connection".into()),
            ureq::Error::Protocol(error) => Self::Malformed(error.to_string()),
            ureq::Error::Tls(said) => Self::Unreachable(format!("TLS: {said}")),
            ureq::Error::ConnectProxyFailed(said) => {
                Self::Unreachable(format!("the proxy does not connect: {said}"))
            }
            other => match (tls_error(other), other) {
                (Some(error), _) => Self::of_tls(error, host),
                (None, ureq::Error::Io(error)) => Self::of_io(error),
                (None, other) => Self::Broken(other.to_string()),
            },
        }
    }

    fn of_tls(error: &rustls::Error, host: &str) -> Self {
        if !is_about_certificate(error) {
            return Self::Unreachable(format!("TLS: {error}"));
        }
        Self::Final(
            Error::new(
                ErrorKind::Unreachable,
                format!("{host} has a certificate that is not trusted: {error}"),
            )
            .hint("SSL_CERT_FILE names a file of certificates to trust"),
        )
    }

    fn of_io(error: &io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::ConnectionRefused
            | io::ErrorKind::NetworkUnreachable
            | io::ErrorKind::HostUnreachable
            | io::ErrorKind::NetworkDown
            | io::ErrorKind::AddrNotAvailable => Self::Unreachable(words(error)),
            _ => broken(error),
        }
    }
}

/// Whether a request failed because the server's certificate is not trusted: no other attempt changes that.
pub fn is_certificate_error(error: &ureq::Error) -> bool {
    tls_error(error).is_some_and(is_about_certificate)
}

/// The TLS error inside: ureq hands on its own, and the ones that rustls wraps in I/O errors.
fn tls_error(error: &ureq::Error) -> Option<&rustls::Error> {
    match error {
        ureq::Error::Rustls(error) => Some(error),
        ureq::Error::Io(error) => error.get_ref()?.downcast_ref(),
        other => other.source()?.downcast_ref(),
    }
}

fn is_about_certificate(error: &rustls::Error) -> bool {
    matches!(
        error,
        rustls::Error::InvalidCertificate(_) | rustls::Error::NoCertificatesPresented
    )
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

/// A system error's words in lower case, without Rust's number.
fn words(error: &io::Error) -> String {
    let said = job::Error::io("", error).to_string();
    said.trim_start_matches(": ").to_lowercase()
}

#[cfg(test)]
mod tests {
    use rustls::CertificateError::UnknownIssuer;

    use super::*;

    fn fault(error: &ureq::Error) -> Fault {
        Fault::of(error, "acc.blob.core.windows.net")
    }

    fn wrapped(error: rustls::Error) -> ureq::Error {
        ureq::Error::Io(io::Error::new(io::ErrorKind::InvalidData, error))
    }

    #[test]
    fn a_certificate_that_is_not_trusted_is_final() {
        let untrusted = || rustls::Error::InvalidCertificate(UnknownIssuer);
        for error in [ureq::Error::Rustls(untrusted()), wrapped(untrusted())] {
            assert!(is_certificate_error(&error));
            match fault(&error) {
                Fault::Final(error) => assert!(error.to_string().contains("not trusted")),
                other => panic!("{other:?}"),
            }
        }
    }

    #[test]
    fn another_tls_error_may_pass() {
        let error = wrapped(rustls::Error::HandshakeNotComplete);
        assert!(!is_certificate_error(&error));
        match fault(&error) {
            Fault::Unreachable(said) => assert!(said.starts_with("TLS: "), "{said}"),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_connection_that_was_made_may_have_done_it() {
        let refused = io::Error::from(io::ErrorKind::ConnectionRefused);
        assert!(!fault(&ureq::Error::Io(refused)).leaves_doubt());
        let reset = io::Error::from(io::ErrorKind::ConnectionReset);
        assert!(fault(&ureq::Error::Io(reset)).leaves_doubt());
        assert!(!fault(&ureq::Error::HostNotFound).leaves_doubt());
    }
}
