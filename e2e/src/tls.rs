//! A certificate authority made on the spot, and a server's certificate from it.

use std::path::PathBuf;

use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair, KeyUsagePurpose};

use crate::Scratch;

/// The files of a server on loopback.
#[derive(Debug)]
pub struct Certificate {
    /// What a client trusts: `SSL_CERT_FILE`.
    pub authority: PathBuf,
    /// What the server shows.
    pub certificate: PathBuf,
    /// The server's key.
    pub key: PathBuf,
    _scratch: Scratch,
}

impl Certificate {
    /// Makes an authority, and by it a certificate for `127.0.0.1` and `localhost`.
    ///
    /// # Panics
    /// When that fails.
    pub fn make() -> Self {
        let authority_key = KeyPair::generate().expect("a key");
        let mut params = CertificateParams::new(Vec::new()).expect("an authority");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
        let authority = params.self_signed(&authority_key).expect("an authority");
        let issuer = Issuer::new(params, authority_key);

        let key = KeyPair::generate().expect("a key");
        let names = vec!["127.0.0.1".to_owned(), "localhost".to_owned()];
        let mut params = CertificateParams::new(names).expect("a certificate");
        // One of the authority's name would pass for a self-signed one (OpenSSL).
        params
            .distinguished_name
            .push(DnType::CommonName, "localhost");
        let certificate = params.signed_by(&key, &issuer).expect("a certificate");

        let scratch = Scratch::new();
        Self {
            authority: scratch.write("authority.pem", authority.pem()),
            certificate: scratch.write("server.pem", certificate.pem()),
            key: scratch.write("server.key", key.serialize_pem()),
            _scratch: scratch,
        }
    }
}
