//! The service's answer when it does not do what was asked ("Blob service error codes"), in words for a
//! person.

use std::fmt;
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use serde::Deserialize;
use ureq::http::{HeaderMap, StatusCode};

use crate::token::{Need, Token, moment};
use crate::{ContainerUrl, Error, ErrorKind};

/// Clocks that differ by less do not explain a refusal to a person.
const SKEW: TimeDelta = TimeDelta::minutes(1);

/// An answer that is no success.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Refusal {
    pub(crate) status: u16,
    /// The service's error code (`BlobAlreadyExists`); empty if the answer has none.
    pub(crate) code: String,
    /// The first line of its message.
    pub(crate) message: String,
    /// What it says of a token that it does not take.
    pub(crate) detail: String,
    /// The header that it does not take.
    pub(crate) header: String,
    /// How long it wants to be left alone.
    pub(crate) retry_after: Option<Duration>,
    /// When that was, by the service's clock (`Date`) and by this machine's.
    pub(crate) clocks: Option<Clocks>,
}

/// One moment by two clocks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Clocks {
    service: DateTime<Utc>,
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

/// What was asked, for the message.
#[derive(Debug, Clone)]
pub(crate) struct Asked<'a> {
    /// `cannot put block 7 of 'x.sql.gz'`
    pub(crate) doing: String,
    /// What the token must allow for it.
    pub(crate) needs: &'a [Need],
}

impl<'a> Asked<'a> {
    pub(crate) fn new(doing: impl Into<String>, needs: &'a [Need]) -> Self {
        Self {
            doing: doing.into(),
            needs,
        }
    }
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
            status: status.as_u16(),
            code,
            message: first_line(&body.message),
            detail: first_line(&body.authentication_error_detail),
            header: body.header_name,
            retry_after: header("retry-after").and_then(|value| pause(value, Utc::now())),
            clocks: header("date").and_then(|date| Clocks::read(date, Utc::now())),
        }
    }

    /// The error that it is.
    pub(crate) fn explain(&self, asked: &Asked, container: &ContainerUrl, token: &Token) -> Error {
        let doing = &asked.doing;
        let error = |kind, said: String| Error::new(kind, format!("{doing}: {said}"));
        let host = container.host();
        let name = container.container();
        match (self.status, self.code.as_str()) {
            (401 | 403, "UnauthorizedBlobOverwrite") => {
                error(ErrorKind::Exists, format!("it is there already: {self}"))
                    .hint("the SAS token may create blobs, not write over them")
            }
            (401 | 403, _) => error(ErrorKind::Token, self.with_detail())
                .hint(self.token_hint(asked, container, token)),
            (404, "ContainerNotFound" | "ContainerDisabled") => error(
                ErrorKind::ContainerNotFound,
                format!("there is no container '{name}' at {host}: {self}"),
            )
            .hint("create it, or correct the URL"),
            (409, "ContainerBeingDeleted") => {
                error(ErrorKind::ContainerNotFound, self.to_string())
                    .hint("wait until it is gone, then create it anew")
            }
            (404, _) => error(ErrorKind::NotFound, self.to_string()),
            (409, "BlobAlreadyExists") => error(ErrorKind::Exists, self.to_string())
                .hint("a blob of that name is there; nothing was changed"),
            // "Put Block List": blocks that a list does not name are discarded by it.
            (400, "InvalidBlockList") => error(ErrorKind::Discarded, self.to_string())
                .hint("another upload to this name was committed meanwhile, which discards all other blocks: run it again"),
            (409, "BlobArchived" | "BlobBeingRehydrated") => {
                error(ErrorKind::Archived, self.to_string())
                    .hint("it is in the Archive tier: rehydrate it first (az storage blob set-tier --tier Hot), which takes hours")
            }
            _ if self.retained().is_some() => error(ErrorKind::Retained, self.to_string())
                .hint("it may be deleted or written over when that ends"),
            (412, "ConditionNotMet") => error(ErrorKind::Changed, self.to_string())
                .hint("the blob was written to meanwhile"),
            _ => {
                let refused = error(ErrorKind::Refused, self.to_string());
                match self.refused_hint() {
                    Some(hint) => refused.hint(hint),
                    None => refused,
                }
            }
        }
    }

    /// What keeps a blob from being deleted or written over, if it is that.
    pub(crate) fn retained(&self) -> Option<&'static str> {
        let code = self.code.as_str();
        match (self.status, code) {
            (409 | 412, _) if code.contains("LegalHold") => Some("legal hold"),
            (409, _) if code.starts_with("BlobImmutable") => Some("immutability policy"),
            (409 | 412, _) if code.starts_with("Lease") => Some("lease"),
            _ => None,
        }
    }

    fn with_detail(&self) -> String {
        match self.detail.is_empty() {
            true => self.to_string(),
            false => format!("{self} ({})", self.detail),
        }
    }

    /// Why the token was refused, as far as can be told.
    fn token_hint(&self, asked: &Asked, container: &ContainerUrl, token: &Token) -> String {
        let lack = asked.needs.iter().find_map(|need| token.lack(*need));
        match self.code.as_str() {
            "AuthorizationPermissionMismatch" => match (lack, token.policy()) {
                (Some(lack), _) => return format!("the SAS token's {lack}"),
                (None, Some(policy)) => {
                    return format!("the stored access policy '{policy}' does not allow it");
                }
                // "azure-cli#16899": a block needs 'w' where a whole small blob needs only 'c'.
                (None, None) if !token.has('w') && token.has('c') => {
                    return "the SAS token's sp has 'c' without 'w', which this service wants for blocks".into();
                }
                (None, None) => {}
            },
            "AuthorizationProtocolMismatch" => {
                return "the SAS token demands https".into();
            }
            "AuthorizationSourceIPMismatch" => {
                let addresses = token.addresses().unwrap_or("other addresses");
                return format!("the SAS token is only for {addresses} (sip)");
            }
            "KeyBasedAuthenticationNotPermitted" => {
                return "this storage account takes no SAS token that is signed with its key: make a user delegation SAS".into();
            }
            "AccountIsDisabled" => return "the storage account is disabled".into(),
            "AuthorizationServiceMismatch" | "AuthorizationResourceTypeMismatch" => {
                return "the SAS token is for something else: make one for this container".into();
            }
            _ => {}
        }
        if let Some(hint) = self.clock_hint(token) {
            return hint;
        }
        if let Err(error) = token.check(asked.needs, container) {
            return error.to_string();
        }
        let container = container.container();
        match self.code.as_str() {
            "AuthorizationFailure" => format!(
                "the SAS token is not for '{container}', its signature is wrong, or the account's firewall does not let this address in"
            ),
            "AuthenticationFailed" if self.detail.contains("time frame") => {
                "the SAS token has expired or is not valid yet, by the service's clock".into()
            }
            _ => format!(
                "the SAS token is not for '{container}', its signature is wrong (cut when it was copied?), or the key that signed it was renewed"
            ),
        }
    }

    /// That the token is not valid now, if it is that, and whose clock says what.
    fn clock_hint(&self, token: &Token) -> Option<String> {
        let now = self.clocks.map_or_else(Utc::now, |clocks| clocks.service);
        let untimely = token.untimely(now)?;
        let clocks = self.clocks.map(|clocks| clocks.to_string());
        Some(format!(
            "the SAS token {}{}: {}",
            untimely.said,
            clocks.unwrap_or_default(),
            untimely.remedy
        ))
    }

    fn refused_hint(&self) -> Option<String> {
        let snapshots =
            "it has snapshots, which go first: az storage blob delete --delete-snapshots only";
        let foreign = "another program has left blocks under this name: take another name, or wait a week until they are gone";
        match self.code.as_str() {
            "SnapshotsPresent" => return Some(snapshots.into()),
            "InvalidBlobOrBlock" | "InvalidBlockId" => return Some(foreign.into()),
            _ => {}
        }
        let option = self.option()?;
        Some(format!(
            "this storage account does not take {option} (or not that value)"
        ))
    }

    /// The option whose header it does not take: by the header's name, by a word of the message, or by a
    /// part of the code.
    fn option(&self) -> Option<&'static str> {
        let said = format!("{} {}", self.header, self.message).to_lowercase();
        let words = said.split(|c: char| !c.is_alphanumeric());
        let means = |part: &str, word: &dyn Fn(&str) -> bool| {
            self.code.contains(part) || words.clone().any(word)
        };
        if means("Tier", &|word| matches!(word, "tier" | "tiers")) {
            Some("--tier")
        } else if means("Immutab", &|word| word.starts_with("immutab")) {
            Some("--immutable-days")
        } else if means("Tag", &|word| matches!(word, "tag" | "tags")) {
            Some("--tag")
        } else {
            None
        }
    }
}

impl Clocks {
    fn read(date: &str, here: DateTime<Utc>) -> Option<Self> {
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

/// The service adds lines with the request's number and time; a message of ours has no full stop.
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

    fn explain(refusal: &Refusal, needs: &[Need], token: &str) -> (String, String) {
        let (url, _) = ContainerUrl::parse("https://acc.blob.core.windows.net/backups").unwrap();
        let token = Token::parse(token).unwrap();
        let error = refusal.explain(&Asked::new("cannot put 'x'", needs), &url, &token);
        let hint = error.hint_text().unwrap_or_default().to_owned();
        (error.to_string(), hint)
    }

    const GOOD: &str = "se=2999-01-01&sr=c&sp=cw&sig=S3CRET";

    #[test]
    fn a_missing_permission_is_named() {
        let refusal = refusal(
            403,
            "\u{feff}<?xml version=\"1.0\" encoding=\"utf-8\"?><Error><Code>AuthorizationPermissionMismatch</Code>\
             <Message>This request is not authorized to perform this operation using this permission.\nRequestId:1\nTime:2</Message></Error>",
        );
        let (said, hint) = explain(&refusal, &[Need::Create], "se=2999-01-01&sr=c&sp=r&sig=x");
        assert_eq!(
            said,
            "cannot put 'x': 403 AuthorizationPermissionMismatch: This request is not authorized to perform this operation using this permission"
        );
        assert_eq!(hint, "the SAS token's sp=r lacks 'c' or 'w'");
        let (_, hint) = explain(&refusal, &[Need::Create], "se=2999-01-01&sr=c&sp=c&sig=x");
        assert!(hint.contains("'c' without 'w'"), "{hint}");
        let (_, hint) = explain(&refusal, &[Need::Create], "si=nightly&sr=c&sig=x");
        assert!(hint.contains("policy 'nightly'"), "{hint}");
    }

    #[test]
    fn an_expired_token_is_named() {
        let service = refusal(
            403,
            "<Error><Code>AuthenticationFailed</Code><Message>Server failed to authenticate the request.</Message>\
             <AuthenticationErrorDetail>Signature not valid in the specified time frame: Start [a] - Expiry [b] - Current [c]</AuthenticationErrorDetail></Error>",
        );
        let (said, hint) = explain(&service, &[Need::Create], GOOD);
        assert!(said.contains("Expiry [b]"), "{said}");
        assert!(hint.contains("has expired"), "{hint}");
        // Azurite says only this.
        let azurite = refusal(403, "<Error><Code>AuthorizationFailure</Code></Error>");
        let (_, hint) = explain(&azurite, &[Need::Create], "se=2020-01-01&sr=c&sp=cw&sig=x");
        assert!(hint.contains("expired at 2020-01-01"), "{hint}");
        let (_, hint) = explain(&azurite, &[Need::Create], GOOD);
        assert!(hint.contains("firewall"), "{hint}");
    }

    #[test]
    fn a_refusal_is_explained_by_the_clocks() {
        let at = |text: &str| DateTime::parse_from_rfc3339(text).unwrap().to_utc();
        let refused = |date: &str, here: &str| Refusal {
            clocks: Clocks::read(date, at(here)),
            ..refusal(403, "<Error><Code>AuthenticationFailed</Code></Error>")
        };
        let noon = "Sun, 22 Nov 2026 12:00:00 GMT";
        let token = "st=2026-11-22T12:03Z&se=2026-11-22T13:00Z&sr=c&sp=cw&sig=x";
        let (_, hint) = explain(
            &refused(noon, "2026-11-22T12:03:10Z"),
            &[Need::Create],
            token,
        );
        assert_eq!(
            hint,
            "the SAS token is not valid before 2026-11-22 12:03:00 UTC; by the service's clock it is 2026-11-22 12:00:00 UTC, this machine's is 3 min ahead of that: make one with an earlier start, or without a start"
        );
        let late = "Sun, 22 Nov 2026 13:00:05 GMT";
        let (_, hint) = explain(
            &refused(late, "2026-11-22T12:30:05Z"),
            &[Need::Create],
            token,
        );
        assert!(hint.contains("expired at 2026-11-22 13:00:00"), "{hint}");
        assert!(hint.contains("30 min behind that"), "{hint}");
        // Ours says that it has expired, and the service's does not: that is not why.
        let valid = "Sun, 22 Nov 2026 12:30:00 GMT";
        let (_, hint) = explain(
            &refused(valid, "2026-11-23T00:00:00Z"),
            &[Need::Create],
            token,
        );
        assert!(hint.contains("signature is wrong"), "{hint}");
        let (_, hint) = explain(
            &refused(late, "2026-11-22T13:00:06Z"),
            &[Need::Create],
            token,
        );
        assert!(!hint.contains("this machine"), "{hint}");
    }

    #[test]
    fn the_service_s_words_never_show_the_signature() {
        let refusal = refusal(
            403,
            "<Error><Code>AuthenticationFailed</Code><AuthenticationErrorDetail>Signature S3CRET did not match</AuthenticationErrorDetail></Error>",
        );
        let (said, hint) = explain(&refusal, &[Need::Create], GOOD);
        assert!(
            said.contains("did not match") && !said.contains("S3CRET"),
            "{said}"
        );
        assert!(hint.contains("signature is wrong"), "{hint}");
    }

    #[test]
    fn a_refused_header_is_named_by_its_option() {
        for (body, option) in [
            (
                "<Code>InvalidHeaderValue</Code><HeaderName>x-ms-access-tier</HeaderName>",
                "--tier",
            ),
            (
                "<Code>UnsupportedHeader</Code><HeaderName>x-ms-immutability-policy-until-date</HeaderName>",
                "--immutable-days",
            ),
            ("<Code>InvalidTag</Code>", "--tag"),
            ("<Code>InvalidBlobOrBlock</Code>", "another program"),
        ] {
            let (_, hint) = explain(&refusal(400, &format!("<Error>{body}</Error>")), &[], GOOD);
            assert!(hint.contains(option), "{hint}");
        }
    }

    #[test]
    fn snapshots_are_named() {
        let refusal = refusal(409, "<Error><Code>SnapshotsPresent</Code></Error>");
        let (_, hint) = explain(&refusal, &[Need::Delete], GOOD);
        assert!(hint.contains("snapshots"), "{hint}");
    }

    #[test]
    fn an_option_is_named_only_where_it_is_meant() {
        for body in [
            "<Code>InvalidHeaderValue</Code><Message>The ETag is wrong</Message><HeaderName>If-Match</HeaderName>",
            "<Code>InvalidInput</Code><Message>The block was not staged in this storage</Message>",
        ] {
            let (_, hint) = explain(&refusal(400, &format!("<Error>{body}</Error>")), &[], GOOD);
            assert_eq!(hint, "", "{body}");
        }
        for body in [
            "<Code>FeatureNotYetSupportedForHierarchicalNamespaceAccounts</Code><Message>Blob tags are not yet supported</Message>",
            "<Code>InvalidHeaderValue</Code><HeaderName>x-ms-tags</HeaderName>",
        ] {
            let (_, hint) = explain(&refusal(400, &format!("<Error>{body}</Error>")), &[], GOOD);
            assert!(hint.contains("--tag"), "{body}: {hint}");
        }
    }

    #[test]
    fn an_account_that_takes_no_such_token_is_named() {
        for (code, said) in [
            ("KeyBasedAuthenticationNotPermitted", "user delegation"),
            ("AccountIsDisabled", "disabled"),
        ] {
            let refusal = refusal(403, &format!("<Error><Code>{code}</Code></Error>"));
            let (_, hint) = explain(&refusal, &[Need::Create], GOOD);
            assert!(hint.contains(said), "{hint}");
        }
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
