//! setup-backup.sh and restore-backup.sh, whole: with the real azure-cli on Azurite, and the real kubectl on
//! an API that runs what it is given.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;

use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use e2e::postgres::RESTRICT_KEY;
use e2e::{Azurite, Cluster, Program, compare, sample, sas, tool};
use serde_json::Value;

use crate::pod::text;
use crate::site::{NAMESPACE, Site};

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
    as_on_macos(set_up("--dry-run --days 10"), &site);
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

    // Again: nothing changes.
    changes(&site);
    set_up("--yes --no-run").succeeds().says("and stays");
    assert_eq!(changes(&site), Vec::<String>::new());

    // Another token, and nothing else; the old one's policy is gone.
    // (On the emulator the policy is not in the token, and one of the same minute would be the same.)
    script(&site, "setup-backup.sh", "--rotate-sas --yes --days 366")
        .succeeds()
        .says("revoked");
    assert_ne!(secret(&site, "sas-token"), token);
    assert_eq!(secret(&site, "container-name"), STORE);
    let after = policies(&site);
    assert!(after.len() == 1 && after != before, "{before:?} {after:?}");
    assert!(changes(&site).iter().all(|change| change.ends_with(SECRET)));

    site.run("postgresql-backup-to-azure", "azure-1")
        .with_code(0);
    restores(&site);
    by_hand(&site);
}

/// The moment at which a token expires is computed with the date of macOS too, which has -v and not -d.
fn as_on_macos(set_up: Program, site: &Site) {
    let date = "#!/bin/sh
case $* in
*-d*) exit 1 ;;
'-u -v '*) days=${3%d}; exec /bin/date -u -d \"$days days\" \"$4\" ;;
*) exec /bin/date \"$@\" ;;
esac
";
    let bin = site.scratch().make("macos");
    let file = site.scratch().write("macos/date", date);
    fs::set_permissions(file, Permissions::from_mode(0o755)).unwrap();
    let path = tool::path_with(&[bin, tool::tools().join("kubernetes/bin")]);
    let seen = set_up.env("PATH", path).succeeds();
    let then = chrono::Utc::now() + chrono::TimeDelta::days(10);
    seen.says(&then.format("valid until %Y-%m-%dT").to_string());
}

fn restores(site: &Site) {
    let restore = |words: &str| script(site, "restore-backup.sh", words);
    let seen = restore("--list").succeeds();
    let list = seen.out();
    assert!(
        list.contains("1  local") && list.contains("2  azure") && list.contains(" UTC  0 h old"),
        "{seen}"
    );

    let from_azure = "--from azure --latest --database jupyterhub --as from_azure";
    restore(&format!("{from_azure} --dry-run")).succeeds();
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

fn assert_same(cluster: &Cluster, one: &str, other: &str) {
    let dump = |database: &str| {
        let words = ["--restrict-key", RESTRICT_KEY, "--dbname", database];
        let dumped = cluster.command("pg_dump").args(words).output().unwrap();
        assert!(
            dumped.status.success(),
            "pg_dump {database}: {}",
            String::from_utf8_lossy(&dumped.stderr)
        );
        dumped.stdout
    };
    compare::same_text((one, &dump(one)), (other, &dump(other)));
}
