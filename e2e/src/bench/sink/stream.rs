//! A connection, in TLS or not.

use std::fs::File;
use std::io::{self, BufReader, Read, Write};
use std::net::TcpStream;
use std::sync::Arc;

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ServerConfig, ServerConnection, StreamOwned};

use crate::tls::Certificate;

/// What is moved at once. The sink runs on the client's CPUs, and TLS itself reads 4 KiB.
const AT_ONCE: usize = 256 << 10;

pub(super) enum Stream {
    Plain(TcpStream),
    Tls(Box<StreamOwned<ServerConnection, Buffered>>),
}

/// A connection that is read in large pieces.
pub(super) struct Buffered(BufReader<TcpStream>);

/// What a server of https needs.
///
/// # Panics
/// When the certificate's files are no good.
pub(super) fn config(certificate: &Certificate) -> Arc<ServerConfig> {
    let chain = CertificateDer::pem_file_iter(&certificate.certificate).expect("a certificate");
    let chain = chain.map(|it| it.expect("a certificate")).collect();
    let key = PrivateKeyDer::from_pem_file(&certificate.key).expect("a key");
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("TLS 1.2 and 1.3")
        .with_no_client_auth()
        .with_single_cert(chain, key);
    Arc::new(config.expect("a certificate and its key"))
}

impl Stream {
    pub(super) fn new(stream: TcpStream, tls: Option<Arc<ServerConfig>>) -> io::Result<Self> {
        stream.set_nodelay(true)?;
        let Some(config) = tls else {
            return Ok(Self::Plain(stream));
        };
        let connection = ServerConnection::new(config).map_err(io::Error::other)?;
        let stream = Buffered(BufReader::with_capacity(AT_ONCE, stream));
        let stream = StreamOwned::new(connection, stream);
        Ok(Self::Tls(Box::new(stream)))
    }

    /// Sends so many bytes of a file from where it stands. Without TLS the kernel does (sendfile).
    pub(super) fn send(&mut self, file: File, length: u64) -> io::Result<u64> {
        let mut bytes = file.take(length);
        match self {
            Self::Plain(stream) => io::copy(&mut bytes, stream),
            Self::Tls(stream) => io::copy(&mut BufReader::with_capacity(AT_ONCE, bytes), stream),
        }
    }
}

impl Read for Stream {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Plain(stream) => stream.read(into),
            Self::Tls(stream) => stream.read(into),
        }
    }
}

impl Write for Stream {
    fn write(&mut self, from: &[u8]) -> io::Result<usize> {
        match self {
            Self::Plain(stream) => stream.write(from),
            Self::Tls(stream) => stream.write(from),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match self {
            Self::Plain(stream) => stream.flush(),
            Self::Tls(stream) => stream.flush(),
        }
    }
}

impl Read for Buffered {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        self.0.read(into)
    }
}

impl Write for Buffered {
    fn write(&mut self, from: &[u8]) -> io::Result<usize> {
        self.0.get_mut().write(from)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.get_mut().flush()
    }
}
