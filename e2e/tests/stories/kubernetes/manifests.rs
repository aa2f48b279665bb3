//! Every overlay, rendered: valid by the API's schema, and right in what that does not see.

use std::path::Path;

use e2e::{Program, Scratch, tool};
use serde_json::{Deserializer, Value, json};

use super::api::selects;
use super::pod::{list, quantity, text};

fn tools(program: &str) -> Program {
    Program::other(tool::tools().join("kubernetes/bin").join(program))
}

/// The way from one directory to another, as kustomize wants it.
fn relative(from: &Path, to: &Path) -> String {
    let up = "../".repeat(from.components().count() - 1);
    format!(
        "{up}{}",
        to.strip_prefix("/").expect("an absolute path").display()
    )
}

/// An overlay with more components, rendered.
pub(crate) fn render(overlay: &str, components: &[&str]) -> String {
    render_with(overlay, components, &json!({}))
}

/// The same, with more lines in the kustomization.
pub(crate) fn render_with(overlay: &str, components: &[&str], more: &Value) -> String {
    render_kustomization(overlay, components, |kustomization| {
        let mut kustomization = kustomization.clone();
        for (key, value) in more.as_object().expect("lines") {
            kustomization[key] = value.clone();
        }
        kustomization.to_string()
    })
}

/// The same, with lines as a page has them.
pub(crate) fn render_with_lines(overlay: &str, components: &[&str], lines: &str) -> String {
    render_kustomization(overlay, components, |kustomization| {
        let keys = kustomization.as_object().expect("an object").iter();
        let keys = keys.map(|(key, value)| format!("{key}: {value}\n"));
        keys.collect::<String>() + lines
    })
}

fn render_kustomization(
    overlay: &str,
    components: &[&str],
    text: impl FnOnce(&Value) -> String,
) -> String {
    let k8s = tool::workspace().join("k8s");
    let scratch = Scratch::new();
    let at = scratch.path().canonicalize().expect("a path");
    let components: Vec<_> = components
        .iter()
        .map(|name| relative(&at, &k8s.join("components").join(name)))
        .collect();
    let kustomization = json!({"apiVersion": "kustomize.config.k8s.io/v1beta1", "kind": "Kustomization",
        "resources": [relative(&at, &k8s.join("overlays").join(overlay))], "components": components});
    scratch.write("kustomization.yaml", text(&kustomization));
    tools("kubectl").arg("kustomize").arg(&at).succeeds().out()
}

pub(crate) fn objects(rendered: &str) -> Vec<Value> {
    let seen = tools("kubectl")
        .args(["annotate", "--local", "-f", "-", "-o", "json", "none-"])
        .stdin(rendered)
        .succeeds();
    Deserializer::from_slice(&seen.stdout)
        .into_iter()
        .map(|object| object.expect("JSON"))
        .collect()
}

pub(crate) const RENDERINGS: [(&str, &[&str]); 14] = [
    ("primary", &[]),
    ("dr", &[]),
    ("local", &[]),
    ("primary", &["scoped-tokens"]),
    ("primary", &["azure-files"]),
    ("dr", &["monitoring", "scoped-tokens"]),
    ("local", &["monitoring", "scoped-tokens"]),
    ("local", &["azure-disk"]),
    ("primary", &["workload-identity"]),
    ("dr", &["workload-identity", "scoped-identities"]),
    // A Pushgateway for jobs that have an identity.
    ("primary", &["monitoring", "workload-identity"]),
    ("local", &["pitr", "monitoring"]),
    ("primary", &["pitr", "scoped-tokens"]),
    (
        "primary",
        &["pitr", "workload-identity", "scoped-identities"],
    ),
];

#[test]
fn every_overlay_is_valid() {
    for (overlay, components) in RENDERINGS {
        let rendered = render(overlay, components);
        let scratch = Scratch::new();
        // The operator's own kinds are not in the API's schema. The story `monitoring` reads the rules.
        let known: Vec<_> = rendered
            .split("\n---\n")
            .filter(|it| !it.contains("apiVersion: monitoring.coreos.com/"))
            .collect();
        let file = scratch.write("all.yaml", known.join("\n---\n"));
        let seen = tools("kubernetes-validate")
            .args(["--strict", "-k", "1.36"])
            .arg(&file)
            .succeeds();
        let passed = (seen.out() + &seen.err())
            .matches("passed for resource")
            .count();
        assert_eq!(passed, known.len(), "{seen}");
        check(&objects(&rendered));
    }
}

#[test]
fn a_broken_manifest_is_found() {
    let scratch = Scratch::new();
    let broken = render("primary", &[]).replace("concurrencyPolicy:", "concurencyPolicy:");
    tools("kubernetes-validate")
        .args(["--strict", "-k", "1.36"])
        .arg(scratch.write("all.yaml", broken))
        .fails(1);
    for (right, wrong) in [
        ("0 2 * * *", "0 26 * * *"),
        ("Forbid", "Forbidden"),
        ("256Mi", "256MiB"),
        ("restartPolicy: Never", "restartPolicy: OnFailur"),
        ("runAsNonRoot: true", "runAsNonRoot: false"),
        (
            "secretName: postgresql-backup-login",
            "secretName: postgresql-backup-logn",
        ),
        (
            "claimName: postgresql-backups",
            "claimName: postgresql-backup",
        ),
    ] {
        let rendered = render("primary", &[]);
        assert!(rendered.contains(right), "{right}");
        let objects = objects(&rendered.replace(right, wrong));
        let found = std::panic::catch_unwind(|| check(&objects));
        assert!(found.is_err(), "nobody minds {wrong:?}");
    }
}

const EVERY_FIVE_MINUTES: &str = "postgresql-backup-wal";
/// It runs in PostgreSQL's image, beside a server of its own.
const RECOVERY_TEST: &str = "postgresql-recovery-test";

/// What the schema does not say.
fn check(objects: &[Value]) {
    let names = |kind: &str| -> Vec<&str> {
        let of_kind = objects.iter().filter(|object| object["kind"] == kind);
        of_kind
            .map(|object| text(&object["metadata"]["name"]))
            .collect()
    };
    for name in [
        "postgresql-backup",
        "postgresql-backup-to-azure",
        "postgresql-backup-prune-azure",
        "postgresql-restore-test",
        "postgresql-restore",
    ] {
        assert!(names("CronJob").contains(&name), "no CronJob {name}");
    }
    // Of the component pitr, with others for the base backups and the recovery test.
    let of_pitr = usize::from(names("CronJob").contains(&EVERY_FIVE_MINUTES));
    assert_eq!(names("CronJob").len(), 5 + 3 * of_pitr);
    let mut secrets = names("Secret");
    // Made by setup-backup.sh, or as the strategy says, by hand.
    secrets.extend(["postgresql-backup-azure-secret", "postgresql-backup-login"]);
    for object in objects {
        match (text(&object["kind"]), text(&object["metadata"]["name"])) {
            ("Namespace", _) => {}
            (_, name) => assert_eq!(object["metadata"]["namespace"], "database", "{name}"),
        }
    }
    let claim = objects
        .iter()
        .find(|object| {
            object["kind"] == "PersistentVolumeClaim"
                && object["metadata"]["name"] == "postgresql-backups"
        })
        .expect("a claim");
    assert_eq!(claim["spec"]["resources"]["requests"]["storage"], "50Gi");

    let mut versions = Vec::new();
    for job in objects.iter().filter(|object| object["kind"] == "CronJob") {
        let name = text(&job["metadata"]["name"]);
        // The controller adds eleven characters.
        assert!(name.len() <= 52, "{name}");
        let spec = &job["spec"];
        check_schedule(text(&spec["schedule"]));
        let schedule = match name {
            "postgresql-backup" => "0 2 * * *",
            "postgresql-backup-to-azure" => "0 3 * * *",
            _ => text(&spec["schedule"]),
        };
        assert_eq!(spec["schedule"], schedule, "{name}");
        assert_eq!(spec["timeZone"], "Etc/UTC", "{name}");
        assert_eq!(spec["concurrencyPolicy"], "Forbid", "{name}");
        let job_spec = &spec["jobTemplate"]["spec"];
        let late = spec["startingDeadlineSeconds"].as_u64().expect("a limit");
        let stays = job_spec["ttlSecondsAfterFinished"].as_u64();
        let stays = stays.expect("a time to live");
        if name == EVERY_FIVE_MINUTES {
            assert!(late < 300, "the next one is there");
            let limit = job_spec["activeDeadlineSeconds"].as_u64();
            assert!(limit.expect("a limit") < 300);
            // The controller removes none before its time, and the cluster does not hold thousands.
            assert!((3600..=86_400).contains(&stays), "{stays}");
        } else {
            assert!((600..43_200).contains(&late), "{name}");
            for limit in ["successfulJobsHistoryLimit", "failedJobsHistoryLimit"] {
                check_history(name, spec, limit);
            }
            assert!(stays >= 86_400, "{name}");
        }
        assert!(job_spec["backoffLimit"].is_u64(), "{name}");
        let by_hand = name == "postgresql-restore";
        assert_eq!(
            spec["suspend"] == true,
            by_hand || is_standby(objects, name),
            "{name}"
        );
        assert_eq!(
            job_spec["activeDeadlineSeconds"]
                .as_u64()
                .is_some_and(|it| it < 86_400),
            !by_hand,
            "{name}"
        );

        let app = match name {
            "postgresql-backup-to-azure" => "postgresql-backup-azure",
            other => other,
        };
        let template = &job_spec["template"];
        assert_eq!(
            spec["jobTemplate"]["metadata"]["labels"]["app"], app,
            "{name}: jobs"
        );
        assert_eq!(template["metadata"]["labels"]["app"], app, "{name}: pods");
        check_pod(name, template, objects, &secrets);
        let ours = match name {
            RECOVERY_TEST => "initContainers",
            _ => "containers",
        };
        versions.push(
            text(&template["spec"][ours][0]["image"])
                .rsplit_once(':')
                .expect("a tag")
                .1
                .to_owned(),
        );
    }
    versions.dedup();
    assert_eq!(versions, [env!("CARGO_PKG_VERSION")], "the image's version");
}

/// That a night's job is there for two weeks, though people make jobs from its CronJob too: the controller counts
/// them all, and removes the oldest beyond the limit; what is older than the time to live is gone by itself.
fn check_history(name: &str, spec: &Value, limit: &str) {
    const HOUR: u64 = 3600;
    let ttl = spec["jobTemplate"]["spec"]["ttlSecondsAfterFinished"]
        .as_u64()
        .expect("a time to live");
    assert_eq!(ttl, 14 * 24 * HOUR, "{name}");
    let limit = spec[limit].as_u64().expect("a limit");
    let mut jobs = Vec::new();
    // A month, hour by hour: one of each night at 2, and two an hour that a person or a script makes.
    for now in 0..30 * 24 {
        if now % 24 == 2 {
            jobs.push((now, "night"));
        }
        jobs.extend([(now, "by hand"), (now, "by hand")]);
        jobs.retain(|(made, _)| (now - made) * HOUR <= ttl);
        while jobs.len() as u64 > limit {
            jobs.remove(0);
        }
        let nights = jobs.iter().filter(|(_, by)| *by == "night").count() as u64;
        let expected = ((now + 22) / 24).min(14);
        assert!(
            nights >= expected,
            "{name}: of {expected} nights {nights} are left, with a limit of {limit}"
        );
    }
}

/// In the DR region nothing can be restored: its server is a standby.
fn is_standby(objects: &[Value], name: &str) -> bool {
    let dr = objects
        .iter()
        .any(|object| object.to_string().contains("dracr01.azurecr.io"));
    dr && name == "postgresql-restore-test"
}

fn check_schedule(schedule: &str) {
    let fields: Vec<&str> = schedule.split(' ').collect();
    assert_eq!(fields.len(), 5, "{schedule}");
    for (field, (least, most)) in fields
        .iter()
        .zip([(0, 59), (0, 23), (1, 31), (1, 12), (0, 6)])
    {
        let every = field.strip_prefix("*/").and_then(|it| it.parse().ok());
        let good = *field == "*"
            || every.is_some_and(|it: u32| (2..=most / 2).contains(&it))
            || field
                .parse()
                .is_ok_and(|value: u32| (least..=most).contains(&value));
        assert!(good, "{field:?} in {schedule:?}");
    }
}

pub(crate) fn check_pod(name: &str, template: &Value, objects: &[Value], secrets: &[&str]) {
    let spec = &template["spec"];
    assert_eq!(spec["restartPolicy"], "Never", "{name}");
    assert_eq!(spec["automountServiceAccountToken"], false, "{name}");
    let there = |kind: &str, wanted: &Value| {
        objects
            .iter()
            .any(|it| it["kind"] == kind && it["metadata"]["name"] == *wanted)
    };
    assert!(
        there("ServiceAccount", &spec["serviceAccountName"]),
        "{name}"
    );
    // The restricted profile.
    assert_eq!(spec["securityContext"]["runAsNonRoot"], true, "{name}");
    assert_eq!(
        spec["securityContext"]["seccompProfile"]["type"], "RuntimeDefault",
        "{name}"
    );
    let containers = list(&spec["containers"]).iter();
    for container in containers.chain(list(&spec["initContainers"])) {
        let security = &container["securityContext"];
        assert_eq!(security["allowPrivilegeEscalation"], false, "{name}");
        assert_eq!(security["readOnlyRootFilesystem"], true, "{name}");
        assert_eq!(security["capabilities"]["drop"], json!(["ALL"]), "{name}");
        assert!(
            ["IfNotPresent", "Always"].contains(&text(&container["imagePullPolicy"])),
            "{name}"
        );
        let memory = |of: &str| quantity(text(&container["resources"][of]["memory"]));
        assert!(memory("requests") <= memory("limits"), "{name}");
        for entry in list(&container["env"]) {
            let secret = &entry["valueFrom"]["secretKeyRef"]["name"];
            assert!(
                secret.is_null() || secrets.contains(&text(secret)),
                "{name}: {entry}"
            );
            // setup-backup.sh --identity makes it.
            let map = &entry["valueFrom"]["configMapKeyRef"]["name"];
            assert!(
                map.is_null() || *map == "postgresql-backup-store",
                "{name}: {entry}"
            );
        }
        for from in list(&container["envFrom"]) {
            assert!(
                there("ConfigMap", &from["configMapRef"]["name"]),
                "{name}: {from}"
            );
        }
        for mount in list(&container["volumeMounts"]) {
            assert!(
                list(&spec["volumes"])
                    .iter()
                    .any(|volume| volume["name"] == mount["name"]),
                "{name}: {mount}"
            );
        }
    }
    for volume in list(&spec["volumes"]) {
        if name == RECOVERY_TEST && !volume["ephemeral"].is_null() {
            // It is gone with the pod, and not on the node's own disk.
            continue;
        }
        if name == RECOVERY_TEST && !volume["emptyDir"]["sizeLimit"].is_null() {
            continue;
        }
        match (
            &volume["secret"]["secretName"],
            &volume["persistentVolumeClaim"]["claimName"],
        ) {
            (Value::String(secret), Value::Null) => {
                assert!(secrets.contains(&secret.as_str()), "{name}: {volume}");
            }
            (Value::Null, claim @ Value::String(_)) => {
                assert!(there("PersistentVolumeClaim", claim), "{name}: {volume}");
            }
            // No dump is staged on an emptyDir, and nothing else is needed.
            _ => panic!("{name}: {volume}"),
        }
    }
    // Whoever mounts the token or has an identity may go out to Azure, and nobody else.
    let identity = &template["metadata"]["labels"]["azure.workload.identity/use"];
    let token = list(&spec["volumes"])
        .iter()
        .any(|volume| volume["name"] == "azure");
    assert!(!token || identity.is_null(), "{name}: one of them");
    let azure = token || identity == "true";
    let mut allowed = false;
    for policy in objects.iter().filter(|it| it["kind"] == "NetworkPolicy") {
        let labels = policy["spec"]["podSelector"]["matchLabels"]
            .as_object()
            .expect("labels");
        let selector: Vec<_> = labels
            .iter()
            .map(|(name, value)| format!("{name}={}", text(value)))
            .collect();
        if selects(&selector.join(","), template) && policy.to_string().contains("443") {
            allowed = true;
        }
    }
    assert_eq!(allowed, azure, "{name}");
}

#[test]
fn the_dr_region_has_names_of_its_own() {
    for (overlay, host) in [
        ("primary", "postgresql-primary"),
        ("dr", "postgresql-standby"),
    ] {
        let objects = objects(&render(overlay, &[]));
        let settings = objects.iter().find(|it| it["kind"] == "ConfigMap");
        assert_eq!(settings.expect("settings")["data"]["PGHOST"], host);
        let labels = json!({"statefulset.kubernetes.io/pod-name": format!("{host}-0")});
        let mut count = 0;
        for job in objects.iter().filter(|it| it["kind"] == "CronJob") {
            let spec = &job["spec"]["jobTemplate"]["spec"]["template"]["spec"];
            let affinity = &spec["affinity"]["podAffinity"];
            for term in list(&affinity["requiredDuringSchedulingIgnoredDuringExecution"]) {
                assert_eq!(term["labelSelector"]["matchLabels"], labels, "{overlay}");
                count += 1;
            }
        }
        assert_eq!(count, 2, "{overlay}");
    }
}

#[test]
fn scoped_tokens_reach_the_right_jobs() {
    let objects = objects(&render("primary", &["pitr", "scoped-tokens"]));
    for (name, key) in [
        ("postgresql-backup-to-azure", "sas-token-put"),
        ("postgresql-backup-base", "sas-token-put"),
        ("postgresql-backup-wal", "sas-token-read"),
        ("postgresql-recovery-test", "sas-token-read"),
        ("postgresql-backup-prune-azure", "sas-token-prune"),
        ("postgresql-restore-test", "sas-token-read"),
        ("postgresql-restore", "sas-token-read"),
    ] {
        let job = objects
            .iter()
            .find(|it| it["kind"] == "CronJob" && it["metadata"]["name"] == name)
            .expect("a CronJob");
        let volumes = list(&job["spec"]["jobTemplate"]["spec"]["template"]["spec"]["volumes"]);
        let azure = volumes
            .iter()
            .find(|volume| volume["name"] == "azure")
            .expect("a volume");
        assert_eq!(
            azure["secret"]["items"],
            json!([{"key": key, "path": "sas-token"}]),
            "{name}"
        );
    }
}

#[test]
fn with_an_identity_no_secret_of_azure_is_there() {
    for components in [
        &["workload-identity"][..],
        &["workload-identity", "scoped-identities"],
    ] {
        let rendered = render("primary", components);
        for word in [
            "azure-secret",
            "sas-token",
            "SAS_TOKEN",
            "/run/secrets/azure",
        ] {
            assert!(!rendered.contains(word), "{word}");
        }
        let scoped = components.len() == 2;
        for (name, purpose) in [
            ("postgresql-backup", None),
            ("postgresql-backup-to-azure", Some("put")),
            ("postgresql-backup-prune-azure", Some("prune")),
            ("postgresql-restore-test", Some("read")),
            ("postgresql-restore", Some("read")),
        ] {
            let objects = objects(&rendered);
            let job = objects
                .iter()
                .find(|it| it["kind"] == "CronJob" && it["metadata"]["name"] == name)
                .expect("a CronJob");
            let template = &job["spec"]["jobTemplate"]["spec"]["template"];
            let label = &template["metadata"]["labels"]["azure.workload.identity/use"];
            assert_eq!(*label == "true", purpose.is_some(), "{name}");
            let account = match purpose {
                Some(purpose) if scoped => format!("postgresql-backup-{purpose}"),
                _ => "postgresql-backup".to_owned(),
            };
            assert_eq!(template["spec"]["serviceAccountName"], account, "{name}");
        }
    }
}

#[test]
fn scripts_and_the_dockerfile_are_clean() {
    let workspace = tool::workspace();
    let scripts = [
        "images/build",
        "images/collect",
        "images/compile",
        "k8s/account.sh",
        "k8s/common.sh",
        "k8s/identity.sh",
        "k8s/recovery.sh",
        "k8s/tokens.sh",
        "k8s/setup-backup.sh",
        "k8s/backup-now.sh",
        "k8s/restore-backup.sh",
        "scripts/setup-containers",
    ];
    Program::other("shellcheck")
        .arg("-x")
        .args(scripts)
        .in_dir(workspace)
        .succeeds();
    let seen = Program::other("shfmt")
        .args(["-i", "4", "-d"])
        .args(scripts)
        .in_dir(workspace)
        .succeeds();
    assert_eq!(seen.out(), "");
    let seen = tools("hadolint")
        .arg("images/Dockerfile")
        .in_dir(workspace)
        .succeeds();
    assert_eq!(seen.out() + &seen.err(), "");
}

/// What the bash 3.2 of macOS does not know, as words that may stand in a line.
const NEWER_THAN_BASH_3_2: [&str; 22] = [
    "mapfile",
    "readarray",
    "coproc",
    "declare -A",
    "local -A",
    "typeset -A",
    "declare -n",
    "local -n",
    "declare -g",
    ",,}",
    "^^}",
    ",}",
    "^}",
    "@Q}",
    "&>>",
    "|&",
    ";;&",
    ";&",
    "[[ -v",
    "[-1]",
    "wait -n",
    "EPOCHSECONDS",
];

/// What the tools of macOS do not know.
const OF_GNU: [&str; 10] = [
    "sed -r",
    "sed -i",
    "readlink -f",
    "realpath",
    "grep -P",
    " date --",
    "(date --",
    "xargs -r",
    "stat -c",
    "mktemp -p",
];

#[test]
fn the_scripts_run_on_macos() {
    for name in [
        "account.sh",
        "common.sh",
        "identity.sh",
        "recovery.sh",
        "tokens.sh",
        "setup-backup.sh",
        "backup-now.sh",
        "restore-backup.sh",
    ] {
        let script = std::fs::read_to_string(tool::workspace().join("k8s").join(name));
        let script = script.expect("a script");
        for (number, line) in script.lines().enumerate() {
            let code = line.split(" # ").next().unwrap_or_default();
            for word in NEWER_THAN_BASH_3_2.iter().chain(&OF_GNU) {
                assert!(
                    !code.contains(word),
                    "{name}:{}: {word}: {line}",
                    number + 1
                );
            }
            // With set -u an array that is empty is an error there, unless it is written ${a[@]+"${a[@]}"}.
            for array in ["since", "more"] {
                let bare = code.replace(&format!("${{{array}[@]+\"${{{array}[@]}}\"}}"), "");
                assert!(
                    !bare.contains(&format!("${{{array}[@]}}")),
                    "{name}: {line}"
                );
            }
        }
    }
}
