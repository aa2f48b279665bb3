//! The part of a Kubernetes API server that the real kubectl needs for what our scripts and runbooks ask of
//! it: discovery, objects that are got, listed, watched, made, patched and deleted, and the logs of pods. What is
//! done with the objects is another's business ([`Site`](super::site::Site), [`Stage`](super::stage::Stage)).

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::thread;
use std::time::Duration;

use serde_json::{Value, json};

/// Group and version, kind, plural, whether it is in a namespace.
const RESOURCES: [(&str, &str, &str, bool); 12] = [
    ("v1", "Namespace", "namespaces", false),
    ("v1", "ConfigMap", "configmaps", true),
    (
        "v1",
        "PersistentVolumeClaim",
        "persistentvolumeclaims",
        true,
    ),
    ("v1", "Pod", "pods", true),
    ("v1", "Secret", "secrets", true),
    ("v1", "Service", "services", true),
    ("v1", "ServiceAccount", "serviceaccounts", true),
    ("apps/v1", "Deployment", "deployments", true),
    ("apps/v1", "StatefulSet", "statefulsets", true),
    ("batch/v1", "CronJob", "cronjobs", true),
    ("batch/v1", "Job", "jobs", true),
    (
        "networking.k8s.io/v1",
        "NetworkPolicy",
        "networkpolicies",
        true,
    ),
];

/// The objects, by the path that they have in the API, and the pods' logs.
#[derive(Debug, Default)]
pub(crate) struct State {
    pub(crate) objects: BTreeMap<String, Value>,
    pub(crate) logs: BTreeMap<String, Vec<u8>>,
    /// What was asked that changes something: `POST /apis/…`.
    pub(crate) changes: Vec<String>,
    /// The collections that somebody has begun to watch: their paths.
    pub(crate) watched: Vec<String>,
    /// What becomes of the pods that are made, in the place of being run: a pod's status.
    pub(crate) trouble: Option<Value>,
}

/// The state, and a bell that rings when it has changed.
#[derive(Debug, Default)]
pub(crate) struct Shared {
    state: Mutex<State>,
    changed: Condvar,
}

impl Shared {
    pub(crate) fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("the state")
    }

    /// Changes the state and rings the bell.
    pub(crate) fn change<T>(&self, change: impl FnOnce(&mut State) -> T) -> T {
        let answer = change(&mut self.lock());
        self.changed.notify_all();
        answer
    }

    /// Waits until the state gives an answer.
    pub(crate) fn wait<T>(&self, what: &str, mut ask: impl FnMut(&State) -> Option<T>) -> T {
        e2e::wait_for(what, || {
            let state = self.lock();
            if let Some(answer) = ask(&state) {
                return Some(answer);
            }
            let _ = self
                .changed
                .wait_timeout(state, Duration::from_millis(50))
                .expect("the state");
            None
        })
    }
}

/// The path of an object in the API.
pub(crate) fn path_of(object: &Value) -> String {
    let resource = RESOURCES
        .iter()
        .find(|resource| object["kind"] == resource.1)
        .unwrap_or_else(|| panic!("not a part of this API: {}", object["kind"]));
    let (root, plural) = (root(resource.0), resource.2);
    let word = |key: &str| object["metadata"][key].as_str().expect("a name").to_owned();
    match resource.3 {
        true => format!(
            "/{root}/namespaces/{}/{plural}/{}",
            word("namespace"),
            word("name")
        ),
        false => format!("/{root}/{plural}/{}", word("name")),
    }
}

/// Where a group's version is in the API.
fn root(version: &str) -> String {
    match version {
        "v1" => "api/v1".to_owned(),
        other => format!("apis/{other}"),
    }
}

/// Serves the API on a loopback port until the process ends; gives its address. `made` is told of each object
/// that is made, after it was stored.
pub(crate) fn serve(shared: &Arc<Shared>, made: impl Fn(&Value) + Send + Sync + 'static) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = format!("http://{}", listener.local_addr().expect("a port"));
    let (shared, made) = (Arc::clone(shared), Arc::new(made));
    thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let (shared, made) = (Arc::clone(&shared), Arc::clone(&made));
            thread::spawn(move || {
                if let Some(request) = Request::read(&stream) {
                    answer(&request, &stream, &shared, &*made);
                }
            });
        }
    });
    address
}

struct Request {
    method: String,
    path: String,
    query: BTreeMap<String, String>,
    body: Vec<u8>,
}

impl Request {
    fn read(stream: &TcpStream) -> Option<Self> {
        let mut reader = BufReader::new(stream);
        let mut line = String::new();
        reader.read_line(&mut line).ok()?;
        let mut words = line.split_whitespace();
        let (method, target) = (words.next()?.to_owned(), words.next()?.to_owned());
        let mut length = 0;
        loop {
            let mut header = String::new();
            reader.read_line(&mut header).ok()?;
            let Some((name, value)) = header.trim_end().split_once(':') else {
                break;
            };
            if name.eq_ignore_ascii_case("content-length") {
                length = value.trim().parse().ok()?;
            }
        }
        let mut body = vec![0; length];
        reader.read_exact(&mut body).ok()?;
        let (path, query) = target.split_once('?').unwrap_or((&target, ""));
        let query = query
            .split('&')
            .filter_map(|pair| pair.split_once('='))
            .map(|(name, value)| (name.to_owned(), unescape(value)))
            .collect();
        Some(Self {
            method,
            path: path.to_owned(),
            query,
            body,
        })
    }

    fn json(&self) -> Value {
        serde_json::from_slice(&self.body).expect("kubectl sends JSON")
    }
}

fn unescape(text: &str) -> String {
    let mut bytes = text.bytes();
    let mut plain = Vec::new();
    while let Some(byte) = bytes.next() {
        plain.push(match byte {
            b'%' => {
                let digits = [bytes.next(), bytes.next()].map(|digit| digit.expect("a digit"));
                let digits = std::str::from_utf8(&digits).expect("hex").to_owned();
                u8::from_str_radix(&digits, 16).expect("hex")
            }
            b'+' => b' ',
            other => other,
        });
    }
    String::from_utf8(plain).expect("UTF-8")
}

fn answer(request: &Request, stream: &TcpStream, shared: &Shared, made: &dyn Fn(&Value)) {
    if let Some(pod) = request.path.strip_suffix("/log") {
        return send_log(request, stream, shared, pod);
    }
    if request.query.get("watch").is_some_and(|it| it == "true") {
        return send_changes(request, stream, shared);
    }
    let (status, body) = match discovery(&request.path) {
        Some(found) => (200, found),
        None => object(request, shared, made),
    };
    send(stream, status, &body);
}

fn send(mut stream: &TcpStream, status: u16, body: &Value) {
    let body = body.to_string();
    let head = format!(
        "HTTP/1.1 {status} .\r\nContent-Type: application/json\r\nContent-Length: {}\r\nConnection: close\r\n\r\n",
        body.len()
    );
    // A client that has gone away has its reasons.
    let _ = stream.write_all((head + &body).as_bytes());
}

/// What the server has: its version, groups, resources, and the one parameter that kubectl looks for before
/// it leaves checking fields to the server.
fn discovery(path: &str) -> Option<Value> {
    let group_of = |version: &str| {
        version
            .rsplit_once('/')
            .map_or("", |(group, _)| group)
            .to_owned()
    };
    let mut versions: Vec<&str> = RESOURCES.iter().map(|resource| resource.0).collect();
    versions.dedup();
    let path = path.trim_matches('/');
    let found = match path {
        "version" => json!({"major": "1", "minor": "36", "gitVersion": "v1.36.0"}),
        "api" => json!({"kind": "APIVersions", "versions": ["v1"]}),
        "apis" => {
            let groups = versions
                .iter()
                .filter(|version| version.contains('/'))
                .map(|version| {
                    let (group, number) = version.split_once('/').expect("a group");
                    let version = json!({"groupVersion": version, "version": number});
                    json!({"name": group, "versions": [version], "preferredVersion": version})
                });
            json!({"kind": "APIGroupList", "apiVersion": "v1", "groups": groups.collect::<Vec<_>>()})
        }
        "openapi/v3" => {
            let paths = versions.iter().map(|version| {
                let root = root(version);
                let url = json!({"serverRelativeURL": format!("/openapi/v3/{root}")});
                (root, url)
            });
            json!({"paths": paths.collect::<serde_json::Map<_, _>>()})
        }
        _ => {
            let (openapi, of) = match path.strip_prefix("openapi/v3/") {
                Some(of) => (true, of),
                None => (false, path),
            };
            let version = versions.iter().find(|version| root(version) == of)?;
            let resources = RESOURCES.iter().filter(|resource| resource.0 == *version);
            match openapi {
                false => {
                    let resources = resources.map(|(_, kind, plural, namespaced)| {
                        json!({"name": plural, "singularName": kind.to_lowercase(), "kind": kind,
                            "namespaced": namespaced, "shortNames": short(kind),
                            "verbs": ["get", "list", "create", "patch", "delete"]})
                    });
                    json!({"kind": "APIResourceList", "apiVersion": "v1", "groupVersion": version,
                        "resources": resources.collect::<Vec<_>>()})
                }
                true => {
                    let number = version.rsplit('/').next();
                    let paths = resources.map(|(_, kind, plural, _)| {
                        let patch = json!({"patch": {
                            "parameters": [{"name": "fieldValidation", "in": "query"}],
                            "x-kubernetes-group-version-kind":
                                {"group": group_of(version), "version": number, "kind": kind}}});
                        (format!("/{of}/{plural}"), patch)
                    });
                    json!({"openapi": "3.0.0", "info": {"title": "a part", "version": "1"},
                        "paths": paths.collect::<serde_json::Map<_, _>>()})
                }
            }
        }
    };
    Some(found)
}

fn short(kind: &str) -> &'static [&'static str] {
    match kind {
        "PersistentVolumeClaim" => &["pvc"],
        _ => &[],
    }
}

/// An object, or all of a kind that have the labels asked for.
fn object(request: &Request, shared: &Shared, made: &dyn Fn(&Value)) -> (u16, Value) {
    let path = request.path.as_str();
    let mut parts: Vec<&str> = path.split('/').collect();
    let collection = RESOURCES
        .iter()
        .find(|resource| parts.last() == Some(&resource.2));
    // A namespace's own path ends in its name, which may be that of a resource: `database` is none.
    match (request.method.as_str(), collection) {
        ("GET", Some((version, kind, ..))) => {
            let items: Vec<_> = asked_for(request, &shared.lock()).into_values().collect();
            let list = json!({"kind": format!("{kind}List"), "apiVersion": version, "metadata": {"resourceVersion": "1"},
                "items": items});
            (200, list)
        }
        ("POST", Some((version, kind, ..))) => {
            let mut object = request.json();
            fill_in(&mut object);
            object["kind"] = json!(kind);
            object["apiVersion"] = json!(version);
            object["metadata"]["uid"] = json!(format!("uid-{}", object["metadata"]["name"]));
            object["metadata"]["creationTimestamp"] =
                json!(chrono::Utc::now().format("%Y-%m-%dT%H:%M:%SZ").to_string());
            let name = object["metadata"]["name"]
                .as_str()
                .expect("a name")
                .to_owned();
            let at = format!("{path}/{name}");
            let stored = shared.change(|state| {
                state.changes.push(format!("POST {at}"));
                if state.objects.contains_key(&at) {
                    return false;
                }
                state
                    .objects
                    .insert(at.clone(), decode_secret(object.clone()));
                true
            });
            if !stored {
                return refusal(409, "AlreadyExists", &format!("{name} already exists"));
            }
            made(&object);
            (201, object)
        }
        (method, _) => {
            let known = shared.lock().objects.get(path).cloned();
            let Some(known) = known else {
                let name = parts.pop().unwrap_or_default();
                let kind = parts.pop().unwrap_or_default();
                return refusal(404, "NotFound", &format!("{kind} \"{name}\" not found"));
            };
            match method {
                "GET" => (200, known),
                "PATCH" => {
                    let mut object = known;
                    merge(&mut object, &request.json());
                    fill_in(&mut object);
                    let object = decode_secret(object);
                    shared.change(|state| {
                        state.changes.push(format!("PATCH {path}"));
                        state.objects.insert(path.to_owned(), object.clone());
                    });
                    (200, object)
                }
                "DELETE" => {
                    shared.change(|state| {
                        state.changes.push(format!("DELETE {path}"));
                        state.objects.remove(path);
                    });
                    (200, known)
                }
                other => panic!("{other} {path}: not a part of this API"),
            }
        }
    }
}

fn refusal(code: u16, reason: &str, message: &str) -> (u16, Value) {
    let status = json!({"kind": "Status", "apiVersion": "v1", "status": "Failure", "reason": reason,
        "message": message, "code": code});
    (code, status)
}

/// `a=b,c!=d`: whether the object has these labels.
pub(crate) fn selects(selector: &str, object: &Value) -> bool {
    let labels = &object["metadata"]["labels"];
    selector
        .split(',')
        .filter(|term| !term.is_empty())
        .all(|term| match term.split_once("!=") {
            Some((name, value)) => labels[name] != value,
            None => {
                let (name, value) = term.split_once('=').expect("a selector of = and !=");
                labels[name] == value.trim_start_matches('=')
            }
        })
}

/// RFC 7396, and what strategic patches do with lists: elements of one name, or that are mounted in one place, are one.
fn merge(object: &mut Value, patch: &Value) {
    if let (Value::Array(list), Value::Array(news)) = (&mut *object, patch)
        && let Some(key) = ["mountPath", "name"]
            .into_iter()
            .find(|key| list.iter().chain(news).all(|it| it[key].is_string()))
    {
        for new in news {
            match list.iter_mut().find(|it| it[key] == new[key]) {
                Some(known) => merge(known, new),
                None => list.push(new.clone()),
            }
        }
        return;
    }
    let Value::Object(patch) = patch else {
        *object = patch.clone();
        return;
    };
    if !object.is_object() {
        *object = json!({});
    }
    for (name, value) in patch {
        match value {
            Value::Null => {
                object.as_object_mut().expect("an object").remove(name);
            }
            _ => merge(&mut object[name], value),
        }
    }
}

/// `stringData` is written, `data` is read.
fn decode_secret(mut object: Value) -> Value {
    use base64::Engine;
    let Some(Value::Object(plain)) = object
        .as_object_mut()
        .and_then(|it| it.remove("stringData"))
    else {
        return object;
    };
    for (name, value) in plain {
        let value = value.as_str().expect("text");
        object["data"][name] = json!(base64::engine::general_purpose::STANDARD.encode(value));
    }
    object
}

/// The fields that the real server fills in which a client that applies an object again stumbles over: those in
/// lists that are compared as a whole.
fn fill_in(object: &mut Value) {
    let Some(templates) = object["spec"]
        .get_mut("volumeClaimTemplates")
        .and_then(Value::as_array_mut)
    else {
        return;
    };
    for template in templates {
        template["apiVersion"] = json!("v1");
        template["kind"] = json!("PersistentVolumeClaim");
        template["spec"]["volumeMode"] = json!("Filesystem");
        template["status"] = json!({"phase": "Pending"});
    }
}

/// The objects of a collection that the request selects, by path.
fn asked_for(request: &Request, state: &State) -> BTreeMap<String, Value> {
    let prefix = format!("{}/", request.path);
    let query = |name: &str| request.query.get(name).map_or("", String::as_str);
    let name = query("fieldSelector").strip_prefix("metadata.name=");
    let chosen = state.objects.iter().filter(|(at, object)| {
        at.strip_prefix(&prefix)
            .is_some_and(|rest| !rest.contains('/') && name.is_none_or(|name| name == rest))
            && selects(query("labelSelector"), object)
    });
    chosen
        .map(|(at, object)| (at.clone(), object.clone()))
        .collect()
}

/// The objects of a collection, and what becomes of them, until the client has heard enough.
fn send_changes(request: &Request, mut stream: &TcpStream, shared: &Shared) {
    shared.change(|state| state.watched.push(request.path.clone()));
    let head = "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nConnection: close\r\n\r\n";
    if stream.write_all(head.as_bytes()).is_err() || stream.set_nonblocking(true).is_err() {
        return;
    }
    let (version, kind, ..) = RESOURCES
        .iter()
        .find(|resource| request.path.rsplit('/').next() == Some(resource.2))
        .expect("a collection");
    let mut sent = BTreeMap::new();
    let mut bookmark = request.query.contains_key("sendInitialEvents");
    loop {
        let state = shared.lock();
        let now = asked_for(request, &state);
        let mut events = String::new();
        for (at, object) in &now {
            let event = match sent.get(at) {
                None => "ADDED",
                Some(before) if before != object => "MODIFIED",
                Some(_) => continue,
            };
            events += &json!({"type": event, "object": object}).to_string();
        }
        for (at, object) in &sent {
            if !now.contains_key(at) {
                events += &json!({"type": "DELETED", "object": object}).to_string();
            }
        }
        if std::mem::take(&mut bookmark) {
            let end = json!({"type": "BOOKMARK", "object": {"kind": kind, "apiVersion": version,
                "metadata": {"resourceVersion": "1", "annotations": {"k8s.io/initial-events-end": "true"}}}});
            events += &end.to_string();
        }
        sent = now;
        let gone = matches!(stream.peek(&mut [0]), Ok(0));
        if gone || stream.write_all(events.as_bytes()).is_err() {
            return;
        }
        drop(
            shared
                .changed
                .wait_timeout(state, Duration::from_millis(50)),
        );
    }
}

/// What a pod has said, and what it says until it has ended if that is asked for.
fn send_log(request: &Request, mut stream: &TcpStream, shared: &Shared, path: &str) {
    let name = path.rsplit('/').next().unwrap_or_default();
    let follow = request
        .query
        .get("follow")
        .is_some_and(|follow| follow == "true");
    let phase = shared
        .lock()
        .objects
        .get(path)
        .map(|pod| pod["status"]["phase"].clone());
    if phase.is_none_or(|phase| phase == "Pending") {
        // As the kubelet answers.
        let words = format!(
            "container \"backup\" in pod \"{name}\" is waiting to start: ContainerCreating"
        );
        let (status, body) = refusal(400, "BadRequest", &words);
        return send(stream, status, &body);
    }
    let head = "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nConnection: close\r\n\r\n";
    if stream.write_all(head.as_bytes()).is_err() {
        return;
    }
    let mut sent = 0;
    loop {
        let (news, ended) = shared.wait("a pod's log", |state| {
            let log = state.logs.get(name).map_or(&[][..], Vec::as_slice);
            let phase = state
                .objects
                .get(path)
                .map(|pod| pod["status"]["phase"].clone());
            let ended =
                !follow || phase.is_none_or(|phase| phase == "Succeeded" || phase == "Failed");
            (ended || log.len() > sent).then(|| (log[sent..].to_vec(), ended))
        });
        sent += news.len();
        if stream.write_all(&news).is_err() || ended {
            return;
        }
    }
}
