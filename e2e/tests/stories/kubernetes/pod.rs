//! A pod's manifest, as the command line of podman that gives its container the same: user, read-only root,
//! capabilities, limits, environment, secrets as files. What is not understood is refused, so that no line
//! of a manifest is left out of the proof.

use std::collections::BTreeMap;
use std::fs::{self, Permissions};
use std::os::unix::fs::{PermissionsExt, chown};
use std::path::{Path, PathBuf};

use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use e2e::Scratch;
use serde_json::Value;

use super::api::State;

/// What is around the pod.
pub(crate) struct World<'a> {
    pub(crate) state: &'a State,
    pub(crate) namespace: &'a str,
    /// Where volumes and secrets become directories.
    pub(crate) scratch: &'a Scratch,
    /// Directories that the container sees under the same path: the server's socket.
    pub(crate) mounts: Vec<PathBuf>,
    /// The last word on the environment.
    pub(crate) settle: &'a dyn Fn(&str, String) -> String,
}

/// The templates of a pod's containers in the order in which they run, each with one: the init containers, then its own.
pub(crate) fn in_order(template: &Value) -> Vec<Value> {
    let spec = &template["spec"];
    let containers = list(&spec["initContainers"])
        .iter()
        .chain(list(&spec["containers"]));
    containers
        .map(|container| {
            let mut template = template.clone();
            template["spec"]["initContainers"] = Value::Null;
            template["spec"]["containers"] = Value::Array(vec![container.clone()]);
            template
        })
        .collect()
}

/// A container to run.
#[derive(Debug)]
pub(crate) struct Pod {
    /// The arguments of `podman run`, up to the image.
    pub(crate) options: Vec<String>,
    /// The command, and its arguments.
    pub(crate) command: Vec<String>,
    /// What is run in the container before it is told to stop.
    pub(crate) pre_stop: Vec<String>,
}

impl Pod {
    /// Reads a pod's template. `name` is for the container.
    pub(crate) fn new(name: &str, template: &Value, world: &World) -> Self {
        let spec = &template["spec"];
        only(
            spec,
            &[
                "affinity",
                "automountServiceAccountToken",
                "containers",
                "enableServiceLinks",
                "initContainers",
                "restartPolicy",
                "securityContext",
                "serviceAccountName",
                "terminationGracePeriodSeconds",
                "volumes",
            ],
        );
        let security = &spec["securityContext"];
        only(
            security,
            &[
                "fsGroup",
                "fsGroupChangePolicy",
                "runAsGroup",
                "runAsNonRoot",
                "runAsUser",
                "seccompProfile",
            ],
        );
        let [container] = list(&spec["containers"]) else {
            panic!("one container: {spec}");
        };
        only(
            container,
            &[
                "args",
                "command",
                "env",
                "envFrom",
                "image",
                "imagePullPolicy",
                "lifecycle",
                "name",
                "resources",
                "securityContext",
                "volumeMounts",
            ],
        );
        let own = &container["securityContext"];
        only(
            own,
            &[
                "allowPrivilegeEscalation",
                "capabilities",
                "readOnlyRootFilesystem",
            ],
        );
        assert_eq!(security["seccompProfile"]["type"], "RuntimeDefault");
        assert_eq!(security["runAsNonRoot"], true);

        let user = number(&security["runAsUser"]);
        let group = number(&security["fsGroup"]);
        assert_ne!(user, 0, "runAsNonRoot");
        let mut options: Vec<String> = vec![
            format!("--name={name}"),
            format!("--user={user}:{}", number(&security["runAsGroup"])),
            format!("--group-add={group}"),
            format!(
                "--stop-timeout={}",
                number(&spec["terminationGracePeriodSeconds"])
            ),
            "--network=host".into(),
        ];
        if own["readOnlyRootFilesystem"] == true {
            // podman would add a writable /tmp, which a pod does not have.
            options.extend(["--read-only".into(), "--read-only-tmpfs=false".into()]);
        }
        if own["allowPrivilegeEscalation"] == false {
            options.push("--security-opt=no-new-privileges".into());
        }
        options.extend(
            list(&own["capabilities"]["drop"])
                .iter()
                .map(|it| format!("--cap-drop={}", text(it))),
        );
        let limits = &container["resources"]["limits"];
        options.push(format!("--memory={}", quantity(text(&limits["memory"]))));
        options.push(format!(
            "--memory-swap={}",
            quantity(text(&limits["memory"]))
        ));
        if !limits["cpu"].is_null() {
            options.push(format!("--cpus={}", text(&limits["cpu"])));
        }

        for mount in list(&container["volumeMounts"]) {
            only(mount, &["mountPath", "name", "readOnly"]);
            let volume = list(&spec["volumes"])
                .iter()
                .find(|volume| volume["name"] == mount["name"]);
            let volume = volume.unwrap_or_else(|| panic!("no volume {}", mount["name"]));
            let dir = world.volume(name, volume, group);
            let access = if mount["readOnly"] == true {
                "ro"
            } else {
                "rw"
            };
            options.push(format!(
                "--volume={}:{}:{access}",
                dir.display(),
                text(&mount["mountPath"])
            ));
        }
        for dir in &world.mounts {
            options.push(format!("--volume={0}:{0}:ro", dir.display()));
        }
        let env = world.environment(container);
        options.extend(
            env.iter()
                .map(|(name, value)| format!("--env={name}={value}")),
        );

        let words = |list_of: &Value| -> Vec<String> {
            list(list_of)
                .iter()
                .map(|word| expand(text(word), &env))
                .collect()
        };
        let mut command = words(&container["command"]);
        command.extend(words(&container["args"]));
        only(&container["lifecycle"], &["preStop"]);
        Self {
            options,
            command,
            pre_stop: list(&container["lifecycle"]["preStop"]["exec"]["command"])
                .iter()
                .map(|it| text(it).to_owned())
                .collect(),
        }
    }
}

impl World<'_> {
    fn get(&self, plural: &str, name: &Value) -> &Value {
        let path = format!(
            "/api/v1/namespaces/{}/{plural}/{}",
            self.namespace,
            text(name)
        );
        self.state
            .objects
            .get(&path)
            .unwrap_or_else(|| panic!("CreateContainerConfigError: there is no {path}"))
    }

    fn secret(&self, name: &Value, key: &Value) -> Vec<u8> {
        let value = self.get("secrets", name)["data"][text(key)].as_str();
        let value = value
            .unwrap_or_else(|| panic!("CreateContainerConfigError: no key {key} in secret {name}"));
        BASE64.decode(value).expect("base64")
    }

    /// A directory with what the volume holds, readable by the pod's group as the kubelet has it.
    fn volume(&self, pod: &str, volume: &Value, group: u32) -> PathBuf {
        if let Value::String(claim) = &volume["persistentVolumeClaim"]["claimName"] {
            let path = format!(
                "/api/v1/namespaces/{}/persistentvolumeclaims/{claim}",
                self.namespace
            );
            assert!(self.state.objects.contains_key(&path), "there is no {path}");
            let dir = self.scratch.make(format!("volume-{claim}"));
            give(&dir, group, 0o2775);
            return dir;
        }
        if volume["emptyDir"].is_object() {
            let dir = self
                .scratch
                .make(format!("{pod}-{}", text(&volume["name"])));
            give(&dir, group, 0o2777);
            return dir;
        }
        let secret = &volume["secret"];
        only(secret, &["defaultMode", "items", "secretName"]);
        let dir = self
            .scratch
            .make(format!("{pod}-{}", text(&volume["name"])));
        for item in list(&secret["items"]) {
            let file = dir.join(text(&item["path"]));
            fs::write(&file, self.secret(&secret["secretName"], &item["key"])).expect("a secret");
            give(&file, group, number(&secret["defaultMode"]));
        }
        dir
    }

    fn environment(&self, container: &Value) -> BTreeMap<String, String> {
        let mut env = BTreeMap::new();
        for from in list(&container["envFrom"]) {
            only(from, &["configMapRef"]);
            let data = self.get("configmaps", &from["configMapRef"]["name"])["data"].clone();
            for (name, value) in data.as_object().expect("data") {
                env.insert(name.clone(), text(value).to_owned());
            }
        }
        for entry in list(&container["env"]) {
            only(entry, &["name", "value", "valueFrom"]);
            let value = match &entry["value"] {
                Value::String(value) => expand(value, &env),
                _ => {
                    let from = &entry["valueFrom"];
                    only(from, &["configMapKeyRef", "secretKeyRef"]);
                    let (map, key) = (&from["configMapKeyRef"], &from["secretKeyRef"]);
                    match map["key"].as_str() {
                        Some(key) => {
                            text(&self.get("configmaps", &map["name"])["data"][key]).to_owned()
                        }
                        None => {
                            String::from_utf8(self.secret(&key["name"], &key["key"])).expect("text")
                        }
                    }
                }
            };
            env.insert(text(&entry["name"]).to_owned(), value);
        }
        env.into_iter()
            .map(|(name, value)| {
                let value = (self.settle)(&name, value);
                (name, value)
            })
            .collect()
    }
}

/// `$(NAME)` becomes its value, `$$` a dollar; a name that is not known stays as it is.
pub(crate) fn expand(text: &str, env: &BTreeMap<String, String>) -> String {
    let mut out = String::new();
    let mut rest = text;
    while let Some(at) = rest.find('$') {
        out += &rest[..at];
        rest = &rest[at + 1..];
        if let Some(after) = rest.strip_prefix('$') {
            out.push('$');
            rest = after;
        } else if let Some(value) = rest
            .strip_prefix('(')
            .and_then(|it| it.split_once(')'))
            .and_then(|it| env.get(it.0))
        {
            out += value;
            rest = &rest[rest.find(')').unwrap_or_default() + 1..];
        } else {
            out.push('$');
        }
    }
    out + rest
}

/// The bytes of `256Mi`.
pub(crate) fn quantity(text: &str) -> u64 {
    let digits = text.trim_end_matches(|c: char| !c.is_ascii_digit());
    let factor = match &text[digits.len()..] {
        "" => 1,
        "Ki" => 1 << 10,
        "Mi" => 1 << 20,
        "Gi" => 1 << 30,
        other => panic!("the unit {other:?} of {text:?}"),
    };
    digits
        .parse::<u64>()
        .unwrap_or_else(|_| panic!("no quantity: {text:?}"))
        * factor
}

/// Gives a file of a volume to the pod's group, as the kubelet does.
pub(crate) fn give(path: &Path, group: u32, mode: u32) {
    chown(path, None, Some(group)).expect("chown");
    fs::set_permissions(path, Permissions::from_mode(mode)).expect("chmod");
}

fn only(value: &Value, keys: &[&str]) {
    for key in value
        .as_object()
        .map(serde_json::Map::keys)
        .into_iter()
        .flatten()
    {
        assert!(
            keys.contains(&key.as_str()),
            "the tests do not know '{key}' of {value}"
        );
    }
}

pub(crate) fn list(value: &Value) -> &[Value] {
    value.as_array().map_or(&[], Vec::as_slice)
}

pub(crate) fn text(value: &Value) -> &str {
    value
        .as_str()
        .unwrap_or_else(|| panic!("text, not {value}"))
}

fn number(value: &Value) -> u32 {
    let number = value.as_u64().and_then(|it| u32::try_from(it).ok());
    number.unwrap_or_else(|| panic!("a number, not {value}"))
}

#[test]
fn references_are_expanded_as_kubernetes_does() {
    let env = BTreeMap::from([("A".to_owned(), "one".to_owned())]);
    assert_eq!(
        expand("x $(A) $$(A) $(B) $(cat /f) $A $", &env),
        "x one $(A) $(B) $(cat /f) $A $"
    );
}
