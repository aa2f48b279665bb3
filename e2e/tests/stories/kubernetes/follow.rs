//! The lines with which the pages start a Job and follow it, as they stand there: on an API where its pod is late,
//! ends at once, or never starts.

use std::fs;

use e2e::{Program, tool};
use serde_json::json;

use super::documents::block;
use super::pod::text;
use super::site::{CONTAINER_ID, NAMESPACE};
use super::stage::{Stage, ended, log, put_pod, unschedulable};

/// The three places: what a person copies from each.
fn recipes() -> Vec<String> {
    let page = fs::read_to_string(tool::workspace().join("docs/runbook.md")).expect("the runbook");
    let places = [
        "### Without this repository",
        "## The monthly restore test",
        "## Cannot reach the backups",
    ];
    places.map(|place| block(&page, place, "sh")).to_vec()
}

/// A cluster with the CronJobs, and a person who has typed `lines`.
fn typed(stage: &Stage, lines: &str) -> Program {
    // What else stands in the block is no part of it.
    let from = lines.find("job=").expect("job=…");
    stage
        .with(Program::other("bash"))
        .args(["-c", &lines[from..]])
}

/// Waits until a collection is watched for the first time.
fn until_watched(stage: &Stage, plural: &str) {
    stage.shared.wait("a watch", |state| {
        let mut watched = state.watched.iter();
        watched.any(|path| path.ends_with(plural)).then_some(())
    });
}

/// The name of the Job that was made.
fn job_of(stage: &Stage) -> String {
    let prefix = format!("/apis/batch/v1/namespaces/{NAMESPACE}/jobs/");
    stage.shared.wait("a job", |state| {
        let mut jobs = state.objects.iter();
        let (_, job) = jobs.find(|(path, _)| path.starts_with(&prefix))?;
        Some(text(&job["metadata"]["name"]).to_owned())
    })
}

#[test]
fn a_pod_that_is_late_is_waited_for() {
    for lines in recipes() {
        let stage = Stage::new(Some("primary"), |_, _| {});
        let running = typed(&stage, &lines).spawn();
        let job = job_of(&stage);
        // No pod yet, then one whose image is pulled, then one that runs.
        until_watched(&stage, "/jobs");
        let creating = json!({"phase": "Pending", "containerStatuses": [{"name": "backup",
            "state": {"waiting": {"reason": "ContainerCreating"}}}]});
        put_pod(&stage.shared, &job, &creating);
        until_watched(&stage, "/pods");
        let runs = json!({"phase": "Running", "containerStatuses": [{"name": "backup",
            "containerID": CONTAINER_ID, "state": {"running": {}}}]});
        log(&stage.shared, &job, "the log\n");
        put_pod(&stage.shared, &job, &runs);
        put_pod(&stage.shared, &job, &ended(0));
        let seen = running.wait();
        assert_eq!(seen.code(), Some(0), "{seen}");
        assert!(seen.out().ends_with("the log"), "{lines}\n{seen}");
    }
}

#[test]
fn one_that_has_ended_before_anybody_looked_is_no_wait() {
    for code in [0, 1] {
        for lines in recipes() {
            let stage = Stage::new(Some("primary"), move |shared, object| {
                if object["kind"] == "Job" {
                    let job = text(&object["metadata"]["name"]);
                    put_pod(shared, job, &ended(code));
                    log(shared, job, "quick\n");
                }
            });
            let seen = typed(&stage, &lines).succeeds();
            assert!(seen.out().ends_with("quick"), "{lines}\n{seen}");
        }
    }
}

#[test]
fn one_that_cannot_start_is_given_up() {
    for lines in recipes() {
        let stage = Stage::new(Some("primary"), |shared, object| {
            if object["kind"] == "Job" {
                put_pod(shared, text(&object["metadata"]["name"]), &unschedulable());
            }
        });
        let soon = lines.replace("--timeout=5m", "--timeout=1s");
        assert_ne!(soon, lines, "it is bounded");
        typed(&stage, &soon)
            .fails(1)
            .says("timed out waiting for the condition on pods/");
    }
}

/// Without the waits kubectl ends at once: this API refuses a log as the kubelet does.
#[test]
fn a_log_of_a_pod_that_has_not_started_is_refused() {
    let stage = Stage::new(Some("primary"), |shared, object| {
        if object["kind"] == "Job" {
            put_pod(shared, text(&object["metadata"]["name"]), &unschedulable());
        }
    });
    let lines = "job=x; kubectl create job --from=cronjob/postgresql-backup $job -n database && \
        kubectl logs -n database -f job/$job";
    typed(&stage, lines).fails(1).says("ContainerCreating");
}
