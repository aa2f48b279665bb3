//! Where the backups are read from: a local directory, and Azurite over https and a line of some length.

use std::fs;
use std::path::Path;
use std::rc::Rc;
use std::time::Duration;

use super::super::delay::DelayLine;
use super::origin::Origin;
use super::pgbackrest::{self, Repositories};
use crate::sas::ACCOUNT;
use crate::tls::Certificate;
use crate::{Azurite, Container};

/// Copies of the store and of pgBackRest's repositories in a container.
pub(super) struct Distant {
    azurite: Azurite,
    container: Container,
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
    /// Copies all there.
    ///
    /// # Panics
    /// When that fails.
    pub(super) fn make(origin: &Origin, repositories: Option<&Repositories>) -> Self {
        let certificate = Certificate::make();
        let azurite = Azurite::https_lenient(&certificate);
        let container = azurite.container();
        copy(Path::new(&origin.store.url()), "", &container);
        if let Some(repositories) = repositories {
            copy(&repositories.root(), "", &container);
        }
        Self {
            azurite,
            container,
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
        let line = DelayLine::to(distant.azurite.port(), round_trip);
        let container = distant.container.name();
        Self {
            store: format!("https://127.0.0.1:{}/{ACCOUNT}/{container}", line.port()),
            name: format!("{milliseconds}-ms"),
            far: milliseconds > 0,
            distant: Some((Rc::clone(distant), line)),
        }
    }

    /// Tells pgBackRest where it is.
    pub(super) fn tell(&self, repositories: &Repositories) {
        if let Some((distant, line)) = &self.distant {
            repositories.in_container(&self.name, distant.container.name(), line.port());
        }
    }

    /// `STORE`, and what restore-stream needs beside it. The token is a new one.
    pub(super) fn env(&self) -> Vec<(&'static str, String)> {
        let mut env = vec![("STORE", self.store.clone())];
        if let Some((distant, _)) = &self.distant {
            let authority = distant.certificate.authority.display().to_string();
            env.push(("AZURE_STORAGE_SAS_TOKEN", distant.container.token()));
            env.push(("SSL_CERT_FILE", authority));
        }
        env
    }

    /// The bytes that it has sent so far, if they can be counted.
    pub(super) fn sent(&self) -> u64 {
        self.distant.as_ref().map_or(0, |(_, line)| line.received())
    }
}

/// Copies a directory's files, under names that begin with `prefix`.
fn copy(directory: &Path, prefix: &str, container: &Container) {
    for entry in fs::read_dir(directory).expect("a directory").flatten() {
        let name = format!("{prefix}{}", entry.file_name().display());
        let kind = entry.file_type().expect("a type");
        if kind.is_dir() {
            copy(&entry.path(), &format!("{name}/"), container);
        } else if kind.is_file() {
            container.write(&name, &fs::read(entry.path()).expect("a file"));
        }
    }
}
