//! A cluster on which nothing runs: the API for the real kubectl, and Jobs that end as the test says. What is
//! tried here is what kubectl, az and our scripts do around the Jobs, so it needs no image.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use e2e::{Program, Scratch, tool};
use serde_json::{Value, json};

use super::api::{Shared, path_of, serve};
use super::manifests::{objects, render};
use super::pod::text;
use super::site::{CONTAINER_ID, NAMESPACE, kubeconfig};

pub(crate) struct Stage {
    pub(crate) shared: Arc<Shared>,
    pub(crate) scratch: Scratch,
    kubeconfig: PathBuf,
}

impl Stage {
    /// A namespace with an overlay's objects in it, or with none. `made` is told of each object that is made.
    pub(crate) fn new(
        overlay: Option<&str>,
        made: impl Fn(&Shared, &Value) + Send + Sync + 'static,
    ) -> Self {
        let shared = Arc::new(Shared::default());
        let namespace = json!({"kind": "Namespace", "apiVersion": "v1",
            "metadata": {"name": NAMESPACE, "uid": "5bd1ae2c-0000"}});
        let there = overlay.map_or_else(Vec::new, |overlay| objects(&render(overlay, &[])));
        shared.change(|state| {
            for object in there.iter().chain([&namespace]) {
                state.objects.insert(path_of(object), object.clone());
            }
        });
        let runner = Arc::clone(&shared);
        let address = serve(&shared, move |object| made(&runner, object));
        let scratch = Scratch::new();
        let kubeconfig = kubeconfig(&scratch, &address);
        let stage = Self {
            shared,
            scratch,
            kubeconfig,
        };
        two_step_kubectl(&stage.scratch);
        stage
    }

    /// Puts a program of its own before the others in the PATH.
    pub(crate) fn program(&self, name: &str, script: &str) {
        executable(&self.scratch, name, script);
    }

    pub(crate) fn secret(&self, name: &str, values: &[(&str, &str)]) {
        let mut secret = json!({"kind": "Secret", "apiVersion": "v1",
            "metadata": {"name": name, "namespace": NAMESPACE}});
        for (key, value) in values {
            secret["data"][*key] = json!(BASE64.encode(value));
        }
        let path = path_of(&secret);
        self.shared
            .change(|state| state.objects.insert(path, secret));
    }

    /// A program that finds this cluster.
    pub(crate) fn with(&self, program: Program) -> Program {
        let bin = [
            self.scratch.join("bin"),
            tool::tools().join("kubernetes/bin"),
        ];
        program
            .env("KUBECONFIG", &self.kubeconfig)
            .env("HOME", self.scratch.path())
            .env("PATH", tool::path_with(&bin))
    }
}

/// Puts a program into the directory `bin`, and gives that.
fn executable(scratch: &Scratch, name: &str, script: &str) -> PathBuf {
    let bin = scratch.make("bin");
    let file = scratch.write(format!("bin/{name}"), script);
    fs::set_permissions(file, Permissions::from_mode(0o755)).expect("chmod");
    bin
}

/// The directory of a kubectl that makes a Job in two steps: in one it would speak protobuf, which this API does not.
pub(crate) fn two_step_kubectl(scratch: &Scratch) -> PathBuf {
    let script = r#"#!/bin/sh
case "$1 $2" in
'create job') REAL "$@" --dry-run=client --output json | exec REAL create --filename - ;;
*) exec REAL "$@" ;;
esac
"#;
    let real = tool::tools().join("kubernetes/bin/kubectl");
    let script = script.replace("REAL", &real.display().to_string());
    executable(scratch, "kubectl", &script)
}

/// What becomes of a Job's pod, as the Job controller and the kubelet write it down.
pub(crate) fn put_pod(shared: &Shared, job: &str, status: &Value) {
    let path = format!("/api/v1/namespaces/{NAMESPACE}/pods/{job}-pod");
    let pod = json!({"kind": "Pod", "apiVersion": "v1", "status": status,
        "spec": {"containers": [{"name": "backup"}]},
        "metadata": {"name": format!("{job}-pod"), "namespace": NAMESPACE, "labels": {"job-name": job},
            "creationTimestamp": "2025-11-23T02:00:00Z"}});
    let job = format!("/apis/batch/v1/namespaces/{NAMESPACE}/jobs/{job}");
    shared.change(|state| {
        state.objects.insert(path, pod);
        // The controller writes it in one step with the making of the pod.
        let job = state.objects.get_mut(&job).expect("the job");
        let name = text(&job["metadata"]["name"]).to_owned();
        job["spec"]["selector"] = json!({"matchLabels": {"job-name": name}});
        job["status"]["startTime"] = json!("2025-11-23T02:00:00Z");
    });
}

/// The status of a pod that has ended.
pub(crate) fn ended(code: i32) -> Value {
    let phase = if code == 0 { "Succeeded" } else { "Failed" };
    json!({"phase": phase, "containerStatuses": [{"name": "backup", "containerID": CONTAINER_ID,
        "state": {"terminated": {"exitCode": code}}}]})
}

/// The status of a pod for which no node has room.
pub(crate) fn unschedulable() -> Value {
    json!({"phase": "Pending", "conditions": [{"type": "PodScheduled", "status": "False",
        "reason": "Unschedulable", "message": "0/3 nodes are available"}]})
}

/// What the container of a Job's pod writes.
pub(crate) fn log(shared: &Shared, job: &str, text: &str) {
    let pod = format!("{job}-pod");
    shared.change(|state| state.logs.insert(pod, text.as_bytes().to_vec()));
}
