//! Why there is no token, in words for a person: the errors of Microsoft Entra ID ("Microsoft Entra authentication and
//! authorization error codes") and of the Instance Metadata Service.
//!
//! Their numbers may change, so nothing is decided by them: a hint is all that is chosen.

use serde::Deserialize;
use ureq::http::{HeaderMap, StatusCode};

use super::source::{IdentityKind, WorkloadIdentity};
use crate::transport::Refusal;

/// The body of such an answer (RFC 6749 §5.2, and what Entra adds).
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct ErrorBody {
    error: String,
    error_description: String,
    error_codes: Vec<u64>,
    trace_id: String,
}

/// Reads an answer that is no success.
pub(super) fn read_refusal(
    status: StatusCode,
    headers: &HeaderMap,
    body: &[u8],
    identity: &IdentityKind,
) -> Refusal {
    let body: ErrorBody = serde_json::from_slice(body).unwrap_or_default();
    // "Use managed identities on a VM to acquire access token": while the service is updated.
    let is_updated = matches!(identity, IdentityKind::Managed(_))
        && matches!(status, StatusCode::NOT_FOUND | StatusCode::GONE);
    Refusal {
        code: body.error.clone(),
        message: message(&body),
        detail: number(&body),
        not_ready: is_updated || body.error == "temporarily_unavailable",
        ..Refusal::head(status, headers)
    }
}

/// The description without what is for Microsoft's support only, but for the trace's ID.
fn message(body: &ErrorBody) -> String {
    let said = body.error_description.split("Trace ID:").next();
    let said = said.unwrap_or_default().lines().next().unwrap_or_default();
    let said = said.trim().trim_end_matches('.');
    match body.trace_id.is_empty() {
        true => said.to_owned(),
        false => format!("{said} (trace ID {})", body.trace_id),
    }
}

/// The number of `AADSTS…`; empty if there is none.
fn number(body: &ErrorBody) -> String {
    if let Some(number) = body.error_codes.first() {
        return number.to_string();
    }
    let after = body.error_description.split("AADSTS").nth(1);
    let digits = after.unwrap_or_default().chars();
    digits.take_while(char::is_ascii_digit).collect()
}

/// What to do about it, for what people meet.
pub(super) fn hint(refusal: &Refusal, identity: &IdentityKind) -> Option<String> {
    match identity {
        IdentityKind::Workload(workload) => {
            let clocks = refusal.clocks.map(|clocks| clocks.to_string());
            of_entra(&refusal.detail, workload, &clocks.unwrap_or_default())
        }
        IdentityKind::Managed(managed) => (refusal.status == 400).then(|| {
            let which = match managed.client {
                Some(_) => "AZURE_CLIENT_ID names no identity of this machine",
                None => {
                    "this machine has no identity of its own, or several: AZURE_CLIENT_ID names one"
                }
            };
            format!("{which} (az vm identity assign, az vmss identity assign)")
        }),
    }
}

/// `clocks` says what time it is by Entra's clock and by this machine's.
fn of_entra(number: &str, workload: &WorkloadIdentity, clocks: &str) -> Option<String> {
    let WorkloadIdentity { client, tenant, .. } = workload;
    let file = workload.token_file.display();
    // A number may have one more digit that says which case of several it is.
    let is = |prefix: &str| number.starts_with(prefix);
    let hint = if is("700211") {
        format!(
            "no federated credential of '{client}' is for this cluster: its issuer must be the one that az aks show --query oidcIssuerProfile.issuerUrl prints, up to its last slash"
        )
    } else if is("700212") {
        format!(
            "no federated credential of '{client}' is for this audience: it must be {}, in the credential and in the token",
            audience(workload)
        )
    } else if is("700213") {
        format!(
            "no federated credential of '{client}' is for this service account: its subject must be system:serviceaccount:NAMESPACE:NAME, letter by letter"
        )
    } else if is("70021") {
        format!(
            "'{client}' has no federated credential for this service account (az identity federated-credential list); one that was just made takes effect within minutes"
        )
    } else if is("700024") {
        format!(
            "'{file}' holds a token that has expired, or is not valid yet{clocks}: is the node's clock right, and does the cluster project the file anew?"
        )
    } else if is("700016") {
        format!(
            "AZURE_CLIENT_ID is '{client}', which the tenant '{tenant}' does not know: it is the client ID of the managed identity (az identity show --query clientId), not its object or resource ID"
        )
    } else if is("700027") {
        format!(
            "'{file}' holds a token that this cluster's issuer did not sign, or its keys were just rotated: is it the projected token of the service account?"
        )
    } else if is("90002") || is("900021") || is("900023") || is("900382") {
        format!(
            "AZURE_TENANT_ID is '{tenant}', which {} does not know: is the tenant right, and the cloud (AZURE_AUTHORITY_HOST)?",
            workload.authority.authority
        )
    } else if is("50027") || is("50013") || is("50012") {
        format!(
            "'{file}' holds no token that can be read: is it the projected token of the service account?"
        )
    } else if is("50166") {
        "Entra cannot read the issuer's keys: its /.well-known/openid-configuration must be reachable from the internet (az aks update --enable-oidc-issuer)".into()
    } else if is("53003") || is("53000") {
        "a Conditional Access policy blocks it: its owner can except this identity, or allow the address that the cluster has outside".into()
    } else if is("7000112") {
        format!("'{client}' is disabled in the tenant '{tenant}'")
    } else if is("500011") {
        format!(
            "the tenant '{tenant}' does not know Azure Storage: is it the tenant of the account's subscription?"
        )
    } else {
        return None;
    };
    Some(hint)
}

/// What the token of a service account is for, in each cloud.
fn audience(workload: &WorkloadIdentity) -> &'static str {
    let host = &workload.authority.authority;
    if workload.token_proxy.is_some() {
        "api://AKSIdentityBinding"
    } else if host.ends_with(".cn") {
        "api://AzureADTokenExchangeChina"
    } else if host.ends_with(".us") {
        "api://AzureADTokenExchangeUSGov"
    } else {
        "api://AzureADTokenExchange"
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::credential::identity::source::ManagedIdentity;
    use crate::url::Endpoint;

    fn workload() -> IdentityKind {
        IdentityKind::Workload(WorkloadIdentity {
            token_file: "/var/run/token".into(),
            client: "CLIENT".into(),
            tenant: "TENANT".into(),
            authority: Endpoint::parse("https://login.microsoftonline.com").unwrap(),
            token_proxy: None,
        })
    }

    fn managed(client: Option<&str>) -> IdentityKind {
        IdentityKind::Managed(ManagedIdentity {
            client: client.map(str::to_owned),
            metadata: Endpoint::parse("http://127.0.0.1:1").unwrap(),
        })
    }

    fn refusal(status: u16, body: &str, identity: &IdentityKind) -> Refusal {
        let status = StatusCode::from_u16(status).unwrap();
        read_refusal(status, &HeaderMap::new(), body.as_bytes(), identity)
    }

    #[test]
    fn an_error_is_read() {
        // As Entra wrote it in 2023.
        let old = r#"{"error":"unauthorized_client","error_description":"AADSTS700016: Application with identifier 'x' was not found in the directory 'y'. This can happen.\r\nTrace ID: 43122bdd\r\nCorrelation ID: 0b2d\r\nTimestamp: 2023-04-18 08:06:02Z","error_codes":[700016],"trace_id":"43122bdd"}"#;
        let read = refusal(400, old, &workload());
        assert_eq!(
            read.to_string(),
            "400 unauthorized_client: AADSTS700016: Application with identifier 'x' was not found in the directory 'y'. This can happen (trace ID 43122bdd)"
        );
        assert_eq!(read.detail, "700016");
        // And later, in one line.
        let new = r#"{"error":"invalid_request","error_description":"AADSTS700213: No match. Trace ID: 1 Correlation ID: 2 Timestamp: 3"}"#;
        let read = refusal(401, new, &workload());
        assert_eq!(read.message, "AADSTS700213: No match");
        assert_eq!(read.detail, "700213");
        for body in ["", "<html>", "[]", "{}", r#"{"error":7}"#] {
            assert_eq!(
                refusal(502, body, &workload()).to_string(),
                "502 Bad Gateway"
            );
        }
    }

    #[test]
    fn what_people_meet_has_a_hint() {
        for (number, said) in [
            ("700211", "oidcIssuerProfile"),
            ("700212", "api://AzureADTokenExchange"),
            ("7002121", "api://AzureADTokenExchange"),
            ("700213", "system:serviceaccount:NAMESPACE:NAME"),
            ("7002131", "system:serviceaccount:NAMESPACE:NAME"),
            ("70021", "federated-credential list"),
            ("700024", "clock"),
            ("700016", "AZURE_CLIENT_ID"),
            ("700027", "did not sign"),
            ("90002", "AZURE_TENANT_ID"),
            ("900023", "AZURE_TENANT_ID"),
            ("50027", "projected token"),
            ("50166", "openid-configuration"),
            ("501661", "openid-configuration"),
            ("53003", "Conditional Access"),
            ("7000112", "disabled"),
            ("500011", "does not know Azure Storage"),
        ] {
            let body = format!(r#"{{"error":"invalid_client","error_codes":[{number}]}}"#);
            let identity = workload();
            let hint = hint(&refusal(401, &body, &identity), &identity);
            let hint = hint.unwrap_or_default();
            assert!(hint.contains(said), "{number}: {hint}");
        }
        let identity = workload();
        assert_eq!(hint(&refusal(400, "{}", &identity), &identity), None);
    }

    #[test]
    fn a_metadata_service_that_is_updated_is_waited_for() {
        for (status, waits) in [(404, true), (410, true), (400, false), (403, false)] {
            assert_eq!(refusal(status, "", &managed(None)).not_ready, waits);
            assert!(!refusal(status, "", &workload()).not_ready);
        }
        let busy = r#"{"error":"temporarily_unavailable"}"#;
        assert!(refusal(400, busy, &workload()).not_ready);
        for (client, said) in [(None, "several"), (Some("c"), "names no identity")] {
            let identity = managed(client);
            let refusal = refusal(400, r#"{"error":"invalid_request"}"#, &identity);
            assert!(hint(&refusal, &identity).unwrap().contains(said));
        }
    }
}
