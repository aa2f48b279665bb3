//! Why the service refused a SAS token.

use chrono::Utc;

use crate::request::operation::Operation;
use crate::transport::Refusal;
use crate::{ContainerUrl, Token};

/// Why the token was refused, as far as that can be told: by the service's code, by the clocks, by what the
/// token says of itself.
pub(super) fn hint(
    refusal: &Refusal,
    operation: &Operation,
    container: &ContainerUrl,
    token: &Token,
) -> String {
    if let Some(hint) =
        hint_of_code(refusal, operation, token).or_else(|| clock_hint(refusal, token))
    {
        return hint;
    }
    if let Err(error) = token.check(operation.needs, container) {
        return error.to_string();
    }
    let container = container.container();
    if refusal.code == "AuthorizationFailure" {
        return format!(
            "the SAS token is not for '{container}', its signature is wrong, or the account's firewall does not let this address in"
        );
    }
    match refusal.is_outside_validity() {
        true => "the SAS token has expired or is not valid yet, by the service's clock".into(),
        false => format!(
            "the SAS token is not for '{container}', its signature is wrong (cut when it was copied?), or the key that signed it was renewed"
        ),
    }
}

/// What a code means that has one cause only.
fn hint_of_code(refusal: &Refusal, operation: &Operation, token: &Token) -> Option<String> {
    let hint = match refusal.code.as_str() {
        "AuthorizationPermissionMismatch" => return missing_permission(operation, token),
        "AuthorizationProtocolMismatch" => "the SAS token demands https",
        "AuthorizationSourceIPMismatch" => {
            let addresses = token.addresses().unwrap_or("other addresses");
            return Some(format!("the SAS token is only for {addresses} (sip)"));
        }
        "KeyBasedAuthenticationNotPermitted" => {
            "this storage account takes no SAS token that is signed with its key (allowSharedKeyAccess=false): take an identity (setup-backup.sh --identity), or a user delegation SAS for a few days"
        }
        "AccountIsDisabled" => "the storage account is disabled",
        "AuthorizationServiceMismatch" | "AuthorizationResourceTypeMismatch" => {
            "the SAS token is for something else: make one for this container"
        }
        _ => return None,
    };
    Some(hint.into())
}

fn missing_permission(operation: &Operation, token: &Token) -> Option<String> {
    let missing = operation.needs.iter().find_map(|need| token.lacks(*need));
    match (missing, token.policy()) {
        (Some(missing), _) => Some(format!("the SAS token's {missing}")),
        (None, Some(policy)) => Some(format!(
            "the stored access policy '{policy}' does not allow it"
        )),
        // "azure-cli#16899": a block needs 'w' where a whole small blob needs only 'c'.
        (None, None) if !token.has('w') && token.has('c') => Some(
            "the SAS token's sp has 'c' without 'w', which this service wants for blocks".into(),
        ),
        (None, None) => None,
    }
}

/// That the token is not valid now, if it says so itself, and which clock says what.
fn clock_hint(refusal: &Refusal, token: &Token) -> Option<String> {
    let now = refusal
        .clocks
        .map_or_else(Utc::now, |clocks| clocks.service);
    let invalid = token.not_valid_at(now)?;
    let clocks = refusal.clocks.map(|clocks| clocks.to_string());
    Some(format!(
        "the SAS token {}{}: {}",
        invalid.said,
        clocks.unwrap_or_default(),
        invalid.remedy
    ))
}
