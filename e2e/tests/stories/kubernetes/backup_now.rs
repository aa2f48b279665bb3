//! backup-now.sh: with the real kubectl, and Jobs that end as the test says; then whole, and what it kept is restored.

use e2e::{Program, Seen, backup, sample, tool};
use serde_json::{Value, json};

use super::pod::text;
use super::site::{NAMESPACE, Site};
use super::stage::{Stage, ended, log, put_pod, unschedulable};

fn script(name: &str) -> Program {
    Program::other(tool::workspace().join("k8s").join(name))
}

/// A cluster on which the Job of each kind ends so.
fn stage(local: Value, azure: Value) -> Stage {
    Stage::new(Some("primary"), move |shared, object| {
        if object["kind"] == "Job" {
            let job = text(&object["metadata"]["name"]);
            let status = match job.contains("to-azure") {
                true => &azure,
                false => &local,
            };
            put_pod(shared, job, status);
            log(shared, job, &format!("log of {job}\n"));
        }
    })
}

/// The Jobs that were made: what the shell of each runs, its options and its arguments.
fn jobs(stage: &Stage) -> Vec<Value> {
    let prefix = format!("/apis/batch/v1/namespaces/{NAMESPACE}/jobs/");
    let state = stage.shared.lock();
    let jobs = state.objects.iter();
    jobs.filter(|(path, _)| path.starts_with(&prefix))
        .map(|(_, job)| job["spec"].clone())
        .collect()
}

fn run(stage: &Stage, words: &str) -> Seen {
    stage
        .with(script("backup-now.sh"))
        .args(words.split_whitespace())
        .env("START_SECONDS", "1")
        .run()
}

#[test]
fn it_ends_as_its_jobs_end() {
    for (words, local, azure, code, count, says) in [
        ("", ended(0), ended(0), 0, 2, "made and verified"),
        ("--to local", ended(0), ended(1), 0, 1, "made and verified"),
        ("--to azure", ended(1), ended(0), 0, 1, "made and verified"),
        (
            "",
            ended(4),
            ended(0),
            4,
            2,
            "a backup failed: postgresql-backup with exit code 4\n",
        ),
        (
            "--keep x",
            ended(1),
            ended(3),
            3,
            2,
            "postgresql-backup with exit code 1, postgresql-backup-to-azure with exit code 3\n",
        ),
        ("--to azure", ended(0), ended(3), 3, 1, "with exit code 3\n"),
        (
            "--to local",
            ended(137),
            ended(0),
            137,
            1,
            "with exit code 137\n",
        ),
        (
            "",
            unschedulable(),
            ended(0),
            1,
            2,
            "did not start within 1 s: 0/3 nodes are available",
        ),
    ] {
        let stage = stage(local, azure);
        let seen = run(&stage, words);
        assert_eq!(seen.code(), Some(code), "{words}\n{seen}");
        seen.says(says);
        assert_eq!(jobs(&stage).len(), count, "{seen}");
        if code != 0 {
            seen.hides("made and verified");
        }
    }
}

#[test]
fn what_is_wrong_is_said_before_anything_is_made() {
    let stage = stage(ended(0), ended(0));
    for (words, code, says) in [
        ("--to nowhere", 2, "--to is local, azure or both"),
        ("--to", 2, "--to needs a value"),
        ("--keep ../x", 2, "--keep needs a name of letters"),
        ("--keep -x", 2, "--keep needs a name of letters"),
        ("--keep wal", 2, "the WAL archive is there"),
        ("--nonsense", 2, "hint: backup-now.sh --help"),
        ("--context elsewhere", 1, "'elsewhere' does not answer"),
    ] {
        let seen = run(&stage, words);
        assert_eq!(seen.code(), Some(code), "{words}\n{seen}");
        seen.says(says);
    }
    let fleet =
        format!("/apis/batch/v1/namespaces/{NAMESPACE}/cronjobs/postgresql-backup-to-azure");
    stage.shared.change(|state| {
        let cronjob = state.objects.get_mut(&fleet).expect("the CronJob");
        cronjob["spec"]["jobTemplate"]["spec"]["completionMode"] = json!("Indexed");
    });
    run(&stage, "--to azure").says("backs up a fleet");
    stage.shared.change(|state| state.objects.remove(&fleet));
    let seen = run(&stage, "");
    assert_eq!(seen.code(), Some(1), "{seen}");
    seen.says("'postgresql-backup-to-azure' is not in namespace")
        .says("hint: setup-backup.sh makes it");
    assert_eq!(jobs(&stage), Vec::<Value>::new());
}

#[test]
fn a_dry_run_prints_the_jobs() {
    let stage = stage(ended(0), ended(0));
    let seen = run(&stage, "--keep before-16 --dry-run");
    assert_eq!(seen.code(), Some(0), "{seen}");
    assert_eq!(seen.out().matches("kind: Job\n").count(), 2, "{seen}");
    assert_eq!(seen.out().matches("- before-16\n").count(), 2, "{seen}");
    assert!(!seen.out().contains("blob-prune"), "{seen}");
    assert_eq!(jobs(&stage), Vec::<Value>::new());
}

#[test]
fn what_is_kept_outlives_the_pruning_and_is_restored() {
    let site = Site::set_up();
    sample::company(&site.cluster);
    let now = |words: &str| {
        site.with(script("backup-now.sh"))
            .args(words.split_whitespace())
    };
    let seen = now("--keep before-16").succeeds();
    seen.says("made and verified");
    assert_eq!(seen.out().matches("ok       backup").count(), 2, "{seen}");
    let kept = site.backups().join("before-16");
    assert_eq!(backup::names(&kept).len(), 1);
    assert_eq!(backup::names(site.backups()), Vec::<String>::new());
    let blobs = site.container.names();
    assert_eq!(blobs.len(), 1, "{blobs:?}");
    assert!(blobs[0].starts_with("before-16/postgresql_backup_"));

    // Nights pass; nothing of it is seen by what prunes.
    let seen = now("").succeeds();
    assert_eq!(seen.out().matches("ok       backup").count(), 2, "{seen}");
    for (cronjob, job) in [
        ("postgresql-backup", "night"),
        ("postgresql-backup-prune-azure", "prune"),
    ] {
        site.run(cronjob, job).with_code(0);
    }
    assert_eq!(backup::names(&kept).len(), 1);
    assert!(site.container.names().contains(&blobs[0]));

    let restore = |words: &str| {
        site.with(script("restore-backup.sh"))
            .args(words.split_whitespace())
    };
    let list = restore("--list --in before-16").succeeds();
    assert_eq!(
        list.out().matches("postgresql_backup_").count(),
        2,
        "{list}"
    );
    for from in ["local", "azure"] {
        restore(&format!(
            "--in before-16 --from {from} --latest --database jupyterhub --as {from}_kept --yes"
        ))
        .succeeds();
        assert!(site.cluster.databases().contains(&format!("{from}_kept")));
    }

    // A dump that fails is no backup: its exit code is the script's.
    site.cluster
        .sql("postgres", "alter role backup_login nosuperuser");
    let seen = now("--keep failed").run();
    assert_ne!(seen.code(), Some(0), "{seen}");
    seen.says("a backup failed: postgresql-backup with exit code 1, postgresql-backup-to-azure with exit code 3");
    assert!(backup::names(site.backups().join("failed")).is_empty());
    let blobs = site.container.names();
    assert!(
        !blobs.iter().any(|name| name.starts_with("failed/")),
        "{blobs:?}"
    );
}
