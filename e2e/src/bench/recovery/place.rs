//! Where the backups are read from: a local directory, and a container over https and a line of some length.

use std::path::PathBuf;
use std::rc::Rc;
use std::time::Duration;

use super::super::delay::DelayLine;
use super::super::sink::{CONTAINER, Sink};
use super::origin::Origin;
use super::pgbackrest::{self, Repositories};
use crate::sas::{ACCOUNT, Sas};
use crate::tls::Certificate;

/// A container with the store and pgBackRest's repositories.
pub(super) struct Distant {
    sink: Sink,
    certificate: Certificate,
}

/// A store, seen by those who read it.
#[derive(Clone)]
pub(super) struct Place {
    store: String,
    /// What pgBackRest's configuration for it is called.
    pub(super) name: String,
    /// Whether its answers take long.
    pub(super) far: bool,
    distant: Option<(Rc<Distant>, DelayLine)>,
}

impl Distant {
    /// Starts it.
    ///
    /// # Panics
    /// When that fails.
    pub(super) fn start(origin: &Origin, repositories: Option<&Repositories>) -> Self {
        let certificate = Certificate::make();
        let mut dirs = vec![PathBuf::from(origin.store.url())];
        dirs.extend(repositories.map(Repositories::root));
        Self {
            sink: Sink::https(&certificate, dirs),
            certificate,
        }
    }
}

impl Place {
    /// The directory.
    pub(super) fn here(origin: &Origin) -> Self {
        Self {
            store: origin.store.url(),
            name: pgbackrest::HERE.to_owned(),
            far: false,
            distant: None,
        }
    }

    /// The container, a round trip of so many milliseconds away.
    pub(super) fn distant(distant: &Rc<Distant>, milliseconds: u64) -> Self {
        let round_trip = Duration::from_millis(milliseconds);
        let line = DelayLine::to(distant.sink.port(), round_trip);
        Self {
            store: format!("https://127.0.0.1:{}/{ACCOUNT}/{CONTAINER}", line.port()),
            name: format!("{milliseconds}-ms"),
            far: milliseconds > 0,
            distant: Some((Rc::clone(distant), line)),
        }
    }

    /// Tells pgBackRest where it is.
    pub(super) fn tell(&self, repositories: &Repositories) {
        if let Some((_, line)) = &self.distant {
            repositories.in_container(&self.name, CONTAINER, line.port());
        }
    }

    /// `STORE`, and what restore-stream needs beside it. The token is a new one.
    pub(super) fn env(&self) -> Vec<(&'static str, String)> {
        let mut env = vec![("STORE", self.store.clone())];
        if let Some((distant, _)) = &self.distant {
            let authority = distant.certificate.authority.display().to_string();
            env.push(("AZURE_STORAGE_SAS_TOKEN", Sas::new(CONTAINER).sign()));
            env.push(("SSL_CERT_FILE", authority));
        }
        env
    }

    /// The bytes that it has sent so far, if they can be counted.
    pub(super) fn sent(&self) -> u64 {
        self.distant.as_ref().map_or(0, |(_, line)| line.received())
    }
}
