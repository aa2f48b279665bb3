//! setup-backup.sh and restore-backup.sh, whole: with the real azure-cli on Azurite, and the real kubectl on
//! an API that runs what it is given.

use std::fs::{self, Permissions};
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;

use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use e2e::postgres::RESTRICT_KEY;
use e2e::{Azurite, Cluster, Program, compare, sample, sas, tool};
use serde_json::{Value, json};

use super::pod::text;
use super::site::{NAMESPACE, Site};

const STORE: &str = "postgresql-backups";
const SECRET: &str = "postgresql-backup-azure-secret";

/// A script with its options, divided at spaces.
fn script(site: &Site, name: &str, words: &str) -> Program {
    let connection = format!(
        "DefaultEndpointsProtocol=http;AccountName={};AccountKey={};BlobEndpoint=http://127.0.0.1:{}/{};",
        sas::ACCOUNT,
        sas::KEY,
        Azurite::shared().port(),
        sas::ACCOUNT
    );
    site.with(Program::other(tool::workspace().join("k8s").join(name)))
        .args(words.split_whitespace())
        .env("AZURE_STORAGE_CONNECTION_STRING", connection)
        .env("AZURE_CONFIG_DIR", site.scratch().join("azure"))
        .env("AZURE_CORE_COLLECT_TELEMETRY", "0")
}

fn secret(site: &Site, key: &str) -> String {
    let path = format!("/api/v1/namespaces/{NAMESPACE}/secrets/{SECRET}");
    let state = site.shared.lock();
    let value = text(&state.objects[&path]["data"][key]);
    String::from_utf8(BASE64.decode(value).unwrap()).unwrap()
}

fn changes(site: &Site) -> Vec<String> {
    std::mem::take(&mut site.shared.lock().changes)
}

fn policies(site: &Site) -> Vec<String> {
    let az = "../target/tools/kubernetes/bin/az";
    let words =
        format!("storage container policy list --container-name {STORE} --only-show-errors");
    let seen = script(site, az, &words).succeeds();
    let all: Value = serde_json::from_slice(&seen.stdout).unwrap();
    all.as_object().unwrap().keys().cloned().collect()
}

#[test]
fn from_nothing_to_a_restored_database() {
    let site = Site::new();
    sample::company(&site.cluster);
    let store = format!("--storage-account {} --container {STORE}", sas::ACCOUNT);
    let set_up = |words: &str| script(&site, "setup-backup.sh", &format!("{store} {words}"));

    // Nothing is touched by looking, without a yes, or when something is missing.
    set_up("--dry-run --run")
        .succeeds()
        .says("would run: az storage container create")
        .says("would run: kubectl");
    let then = chrono::Utc::now() + chrono::TimeDelta::days(10);
    on_macos(set_up("--dry-run --days 10"), &site)
        .succeeds()
        .says(&then.format("valid until %Y-%m-%dT").to_string());
    set_up("").fails(4).says("not confirmed");
    set_up("--yes --no-run").fails(1).says("--password-from");
    set_up("--context elsewhere --yes")
        .fails(1)
        .says("'elsewhere' does not answer");
    set_up("--days soon").fails(2).says("a number of days");
    script(
        &site,
        "restore-backup.sh",
        "--latest --from local --all --yes",
    )
    .fails(1)
    .says("setup-backup.sh makes it");
    assert_eq!(changes(&site), Vec::<String>::new());

    // All five steps, and a backup at the end.
    site.login();
    let seen = set_up("--yes --run").succeeds();
    let token = secret(&site, "sas-token");
    for signature in sas::signatures(&token) {
        seen.hides(&signature);
    }
    assert!(
        seen.out().contains("/backups/postgresql_backup_"),
        "the log of the backup\n{seen}"
    );
    assert!(token.contains("se=") && token.contains("sp=rcwdl"));
    let before = policies(&site);
    assert_eq!(before.len(), 1);

    assert!(
        seen.out().contains(&format!("/{STORE}/postgresql_backup_")),
        "the log of the one to Azure\n{seen}"
    );

    // Again: nothing changes.
    changes(&site);
    set_up("--yes --no-run").succeeds().says("and stays");
    assert_eq!(changes(&site), Vec::<String>::new());

    // Other tokens, and nothing else; the old ones' policy is gone. What the jobs' volumes name stays there.
    // (On the emulator the policy is not in the token, and one of the same minute would be the same.)
    set_up("--yes --no-run --scoped-tokens --days 364")
        .succeeds()
        .says("revoked");
    let scoped = secret(&site, "sas-token-put");
    assert!(scoped.contains("sp=rcw&"), "no right to delete or list");
    let rotate = script(&site, "setup-backup.sh", "--rotate-sas --yes --days 366");
    on_macos(rotate, &site).succeeds().says("revoked");
    assert_ne!(secret(&site, "sas-token"), token);
    assert_ne!(secret(&site, "sas-token-put"), scoped);
    assert_eq!(secret(&site, "container-name"), STORE);
    let after = policies(&site);
    assert!(after.len() == 1 && after != before, "{before:?} {after:?}");
    let mut changed = changes(&site);
    changed.retain(|change| !change.ends_with(SECRET));
    assert_eq!(changed, Vec::<String>::new());

    site.run("postgresql-backup-to-azure", "azure-1")
        .with_code(0);
    restores(&site);
    by_hand(&site);
    a_new_cluster(&site);
}

/// With the date of macOS: it has -v and no -d, and its options are letters.
fn on_macos(script: Program, site: &Site) -> Program {
    let date = r#"#!/bin/sh
utc= adjustment=
while getopts 'f:I:jnRr:uv:z:' option; do
    case $option in
    u) utc=-u ;;
    v) adjustment=$OPTARG ;;
    *) exit 1 ;;
    esac
done
shift $((OPTIND - 1))
case $adjustment in
'') exec /bin/date $utc "$@" ;;
[+-]*[0-9]d) exec /bin/date $utc -d "${adjustment%d} days" "$@" ;;
*) exit 1 ;;
esac
"#;
    executable(site, "macos/date", date);
    let bin = site.scratch().join("macos");
    script.env(
        "PATH",
        tool::path_with(&[bin, tool::tools().join("kubernetes/bin")]),
    )
}

fn executable(site: &Site, name: &str, text: &str) {
    site.scratch().make(name.rsplit_once('/').unwrap().0);
    let file = site.scratch().write(name, text);
    fs::set_permissions(file, Permissions::from_mode(0o755)).unwrap();
}

fn restores(site: &Site) {
    let restore = |words: &str| script(site, "restore-backup.sh", words);
    let seen = restore("--list").succeeds();
    let list = seen.out();
    assert!(
        list.contains("1  local") && list.contains("2  azure") && list.contains(" min old  whole"),
        "{seen}"
    );

    let from_azure = "--from azure --latest --database jupyterhub --as from_azure";
    changes(site);
    let job = restore(&format!("{from_azure} --dry-run")).succeeds().out();
    assert!(
        job.contains("kind: Job") && job.contains("- from_azure"),
        "{job}"
    );
    assert_eq!(changes(site), Vec::<String>::new());
    restore("--dry-run --latest").fails(2);
    assert!(!site.cluster.databases().contains(&"from_azure".to_owned()));
    restore(&format!("{from_azure} --yes"))
        .succeeds()
        .says("job restore-");
    assert_same(&site.cluster, "jupyterhub", "from_azure");

    // What is there is refused; with --replace its rows come back.
    let local = "--from local --latest --database jupyterhub";
    restore(&format!("{local} --yes")).fails(4);
    site.cluster
        .sql("jupyterhub", "create table made_after_the_backup ()");
    restore(&format!("{local} --replace --yes")).succeeds();
    assert_same(&site.cluster, "jupyterhub", "from_azure");

    // The exit code is that of restore-stream, and of a wrong choice.
    restore("--from local --latest --database nowhere --yes")
        .fails(1)
        .says("the restore failed with exit code 1");
    restore("--from nowhere").fails(2);
    restore("--from local --latest --all")
        .fails(4)
        .says("not confirmed");
}

/// Everything asked, on a terminal.
fn by_hand(site: &Site) {
    let script = tool::workspace().join("k8s/restore-backup.sh");
    let seen = site
        .with(Program::other("script"))
        .args(["-qec", &script.display().to_string(), "/dev/null"])
        .stdin("2\njupyterhub\nby_hand\ny\n")
        .succeeds();
    assert!(
        seen.out().contains("number of the backup:") && seen.out().contains("restored"),
        "{seen}"
    );
    assert_same(&site.cluster, "jupyterhub", "by_hand");
}

/// A cluster is lost: another one, with nothing in it, gets everything from Azure. Both have tokens.
fn a_new_cluster(lost: &Site) {
    let site = Site::new();
    site.login();
    let words = format!(
        "--storage-account {} --container {STORE} --yes --no-run",
        sas::ACCOUNT
    );
    script(&site, "setup-backup.sh", &words).succeeds();
    script(&site, "setup-backup.sh", "--rotate-sas --yes --days 364")
        .succeeds()
        .says("revoked");
    assert_eq!(policies(&site).len(), 2, "the other cluster's stays");

    let restore = tool::workspace().join("k8s/restore-backup.sh");
    let seen = site
        .with(Program::other("script"))
        .args(["-qec", &restore.display().to_string(), "/dev/null"])
        .stdin("1\n\ny\n")
        .succeeds();
    assert!(
        seen.out().contains("restores: everything") && seen.out().contains("restored"),
        "{seen}"
    );
    let roles = |site: &Site| {
        site.cluster.sql(
            "postgres",
            "select rolname, rolsuper from pg_roles order by 1",
        )
    };
    assert_eq!(roles(lost), roles(&site));
    for name in ["shop", "jupyterhub"] {
        let dump = |site: &Site| dump(&site.cluster, name);
        compare::same_text(("lost", &dump(lost)), ("new", &dump(&site)));
    }
}

const EVERYWHERE: [&str; 13] = [
    "awk", "sort", "basename", "base64", "bash", "cat", "date", "dirname", "grep", "mktemp", "rm",
    "sed", "tr",
];

#[test]
fn what_is_missing_is_named() {
    let site = Site::new();
    let tools = tool::tools().join("kubernetes/bin");
    // A PATH with what every machine has, and these.
    let only = |programs: &[&str]| {
        let bin = site.scratch().make(format!("only-{}", programs.concat()));
        let everywhere = EVERYWHERE.map(|name| Path::new("/usr/bin").join(name));
        for program in programs
            .iter()
            .map(|name| tools.join(name))
            .chain(everywhere)
        {
            let link = bin.join(program.file_name().unwrap());
            if !link.exists() {
                symlink(&program, link).unwrap();
            }
        }
        bin
    };
    let set_up = |words: &str| script(&site, "setup-backup.sh", words);
    let not_connected = |words: &str| set_up(words).without_env("AZURE_STORAGE_CONNECTION_STRING");

    for name in ["setup-backup.sh", "restore-backup.sh"] {
        script(&site, name, "--yes")
            .env("PATH", only(&[]))
            .fails(1)
            .says("'kubectl' is not installed");
        script(&site, name, "--yes")
            .env("KUBECONFIG", "/nonexistent")
            .fails(1)
            .says("no current context")
            .says("hint: kubectl config use-context");
        script(&site, name, "--nonsense").fails(2).says("hint: ");
        script(&site, name, "--context")
            .fails(2)
            .says("needs a value");
    }
    set_up("--yes")
        .env("PATH", only(&["kubectl"]))
        .fails(1)
        .says("'az' is not installed");
    set_up("--yes --overlay staging")
        .fails(2)
        .says("no overlay 'staging'");
    set_up("--yes --password-from postgres")
        .fails(2)
        .says("SECRET/KEY");
    set_up("--yes --storage-account primaryst01")
        .fails(2)
        .says("is for the account 'devstoreaccount1'");
    not_connected("--yes").fails(1).says("hint: az login");
    set_up("--yes --no-run --password-from postgresql-secret/postgres-password")
        .fails(1)
        .says("no key 'postgres-password'");
    let path = format!("/api/v1/namespaces/{NAMESPACE}");
    site.shared.change(|state| state.objects.remove(&path));
    set_up("--yes").fails(1).says("no namespace 'database'");
    assert_eq!(changes(&site), Vec::<String>::new());
}

#[test]
fn a_job_that_does_not_run_is_no_success() {
    let site = Site::set_up();
    let list = |status: Value| {
        site.shared.lock().trouble = Some(status);
        script(&site, "restore-backup.sh", "--list").env("START_SECONDS", "1")
    };
    let waiting = json!({"reason": "ImagePullBackOff", "message": "Back-off pulling image"});
    list(json!({"phase": "Pending", "containerStatuses": [{"state": {"waiting": waiting}}]}))
        .fails(1)
        .says("did not start within 1 s: ImagePullBackOff: Back-off pulling image");
    let unschedulable = json!({"type": "PodScheduled", "status": "False", "reason": "Unschedulable",
        "message": "0/3 nodes are available"});
    list(json!({"phase": "Pending", "conditions": [unschedulable]}))
        .fails(1)
        .says("0/3 nodes are available");
    // An evicted pod has no exit code, and its log is gone.
    list(json!({"phase": "Failed", "reason": "Evicted", "message": "The node was low on memory."}))
        .fails(1)
        .says("was ended: Evicted The node was low on memory.");
}

fn assert_same(cluster: &Cluster, one: &str, other: &str) {
    let (left, right) = (dump(cluster, one), dump(cluster, other));
    compare::same_text((one, &left), (other, &right));
}

fn dump(cluster: &Cluster, database: &str) -> Vec<u8> {
    let words = ["--restrict-key", RESTRICT_KEY, "--dbname", database];
    let dumped = cluster.command("pg_dump").args(words).output().unwrap();
    assert!(
        dumped.status.success(),
        "pg_dump {database}: {}",
        String::from_utf8_lossy(&dumped.stderr)
    );
    dumped.stdout
}
