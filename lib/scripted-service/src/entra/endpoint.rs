//! The endpoint as tests hold it.

use std::fmt;
use std::io;
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::sync::{Arc, Condvar, Mutex};
use std::thread;

use rustls::ServerConfig;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};

use super::connection::Shared;
use super::state::{EntraFault, EntraState};

/// The bearer tokens that a service takes.
#[derive(Clone)]
pub struct Bearers(Arc<dyn Fn(&str) -> bool + Send + Sync>);

impl Bearers {
    /// None at all.
    pub fn none() -> Self {
        Self(Arc::new(|_| false))
    }

    pub(crate) fn contain(&self, token: &str) -> bool {
        (self.0)(token)
    }
}

impl fmt::Debug for Bearers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Bearers")
    }
}

/// The endpoint, on a loopback port of its own. It ends when it is dropped.
#[derive(Debug)]
pub struct Entra {
    port: u16,
    https: bool,
    shared: Arc<Shared>,
}

impl Entra {
    /// Starts one that speaks plain http, which the programs take on loopback.
    ///
    /// # Panics
    /// When there is no port to be had.
    pub fn start() -> Self {
        Self::with(None)
    }

    /// Starts one that speaks https with this certificate and key, in files of PEM.
    ///
    /// # Panics
    /// When there is no port to be had, or the files are no good.
    pub fn https(certificate: &Path, key: &Path) -> Self {
        let certificates = CertificateDer::pem_file_iter(certificate).unwrap();
        let certificates = certificates.map(Result::unwrap).collect();
        let key = PrivateKeyDer::from_pem_file(key).unwrap();
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(certificates, key);
        Self::with(Some(Arc::new(config.unwrap())))
    }

    fn with(tls: Option<Arc<ServerConfig>>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let shared = Arc::new(Shared {
            state: Mutex::new(EntraState {
                seen: Vec::new(),
                issued: Vec::new(),
                lasts: 3600,
                refresh: None,
                really_lasts: None,
                assertion: None,
                faults: Vec::new(),
                stopped: false,
            }),
            changed: Condvar::new(),
        });
        let https = tls.is_some();
        let accepting = Arc::clone(&shared);
        thread::spawn(move || {
            for stream in listener.incoming() {
                if accepting.state.lock().unwrap().stopped {
                    return;
                }
                let (shared, tls) = (Arc::clone(&accepting), tls.clone());
                thread::spawn(move || -> io::Result<()> {
                    let stream = stream?;
                    match tls {
                        Some(tls) => shared.serve_tls(stream, tls),
                        None => shared.serve(stream, |_| None),
                    }
                });
            }
        });
        Self {
            port,
            https,
            shared,
        }
    }

    /// Its URL: what `AZURE_AUTHORITY_HOST` names.
    pub fn url(&self) -> String {
        let scheme = if self.https { "https" } else { "http" };
        format!("{scheme}://127.0.0.1:{}", self.port)
    }

    /// Its port.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// The `nth` request (from 1; 0: each) meets the fault.
    pub fn fault(&self, nth: usize, fault: EntraFault) {
        self.change(|state| state.faults.push((nth, fault)));
    }

    /// Meets no more faults.
    pub fn recover(&self) {
        self.change(|state| state.faults.clear());
    }

    /// Looks at what it was asked, or changes what it does.
    ///
    /// # Panics
    /// When it did.
    pub fn change<T>(&self, change: impl FnOnce(&mut EntraState) -> T) -> T {
        change(&mut self.shared.state.lock().unwrap())
    }

    /// How many requests it has had.
    pub fn count(&self) -> usize {
        self.change(|state| state.seen.len())
    }

    /// The tokens that it gives out from the `nth` on (from 1), those of later on too.
    pub fn tokens_from(&self, nth: usize) -> Bearers {
        let shared = Arc::clone(&self.shared);
        Bearers(Arc::new(move |token| {
            let state = shared.state.lock().unwrap();
            let known = state.issued.iter().skip(nth - 1);
            known.into_iter().any(|issued| issued == token)
        }))
    }

    /// The tokens that it gave out.
    pub fn issued(&self) -> Vec<String> {
        self.change(|state| state.issued.clone())
    }
}

impl Drop for Entra {
    fn drop(&mut self) {
        self.change(|state| state.stopped = true);
        self.shared.changed.notify_all();
        // The listener wakes up and sees it.
        let _ = TcpStream::connect(("127.0.0.1", self.port));
    }
}
