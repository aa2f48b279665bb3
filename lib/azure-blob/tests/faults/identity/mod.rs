//! Requests with an identity: the token of a service account for a bearer token, on an account that takes no SAS.

mod entra;
mod renewal;
mod service;

use std::collections::HashMap;
use std::ffi::OsString;
use std::fs;
use std::path::PathBuf;

use azure_blob::{Client, ContainerUrl, CredentialSource, Error, Options};
use scripted_service::{Entra, Service};

/// The service account's token; no part of it may be shown.
const ASSERTION: &str = "eyJhbGciOiJSUzI1NiJ9.S3CRETCLA1MS.S3CRETS1GNATURE";

struct Setting {
    service: Service,
    entra: Entra,
    dir: tempfile::TempDir,
    variables: HashMap<&'static str, OsString>,
}

impl Setting {
    fn new() -> Self {
        let (service, entra) = (Service::start(), Entra::start());
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("token");
        fs::write(&path, format!("{ASSERTION}\n")).unwrap();
        let bearers = entra.tokens_from(1);
        service.change(|state| state.bearers = Some(bearers));
        entra.change(|state| state.assertion = Some(ASSERTION.into()));
        let variables = HashMap::from([
            ("AZURE_FEDERATED_TOKEN_FILE", path.into()),
            ("AZURE_CLIENT_ID", "client".into()),
            ("AZURE_TENANT_ID", "tenant".into()),
            ("AZURE_AUTHORITY_HOST", format!("{}/", entra.url()).into()),
        ]);
        Self {
            service,
            entra,
            dir,
            variables,
        }
    }

    fn token_file(&self) -> PathBuf {
        self.dir.path().join("token")
    }

    fn open(&self, options: Options) -> Client {
        let (url, _) = ContainerUrl::parse(&self.service.url()).unwrap();
        let variables = |name: &str| self.variables.get(name).cloned();
        let source = CredentialSource::find_in(&variables, None, &url).unwrap();
        Client::new(url, source, options).unwrap()
    }

    /// From now on the service takes Entra's tokens from the `nth` on only.
    fn trust_from(&self, nth: usize) {
        let bearers = self.entra.tokens_from(nth);
        self.service.change(|state| state.bearers = Some(bearers));
    }
}

/// No part of a secret is in it.
fn shows_nothing(setting: &Setting, error: &Error) {
    let shown = format!("{error} {error:?} {:?}", error.hint_text());
    for secret in setting
        .entra
        .issued()
        .iter()
        .map(String::as_str)
        .chain([ASSERTION])
    {
        for part in secret.split('.') {
            assert!(!shown.contains(part), "{shown}");
        }
    }
}
