//! A bearer token and when it ends ("Access token response", RFC 6749 §5.1).

use std::sync::Arc;
use std::time::{Duration, Instant};

use job::secret;
use serde::Deserialize;

use crate::credential::secret::Secret;
use crate::transport::Fault;

/// A token is renewed this long before it ends, as the official clients do, or in its last quarter if that is shorter.
const BEFORE_END: Duration = Duration::from_secs(5 * 60);
/// A request takes its time to arrive: nothing is sent with a token that ends sooner.
const ON_THE_WAY: Duration = Duration::from_secs(30);
/// How long a token lasts that does not say so.
const UNSAID: u64 = 10 * 60;

/// A bearer token. `Debug` does not show it.
#[derive(Debug, Clone)]
pub(crate) struct Bearer {
    /// The value of the header `Authorization`.
    header: Arc<Secret>,
    /// When another one should be fetched.
    due: Instant,
    end: Instant,
}

/// The answer of the token endpoint, and of the Instance Metadata Service, which writes numbers as texts.
#[derive(Deserialize)]
struct Answer {
    access_token: String,
    token_type: Option<String>,
    expires_in: Option<Seconds>,
    /// When a new one is better fetched, if it lasts long.
    refresh_in: Option<Seconds>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Seconds {
    Number(u64),
    Text(String),
}

impl Seconds {
    fn number(&self) -> Option<u64> {
        match self {
            Self::Number(number) => Some(*number),
            Self::Text(text) => text.trim().parse().ok(),
        }
    }
}

impl Bearer {
    /// Reads an answer that was asked for at `asked`: the token's time runs from then on at the latest.
    pub(super) fn read(body: &[u8], asked: Instant) -> Result<Self, Fault> {
        let malformed = |what: &str| Fault::Malformed(what.to_owned());
        let answer: Answer = serde_json::from_slice(body)
            .map_err(|_| malformed("an answer without an access token"))?;
        secret::learn_token(&answer.access_token);
        let token = &answer.access_token;
        if token.is_empty() || !token.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err(malformed("an access token that is none"));
        }
        let kind = answer.token_type.as_deref();
        if kind.is_some_and(|kind| !kind.eq_ignore_ascii_case("bearer")) {
            return Err(malformed("an access token that is no bearer token"));
        }
        let seconds = |seconds: Option<Seconds>| seconds.and_then(|it| it.number());
        let lasts = seconds(answer.expires_in).unwrap_or(UNSAID);
        let refresh = seconds(answer.refresh_in).map(Duration::from_secs);
        Ok(Self::new(token, asked, Duration::from_secs(lasts), refresh))
    }

    fn new(token: &str, asked: Instant, lasts: Duration, refresh: Option<Duration>) -> Self {
        // Longer than any program runs; and `Instant` has an end.
        let lasts = lasts.min(Duration::from_secs(365 * 86_400));
        let due = lasts.saturating_sub(BEFORE_END.min(lasts / 4));
        Self {
            header: Arc::new(Secret::new(format!("Bearer {token}"))),
            due: asked + refresh.map_or(due, |refresh| refresh.min(due)),
            end: asked + lasts.saturating_sub(ON_THE_WAY.min(lasts / 8)),
        }
    }

    /// One that lasts so many seconds from now.
    #[cfg(test)]
    pub(crate) fn of(token: &str, seconds: u64) -> Self {
        Self::new(token, Instant::now(), Duration::from_secs(seconds), None)
    }

    /// The value of the header `Authorization`. A secret.
    pub(crate) fn header(&self) -> Secret {
        (*self.header).clone()
    }

    /// Whether another one should be fetched.
    pub(super) fn is_due(&self, now: Instant) -> bool {
        now >= self.due
    }

    /// Whether it is of no use any more.
    pub(super) fn has_ended(&self, now: Instant) -> bool {
        now >= self.end
    }
}

/// The same token may be handed out twice, with less time left.
impl PartialEq for Bearer {
    fn eq(&self, other: &Self) -> bool {
        self.header == other.header
    }
}

impl Eq for Bearer {}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(body: &str) -> Result<Bearer, String> {
        Bearer::read(body.as_bytes(), Instant::now()).map_err(|fault| fault.to_string())
    }

    #[test]
    fn a_token_is_renewed_before_it_ends() {
        for (lasts, due, ends) in [
            (86_400, 86_100, 86_370),
            (3600, 3300, 3570),
            (60, 45, 53),
            (8, 6, 7),
        ] {
            let now = Instant::now();
            let bearer = Bearer::new("x", now, Duration::from_secs(lasts), None);
            let at = |seconds| now + Duration::from_secs(seconds);
            assert!(!bearer.is_due(at(due - 1)) && bearer.is_due(at(due)));
            assert!(!bearer.has_ended(at(ends - 1)) && bearer.has_ended(at(ends)));
        }
        let now = Instant::now();
        let half = Some(Duration::from_secs(43_200));
        let bearer = Bearer::new("x", now, Duration::from_secs(86_400), half);
        assert!(bearer.is_due(now + Duration::from_secs(43_200)));
        assert!(Bearer::of("x", 0).has_ended(Instant::now()));
        assert!(!Bearer::of("x", u64::MAX).is_due(Instant::now()));
    }

    #[test]
    fn an_answer_is_read() {
        let now = Instant::now();
        for body in [
            r#"{"token_type":"Bearer","expires_in":3599,"ext_expires_in":3599,"access_token":"T0K.EN_-"}"#,
            r#"{"access_token":"T0K.EN_-","client_id":"c","expires_in":"3599","expires_on":"1506484173","not_before":"1506480273","resource":"https://storage.azure.com/","token_type":"bearer"}"#,
            r#"{"access_token":"T0K.EN_-"}"#,
        ] {
            let bearer = read(body).unwrap();
            assert_eq!(bearer.header().expose(), "Bearer T0K.EN_-");
            let later = now + Duration::from_secs(500);
            assert_eq!(bearer.is_due(later), !body.contains("3599"), "{body}");
            assert!(!format!("{bearer:?}").contains("T0K"));
        }
    }

    #[test]
    fn what_is_no_token_is_said_and_not_shown() {
        for body in [
            "",
            "<html>log in first</html>",
            "{}",
            r#"{"access_token":""}"#,
            r#"{"access_token":"a b"}"#,
            r#"{"access_token":"a\r\nx: y"}"#,
            r#"{"access_token":"S3CRETS3CRET","token_type":"mac"}"#,
            r#"{"access_token":7}"#,
        ] {
            let error = read(body).unwrap_err();
            assert!(error.contains("not the service's"), "{body}: {error}");
            assert!(!error.contains("S3CRET"), "{error}");
        }
    }
}
