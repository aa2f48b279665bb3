//! `restore-backup.sh --at`: what it stops, makes, changes and starts, in which order, and what it leaves when its Jobs
//! fail.

use e2e::{Program, Scratch, Seen, tool};
use serde_json::{Value, json};

use super::api::{Shared, path_of};
use super::manifests::{objects, render};
use super::pod::{list, text};
use super::site::NAMESPACE;
use super::stage::{Stage, ended, log, put_pod};

pub(crate) const STATEFULSET: &str = "postgresql-primary";

pub(crate) fn path(kind: &str, name: &str) -> String {
    path_of(&json!({"kind": kind, "metadata": {"name": name, "namespace": NAMESPACE}}))
}

/// PostgreSQL as the overlay `local` has it: a StatefulSet, and the claim that its template names.
pub(crate) fn postgresql() -> Vec<Value> {
    let objects = objects(&render("local", &["pitr"])).into_iter();
    let ours = |object: &Value| {
        object["kind"] == "StatefulSet" || object["metadata"]["name"] == "postgresql-data"
    };
    objects.filter(ours).collect()
}

/// One as charts have it: the claim by a template, in a directory of it, seen by a sidecar too; a user of its own, and
/// nodes that it needs.
fn of_a_chart() -> Vec<Value> {
    let mut objects = postgresql();
    for object in &mut objects {
        if object["kind"] == "PersistentVolumeClaim" {
            object["metadata"]["name"] = json!("data-postgresql-primary-0");
            object["spec"]["storageClassName"] = json!("managed-csi");
            continue;
        }
        let spec = &mut object["spec"]["template"]["spec"];
        let volumes = spec["volumes"].as_array_mut().unwrap();
        volumes.retain(|volume| volume["name"] != "data");
        spec["securityContext"] = json!({"runAsUser": 1001, "fsGroup": 1001});
        spec["nodeSelector"] = json!({"disk": "fast"});
        spec["tolerations"] = json!([{"key": "database", "operator": "Exists"}]);
        spec["affinity"] = json!({"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution":
            {"nodeSelectorTerms": [{"matchExpressions": [{"key": "zone", "operator": "In", "values": ["1"]}]}]}}});
        let server = &mut spec["containers"][0];
        for mount in server["volumeMounts"].as_array_mut().unwrap() {
            if mount["name"] == "data" {
                mount["subPath"] = json!("sub");
            }
        }
        let exporter = json!({"name": "exporter", "image": "exporter", "volumeMounts":
            [{"name": "data", "mountPath": "/look", "readOnly": true}]});
        spec["containers"]
            .as_array_mut()
            .unwrap()
            .insert(0, exporter);
        object["spec"]["volumeClaimTemplates"] = json!([{"metadata": {"name": "data"}, "spec": {"resources": {"requests": {"storage": "9Gi"}}}}]);
    }
    objects
}

/// A namespace with it, whose Jobs end with these codes: the first that fills a claim or restores, and the one that waits.
fn stage(postgresql: &[Value], recovers: i32, awaits: i32) -> Stage {
    let stage = Stage::new(Some("primary"), move |shared, object| {
        if object["kind"] == "Job" {
            let job = text(&object["metadata"]["name"]);
            let code = match job.starts_with("await") {
                true => awaits,
                false => recovers,
            };
            put_pod(shared, job, &ended(code));
            log(shared, job, &format!("log of {job}\n"));
        }
    });
    stage.shared.change(|state| {
        for object in postgresql {
            state.objects.insert(path_of(object), object.clone());
        }
    });
    stage
}

fn run(stage: &Stage, words: &str) -> Seen {
    stage
        .with(Program::other(
            tool::workspace().join("k8s/restore-backup.sh"),
        ))
        .args(words.split_whitespace())
        .run()
}

/// What was changed, by its kind: `POST jobs/recover-…`, without what no run has again.
fn changes(stage: &Stage) -> Vec<String> {
    let changes = std::mem::take(&mut stage.shared.lock().changes).into_iter();
    let short = |change: String| {
        let (method, path) = change.split_once(' ').unwrap();
        let mut parts = path.rsplit('/');
        let (name, plural) = (parts.next().unwrap(), parts.next().unwrap());
        let name = name.split("-20").next().unwrap().to_owned();
        format!("{method} {plural}/{name}")
    };
    changes.map(short).collect()
}

/// The first object of a kind whose name begins so.
fn object(stage: &Stage, kind: &str, prefix: &str) -> Value {
    object_of(&stage.shared, kind, prefix)
}

pub(crate) fn object_of(shared: &Shared, kind: &str, prefix: &str) -> Value {
    let prefix = path(kind, prefix);
    let state = shared.lock();
    let mut found = state.objects.iter().filter(|it| it.0.starts_with(&prefix));
    found
        .next()
        .unwrap_or_else(|| panic!("no {prefix}"))
        .1
        .clone()
}

fn claim_of(statefulset: &Value, volume: &str) -> String {
    let volumes = list(&statefulset["spec"]["template"]["spec"]["volumes"]);
    let volume = volumes.iter().find(|it| it["name"] == volume).unwrap();
    text(&volume["persistentVolumeClaim"]["claimName"]).to_owned()
}

#[test]
fn a_cluster_gets_a_new_claim_and_keeps_the_old_one() {
    // A moment: the server runs until the claim is filled. The end: its last WAL is in the store when it has ended.
    for (moment, order) in [
        (
            "2025-11-23T01:59:30Z",
            [
                "POST persistentvolumeclaims/postgresql-data-restored",
                "POST jobs/recover",
                "PATCH statefulsets/postgresql-primary",
            ],
        ),
        (
            "end",
            [
                "PATCH statefulsets/postgresql-primary",
                "POST persistentvolumeclaims/postgresql-data-restored",
                "POST jobs/recover",
            ],
        ),
    ] {
        let stage = stage(&postgresql(), 0, 0);
        let seen = run(&stage, &format!("--at {moment} --all --yes"));
        assert_eq!(seen.code(), Some(0), "{seen}");
        seen.says("postgresql-data, stays as it is")
            .says("restored. ");
        let mut order = order.map(str::to_owned).to_vec();
        // The claim, then the server, then somebody asks it.
        let switched = "PATCH statefulsets/postgresql-primary".to_owned();
        order.extend([
            switched.clone(),
            switched,
            "POST jobs/await-recovery".into(),
        ]);
        assert_eq!(changes(&stage), order);
        let statefulset = object(&stage, "StatefulSet", STATEFULSET);
        assert_eq!(statefulset["spec"]["replicas"], 1);
        let claim = claim_of(&statefulset, "data");
        assert!(claim.starts_with("postgresql-data-restored-20"), "{claim}");
        // Nothing else of it is another one, and both claims are there.
        assert_eq!(claim_of(&statefulset, "backups"), "postgresql-backups");
        let made = object(&stage, "PersistentVolumeClaim", &claim);
        assert_eq!(
            made["spec"],
            json!({"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "5Gi"}}})
        );
        object(&stage, "PersistentVolumeClaim", "postgresql-data");
        // A second time the names do not grow.
        let seen = run(&stage, "--at end --all --yes --claim-size 7Gi");
        assert_eq!(seen.code(), Some(0), "{seen}");
        let again = claim_of(&object(&stage, "StatefulSet", STATEFULSET), "data");
        assert_eq!(again.len(), claim.len(), "{again}");
        assert_eq!(
            object(&stage, "PersistentVolumeClaim", &again)["spec"]["resources"]["requests"]["storage"],
            "7Gi"
        );
    }
}

#[test]
fn the_job_is_postgresqls_own_image_with_our_programs() {
    let stage = stage(&postgresql(), 0, 0);
    run(&stage, "--in shop --at end --all --yes -- --timeline 1");
    let job = object(&stage, "Job", "recover-");
    assert_eq!(job["spec"]["backoffLimit"], 0);
    let pod = &job["spec"]["template"]["spec"];
    let statefulset = object(&stage, "StatefulSet", STATEFULSET);
    let server = &statefulset["spec"]["template"]["spec"]["containers"][0];
    let [container] = list(&pod["containers"]) else {
        panic!("one: {pod}");
    };
    assert_eq!(container["image"], server["image"]);
    let [init] = list(&pod["initContainers"]) else {
        panic!("one: {pod}");
    };
    let cronjob = object(&stage, "CronJob", "postgresql-restore");
    let pattern = &cronjob["spec"]["jobTemplate"]["spec"]["template"]["spec"];
    assert_eq!(init["image"], pattern["containers"][0]["image"]);
    // As restricted as the pattern, as the user that the official image has.
    assert_eq!(
        pod["securityContext"],
        json!({"runAsNonRoot": true, "runAsUser": 999, "runAsGroup": 999, "fsGroup": 999,
            "fsGroupChangePolicy": "OnRootMismatch", "seccompProfile": {"type": "RuntimeDefault"}})
    );
    assert_eq!(
        container["securityContext"],
        pattern["containers"][0]["securityContext"]
    );
    // Not the backups' volume, which the kubelet would give to that user's group; nor the node of a pod that is gone.
    let said = pod.to_string();
    assert!(
        !said.contains("/backups") && !said.contains("postgresql-backups"),
        "{pod}"
    );
    assert!(pod["affinity"].is_null(), "{pod}");
    let store = list(&container["env"])
        .iter()
        .position(|it| it["name"] == "STORE");
    let account = list(&container["env"])
        .iter()
        .position(|it| it["name"] == "STORAGE_ACCOUNT");
    assert!(account < store, "{container}");
    let words: Vec<&str> = list(&container["args"]).iter().map(text).collect();
    assert_eq!(
        words,
        [
            "/var/lib/postgresql/data",
            "",
            "$(STORE)/shop",
            "--at",
            "end",
            "--timeline",
            "1"
        ]
    );
    valid(&stage, "--at end --all");

    // One database takes a disk for the while, which goes with the Job.
    let seen = run(&stage, "--at xid:7 --database o'clock --as a$(b) --yes");
    assert_eq!(seen.code(), Some(0), "{seen}");
    let made = changes(&stage);
    assert_eq!(
        made[made.len() - 2..],
        ["POST jobs/recover", "DELETE jobs/recover"]
    );
    let job = valid(&stage, "--at xid:7 --database o'clock --as a$(b)");
    let container = &job["spec"]["template"]["spec"]["containers"][0];
    let words: Vec<&str> = list(&container["args"]).iter().map(text).collect();
    assert_eq!(
        words,
        [
            "$(STORE)",
            "--target",
            "xid:7",
            "--database",
            "o'clock",
            "--yes",
            "--as",
            "a$$(b)"
        ]
    );
    assert!(job.to_string().contains("volumeClaimTemplate"), "{job}");
}

/// What a dry run prints, which changes nothing: valid to the letter. Gives the Job.
fn valid(stage: &Stage, words: &str) -> Value {
    changes(stage);
    let seen = run(stage, &format!("{words} --dry-run"));
    assert_eq!(seen.code(), Some(0), "{seen}");
    assert_eq!(changes(stage), Vec::<String>::new());
    let file = stage.scratch.write("dry-run.yaml", seen.out());
    Program::other(tool::tools().join("kubernetes/bin/kubernetes-validate"))
        .args(["--strict", "-k", "1.36"])
        .arg(file)
        .succeeds();
    let mut objects = objects(&seen.out()).into_iter();
    objects.find(|it| it["kind"] == "Job").expect("a Job")
}

#[test]
fn a_claim_of_a_template_is_left_to_it() {
    let stage = stage(&of_a_chart(), 0, 0);
    let before = object(&stage, "StatefulSet", STATEFULSET);
    let seen = run(&stage, "--at end --all --yes");
    assert_eq!(seen.code(), Some(0), "{seen}");
    let after = object(&stage, "StatefulSet", STATEFULSET);
    let claim = claim_of(&after, "restored");
    assert!(
        claim.starts_with("data-postgresql-primary-0-restored-20"),
        "{claim}"
    );
    let made = object(&stage, "PersistentVolumeClaim", &claim);
    assert_eq!(made["spec"]["storageClassName"], "managed-csi");
    // Both containers see it where they saw the old one, and nothing else has changed.
    let mut wanted = before;
    let spec = &mut wanted["spec"]["template"]["spec"];
    let volume = json!({"name": "restored", "persistentVolumeClaim": {"claimName": claim}});
    spec["volumes"].as_array_mut().unwrap().push(volume);
    for container in spec["containers"].as_array_mut().unwrap() {
        for mount in container["volumeMounts"].as_array_mut().unwrap() {
            if mount["name"] == "data" {
                mount["name"] = json!("restored");
            }
        }
    }
    assert_eq!(after["spec"]["template"], wanted["spec"]["template"]);
    assert_eq!(after["spec"]["replicas"], 1);
    let job = valid(&stage, "--at end --all");
    let pod = &job["spec"]["template"]["spec"];
    assert_eq!(pod["securityContext"]["runAsUser"], 1001);
    assert_eq!(pod["securityContext"]["fsGroup"], 1001);
    assert_eq!(pod["nodeSelector"], json!({"disk": "fast"}));
    assert_eq!(
        pod["tolerations"],
        json!([{"key": "database", "operator": "Exists"}])
    );
    assert!(!pod["affinity"]["nodeAffinity"].is_null(), "{pod}");
    assert_eq!(pod["containers"][0]["args"][1], "sub");
}

#[test]
fn a_job_that_fails_leaves_the_server_on_its_old_claim() {
    let failing = stage(&postgresql(), 3, 0);
    let seen = run(&failing, "--at 2025-11-23T01:59:30Z --all --yes");
    assert_eq!(seen.code(), Some(3), "{seen}");
    seen.says("the server was not touched").says("exit code 3");
    let statefulset = object(&failing, "StatefulSet", STATEFULSET);
    assert_eq!(
        statefulset,
        postgresql()
            .into_iter()
            .find(|it| it["kind"] == "StatefulSet")
            .unwrap()
    );
    // What was stopped for it is started by the line that is said.
    let seen = run(&failing, "--at end --all --yes");
    assert_eq!(seen.code(), Some(3), "{seen}");
    let statefulset = object(&failing, "StatefulSet", STATEFULSET);
    assert_eq!(statefulset["spec"]["replicas"], 0);
    assert_eq!(claim_of(&statefulset, "data"), "postgresql-data");
    let said = seen.err();
    let command = said
        .split("old claim: ")
        .nth(1)
        .unwrap()
        .split("; ")
        .next()
        .unwrap();
    failing.with(Program::sh(command)).succeeds();
    let statefulset = object(&failing, "StatefulSet", STATEFULSET);
    assert_eq!(statefulset["spec"]["replicas"], 1);

    // Nor is one whose pod never starts.
    let pending = json!({"phase": "Pending"});
    let stuck = Stage::new(Some("primary"), move |shared, object| {
        if object["kind"] == "Job" {
            put_pod(shared, text(&object["metadata"]["name"]), &pending);
        }
    });
    stuck.shared.change(|state| {
        for object in postgresql() {
            state.objects.insert(path_of(&object), object);
        }
    });
    stuck
        .with(Program::other(
            tool::workspace().join("k8s/restore-backup.sh"),
        ))
        .args(["--at", "end", "--all", "--yes"])
        .env("START_SECONDS", "0")
        .fails(1)
        .says("did not start within 0 s")
        .says("start the server on its old claim: ");

    // A server that does not come up is no success.
    let failing = stage(&postgresql(), 0, 1);
    let seen = run(&failing, "--at end --all --yes");
    assert_eq!(seen.code(), Some(1), "{seen}");
    seen.says("could not be asked")
        .says("the old data are on the claim postgresql-data");
    // One that takes too long goes on.
    let waiting = stage(&postgresql(), 0, 75);
    let seen = run(&waiting, "--at end --all --yes --wait 90m");
    assert_eq!(seen.code(), Some(1), "{seen}");
    seen.says("has not recovered within 90m")
        .says("kubectl logs -n database postgresql-primary-0 --tail=20")
        .says("kubectl rollout undo -n database statefulset/postgresql-primary")
        .says("the old data, on the claim postgresql-data");
    let job = &object(&waiting, "Job", "await-recovery")["spec"];
    assert_eq!(job["activeDeadlineSeconds"], 90 * 60 + 600);
    for wrong in ["soon", "0h", "h", "12", "-1h", "9999999h"] {
        let seen = run(&waiting, &format!("--at end --all --yes --wait {wrong}"));
        assert_eq!(seen.code(), Some(2), "{seen}");
        seen.says("--wait needs a time such as 90m or 12h");
    }
    let failing = stage(&postgresql(), 4, 0);
    let seen = run(&failing, "--at end --database shop --yes");
    assert_eq!(seen.code(), Some(4), "{seen}");

    // A pod that does not end keeps its disk: nothing is done to it.
    let pod = json!({"kind": "Pod", "apiVersion": "v1", "metadata": {"name": "postgresql-primary-0", "namespace": NAMESPACE}});
    failing
        .shared
        .change(|state| state.objects.insert(path_of(&pod), pod.clone()));
    changes(&failing);
    let stays = failing
        .with(Program::other(
            tool::workspace().join("k8s/restore-backup.sh"),
        ))
        .args(["--at", "end", "--all", "--yes"])
        .env("STOP_SECONDS", "0")
        .fails(1);
    stays.says("has not ended");
    assert_eq!(changes(&failing), ["PATCH statefulsets/postgresql-primary"]);
}

/// Runs the line that waits, with a server that says this whenever it is asked.
fn waited(line: &str, answer: &str, code: i32) -> Seen {
    let place = Scratch::new();
    place.script("psql", &format!("echo '{answer}'"));
    Program::sh("PATH=\"$PLACE:$PATH\"; export PATH; exec sh -euc \"$LINE\" await 0 75")
        .env("PLACE", place.path())
        .env("LINE", line)
        .fails(code)
}

#[test]
fn a_recovery_is_not_waited_for_for_ever() {
    let stage = stage(&postgresql(), 0, 0);
    run(&stage, "--at end --all --yes");
    let job = &object(&stage, "Job", "await-recovery")["spec"];
    assert_eq!(job["activeDeadlineSeconds"], 12 * 3600 + 600);
    let container = &job["template"]["spec"]["containers"][0];
    assert_eq!(container["args"], json!(["await", "43200", "75"]));
    let line = text(&container["command"][2]);
    for (answer, said) in [
        ("t", "the server replays WAL"),
        ("connection refused", "connection refused"),
    ] {
        let seen = waited(line, answer, 75);
        assert!(seen.out().contains(said), "{seen}");
        seen.says("after 0 s it is not done");
    }
    waited(line, "f", 0);
}

#[test]
fn nothing_is_done_unasked_or_to_what_is_not_understood() {
    let stage = stage(&postgresql(), 0, 0);
    for (words, code, says) in [
        ("--at end --all", 4, "not confirmed"),
        ("--at end --database shop", 4, "not confirmed"),
        ("--at end", 2, "what to restore is not said"),
        ("--at end --all --from local", 2, "--at is from azure"),
        ("--at end --all --replace", 2, "--replace needs --database"),
        (
            "--at end --all --statefulset other --yes",
            1,
            "cannot read the StatefulSet 'other'",
        ),
        ("--at", 2, "needs a value"),
    ] {
        let seen = run(&stage, words);
        assert_eq!(seen.code(), Some(code), "{words}: {seen}");
        seen.says(says);
    }
    assert_eq!(changes(&stage), Vec::<String>::new());
    let several = {
        let mut statefulset = object(&stage, "StatefulSet", STATEFULSET);
        statefulset["spec"]["replicas"] = json!(2);
        statefulset
    };
    let one = object(&stage, "StatefulSet", STATEFULSET);
    let put = |object: &Value| {
        let (path, object) = (path_of(object), object.clone());
        stage
            .shared
            .change(|state| state.objects.insert(path, object));
    };
    put(&several);
    let seen = run(&stage, "--at end --all --yes");
    assert_eq!(seen.code(), Some(4), "{seen}");
    seen.says("would share one claim");
    put(&one);
    // Without the old claim nobody knows how large the new one is to be: the server is not stopped for that.
    let claim = object(&stage, "PersistentVolumeClaim", "postgresql-data");
    stage
        .shared
        .change(|state| state.objects.remove(&path_of(&claim)));
    let seen = run(&stage, "--at end --all --yes");
    assert_eq!(seen.code(), Some(2), "{seen}");
    seen.says("--claim-size");
    assert_eq!(changes(&stage), Vec::<String>::new());
    put(&claim);
    // The volume's own root, and what is on no claim.
    for (change, says) in [
        (
            json!({"PGDATA": "/var/lib/postgresql/data"}),
            "the volume's own root",
        ),
        (
            json!({"PGDATA": "/somewhere"}),
            "no volume of the StatefulSet",
        ),
        (json!({"emptyDir": {}}), "are not on a claim"),
    ] {
        let mut statefulset = object(&stage, "StatefulSet", STATEFULSET);
        let spec = &mut statefulset["spec"]["template"]["spec"];
        for entry in spec["containers"][0]["env"].as_array_mut().unwrap() {
            if entry["name"] == "PGDATA" && !change["PGDATA"].is_null() {
                entry["value"] = change["PGDATA"].clone();
            }
        }
        if !change["emptyDir"].is_null() {
            spec["containers"][0]["env"]
                .as_array_mut()
                .unwrap()
                .retain(|it| it["name"] != "PGDATA");
            for volume in spec["volumes"].as_array_mut().unwrap() {
                if volume["name"] == "data" {
                    *volume = json!({"name": "data", "emptyDir": {}});
                }
            }
        }
        stage.shared.change(|state| {
            state
                .objects
                .insert(path_of(&statefulset), statefulset.clone())
        });
        let seen = run(&stage, "--at end --all --yes");
        assert!(seen.code() == Some(4) || seen.code() == Some(1), "{seen}");
        seen.says(says);
        assert_eq!(changes(&stage), Vec::<String>::new());
    }
}
