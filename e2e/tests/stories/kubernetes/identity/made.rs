//! What setup-backup.sh --identity makes of Azure, and what it says if it may not.

use std::fs;

use serde_json::{Value, json};

use super::super::site::NAMESPACE;
use super::az::{ACCOUNT, ISSUER, Setup, has};

#[test]
fn an_identity_is_made_once() {
    let setup = Setup::new(&["workload-identity"]);
    let seen = setup.run(&["--yes", "--no-run", "--soft-delete", "14", "--versioning"]);
    let seen = seen.succeeds();
    let asked = setup.asked();
    let of = |words: &str| asked.iter().filter(|line| has(line, words)).count();
    for (words, count) in [
        (
            "identity create --name postgresql-backup --resource-group G",
            1,
        ),
        (
            &format!(
                "--issuer {ISSUER} --subject system:serviceaccount:database:postgresql-backup --audiences api://AzureADTokenExchange"
            ),
            1,
        ),
        ("role definition create", 2),
        (
            "role assignment create --assignee-object-id principal-of-postgresql-backup --assignee-principal-type ServicePrincipal --role PostgreSQL backup put",
            1,
        ),
        ("--role PostgreSQL backup prune --scope", 2),
        (
            &format!("--scope {ACCOUNT}/blobServices/default/containers/postgresql-backups"),
            4,
        ),
        ("storage container-rm create --name postgresql-backups", 1),
        (
            "--enable-delete-retention true --delete-retention-days 14",
            1,
        ),
        ("--enable-versioning true", 1),
        // No key, and nothing that az would look one up for.
        ("generate-sas", 0),
        ("policy create", 0),
        ("storage container create", 0),
        ("keys", 0),
    ] {
        assert_eq!(of(words), count, "{words}\n{asked:#?}\n{seen}");
    }
    assert_eq!(
        setup.client_of("postgresql-backup"),
        "client-of-postgresql-backup"
    );
    // put cannot delete, prune cannot write.
    let role = |name: &str| {
        let text = fs::read_to_string(setup.stage.scratch.join(format!("role of {name}")));
        let role: Value = serde_json::from_str(&text.expect("a role")).expect("JSON");
        assert_eq!(role["AssignableScopes"], json!(["/subscriptions/S"]));
        assert_eq!(role["Actions"], json!([]));
        role["DataActions"].to_string()
    };
    let (put, prune) = (
        role("PostgreSQL backup put"),
        role("PostgreSQL backup prune"),
    );
    assert!(
        put.contains("blobs/write") && !put.contains("delete"),
        "{put}"
    );
    assert!(
        prune.contains("blobs/delete") && !prune.contains("write"),
        "{prune}"
    );
    let map = format!("/api/v1/namespaces/{NAMESPACE}/configmaps/postgresql-backup-store");
    let map = setup.stage.shared.lock().objects[&map]["data"].clone();
    assert_eq!(
        map,
        json!({"storage-account": "primaryst01", "container-name": "postgresql-backups"})
    );
    let secrets = setup.stage.shared.lock().changes.clone();
    assert!(
        !secrets.iter().any(|it| it.contains("azure-secret")),
        "{secrets:?}"
    );
    seen.says("within ten minutes");

    // Run again, it makes nothing.
    let seen = setup.run(&["--yes", "--no-run"]).succeeds();
    let again = setup.asked();
    let makes = |line: &&Vec<String>| has(line, " create ") && !has(line, "container-rm create");
    assert_eq!(again.iter().find(makes), None, "{seen}");
    assert!(!seen.err().contains("ten minutes"), "{seen}");
}

#[test]
fn each_job_has_its_own_identity() {
    let setup = Setup::new(&["workload-identity", "scoped-identities"]);
    let name = ["--identity-name", "pg-west", "--resource-group", "IDS"];
    setup
        .run(&[&["--identity", "--yes", "--no-run"][..], &name].concat())
        .succeeds();
    let asked = setup.asked();
    for (purpose, role) in [
        ("put", "PostgreSQL backup put"),
        ("prune", "PostgreSQL backup prune"),
        ("read", "Storage Blob Data Reader"),
    ] {
        let identity = format!("pg-west-{purpose}");
        let client = setup.client_of(&format!("postgresql-backup-{purpose}"));
        assert_eq!(client, format!("client-of-{identity}"));
        let roles = asked.iter().filter(|line| {
            has(line, "role assignment create") && has(line, &format!("principal-of-{identity} "))
        });
        let roles: Vec<_> = roles.collect();
        assert!(roles.len() == 1 && has(roles[0], role), "{roles:?}");
        let subject = format!("system:serviceaccount:database:postgresql-backup-{purpose}");
        let trusts = |line: &Vec<String>| {
            has(line, "--resource-group IDS")
                && has(line, &format!("--identity-name {identity} "))
                && has(line, &format!("--subject {subject} "))
        };
        assert!(asked.iter().any(trusts), "{asked:#?}");
    }
}

#[test]
fn a_dry_run_touches_nothing() {
    let setup = Setup::new(&["workload-identity"]);
    let before = setup.stage.shared.lock().changes.len();
    let seen = setup.run(&["--dry-run", "--soft-delete", "7"]).succeeds();
    for words in [
        "az identity create --name postgresql-backup",
        "az identity federated-credential create",
        "would make the role 'PostgreSQL backup put'",
        "az role assignment create",
        "azure.workload.identity/client-id=CLIENT-ID",
        "--delete-retention-days 7",
    ] {
        seen.says(words);
    }
    assert_eq!(setup.asked(), Vec::<Vec<String>>::new());
    assert_eq!(setup.stage.shared.lock().changes.len(), before);
}

#[test]
fn what_is_missing_is_said() {
    let setup = Setup::new(&["workload-identity"]);
    let denied = "case \"$*\" in 'VERB'*)
        echo \"ERROR: (AuthorizationFailed) The client 'me' with object id 'x' does not have authorization to perform action 'RIGHT' over scope '/subscriptions/S' or the scope is invalid.\" >&2
        exit 1 ;;
    esac";
    // In the order in which they are asked for: what was done before stays.
    for (verb, right, hint) in [
        (
            "storage account show",
            "Microsoft.Storage/storageAccounts/read",
            "Storage Account Contributor",
        ),
        (
            "storage container-rm create",
            "Microsoft.Storage/storageAccounts/blobServices/containers/write",
            "Storage Account Contributor",
        ),
        (
            "role definition create",
            "Microsoft.Authorization/roleDefinitions/write",
            "--built-in-roles",
        ),
        (
            "identity create",
            "Microsoft.ManagedIdentity/userAssignedIdentities/write",
            "Managed Identity Contributor",
        ),
        (
            "role assignment create",
            "Microsoft.Authorization/roleAssignments/write",
            "User Access Administrator",
        ),
    ] {
        let refuse = denied.replace("VERB", verb).replace("RIGHT", right);
        setup.stage.scratch.write("refuse", refuse);
        let seen = setup.run(&["--yes", "--no-run"]).fails(1);
        seen.says(&format!(
            "you lack the right '{right}' at '/subscriptions/S'"
        ));
        seen.says(hint);
    }
    fs::remove_file(setup.stage.scratch.join("refuse")).expect("a file");
    // The cluster issues no tokens that Entra can read.
    let inside = json!({"issuer": "https://kubernetes.default.svc.cluster.local"});
    setup.stage.shared.change(|state| {
        let path = "/.well-known/openid-configuration";
        state.objects.insert(path.into(), inside)
    });
    let seen = setup.run(&["--yes", "--no-run"]).fails(1);
    seen.says("--enable-oidc-issuer");
    // The overlay's jobs have no identity, or have one and no token.
    let without = Setup::new(&[]);
    let seen = without.run(&["--identity", "--yes"]).fails(2);
    seen.says("add the component workload-identity");
    setup
        .run(&["--rotate-sas", "--yes"])
        .fails(2)
        .says("no token to rotate");
    setup
        .run(&["--identity", "--scoped-tokens"])
        .fails(2)
        .says("scoped-identities");
}

/// Entra of another cloud has another audience, and nothing else is another.
#[test]
fn another_cloud_has_another_audience() {
    for (cloud, audience) in [
        ("AzureChinaCloud", "api://AzureADTokenExchangeChina"),
        ("AzureUSGovernment", "api://AzureADTokenExchangeUSGov"),
    ] {
        let setup = Setup::new(&["workload-identity"]);
        setup.cloud(cloud);
        setup.run(&["--yes", "--no-run"]).succeeds();
        let asked = setup.asked();
        let made = asked
            .iter()
            .find(|line| has(line, "federated-credential create"))
            .expect("a credential");
        let words = format!("--audiences {audience} ");
        assert!(has(made, &words), "{made:?}");
    }
}
