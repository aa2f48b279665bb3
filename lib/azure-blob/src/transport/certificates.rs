use std::env;
use std::path::Path;

use ureq::tls::{Certificate, PemItem, RootCerts, parse_pem};

use crate::{Error, ErrorKind};

/// No list of certificates is longer: Mozilla's has 200 KiB.
const LONGEST: usize = 16 << 20;

/// The certificates that an HTTPS server's own must lead to: the system's, or those that `SSL_CERT_FILE` and
/// `SSL_CERT_DIR` name. An image without any gets Mozilla's list, which is compiled in.
///
/// # Errors
/// An `SSL_CERT_FILE` that cannot be read, is no regular file, is too large, or has no certificates in it.
pub fn root_certs() -> Result<RootCerts, Error> {
    let named = env::var_os("SSL_CERT_FILE").filter(|path| !path.is_empty());
    if let Some(path) = &named {
        let doing = format!("cannot read SSL_CERT_FILE '{}'", path.display());
        // rustls-native-certs reads whatever the name leads to; a pipe or a device might have no end.
        job::read_regular(Path::new(path), LONGEST).map_err(|error| {
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

/// The certificates in a text in PEM form; none if there are none.
pub(crate) fn roots_of(pem: &[u8]) -> Option<RootCerts> {
    let certs = parse_pem(pem).filter_map(|item| match item {
        Ok(PemItem::Certificate(cert)) => Some(cert),
        _ => None,
    });
    let certs: Vec<_> = certs.collect();
    (!certs.is_empty()).then(|| RootCerts::Specific(certs.into()))
}
