//! setup-backup.sh with the real kubectl, and an az that writes down what it is asked, and answers as Azure does.

use std::fs;
use std::path::PathBuf;

use e2e::{Program, tool};
use serde_json::{Value, json};

use super::super::site::NAMESPACE;
use super::super::stage::Stage;

pub(super) const ISSUER: &str = "https://westeurope.oic.prod-aks.azure.com/tenant/cluster/";
pub(super) const ACCOUNT: &str =
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
'cloud show'*) cat SCRATCH/cloud ;;
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

pub(super) struct Setup {
    pub(super) stage: Stage,
    script: PathBuf,
}

impl Setup {
    /// Where the overlay `primary` has these components.
    pub(super) fn new(components: &[&str]) -> Self {
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
        setup.cloud("AzureCloud");
        let issuer = json!({"issuer": ISSUER, "jwks_uri": "x"});
        setup.stage.shared.change(|state| {
            let path = "/.well-known/openid-configuration";
            state.objects.insert(path.into(), issuer)
        });
        setup
    }

    /// What Azure says of the account.
    pub(super) fn account(&self, sku: &str, keys: &str, policy: &str) {
        let lines = format!("{ACCOUNT}\nG\n{sku}\n{keys}\n{policy}\n");
        self.stage.scratch.write("account", lines);
    }

    /// Which cloud az is logged in to.
    pub(super) fn cloud(&self, name: &str) {
        self.stage.scratch.write("cloud", name);
    }

    pub(super) fn run(&self, words: &[&str]) -> Program {
        let script = Program::other(&self.script).args(words);
        self.stage.with(script).env("ASSIGN_PAUSE", "0")
    }

    /// What az was asked since the last time, word by word.
    pub(super) fn asked(&self) -> Vec<Vec<String>> {
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

    pub(super) fn client_of(&self, account: &str) -> Value {
        let path = format!("/api/v1/namespaces/{NAMESPACE}/serviceaccounts/{account}");
        let state = self.stage.shared.lock();
        state.objects[&path]["metadata"]["annotations"]["azure.workload.identity/client-id"].clone()
    }
}

/// Whether a line of az has these words.
pub(super) fn has(line: &[String], words: &str) -> bool {
    line.join(" ").contains(words)
}
