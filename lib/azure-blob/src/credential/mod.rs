//! What lets a request in: a SAS token or an identity, where that comes from, and a new token when the old one is refused
//! or ends. Whoever makes a request asks [`Credential`] each time, and keeps nothing.

mod authorization;
mod identity;
mod permission;
mod secret;
mod source;
mod token;

use std::fmt;
use std::sync::{Mutex, PoisonError};

pub(crate) use authorization::Authorization;
use identity::Identity;
pub use identity::IdentitySource;
#[cfg(fuzzing)]
pub use identity::shown_of_token_answer;
pub use permission::Permission;
pub use source::{CREDENTIAL_VARIABLES, CredentialSource, SasOrigin};
pub use token::Token;

use crate::transport::{Cancel, Refusal};
use crate::{ContainerUrl, Error, ErrorKind, Options};

/// The credential in use, and its source.
#[derive(Debug)]
pub(crate) struct Credential {
    source: CredentialSource,
    kind: CredentialKind,
}

#[derive(Debug)]
enum CredentialKind {
    Sas(Mutex<Token>),
    Identity(Box<Identity>),
}

impl Credential {
    /// Reads a SAS token; asks nobody for a bearer token yet.
    pub(crate) fn new(
        source: CredentialSource,
        container: &ContainerUrl,
        options: &Options,
    ) -> Result<Self, Error> {
        let kind = match &source {
            CredentialSource::SasFile(path) => {
                CredentialKind::Sas(Mutex::new(source::read_file(path)?))
            }
            CredentialSource::Sas(token, _) => CredentialKind::Sas(Mutex::new(token.clone())),
            CredentialSource::Identity(_) if !container.is_https() && !container.is_loopback() => {
                return Err(Error::new(
                    ErrorKind::Usage,
                    format!("'{container}' is not encrypted, and {source} needs that"),
                )
                .hint("write https://"));
            }
            CredentialSource::Identity(identity) => {
                let identity = Identity::new(identity.clone(), options.clone());
                CredentialKind::Identity(Box::new(identity))
            }
        };
        Ok(Self { source, kind })
    }

    /// What a request carries now. With an identity this may ask for a token first, and wait for that.
    pub(crate) fn current(&self, cancel: &Cancel) -> Result<Authorization, Error> {
        match &self.kind {
            CredentialKind::Sas(current) => Ok(Authorization::Sas(lock(current).clone())),
            CredentialKind::Identity(identity) => {
                identity.current(cancel).map(Authorization::Bearer)
            }
        }
    }

    /// The SAS token as it is now; none with an identity.
    pub(crate) fn sas(&self) -> Option<Token> {
        match &self.kind {
            CredentialKind::Sas(current) => Some(lock(current).clone()),
            CredentialKind::Identity(_) => None,
        }
    }

    /// The identity, if it is one.
    pub(crate) fn identity(&self) -> Option<&IdentitySource> {
        match &self.kind {
            CredentialKind::Sas(_) => None,
            CredentialKind::Identity(identity) => Some(identity.source()),
        }
    }

    /// After a request with `refused` was refused: whether there is another credential now. A file that cannot be read
    /// at this moment, or that holds half a token, has not changed yet. A bearer token is exchanged for another one only
    /// if the service does not know it (any more), and once for each request: `renewals` counts.
    pub(crate) fn renewed(
        &self,
        refused: &Authorization,
        refusal: &Refusal,
        renewals: &mut u32,
        cancel: &Cancel,
    ) -> Result<bool, Error> {
        match (&self.kind, refused) {
            (CredentialKind::Sas(current), Authorization::Sas(refused))
                if matches!(refusal.status, 401 | 403) =>
            {
                Ok(self.read_again(current, refused))
            }
            (CredentialKind::Identity(identity), Authorization::Bearer(refused))
                if is_unknown_bearer(refusal) && *renewals == 0 =>
            {
                *renewals += 1;
                identity.renewed(refused, cancel)
            }
            _ => Ok(false),
        }
    }

    fn read_again(&self, current: &Mutex<Token>, refused: &Token) -> bool {
        let mut current = lock(current);
        if *current == *refused
            && let CredentialSource::SasFile(path) = &self.source
            && let Ok(token) = source::read_file(path)
        {
            *current = token;
        }
        *current != *refused
    }
}

/// What it is, for a person: `the SAS token in '/run/token'`.
impl fmt::Display for Credential {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.source.fmt(f)
    }
}

/// Whether the service does not take the token itself, as when it has expired: 401, and 403 of this code. All other 403
/// are about what the identity may do, which another token does not change.
fn is_unknown_bearer(refusal: &Refusal) -> bool {
    match refusal.status {
        401 => true,
        403 => refusal.code == "AuthenticationFailed",
        _ => false,
    }
}

fn lock(current: &Mutex<Token>) -> std::sync::MutexGuard<'_, Token> {
    current.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    const PLAIN: &str = "se=2026-01-01&sr=c&sp=cw&sig=ab%2Bcd%3D";

    #[test]
    fn a_rotated_file_is_read_again() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("token");
        fs::write(&path, PLAIN).unwrap();
        let (url, _) = ContainerUrl::parse("https://acc.blob.core.windows.net/backups").unwrap();
        let source = CredentialSource::SasFile(path.clone());
        let credential = Credential::new(source, &url, &Options::default()).unwrap();
        let never = Cancel::default();
        let refusal = Refusal {
            status: 403,
            ..Refusal::default()
        };
        let renewed = |refused: &Authorization| {
            let renewed = credential.renewed(refused, &refusal, &mut 0, &never);
            renewed.unwrap()
        };
        let first = credential.current(&never).unwrap();
        assert!(!renewed(&first));
        fs::write(&path, "").unwrap();
        assert!(!renewed(&first));
        fs::write(&path, PLAIN.replace("ab", "xy")).unwrap();
        assert!(renewed(&first));
        assert!(
            renewed(&first),
            "another thread was refused with the old one too"
        );
        assert!(!renewed(&credential.current(&never).unwrap()));
    }

    #[test]
    fn a_bearer_is_not_sent_in_the_clear() {
        let set = |name: &str| {
            let value = match name {
                "AZURE_FEDERATED_TOKEN_FILE" => "/var/run/token",
                "AZURE_CLIENT_ID" | "AZURE_TENANT_ID" => "x",
                _ => return None,
            };
            Some(value.into())
        };
        let (url, _) = ContainerUrl::parse("https://acc.blob.core.windows.net/backups").unwrap();
        let source = CredentialSource::find_in(&set, None, &url).unwrap();
        assert!(Credential::new(source.clone(), &url, &Options::default()).is_ok());
        let (here, _) = ContainerUrl::parse("http://127.0.0.1:1/acc/backups").unwrap();
        assert!(Credential::new(source.clone(), &here, &Options::default()).is_ok());
        let plain = url.unencrypted();
        let error = Credential::new(source, &plain, &Options::default()).unwrap_err();
        assert!(error.to_string().contains("not encrypted"), "{error}");
    }
}
