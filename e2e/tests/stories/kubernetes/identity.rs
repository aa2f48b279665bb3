//! setup-backup.sh --identity: with the real kubectl, and an az that writes down what it is asked, and answers as Azure
//! does. Its lines are read by the real azure-cli's parser.

use std::collections::BTreeSet;
use std::fs;
use std::path::PathBuf;

use e2e::{Program, tool};
use serde_json::{Value, json};

use super::site::NAMESPACE;
use super::stage::Stage;

const ISSUER: &str = "https://westeurope.oic.prod-aks.azure.com/tenant/cluster/";
const ACCOUNT: &str =
    "/subscriptions/S/resourceGroups/G/providers/Microsoft.Storage/storageAccounts/primaryst01";

/// az: writes down each line, remembers what it makes, and finds that again.
const AZ: &str = r#"#!/bin/bash
{ printf '%s\n' "$@"; echo --end--; } >>SCRATCH/asked
[ ! -e SCRATCH/refuse ] || . SCRATCH/refuse
name="" identity="" role="" assignee="" query=""
verb="$*"
while [ $# -gt 0 ]; do
    case $1 in
    --name) name=$2 ;;
    --identity-name) identity=$2 ;;
    --role) role=$2 ;;
    --role-definition) name=$(sed 's/.*"Name": "\([^"]*\)".*/\1/' "${2#@}") && cp "${2#@}" "SCRATCH/role of $name" ;;
    --assignee-object-id) assignee=$2 ;;
    --query) query=$2 ;;
    esac
    shift
done
there() { [ ! -e "SCRATCH/made $1" ] || echo "$2"; }
case $verb in
'storage account show'*) cat SCRATCH/account ;;
'cloud show'*) echo AzureCloud ;;
'identity list'*) for file in SCRATCH/made\ identity*; do
    case $query in "[?name=='${file#SCRATCH/made identity }'].name") echo it ;; esac
done ;;
'identity create'*) touch "SCRATCH/made identity $name" ;;
'identity show'*) case $query in clientId) echo "client-of-$name" ;; *) echo "principal-of-$name" ;; esac ;;
'identity federated-credential list'*) there "credential of $identity" it ;;
'identity federated-credential create'*) touch "SCRATCH/made credential of $identity" ;;
'role definition list'*) there "role $name" it ;;
'role definition create'*) touch "SCRATCH/made role $name" ;;
'role assignment list'*) there "assignment $assignee $role" it ;;
'role assignment create'*) touch "SCRATCH/made assignment $assignee $role" ;;
'storage container generate-sas'*) echo 'se=2099-01-01T00:00Z&sp=rl&sig=SIGNATURE' ;;
esac
"#;

struct Setup {
    stage: Stage,
    script: PathBuf,
}

impl Setup {
    /// Where the overlay `primary` has these components.
    fn new(components: &[&str]) -> Self {
        let stage = Stage::new(None, |_, _| {});
        stage.secret("postgresql-backup-login", &[("password", "x")]);
        let scratch = &stage.scratch;
        let shown = scratch.path().display().to_string();
        Program::other("cp")
            .arg("-r")
            .args([tool::workspace().join("k8s"), scratch.join("k8s")])
            .succeeds();
        let overlay = scratch.join("k8s/overlays/primary/kustomization.yaml");
        let mut text = fs::read_to_string(&overlay).expect("an overlay");
        for name in components {
            let line = format!("  # - ../../components/{name}\n");
            assert!(text.contains(&line), "{text}");
            text = text.replace(&line, &line.replace("# ", ""));
        }
        fs::write(&overlay, text).expect("an overlay");
        stage.program("az", &AZ.replace("SCRATCH", &shown));
        let setup = Self {
            script: scratch.join("k8s/setup-backup.sh"),
            stage,
        };
        setup.account("Standard_GRS", "None", "None");
        let issuer = json!({"issuer": ISSUER, "jwks_uri": "x"});
        setup.stage.shared.change(|state| {
            let path = "/.well-known/openid-configuration";
            state.objects.insert(path.into(), issuer)
        });
        setup
    }

    /// What Azure says of the account.
    fn account(&self, sku: &str, keys: &str, policy: &str) {
        let lines = format!("{ACCOUNT}\nG\n{sku}\n{keys}\n{policy}\n");
        self.stage.scratch.write("account", lines);
    }

    fn run(&self, words: &[&str]) -> Program {
        let script = Program::other(&self.script).args(words);
        self.stage.with(script).env("ASSIGN_PAUSE", "0")
    }

    /// What az was asked since the last time, word by word.
    fn asked(&self) -> Vec<Vec<String>> {
        let file = self.stage.scratch.join("asked");
        let text = fs::read_to_string(&file).unwrap_or_default();
        fs::write(&file, "").expect("a file");
        let mut lines = vec![Vec::new()];
        for word in text.lines() {
            match (word, lines.last_mut()) {
                ("--end--", _) => lines.push(Vec::new()),
                (word, Some(line)) => line.push(word.to_owned()),
                (_, None) => {}
            }
        }
        lines.pop();
        lines
    }

    fn client_of(&self, account: &str) -> Value {
        let path = format!("/api/v1/namespaces/{NAMESPACE}/serviceaccounts/{account}");
        let state = self.stage.shared.lock();
        state.objects[&path]["metadata"]["annotations"]["azure.workload.identity/client-id"].clone()
    }
}

fn has(line: &[String], words: &str) -> bool {
    line.join(" ").contains(words)
}

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

#[test]
fn an_account_without_keys_is_said_before_anything_is_done() {
    let setup = Setup::new(&[]);
    setup.account("Standard_LRS", "false", "None");
    let seen = setup.run(&["--yes", "--no-run"]).fails(1);
    seen.says("allowSharedKeyAccess is false")
        .says("--identity");
    seen.says("locally redundant");
    setup.account("Standard_GRS", "true", "90.00:00:00\nBlock");
    let seen = setup.run(&["--yes", "--no-run"]).fails(1);
    seen.says("90 days at most, not for 365").says("--days 90");
    assert_eq!(setup.stage.shared.lock().changes, Vec::<String>::new());
    let asked = setup.asked();
    assert!(!asked.iter().any(|line| has(line, "create")), "{asked:?}");
}

#[test]
fn a_token_for_a_laptop() {
    let setup = Setup::new(&[]);
    setup.account("Standard_LRS", "false", "None");
    let store = [
        "--user-delegation-sas",
        "--storage-account",
        "acc",
        "--container",
        "backups",
    ];
    let seen = setup.run(&store).succeeds();
    assert_eq!(seen.out(), "se=2099-01-01T00:00Z&sp=rl&sig=SIGNATURE");
    let asked = setup.asked();
    let made = asked
        .iter()
        .find(|line| has(line, "generate-sas"))
        .expect("a token");
    for words in [
        "--as-user",
        "--auth-mode login",
        "--permissions rl",
        "--https-only",
        "--account-name acc",
    ] {
        assert!(has(made, words), "{made:?}");
    }
    setup
        .run(&["--user-delegation-sas", "--days", "8"])
        .fails(2)
        .says("7 days at most");
    assert_eq!(setup.stage.shared.lock().changes, Vec::<String>::new());
}

/// Every kind of line, as azure-cli's own parser reads it: what it does not know is exit code 2.
#[test]
fn azure_cli_knows_every_line() {
    let mut lines: BTreeSet<Vec<String>> = BTreeSet::new();
    let mut kinds = BTreeSet::new();
    let mut add = |setup: &Setup| {
        for line in setup.asked() {
            let options = line
                .iter()
                .filter(|word| word.starts_with("--") || !word.contains(['/', '[']));
            if kinds.insert(options.cloned().collect::<Vec<_>>().join(" ")) {
                lines.insert(line);
            }
        }
    };
    let setup = Setup::new(&["workload-identity"]);
    let all = ["--yes", "--no-run", "--soft-delete", "14", "--versioning"];
    setup.run(&all).succeeds();
    add(&setup);
    setup.run(&["--user-delegation-sas"]).succeeds();
    add(&setup);
    assert!(lines.len() > 12, "{lines:#?}");
    let scratch = &setup.stage.scratch;
    scratch.write("lines.json", serde_json::to_string(&lines).expect("JSON"));
    scratch.write("role.json", "{}");
    let read = r#"
import json, sys
from azure.cli.core import get_default_cli
wrong = 0
for line in json.load(open("lines.json")):
    # The role's file is gone with its directory.
    line = ["@role.json" if word.startswith("@") else word for word in line]
    try:
        code = get_default_cli().invoke(line)
    except SystemExit as end:
        code = end.code
    print(code, " ".join(line))
    wrong += code == 2
sys.exit(wrong)
"#;
    let python = tool::tools().join("kubernetes/bin/python");
    let seen = Program::other(python)
        .args(["-c", read])
        .in_dir(scratch.path())
        .env("HOME", scratch.path())
        .env("AZURE_CONFIG_DIR", scratch.join("azure"))
        .env("AZURE_CORE_COLLECT_TELEMETRY", "0")
        .succeeds();
    // It did read them: nobody is logged in.
    let out = seen.out();
    let read = out
        .lines()
        .filter(|line| line.starts_with("1 ") || line.starts_with("0 "));
    assert_eq!(read.count(), lines.len(), "{seen}");
    seen.says("az login");
}
