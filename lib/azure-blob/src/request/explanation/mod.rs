//! The service's "no" in words for a person: what it means, why, and what to do about it.

mod identity;
mod sas;

use super::operation::Operation;
use crate::credential::Credential;
use crate::transport::Refusal;
use crate::{ContainerUrl, Error, ErrorKind};

/// The error that a refusal is.
pub(super) fn explain(
    refusal: &Refusal,
    operation: &Operation,
    container: &ContainerUrl,
    credential: &Credential,
) -> Error {
    let cannot = &operation.cannot;
    let error = |kind, said: String| Error::new(kind, format!("{cannot}: {said}"));
    match (refusal.status, refusal.code.as_str()) {
        (401 | 403, "UnauthorizedBlobOverwrite") => error(
            ErrorKind::Exists,
            format!("it is there already: {refusal}"),
        )
        .hint(format!("{credential} may create blobs, not write over them")),
        (401 | 403, _) => {
            let hint = match (credential.sas(), credential.identity()) {
                (Some(token), _) => sas::hint(refusal, operation, container, &token),
                (None, identity) => identity::hint(refusal, operation, container, identity),
            };
            let said = format!("{}; sent with {credential}", with_detail(refusal));
            error(ErrorKind::Token, said).hint(hint)
        }
        (404, "ContainerNotFound" | "ContainerDisabled") => error(
            ErrorKind::ContainerNotFound,
            format!(
                "there is no container '{}' at {}: {refusal}",
                container.container(),
                container.host()
            ),
        )
        .hint("create it, or correct the URL"),
        (409, "ContainerBeingDeleted") => error(ErrorKind::ContainerNotFound, refusal.to_string())
            .hint("wait until it is gone, then create it anew"),
        (404, _) => error(ErrorKind::NotFound, refusal.to_string()),
        (409, "BlobAlreadyExists") => error(ErrorKind::Exists, refusal.to_string())
            .hint("a blob of that name is there; nothing was changed"),
        // "Put Block List": the blocks that a list does not name are discarded.
        (400, "InvalidBlockList") => error(ErrorKind::Discarded, refusal.to_string())
            .hint("another upload to this name was committed meanwhile, which discards all other blocks: run it again"),
        (409, "BlobArchived" | "BlobBeingRehydrated") => {
            error(ErrorKind::Archived, refusal.to_string())
                .hint("it is in the Archive tier: rehydrate it first (az storage blob set-tier --tier Hot), which takes hours")
        }
        _ if refusal.retained().is_some() => error(ErrorKind::Retained, refusal.to_string())
            .hint("it may be deleted or written over when that ends"),
        (412, "ConditionNotMet") => error(ErrorKind::Changed, refusal.to_string())
            .hint("the blob was written to meanwhile"),
        _ => {
            let refused = error(ErrorKind::Refused, refusal.to_string());
            match refused_hint(refusal) {
                Some(hint) => refused.hint(hint),
                None => refused,
            }
        }
    }
}

fn with_detail(refusal: &Refusal) -> String {
    match refusal.detail.is_empty() {
        true => refusal.to_string(),
        false => format!("{refusal} ({})", refusal.detail),
    }
}

fn refused_hint(refusal: &Refusal) -> Option<String> {
    let snapshots =
        "it has snapshots, which go first: az storage blob delete --delete-snapshots only";
    let foreign = "another program has left blocks under this name: take another name, or wait a week until they are gone";
    match refusal.code.as_str() {
        "SnapshotsPresent" => return Some(snapshots.into()),
        "InvalidBlobOrBlock" | "InvalidBlockId" => return Some(foreign.into()),
        _ => {}
    }
    let option = refused_option(refusal)?;
    Some(format!(
        "this storage account does not take {option} (or not that value)"
    ))
}

/// The option whose header the service does not take: by a part of its code, or by the header's name. A code that
/// stands for many features (`FeatureNotYetSupportedForHierarchicalNamespaceAccounts`) names neither: there the
/// message is all there is.
fn refused_option(refusal: &Refusal) -> Option<&'static str> {
    let said = format!("{} {}", refusal.header, refusal.message).to_lowercase();
    let words = said.split(|c: char| !c.is_alphanumeric());
    let means = |part: &str, word: &dyn Fn(&str) -> bool| {
        refusal.code.contains(part) || words.clone().any(word)
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

#[cfg(test)]
mod tests {
    use chrono::DateTime;
    use ureq::http::{HeaderMap, StatusCode};

    use super::*;
    use crate::credential::{CredentialSource, SasOrigin};
    use crate::transport::Clocks;
    use crate::{Options, Permission, Token};

    fn refusal(status: u16, body: &str) -> Refusal {
        let status = StatusCode::from_u16(status).unwrap();
        Refusal::read(status, &HeaderMap::new(), body.as_bytes())
    }

    fn explain(refusal: &Refusal, needs: &[Permission], token: &str) -> (String, String) {
        let (url, _) = ContainerUrl::parse("https://acc.blob.core.windows.net/backups").unwrap();
        let source = CredentialSource::Sas(Token::parse(token).unwrap(), SasOrigin::Variable);
        let credential = Credential::new(source, &url, &Options::default()).unwrap();
        let error = super::explain(
            refusal,
            &Operation::new("cannot put 'x'", needs),
            &url,
            &credential,
        );
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
        let (said, hint) = explain(
            &refusal,
            &[Permission::Create],
            "se=2999-01-01&sr=c&sp=r&sig=x",
        );
        assert_eq!(
            said,
            "cannot put 'x': 403 AuthorizationPermissionMismatch: This request is not authorized to perform this operation using this permission; sent with the SAS token in AZURE_STORAGE_SAS_TOKEN"
        );
        assert_eq!(hint, "the SAS token's sp=r lacks 'c' or 'w'");
        let (_, hint) = explain(
            &refusal,
            &[Permission::Create],
            "se=2999-01-01&sr=c&sp=c&sig=x",
        );
        assert!(hint.contains("'c' without 'w'"), "{hint}");
        let (_, hint) = explain(&refusal, &[Permission::Create], "si=nightly&sr=c&sig=x");
        assert!(hint.contains("policy 'nightly'"), "{hint}");
    }

    #[test]
    fn an_expired_token_is_named() {
        let service = refusal(
            403,
            "<Error><Code>AuthenticationFailed</Code><Message>Server failed to authenticate the request.</Message>\
             <AuthenticationErrorDetail>Signature not valid in the specified time frame: Start [a] - Expiry [b] - Current [c]</AuthenticationErrorDetail></Error>",
        );
        let (said, hint) = explain(&service, &[Permission::Create], GOOD);
        assert!(said.contains("Expiry [b]"), "{said}");
        assert!(hint.contains("has expired"), "{hint}");
        // Azurite says only this.
        let azurite = refusal(403, "<Error><Code>AuthorizationFailure</Code></Error>");
        let (_, hint) = explain(
            &azurite,
            &[Permission::Create],
            "se=2020-01-01&sr=c&sp=cw&sig=x",
        );
        assert!(hint.contains("expired at 2020-01-01"), "{hint}");
        let (_, hint) = explain(&azurite, &[Permission::Create], GOOD);
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
            &[Permission::Create],
            token,
        );
        assert_eq!(
            hint,
            "the SAS token is not valid before 2026-11-22 12:03:00 UTC; by the service's clock it is 2026-11-22 12:00:00 UTC, this machine's is 3 min ahead of that: make one with an earlier start, or without a start"
        );
        let late = "Sun, 22 Nov 2026 13:00:05 GMT";
        let (_, hint) = explain(
            &refused(late, "2026-11-22T12:30:05Z"),
            &[Permission::Create],
            token,
        );
        assert!(hint.contains("expired at 2026-11-22 13:00:00"), "{hint}");
        assert!(hint.contains("30 min behind that"), "{hint}");
        // Ours says that it has expired, and the service's does not: that is not why.
        let valid = "Sun, 22 Nov 2026 12:30:00 GMT";
        let (_, hint) = explain(
            &refused(valid, "2026-11-23T00:00:00Z"),
            &[Permission::Create],
            token,
        );
        assert!(hint.contains("signature is wrong"), "{hint}");
        let (_, hint) = explain(
            &refused(late, "2026-11-22T13:00:06Z"),
            &[Permission::Create],
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
        let (said, hint) = explain(&refusal, &[Permission::Create], GOOD);
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
        let (_, hint) = explain(&refusal, &[Permission::Delete], GOOD);
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
            let (_, hint) = explain(&refusal, &[Permission::Create], GOOD);
            assert!(hint.contains(said), "{hint}");
        }
    }
}
