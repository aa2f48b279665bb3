//! What the endpoint says: a token, or why not.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use chrono::Utc;
use serde_json::json;

use super::state::{EntraState, TokenRequest};

/// A status, headers, a body.
pub(super) type Answer = (u16, Vec<(&'static str, String)>, String);

impl EntraState {
    pub(super) fn answer(&mut self, request: &TokenRequest) -> Answer {
        let field = |name: &str| request.fields.get(name).map_or("", String::as_str);
        if request.line.starts_with("GET ") {
            let is_right = request
                .headers
                .get("metadata")
                .is_some_and(|it| it == "true")
                && field("api-version") == "2018-02-01"
                && field("resource") == "https://storage.azure.com"
                && request.line.contains(" /metadata/identity/oauth2/token?");
            return match is_right {
                true => self.token(true),
                false => refused(
                    400,
                    "invalid_request",
                    0,
                    "Required metadata header not specified",
                ),
            };
        }
        let is_right = field("grant_type") == "client_credentials"
            && field("scope") == "https://storage.azure.com/.default"
            && field("client_assertion_type")
                == "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
            && !field("client_id").is_empty()
            && request.line.ends_with("/oauth2/v2.0/token");
        if !is_right {
            return refused(
                400,
                "invalid_request",
                900_144,
                "The request body must contain more.",
            );
        }
        let assertion = field("client_assertion");
        if self.assertion.as_ref().is_some_and(|it| it != assertion) {
            return refused(
                401,
                "invalid_client",
                700_024,
                "Client assertion is not within its valid time range.",
            );
        }
        self.token(false)
    }

    /// A token as Azurite wants it: it does not check the signature.
    fn token(&mut self, numbers_are_texts: bool) -> Answer {
        let now = Utc::now().timestamp();
        let lasts = i64::try_from(self.lasts).unwrap();
        let number = self.issued.len() + 1;
        let part = |value: serde_json::Value| URL_SAFE_NO_PAD.encode(value.to_string());
        let token = format!(
            "{}.{}.{}",
            part(json!({"typ": "JWT", "alg": "none"})),
            part(json!({
                "aud": "https://storage.azure.com",
                "iss": "https://sts.windows.net/tenant/",
                "iat": now - 60,
                "nbf": now - 60,
                "exp": now + self.really_lasts.unwrap_or(lasts),
                "appid": "client",
            })),
            URL_SAFE_NO_PAD.encode(format!("the signature of token {number} of {now}")),
        );
        self.issued.push(token.clone());
        let body = match numbers_are_texts {
            true => json!({
                "access_token": token,
                "expires_in": lasts.to_string(),
                "expires_on": (now + lasts).to_string(),
                "resource": "https://storage.azure.com",
                "token_type": "Bearer",
            }),
            false => json!({
                "token_type": "Bearer",
                "expires_in": lasts,
                "ext_expires_in": lasts,
                "access_token": token,
            }),
        };
        let mut body = body;
        if let Some(refresh) = self.refresh {
            body["refresh_in"] = refresh.into();
        }
        (200, Vec::new(), body.to_string())
    }
}

/// As Entra refuses, with the number of `AADSTS…`.
pub(super) fn refused(status: u16, error: &str, number: u64, words: &str) -> Answer {
    let body = json!({
        "error": error,
        "error_description": format!(
            "AADSTS{number}: {words}\r\nTrace ID: 0000aaaa-11bb-cccc-dd33-eeeeee333333\r\nCorrelation ID: aaaa0000-bb11-2222-33cc-444444dddddd\r\nTimestamp: 2026-11-22 02:02:12Z"
        ),
        "error_codes": [number],
        "timestamp": "2026-11-22 02:02:12Z",
        "trace_id": "0000aaaa-11bb-cccc-dd33-eeeeee333333",
        "correlation_id": "aaaa0000-bb11-2222-33cc-444444dddddd",
    });
    (status, Vec::new(), body.to_string())
}
