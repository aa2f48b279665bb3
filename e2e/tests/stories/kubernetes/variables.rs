//! Variables that refer to others: Kubernetes expands `$(NAME)` only where NAME was defined before, and kustomize puts
//! what an overlay patches first.

use std::collections::BTreeSet;
use std::fs;

use e2e::tool;
use serde_json::{Map, Value, json};

use super::api::{State, path_of};
use super::documents::block;
use super::manifests::{RENDERINGS, objects, render, render_with};
use super::pod::{Pod, World, list, text};
use super::site::NAMESPACE;

/// The names that a text refers to; `$$(NAME)` is none, nor is a shell's `$(command …)`.
fn references(text: &str) -> Vec<String> {
    let mut found = Vec::new();
    let mut rest = text;
    while let Some(at) = rest.find('$') {
        rest = &rest[at + 1..];
        if let Some(after) = rest.strip_prefix('$') {
            rest = after;
        } else if let Some((name, _)) = rest.strip_prefix('(').and_then(|it| it.split_once(')')) {
            let known = |c: char| c.is_ascii_alphanumeric() || "_-.".contains(c);
            if !name.is_empty() && name.chars().all(known) {
                found.push(name.to_owned());
            }
        }
    }
    found
}

/// All containers of all objects, with the object's name.
fn containers(objects: &[Value]) -> Vec<(&str, &Value)> {
    let mut found = Vec::new();
    for object in objects {
        let name = text(&object["metadata"]["name"]);
        let spec = &object["spec"];
        for spec in [
            &spec["jobTemplate"]["spec"]["template"]["spec"],
            &spec["template"]["spec"],
        ] {
            for kind in ["initContainers", "containers"] {
                found.extend(list(&spec[kind]).iter().map(|container| (name, container)));
            }
        }
    }
    found
}

/// What is wrong with the references of all containers; and how many there are.
fn dangling(objects: &[Value]) -> (Vec<String>, usize) {
    let settings = |from: &Value| -> BTreeSet<String> {
        let name = &from["configMapRef"]["name"];
        let map = objects
            .iter()
            .find(|it| it["kind"] == "ConfigMap" && it["metadata"]["name"] == *name);
        let data = map.and_then(|map| map["data"].as_object());
        data.into_iter().flat_map(Map::keys).cloned().collect()
    };
    let (mut wrong, mut count) = (Vec::new(), 0);
    for (object, container) in containers(objects) {
        // What comes by envFrom is there before all that is in env.
        let mut known: BTreeSet<String> = list(&container["envFrom"])
            .iter()
            .flat_map(settings)
            .collect();
        for variable in list(&container["env"]) {
            let name = text(&variable["name"]);
            for reference in references(variable["value"].as_str().unwrap_or_default()) {
                count += 1;
                if !known.contains(&reference) {
                    wrong.push(format!("{object}: {name} stands before {reference}"));
                }
            }
            known.insert(name.to_owned());
        }
        // A command sees them all.
        for word in [&container["command"], &container["args"]]
            .map(list)
            .concat()
        {
            for reference in references(text(&word)) {
                if !known.contains(&reference) {
                    wrong.push(format!("{object}: no {reference} for {word}"));
                }
            }
        }
    }
    (wrong, count)
}

/// A patch of one variable of every job that uses Azure, as a person writes it.
fn patched(variable: &Value) -> Value {
    let patch = json!({"apiVersion": "batch/v1", "kind": "CronJob", "metadata": {"name": "every"},
        "spec": {"jobTemplate": {"spec": {"template": {"spec": {"containers":
            [{"name": "backup", "env": [variable]}]}}}}}});
    json!({"patches": [{"patch": patch.to_string(),
        "target": {"kind": "CronJob", "labelSelector": "backup-uses-azure=yes"}}]})
}

/// The overlay's own lines that docs/kubernetes.md says to write, with another prefix.
fn settings_of_the_page(prefix: &str) -> Value {
    let page = fs::read_to_string(tool::workspace().join("docs/kubernetes.md")).expect("the page");
    let lines = block(&page, "### Settings", "yaml");
    assert!(lines.contains("STORE_PREFIX=dr\n"), "{lines}");
    let lines = lines.replace("STORE_PREFIX=dr", &format!("STORE_PREFIX={prefix}"));
    // kubectl reads YAML and writes JSON, of objects with a kind and a name.
    let object = format!("apiVersion: v1\nkind: ConfigMap\nmetadata: {{name: x}}\n{lines}");
    json!({"configMapGenerator": objects(&object)[0]["configMapGenerator"]})
}

#[test]
fn what_a_variable_refers_to_stands_before_it() {
    for (overlay, components) in RENDERINGS {
        let (wrong, count) = dangling(&objects(&render(overlay, components)));
        assert_eq!(wrong, Vec::<String>::new(), "{overlay} {components:?}");
        assert!(count >= 4, "{overlay} {components:?}: {count} references");
    }
    // Whatever else an overlay adds or replaces.
    for variable in [
        json!({"name": "BACKUP_VERIFY_PING_URL_FILE", "value": "/run/secrets/ping/url"}),
        json!({"name": "STORAGE_ACCOUNT", "value": "other"}),
        json!({"name": "CONTAINER_NAME", "value": "other"}),
        json!({"name": "STORE_PREFIX", "value": "dr"}),
        json!({"name": "ACCOUNT_URL_END", "value": ".blob.core.chinacloudapi.cn"}),
    ] {
        for overlay in ["primary", "dr", "local"] {
            let rendered = render_with(overlay, &["scoped-tokens"], &patched(&variable));
            assert!(rendered.contains(text(&variable["name"])), "{variable}");
            let (wrong, _) = dangling(&objects(&rendered));
            assert_eq!(wrong, Vec::<String>::new(), "{overlay}, {variable}");
        }
    }
}

/// The one that must not be patched, and why: this test sees what it is for.
#[test]
fn a_variable_before_what_it_refers_to_is_found() {
    let value = "https://$(STORAGE_ACCOUNT).blob.core.windows.net/$(CONTAINER_NAME)/dr";
    let variable = json!({"name": "STORE", "value": value});
    let rendered = render_with("primary", &[], &patched(&variable));
    let (wrong, _) = dangling(&objects(&rendered));
    // Two references in each of the four jobs that use Azure.
    assert_eq!(wrong.len(), 8, "{wrong:?}");
}

/// The STORE that the containers of the jobs get.
fn stores(rendered: &str) -> BTreeSet<String> {
    let objects = objects(rendered);
    let secret = |name: &str, values: Value| {
        json!({"kind": "Secret", "apiVersion": "v1", "data": values,
            "metadata": {"name": name, "namespace": NAMESPACE}})
    };
    // `account`, `backups`, and no more than that.
    let azure = json!({"storage-account": "YWNjb3VudA==", "container-name": "YmFja3Vwcw==",
        "sas-token": "", "sas-token-put": "", "sas-token-prune": "", "sas-token-read": ""});
    let mut state = State::default();
    let secrets = [
        secret("postgresql-backup-azure-secret", azure),
        secret("postgresql-backup-login", json!({"password": ""})),
    ];
    for object in objects.iter().chain(&secrets) {
        // The operator's own kinds are no part of this API.
        if !text(&object["apiVersion"]).starts_with("monitoring.coreos.com/") {
            state.objects.insert(path_of(object), object.clone());
        }
    }
    let scratch = e2e::Scratch::new();
    let world = World {
        state: &state,
        namespace: NAMESPACE,
        scratch: &scratch,
        mounts: Vec::new(),
        settle: &|_, value| value,
    };
    let jobs = objects.iter().filter(|object| object["kind"] == "CronJob");
    let uses_azure = jobs.filter(|job| job["metadata"]["labels"]["backup-uses-azure"] == "yes");
    let mut found = BTreeSet::new();
    for job in uses_azure {
        let template = &job["spec"]["jobTemplate"]["spec"]["template"];
        let pod = Pod::new(text(&job["metadata"]["name"]), template, &world);
        let mut options = pod.options.iter();
        let store = options.find_map(|option| option.strip_prefix("--env=STORE="));
        found.insert(store.expect("a STORE").to_owned());
    }
    found
}

#[test]
fn each_overlay_has_its_store() {
    for (overlay, components, store) in [
        (
            "primary",
            &[][..],
            "https://account.blob.core.windows.net/backups/",
        ),
        (
            "dr",
            &["scoped-tokens", "monitoring"],
            "https://account.blob.core.windows.net/backups/",
        ),
        ("local", &[], "http://azurite:10000/account/backups/"),
    ] {
        assert_eq!(
            stores(&render(overlay, components)),
            [store.to_owned()].into()
        );
        for prefix in ["dr", "/dr", "one/two/"] {
            let rendered = render_with(overlay, components, &settings_of_the_page(prefix));
            assert_eq!(stores(&rendered), [format!("{store}{prefix}")].into());
        }
    }
}
