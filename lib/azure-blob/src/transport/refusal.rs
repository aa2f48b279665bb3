//! The service's answer when it does not do what was asked (REST API: "Status and error codes", "Blob Storage
//! error codes").

use std::fmt;
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use serde::Deserialize;
use ureq::http::{HeaderMap, StatusCode};

/// A person need not hear of clocks that differ by less.
const SKEW: TimeDelta = TimeDelta::minutes(1);

/// An answer whose status is not a success.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Refusal {
    pub(crate) status: u16,
    /// The service's error code (`BlobAlreadyExists`); empty if the answer has none.
    pub(crate) code: String,
    /// The first line of its message.
    pub(crate) message: String,
    /// Why it does not take the token (`AuthenticationErrorDetail`).
    pub(crate) detail: String,
    /// The header that it does not take.
    pub(crate) header: String,
    /// Where a bearer token is to be had (`WWW-Authenticate`).
    pub(crate) challenge: String,
    /// Whether whoever answered is not ready yet, and says so with a status that else is final.
    pub(crate) not_ready: bool,
    /// How long to wait before the next attempt.
    pub(crate) retry_after: Option<Duration>,
    /// The moment of the answer, by the service's clock (`Date`) and by this machine's.
    pub(crate) clocks: Option<Clocks>,
}

/// One moment by two clocks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Clocks {
    pub(crate) service: DateTime<Utc>,
    here: DateTime<Utc>,
}

/// The body of such an answer ("Status and error codes").
#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
struct ErrorBody {
    code: String,
    message: String,
    authentication_error_detail: String,
    header_name: String,
}

impl Refusal {
    pub(crate) fn read(status: StatusCode, headers: &HeaderMap, body: &[u8]) -> Self {
        let header = |name| headers.get(name).and_then(|value| value.to_str().ok());
        let body = std::str::from_utf8(body).unwrap_or_default();
        let body: ErrorBody =
            quick_xml::de::from_str(body.trim_start_matches('\u{feff}')).unwrap_or_default();
        let code = match header("x-ms-error-code") {
            Some(code) if body.code.is_empty() => code.to_owned(),
            _ => body.code,
        };
        Self {
            code,
            message: first_line(&body.message),
            detail: first_line(&body.authentication_error_detail),
            header: body.header_name,
            ..Self::head(status, headers)
        }
    }

    /// What the head of an answer says, whatever its body is.
    pub(crate) fn head(status: StatusCode, headers: &HeaderMap) -> Self {
        let header = |name| headers.get(name).and_then(|value| value.to_str().ok());
        Self {
            status: status.as_u16(),
            challenge: header("www-authenticate").unwrap_or_default().to_owned(),
            retry_after: header("retry-after").and_then(|value| pause(value, Utc::now())),
            clocks: header("date").and_then(|date| Clocks::read(date, Utc::now())),
            ..Self::default()
        }
    }

    /// What retains the blob, if that is why it cannot be deleted or overwritten.
    pub(crate) fn retained(&self) -> Option<&'static str> {
        let code = self.code.as_str();
        match (self.status, code) {
            (409 | 412, _) if code.contains("LegalHold") => Some("legal hold"),
            (409, _) if code.starts_with("BlobImmutable") => Some("immutability policy"),
            (409 | 412, _) if code.starts_with("Lease") => Some("lease"),
            _ => None,
        }
    }

    /// Whether the service itself says that the token is not valid at this time. `AuthenticationFailed` is its code
    /// for a wrong signature too: only the detail tells the two apart ("Signature not valid in the specified time
    /// frame: Start [...] - Expiry [...] - Current [...]").
    pub(crate) fn is_outside_validity(&self) -> bool {
        self.code == "AuthenticationFailed" && self.detail.contains("time frame")
    }
}

impl Clocks {
    pub(crate) fn read(date: &str, here: DateTime<Utc>) -> Option<Self> {
        let service = DateTime::parse_from_rfc2822(date.trim()).ok()?.to_utc();
        Some(Self { service, here })
    }
}

impl fmt::Display for Clocks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { service, here } = *self;
        write!(f, "; by the service's clock it is {}", moment(service))?;
        let ahead = here - service;
        if ahead.abs() < SKEW {
            return Ok(());
        }
        // `Date` has whole seconds.
        let by = job::text::age(ahead.abs() + TimeDelta::seconds(30));
        let where_to = if ahead > TimeDelta::zero() {
            "ahead of"
        } else {
            "behind"
        };
        write!(f, ", this machine's is {by} {where_to} that")
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let reason = StatusCode::from_u16(self.status).ok();
        let reason = reason.and_then(|status| status.canonical_reason());
        match (self.code.as_str(), reason) {
            ("", Some(reason)) => write!(f, "{} {reason}", self.status)?,
            ("", None) => write!(f, "{}", self.status)?,
            (code, _) => write!(f, "{} {code}", self.status)?,
        }
        match self.message.is_empty() {
            true => Ok(()),
            false => write!(f, ": {}", self.message),
        }
    }
}

pub(crate) fn moment(moment: DateTime<Utc>) -> impl fmt::Display {
    moment.format("%Y-%m-%d %H:%M:%S UTC")
}

/// The service adds lines with the request's ID and time, and our messages have no full stop.
fn first_line(text: &str) -> String {
    let line = text.trim().lines().next().unwrap_or_default().trim();
    line.trim_end_matches('.').to_owned()
}

/// `Retry-After` (RFC 9110 §10.2.3): seconds or a date.
fn pause(value: &str, now: DateTime<Utc>) -> Option<Duration> {
    match value.trim().parse() {
        Ok(seconds) => Some(Duration::from_secs(seconds)),
        Err(_) => {
            let date = DateTime::parse_from_rfc2822(value.trim()).ok()?;
            Some((date.to_utc() - now).to_std().unwrap_or_default())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refusal(status: u16, body: &str) -> Refusal {
        let status = StatusCode::from_u16(status).unwrap();
        Refusal::read(status, &HeaderMap::new(), body.as_bytes())
    }

    #[test]
    fn what_retains_a_blob_is_told_apart() {
        for (status, code, by) in [
            (409, "BlobImmutableDueToPolicy", Some("immutability policy")),
            (409, "BlobImmutableDueToLegalHold", Some("legal hold")),
            (412, "LeaseIdMissing", Some("lease")),
            (409, "SnapshotsPresent", None),
            (412, "ConditionNotMet", None),
        ] {
            let refusal = refusal(status, &format!("<Error><Code>{code}</Code></Error>"));
            assert_eq!(refusal.retained(), by, "{code}");
        }
    }

    #[test]
    fn a_body_that_is_no_xml_does_not_matter() {
        for body in ["", "<html>", "<Error><Code>", "\u{0}", "<Error/>"] {
            assert_eq!(refusal(502, body).to_string(), "502 Bad Gateway");
        }
    }

    #[test]
    fn pauses_are_seconds_or_a_date() {
        let now = DateTime::parse_from_rfc2822("Sun, 22 Nov 2026 10:00:00 GMT")
            .unwrap()
            .to_utc();
        assert_eq!(pause("7", now), Some(Duration::from_secs(7)));
        assert_eq!(
            pause("Sun, 22 Nov 2026 10:01:00 GMT", now),
            Some(Duration::from_secs(60))
        );
        assert_eq!(
            pause("Sun, 22 Nov 2026 09:01:00 GMT", now),
            Some(Duration::ZERO)
        );
        assert_eq!(pause("soon", now), None);
    }
}
