//! Why the service refused an identity: what its roles lack, or that its token is not taken at all.

use crate::credential::IdentitySource;
use crate::request::operation::Operation;
use crate::transport::Refusal;
use crate::{ContainerUrl, Permission};

/// What the data actions of roles begin with ("Permissions for Blob service operations").
const BLOBS: &str = "Microsoft.Storage/storageAccounts/blobServices/containers/blobs";

/// What to do about it.
pub(super) fn hint(
    refusal: &Refusal,
    operation: &Operation,
    container: &ContainerUrl,
    identity: Option<&IdentitySource>,
) -> String {
    match (refusal.status, refusal.code.as_str()) {
        (403, "AuthorizationPermissionMismatch") => missing_role(operation, container),
        // Roles have nothing to do with this one.
        (403, "AuthorizationFailure") => format!(
            "the account's firewall does not let this address in, or it allows no public access: add the cluster's subnet to its network rules, or reach {} through a private endpoint",
            container.host()
        ),
        (_, "AccountIsDisabled") => "the storage account is disabled".into(),
        (401, _) | (403, "AuthenticationFailed") => not_taken(refusal, container, identity),
        _ => missing_role(operation, container),
    }
}

/// Which role is missing, at which scope, for which program.
fn missing_role(operation: &Operation, container: &ContainerUrl) -> String {
    let program = job::program();
    let actions: Vec<String> = actions(operation.needs)
        .iter()
        .map(|action| format!("{BLOBS}/{action}"))
        .collect();
    let (name, scope) = (container.container(), scope(container));
    let role = role(operation.needs);
    match actions.is_empty() {
        true => format!("{program} needs a role at the container '{name}' ({scope})"),
        false => format!(
            "{program} needs a role with the data action {} at the container '{name}' ({scope}): {role}. A new assignment takes effect within ten minutes",
            actions.join(" and ")
        ),
    }
}

/// The data actions that an operation takes, each once.
fn actions(needs: &[Permission]) -> Vec<&'static str> {
    let mut actions = Vec::new();
    for need in needs {
        let action = match need {
            Permission::Read | Permission::List => "read",
            Permission::Create | Permission::Overwrite => "write",
            Permission::Delete => "delete",
            Permission::Tag => "tags/write",
            Permission::Immutability => "immutableStorage/runAsSuperUser/action",
        };
        if !actions.contains(&action) {
            actions.push(action);
        }
    }
    actions
}

/// The narrowest roles that have them. `setup-backup.sh --identity` makes the custom ones.
fn role(needs: &[Permission]) -> &'static str {
    let needs = |need: Permission| needs.contains(&need);
    if needs(Permission::Tag) || needs(Permission::Immutability) {
        "'Storage Blob Data Owner', or a custom role"
    } else if needs(Permission::Delete) {
        "the custom role 'PostgreSQL backup prune' that setup-backup.sh --identity makes, or 'Storage Blob Data Contributor', which may write too"
    } else if needs(Permission::Create) || needs(Permission::Overwrite) {
        "the custom role 'PostgreSQL backup put' that setup-backup.sh --identity makes, or 'Storage Blob Data Contributor', which may delete too"
    } else {
        "'Storage Blob Data Reader'"
    }
}

/// Where a role is assigned, as `az role assignment create --scope` takes it.
fn scope(container: &ContainerUrl) -> String {
    format!(
        "…/storageAccounts/{}/blobServices/default/containers/{}",
        container.account().unwrap_or("ACCOUNT"),
        container.container()
    )
}

/// Why the service does not take the token, although it is a new one.
fn not_taken(
    refusal: &Refusal,
    container: &ContainerUrl,
    identity: Option<&IdentitySource>,
) -> String {
    let host = container.host();
    let theirs = tenant_of(&refusal.challenge);
    let ours = identity.and_then(IdentitySource::tenant);
    if let (Some(theirs), Some(ours)) = (theirs, ours)
        && !theirs.eq_ignore_ascii_case(ours)
    {
        return format!(
            "the account is of the tenant '{theirs}', and AZURE_TENANT_ID is '{ours}': take an identity of the account's tenant"
        );
    }
    let clocks = refusal.clocks.map(|clocks| clocks.to_string());
    format!(
        "{host} does not take a token that is new{}: is it an account of the identity's tenant, and of the same cloud?",
        clocks.unwrap_or_default()
    )
}

/// The tenant in `Bearer authorization_uri=https://login.microsoftonline.com/TENANT/oauth2/authorize resource_id=…`
/// ("Bearer challenge").
fn tenant_of(challenge: &str) -> Option<&str> {
    let (_, rest) = challenge.split_once("authorization_uri=")?;
    let (_, path) = rest.trim_start_matches('"').split_once("://")?;
    let tenant = path.split('/').nth(1)?;
    let is_name = |c: char| c.is_ascii_alphanumeric() || "-.".contains(c);
    (!tenant.is_empty() && tenant.chars().all(is_name)).then_some(tenant)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn container() -> ContainerUrl {
        let (url, _) = ContainerUrl::parse("https://acc.blob.core.windows.net/backups").unwrap();
        url
    }

    fn identity(tenant: &str) -> IdentitySource {
        let set = |name: &str| {
            let value = match name {
                "AZURE_TENANT_ID" => tenant,
                _ => "x",
            };
            (!name.starts_with("AZURE_AUTHORITY") && !name.starts_with("AZURE_KUBERNETES"))
                .then(|| value.into())
        };
        IdentitySource::workload(&set, &container()).unwrap()
    }

    fn hint(refusal: &Refusal, needs: &[Permission]) -> String {
        let operation = Operation::new("cannot put 'x'", needs);
        let identity = identity("ours");
        super::hint(refusal, &operation, &container(), Some(&identity))
    }

    fn refused(status: u16, code: &str) -> Refusal {
        Refusal {
            status,
            code: code.into(),
            ..Refusal::default()
        }
    }

    #[test]
    fn a_missing_role_is_named_with_its_scope() {
        let refusal = refused(403, "AuthorizationPermissionMismatch");
        for (needs, action, role) in [
            (&[Permission::Create][..], "blobs/write at", "backup put"),
            (&[Permission::List], "blobs/read at", "Data Reader"),
            (&[Permission::Delete], "blobs/delete at", "backup prune"),
            (
                &[Permission::Create, Permission::Overwrite, Permission::Tag],
                "blobs/write and Microsoft.Storage/storageAccounts/blobServices/containers/blobs/tags/write at",
                "Data Owner",
            ),
            (
                &[Permission::Immutability],
                "immutableStorage/runAsSuperUser/action",
                "Data Owner",
            ),
        ] {
            let hint = hint(&refusal, needs);
            for said in [
                action,
                role,
                "storageAccounts/acc/blobServices/default/containers/backups",
                "ten minutes",
            ] {
                assert!(hint.contains(said), "{said}: {hint}");
            }
        }
    }

    #[test]
    fn a_firewall_is_no_missing_role() {
        let hint = hint(&refused(403, "AuthorizationFailure"), &[Permission::List]);
        assert!(
            hint.contains("firewall") && !hint.contains("role"),
            "{hint}"
        );
    }

    #[test]
    fn an_account_of_another_tenant_is_named() {
        let mut refusal = refused(401, "InvalidAuthenticationInfo");
        let theirs = |tenant| {
            format!(
                "Bearer authorization_uri=https://login.microsoftonline.com/{tenant}/oauth2/authorize resource_id=https://storage.azure.com"
            )
        };
        refusal.challenge = theirs("theirs");
        let said = hint(&refusal, &[Permission::List]);
        assert!(said.contains("of the tenant 'theirs'"), "{said}");
        for challenge in [
            theirs("OURS"),
            theirs("a b"),
            String::new(),
            "Basic x".into(),
        ] {
            refusal.challenge = challenge;
            let said = hint(&refusal, &[Permission::List]);
            assert!(said.contains("does not take a token"), "{said}");
        }
    }
}
