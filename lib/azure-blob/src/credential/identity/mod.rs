//! An identity of Microsoft Entra ID: bearer tokens for the storage service, fetched once, shared by all threads, and
//! renewed before they end.
//!
//! | | |
//! |---|---|
//! | `source` | which identity the environment names |
//! | `exchange` | a token of the pod's or the machine's for one of the storage service's |
//! | `bearer` | such a token, and when it ends |
//! | `entra_error` | why there is none, in words for a person |

mod bearer;
mod entra_error;
mod exchange;
mod source;

use std::sync::{Mutex, MutexGuard, PoisonError, TryLockError};
use std::time::{Duration, Instant};

pub(crate) use bearer::Bearer;
use exchange::exchange;
pub use source::IdentitySource;

use crate::transport::Cancel;
use crate::{Error, ErrorKind, Options};

/// The pause after a renewal before its time that failed.
const BEFORE_NEXT: Duration = Duration::from_secs(30);
/// For this long the answer "no" is told to all threads without asking again.
const FAILURE_LASTS: Duration = Duration::from_secs(10);

/// An identity and its token.
#[derive(Debug)]
pub(crate) struct Identity {
    source: IdentitySource,
    options: Options,
    held: Mutex<Held>,
    /// Who holds it asks for a token; the others wait, or go on with the old one.
    exchanging: Mutex<()>,
}

#[derive(Debug, Default)]
struct Held {
    bearer: Option<Bearer>,
    failure: Option<Failure>,
}

/// The last exchange that failed.
#[derive(Debug)]
struct Failure {
    at: Instant,
    error: Error,
    /// Whether it holds for whoever asks next too: a "no", or all the patience there is.
    settles: bool,
}

impl Failure {
    fn is_within(&self, time: Duration) -> bool {
        self.at.elapsed() < time
    }
}

impl Identity {
    pub(crate) fn new(source: IdentitySource, options: Options) -> Self {
        Self {
            source,
            options,
            held: Mutex::default(),
            exchanging: Mutex::default(),
        }
    }

    pub(crate) fn source(&self) -> &IdentitySource {
        &self.source
    }

    /// A token that is good for the next request. Towards its end one thread fetches another; if that fails, all go on
    /// with this one until it ends.
    pub(crate) fn current(&self, cancel: &Cancel) -> Result<Bearer, Error> {
        let (bearer, may_renew) = {
            let held = self.held();
            let failure = held.failure.as_ref();
            let may_renew = failure.is_none_or(|it| !it.is_within(BEFORE_NEXT));
            (held.bearer.clone(), may_renew)
        };
        let now = Instant::now();
        match bearer {
            Some(bearer) if !bearer.has_ended(now) => {
                if bearer.is_due(now) && may_renew {
                    return Ok(self.renew_early(bearer, cancel));
                }
                Ok(bearer)
            }
            old => self.fetch(old.as_ref(), &self.options, cancel),
        }
    }

    /// After `refused` was refused: whether there is another token now.
    pub(crate) fn renewed(&self, refused: &Bearer, cancel: &Cancel) -> Result<bool, Error> {
        let bearer = self.fetch(Some(refused), &self.options, cancel)?;
        Ok(bearer != *refused)
    }

    fn renew_early(&self, old: Bearer, cancel: &Cancel) -> Bearer {
        if let Err(TryLockError::WouldBlock) = self.exchanging.try_lock() {
            // Another thread is at it.
            return old;
        }
        // One attempt: there is time for others later.
        let once = Options {
            deadline: Duration::ZERO,
            ..self.options.clone()
        };
        match self.fetch(Some(&old), &once, cancel) {
            Ok(bearer) => bearer,
            Err(error) => {
                job::say!("warning: {error}; the token in use is still good");
                old
            }
        }
    }

    /// A token that is not `old`, if one is to be had: another thread's, or one of our own.
    fn fetch(
        &self,
        old: Option<&Bearer>,
        options: &Options,
        cancel: &Cancel,
    ) -> Result<Bearer, Error> {
        let _turn = self
            .exchanging
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        let has_answered = {
            let held = self.held();
            if let Some(bearer) = &held.bearer
                && Some(bearer) != old
            {
                return Ok(bearer.clone());
            }
            if let Some(failure) = &held.failure
                && failure.settles
                && failure.is_within(FAILURE_LASTS)
            {
                return Err(failure.error.clone());
            }
            held.bearer.is_some()
        };
        let exchanged = exchange(&self.source, &patient(options, has_answered), cancel);
        let mut held = self.held();
        match exchanged {
            Ok(bearer) => {
                *held = Held {
                    bearer: Some(bearer.clone()),
                    failure: None,
                };
                Ok(bearer)
            }
            Err(error) => {
                let is_patient = !options.deadline.is_zero() && !cancel.is_cancelled();
                held.failure = Some(Failure {
                    at: Instant::now(),
                    error: error.clone(),
                    settles: is_patient || error.kind() == ErrorKind::Identity,
                });
                Err(error)
            }
        }
    }

    fn held(&self) -> MutexGuard<'_, Held> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A host that gave a token before is waited for, as one that has answered is: it may have been an hour ago, in the same
/// long upload.
fn patient(options: &Options, has_answered: bool) -> Options {
    Options {
        first_contact: match has_answered {
            true => options.deadline,
            false => options.first_contact,
        },
        ..options.clone()
    }
}

/// What is said of an answer of Microsoft Entra ID: the way in for the fuzzer.
#[cfg(fuzzing)]
pub fn shown_of_token_answer(body: &[u8]) -> String {
    let Ok((container, _)) =
        crate::ContainerUrl::parse("https://acc.blob.core.windows.net/backups")
    else {
        return String::new();
    };
    let named = |name: &str| name.starts_with("AZURE_C").then(|| "client".into());
    let set = |name: &str| match name {
        "AZURE_FEDERATED_TOKEN_FILE" | "AZURE_TENANT_ID" => Some("x".into()),
        name => named(name),
    };
    let (Ok(workload), Ok(managed)) = (
        IdentitySource::workload(&set, &container),
        IdentitySource::managed(&named),
    ) else {
        return String::new();
    };
    let mut shown = match Bearer::read(body, Instant::now()) {
        Ok(bearer) => format!("{bearer:?}"),
        Err(fault) => fault.to_string(),
    };
    for identity in [workload, managed] {
        let status = ureq::http::StatusCode::BAD_REQUEST;
        let headers = ureq::http::HeaderMap::new();
        let refusal = entra_error::read_refusal(status, &headers, body, &identity.kind);
        let hint = entra_error::hint(&refusal, &identity.kind);
        shown += &format!("{refusal} {}", hint.unwrap_or_default());
    }
    Error::new(ErrorKind::Identity, shown).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_has_answered_is_waited_for() {
        let options = Options::default();
        assert_eq!(
            patient(&options, false).first_contact,
            options.first_contact
        );
        assert_eq!(patient(&options, true).first_contact, options.deadline);
    }
}
