//! setup-backup.sh where something goes wrong: with the real kubectl, an az that answers as the test says, and Jobs that
//! end as the test says.

use std::fs;
use std::path::Path;

use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use e2e::{Program, Seen, tool};
use serde_json::Value;

use super::api::Shared;
use super::pod::text;
use super::site::NAMESPACE;
use super::stage::{Stage, ended, log, put_pod, unschedulable};

/// az: makes a token, and lists the container as the script `list` says. What setup-backup.sh has said so far is kept
/// before each listing.
const AZ: &str = r#"#!/bin/sh
case "$*" in
*generate-sas*) echo 'se=2099-01-01T00:00Z&sp=rcwdl&sig=SIGNATURE' ;;
*'blob list'*)
    count=$(($(cat SCRATCH/count 2>/dev/null) + 1))
    echo "$count" >SCRATCH/count
    cp SCRATCH/said "SCRATCH/said-before-$count"
    . SCRATCH/list
    ;;
esac
"#;

const REFUSED: &str = "ERROR: 403 AuthenticationFailed, of sig=SIGNATURE&se=1";

/// setup-backup.sh; its standard error goes into the file `said`.
fn set_up(stage: &Stage, words: &str) -> Program {
    set_up_of(stage, &tool::workspace().join("k8s"), words)
}

/// The same, of a copy of k8s/.
fn set_up_of(stage: &Stage, k8s: &Path, words: &str) -> Program {
    let script = k8s.join("setup-backup.sh");
    let line = format!("exec {} {words} 2>said", script.display());
    stage
        .with(Program::other("sh"))
        .args(["-c", &line])
        .in_dir(stage.scratch.path())
}

fn said(stage: &Stage) -> String {
    fs::read_to_string(stage.scratch.join("said")).expect("what it said")
}

/// A cluster with its password, and an az that lists the container so.
fn stage_with(list: &str, made: impl Fn(&Shared, &Value) + Send + Sync + 'static) -> Stage {
    let stage = Stage::new(None, made);
    stage.secret("postgresql-backup-login", &[("password", "x")]);
    let scratch = stage.scratch.path().display().to_string();
    stage.scratch.write(
        "list",
        list.replace("REFUSED", REFUSED)
            .replace("SCRATCH", &scratch),
    );
    stage.program("az", &AZ.replace("SCRATCH", &scratch));
    stage
}

/// What was changed about the secret of the token.
fn changes_of_the_secret(stage: &Stage) -> Vec<String> {
    let state = stage.shared.lock();
    let changes = state.changes.iter();
    changes
        .filter(|change| change.ends_with("azure-secret"))
        .cloned()
        .collect()
}

#[test]
fn a_refused_token_is_said_at_once() {
    let stage = stage_with("echo 'REFUSED' >&2; exit 3", |_, _| {});
    set_up(&stage, "--yes --no-run")
        .env("TOKEN_SECONDS", "12")
        .fails(1);
    let said = said(&stage);
    assert!(
        said.contains("the new token was refused for 12 s"),
        "{said}"
    );
    assert!(said.contains("the secret was not changed"), "{said}");
    assert!(!said.contains("SIGNATURE"), "{said}");
    assert_eq!(
        said.matches("403 AuthenticationFailed").count(),
        1,
        "{said}"
    );
    // It was said before it was tried again.
    let before = fs::read_to_string(stage.scratch.join("said-before-2")).expect("a second try");
    assert!(
        before.contains("the new token is refused: ERROR: 403 AuthenticationFailed"),
        "{before}"
    );
    assert_eq!(changes_of_the_secret(&stage), Vec::<String>::new());
    // Every two seconds, and no longer than that.
    let count = fs::read_to_string(stage.scratch.join("count")).expect("a number");
    assert!(
        count.trim().parse::<u32>().expect("a number") <= 6,
        "{count}"
    );
}

#[test]
fn an_az_without_an_answer_is_ended() {
    // As az does it: a shell script starts python, which tries again for a long time.
    let stage = stage_with("sleep 1000 & echo $! >SCRATCH/python; wait", |_, _| {});
    set_up(&stage, "--yes --no-run")
        .env("TOKEN_SECONDS", "3")
        .fails(1);
    let said = said(&stage);
    assert!(
        said.contains("az had no answer from the service within"),
        "{said}"
    );
    assert!(said.contains("the new token was refused for 3 s"), "{said}");
    let python = fs::read_to_string(stage.scratch.join("python")).expect("a number");
    let process = format!("/proc/{}/comm", python.trim());
    e2e::wait_for("the end of what az started", || {
        fs::read_to_string(&process).map_or(Some(()), |name| (name.trim() != "sleep").then_some(()))
    });
    assert_eq!(changes_of_the_secret(&stage), Vec::<String>::new());
}

#[test]
fn a_token_that_holds_later_is_taken() {
    // A refusal, the same again, another one, and then it holds.
    let list = "case $count in 1 | 2) echo 'REFUSED' >&2; exit 3 ;; 3) echo 'ERROR: ServerBusy' >&2; exit 1 ;; esac";
    let stage = stage_with(list, |_, _| {});
    set_up(&stage, "--yes --no-run").succeeds();
    let said = said(&stage);
    assert_eq!(
        said.matches("the new token is refused: ").count(),
        2,
        "{said}"
    );
    assert_eq!(
        said.matches("403 AuthenticationFailed").count(),
        1,
        "{said}"
    );
    assert_eq!(changes_of_the_secret(&stage).len(), 1);
}

/// setup-backup.sh --run, where the Job of each kind ends so; its exit code is `code`.
fn runs(local: Value, azure: Value, code: i32) -> (Seen, String) {
    let stage = stage_with("", move |shared, object| {
        if object["kind"] == "Job" {
            let job = text(&object["metadata"]["name"]);
            let status = if job.contains("to-azure") {
                &azure
            } else {
                &local
            };
            put_pod(shared, job, status);
            log(shared, job, &format!("log of {job}\n"));
        }
    });
    // A token that stays.
    stage.secret(
        "postgresql-backup-azure-secret",
        &[
            ("storage-account", "primaryst01"),
            ("container-name", "postgresql-backups"),
            ("sas-token", "se=2099-01-01T00:00Z&sig=x"),
        ],
    );
    let seen = set_up(&stage, "--yes --run")
        .env("START_SECONDS", "1")
        .run();
    let said = said(&stage);
    assert_eq!(seen.code(), Some(code), "{seen}{said}");
    let jobs = format!("/apis/batch/v1/namespaces/{NAMESPACE}/jobs/manual-backup-");
    let state = stage.shared.lock();
    let made: Vec<_> = state
        .objects
        .keys()
        .filter(|path| path.starts_with(&jobs))
        .collect();
    assert_eq!(made.len(), 2, "{made:?}\n{seen}{said}");
    drop(state);
    (seen, said)
}

#[test]
fn a_backup_that_fails_does_not_keep_the_other_from_being_made() {
    // Local, Azure, the exit code, what is said at the end.
    for (local, azure, code, failed) in [
        (3, 0, 3, "postgresql-backup with exit code 3"),
        (
            1,
            3,
            3,
            "postgresql-backup with exit code 1, postgresql-backup-to-azure with exit code 3",
        ),
        (
            4,
            1,
            4,
            "postgresql-backup with exit code 4, postgresql-backup-to-azure with exit code 1",
        ),
        (0, 2, 2, "postgresql-backup-to-azure with exit code 2"),
    ] {
        let (seen, said) = runs(ended(local), ended(azure), code);
        assert!(
            said.contains(&format!("a backup failed: {failed}\n")),
            "{said}"
        );
        assert_eq!(
            seen.out().matches("log of manual-backup-").count(),
            2,
            "{seen}"
        );
    }
    // One that cannot start.
    let (seen, said) = runs(unschedulable(), ended(0), 1);
    assert!(
        said.contains("did not start within 1 s: 0/3 nodes are available"),
        "{said}"
    );
    assert!(
        said.contains("a backup failed: postgresql-backup with exit code 1\n"),
        "{said}"
    );
    assert!(
        seen.out().contains("log of manual-backup-to-azure"),
        "{seen}"
    );
}

/// On a cluster with the overlay `local`, the second run finds nothing to change: nor does the server's own filling in.
#[test]
fn the_overlay_local_is_not_changed_by_a_second_run() {
    let stage = stage_with("", |_, _| {});
    let run = || {
        let connection = "AccountName=devstoreaccount1;AccountKey=eA==;BlobEndpoint=http://127.0.0.1:1/devstoreaccount1;";
        set_up(&stage, "--overlay local --yes --no-run")
            .env("AZURE_STORAGE_CONNECTION_STRING", connection)
            .succeeds()
    };
    run();
    let first = std::mem::take(&mut stage.shared.lock().changes);
    assert!(
        first.iter().any(|change| change.contains("/statefulsets/")),
        "{first:?}"
    );
    let seen = run();
    let second = std::mem::take(&mut stage.shared.lock().changes);
    assert_eq!(second, Vec::<String>::new(), "{seen}");
    assert!(!seen.out().contains("configured"), "{seen}");
}

/// Archiving WAL has a token of its own, and what restarts PostgreSQL is left to a person.
#[test]
fn a_token_for_the_wal_is_made_and_what_remains_is_said() {
    let stage = stage_with("", |_, _| {});
    set_up(&stage, "--yes --no-run --pitr").fails(2);
    let hint = said(&stage);
    assert!(hint.contains("hint: add the component pitr to "), "{hint}");

    // An overlay with the component.
    Program::other("cp")
        .arg("-r")
        .args([tool::workspace().join("k8s"), stage.scratch.join("k8s")])
        .succeeds();
    let overlay = "k8s/overlays/primary/kustomization.yaml";
    let lines = fs::read_to_string(stage.scratch.join(overlay)).unwrap();
    let with = lines.replace("# - ../../components/pitr", "- ../../components/pitr");
    assert_ne!(lines, with);
    stage.scratch.write(overlay, with);
    // The token says which permissions were asked for.
    let az = AZ.replace("SCRATCH", &stage.scratch.path().display().to_string());
    let az = az.replace(
        "echo 'se=2099-01-01T00:00Z&sp=rcwdl&sig=SIGNATURE'",
        "all=$*; sp=${all#*--permissions }; echo \"se=2099-01-01T00%3A00Z&sp=${sp%% *}&sig=SIGNATURE\"",
    );
    stage.program("az", &az);
    let k8s = stage.scratch.join("k8s");
    set_up_of(&stage, &k8s, "--yes --no-run").succeeds();
    let told = said(&stage);
    for words in [
        "patch statefulset postgresql-primary",
        "image: primaryacr01.azurecr.io/postgresql-backup:",
        "host replication postgres all scram-sha-256",
        "--from=cronjob/postgresql-backup-base",
    ] {
        assert!(told.contains(words), "{words}: {told}");
    }
    let token = || {
        let state = stage.shared.lock();
        let path = format!("/api/v1/namespaces/{NAMESPACE}/secrets/postgresql-backup-azure-secret");
        text(&state.objects[&path]["data"]["sas-token-wal"]).to_owned()
    };
    let token = String::from_utf8(BASE64.decode(token()).unwrap()).unwrap();
    assert!(token.contains("&sp=rcw&"), "{token}");
    // It stays.
    let before = changes_of_the_secret(&stage).len();
    set_up_of(&stage, &k8s, "--yes --no-run --pitr").succeeds();
    assert_eq!(
        changes_of_the_secret(&stage).len(),
        before,
        "{}",
        said(&stage)
    );
}
