//! A cluster as our scripts and runbooks see it: the API for kubectl, Jobs that run in the image by podman, a
//! PostgreSQL, and a container in Azurite.

use std::collections::BTreeMap;
use std::fs;
use std::io::{self, Read};
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::{Arc, LazyLock};
use std::thread;

use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use chrono::Utc;
use e2e::{
    Azurite, Cluster, Container, Program, Scratch, Seen, Version, Volume, sas, tool, wait_for,
};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Map, Value, json};

use super::api::{Shared, State, path_of, serve};
use super::image::Image;
use super::manifests::{objects, render};
use super::pod::{Pod, World, in_order, text};

pub(crate) const NAMESPACE: &str = "database";
const PASSWORD: &str = "it's \"secret\" $HOME \\ ";
/// A role that has to give its password, as the one of a real cluster has to.
const LOGIN: &str = "backup_login";
/// What a container has from when it was made on, running or ended.
pub(crate) const CONTAINER_ID: &str = "containerd://1";

pub(crate) struct Site {
    pub(crate) cluster: Cluster,
    pub(crate) container: Container,
    pub(crate) shared: Arc<Shared>,
    inner: Arc<Inner>,
    kubeconfig: PathBuf,
    /// The volume of the local backups.
    volume: Volume,
}

/// What the threads that run pods need.
struct Inner {
    image: &'static Image,
    shared: Arc<Shared>,
    scratch: Scratch,
    prefix: String,
    socket: PathBuf,
    /// The programs of the server's version.
    bin: PathBuf,
    store: String,
}

impl Site {
    /// An empty cluster, but for its namespace and PostgreSQL.
    pub(crate) fn new() -> Self {
        Self::of(Image::shared())
    }

    /// One whose Jobs run in this image.
    fn of(image: &'static Image) -> Self {
        let cluster = Cluster::of(Version::debian());
        let role = format!(
            "create role {LOGIN} superuser login password '{}'",
            PASSWORD.replace('\'', "''")
        );
        cluster.sql("postgres", &role);
        let hba = cluster.scratch().join("data/pg_hba.conf");
        let trust = std::fs::read_to_string(&hba).expect("pg_hba.conf");
        std::fs::write(&hba, format!("local all {LOGIN} scram-sha-256\n{trust}"))
            .expect("pg_hba.conf");
        cluster.sql("postgres", "select pg_reload_conf()");

        let container = Azurite::shared().container();
        let shared = Arc::new(Shared::default());
        let inner = Arc::new(Inner {
            image,
            shared: Arc::clone(&shared),
            scratch: Scratch::new(),
            prefix: format!("e2e-{}-{}-", std::process::id(), container.name()),
            socket: cluster.socket(),
            bin: cluster.version().bin().to_owned(),
            store: container
                .url()
                .rsplit_once('/')
                .expect("a URL")
                .0
                .to_owned(),
        });
        let path = format!("/api/v1/namespaces/{NAMESPACE}");
        // No other cluster's namespace has its uid.
        let uid = inner.scratch.path().file_name().expect("a name");
        let namespace = json!({"kind": "Namespace", "apiVersion": "v1",
            "metadata": {"name": NAMESPACE, "uid": uid.to_string_lossy()}});
        shared.change(|state| state.objects.insert(path, namespace));
        let volume = inner.scratch.join("volume-postgresql-backups");
        let volume = Volume::mount(volume, "512m");
        let runner = Arc::clone(&inner);
        let address = serve(&shared, move |object| {
            if object["kind"] == "Job" {
                start(&runner, object);
            }
        });
        let kubeconfig = kubeconfig(&inner.scratch, &address);
        Self {
            cluster,
            container,
            shared,
            inner,
            kubeconfig,
            volume,
        }
    }

    /// One with the overlay `primary`, and the secrets that the strategy's manual setup makes.
    pub(crate) fn set_up() -> Self {
        Self::set_up_with(Image::shared())
    }

    /// The same, of nodes that run this image.
    pub(crate) fn set_up_with(image: &'static Image) -> Self {
        static PRIMARY: LazyLock<Vec<Value>> = LazyLock::new(|| objects(&render("primary", &[])));
        Self::set_up_from(image, &PRIMARY)
    }

    /// The same, with more components.
    pub(crate) fn set_up_of(image: &'static Image, components: &[&str]) -> Self {
        Self::set_up_from(image, &objects(&render("primary", components)))
    }

    fn set_up_from(image: &'static Image, objects: &[Value]) -> Self {
        let site = Self::of(image);
        site.shared.change(|state| {
            for object in objects {
                state.objects.insert(path_of(object), object.clone());
            }
        });
        site.secret(
            "postgresql-backup-azure-secret",
            &[
                ("storage-account", sas::ACCOUNT),
                ("container-name", site.container.name()),
                ("sas-token", &site.container.token()),
            ],
        );
        site.login();
        site
    }

    fn secret(&self, name: &str, values: &[(&str, &str)]) {
        let data = values
            .iter()
            .map(|(key, value)| ((*key).to_owned(), json!(BASE64.encode(value))));
        let secret = json!({"kind": "Secret", "apiVersion": "v1", "data": data.collect::<Map<_, _>>(),
            "metadata": {"name": name, "namespace": NAMESPACE}});
        self.shared
            .change(|state| state.objects.insert(path_of(&secret), secret.clone()));
    }

    /// The secret with the password.
    pub(crate) fn login(&self) {
        self.secret("postgresql-backup-login", &[("password", PASSWORD)]);
    }

    /// The real kubectl on this cluster.
    pub(crate) fn kubectl(&self, words: &[&str]) -> Program {
        self.with(Program::other("kubectl")).args(words)
    }

    /// A program that finds kubectl, az, and this cluster.
    pub(crate) fn with(&self, program: Program) -> Program {
        program
            .env("KUBECONFIG", &self.kubeconfig)
            .env("HOME", self.inner.scratch.path())
            .env(
                "PATH",
                tool::path_with(&[tool::tools().join("kubernetes/bin")]),
            )
    }

    /// The directory of the local backups.
    pub(crate) fn backups(&self) -> PathBuf {
        self.volume.path().to_owned()
    }

    pub(crate) fn scratch(&self) -> &Scratch {
        &self.inner.scratch
    }

    /// Starts a job from a CronJob, as the CronJob controller and `kubectl create job --from` do.
    pub(crate) fn begin(&self, cronjob: &str, job: &str) -> Job<'_> {
        self.begin_with(cronjob, job, None)
    }

    /// Starts a job from a CronJob with other arguments, as restore-backup.sh does.
    pub(crate) fn begin_with(&self, cronjob: &str, job: &str, args: Option<&[&str]>) -> Job<'_> {
        let from = format!("/apis/batch/v1/namespaces/{NAMESPACE}/cronjobs/{cronjob}");
        let mut template = self.shared.lock().objects[&from]["spec"]["jobTemplate"].clone();
        if let Some(args) = args {
            template["spec"]["template"]["spec"]["containers"][0]["args"] = json!(args);
        }
        let object = json!({"kind": "Job", "apiVersion": "batch/v1", "spec": template["spec"],
            "metadata": {"name": job, "namespace": NAMESPACE, "labels": template["metadata"]["labels"]}});
        self.shared
            .change(|state| state.objects.insert(path_of(&object), object.clone()));
        start(&self.inner, &object);
        Job {
            site: self,
            name: job.to_owned(),
            frozen: None,
        }
    }

    /// The exit codes after which a job of a CronJob is not tried again.
    pub(crate) fn final_codes(&self, cronjob: &str) -> Vec<i64> {
        let path = format!("/apis/batch/v1/namespaces/{NAMESPACE}/cronjobs/{cronjob}");
        let job = &self.shared.lock().objects[&path]["spec"]["jobTemplate"]["spec"];
        let rules = job["podFailurePolicy"]["rules"].as_array().expect("rules");
        rules
            .iter()
            .filter(|rule| rule["action"] == "FailJob")
            .flat_map(|rule| rule["onExitCodes"]["values"].as_array().expect("codes"))
            .map(|code| code.as_i64().expect("a code"))
            .collect()
    }

    /// Runs a job from a CronJob to its end.
    pub(crate) fn run(&self, cronjob: &str, job: &str) -> Ended {
        self.begin(cronjob, job).wait()
    }
}

/// Writes a kubeconfig whose one context is the API of this address.
pub(crate) fn kubeconfig(scratch: &Scratch, address: &str) -> PathBuf {
    let config = json!({"apiVersion": "v1", "kind": "Config", "current-context": "primary-aks-cluster",
        "clusters": [{"name": "it", "cluster": {"server": address}}], "users": [{"name": "me", "user": {}}],
        "contexts": [{"name": "primary-aks-cluster", "context": {"cluster": "it", "user": "me"}}]});
    scratch.write("kubeconfig", config.to_string())
}

/// A job that was started.
pub(crate) struct Job<'a> {
    site: &'a Site,
    name: String,
    /// The process of it that was stopped in the middle of its work.
    frozen: Option<Pid>,
}

/// A job that has ended.
#[derive(Debug)]
pub(crate) struct Ended {
    pub(crate) code: i64,
    pub(crate) log: String,
}

impl Ended {
    pub(crate) fn with_code(self, code: i64) -> String {
        assert_eq!(self.code, code, "{}", self.log);
        self.log
    }
}

impl Job<'_> {
    /// Stops a program of it as soon as it is seen and `when` holds, so that what comes finds it there. False
    /// when the job has ended before.
    pub(crate) fn freeze(&mut self, program: &str, when: impl Fn() -> bool) -> bool {
        // The directory of its password is its own: so are the processes that see it.
        let mark = format!("{}-login", self.container());
        let is_it = |pid: &str| {
            let read = |file: &str| fs::read_to_string(format!("/proc/{pid}/{file}"));
            read("comm").is_ok_and(|name| name.trim_end() == program)
                && read("mountinfo").is_ok_and(|mounts| mounts.contains(&mark))
        };
        wait_for("a program of the job", || {
            let processes = fs::read_dir("/proc").expect("/proc").flatten();
            let names = processes.filter_map(|entry| entry.file_name().into_string().ok());
            let found = names
                .filter(|name| name.parse::<i32>().is_ok())
                .find(|pid| is_it(pid));
            if let Some(pid) = found.filter(|_| when()).and_then(|pid| pid.parse().ok())
                && is_stopped(pid)
            {
                self.frozen = Pid::from_raw(pid);
                return Some(true);
            }
            self.ended().map(|_| false)
        })
    }

    fn ended(&self) -> Option<Ended> {
        self.seen(&self.site.shared.lock())
    }

    fn seen(&self, state: &State) -> Option<Ended> {
        let pod = format!("{}-pod", self.name);
        let path = format!("/api/v1/namespaces/{NAMESPACE}/pods/{pod}");
        let status = &state.objects.get(&path)?["status"];
        let code = &status["containerStatuses"][0]["state"]["terminated"]["exitCode"];
        let log = state.logs.get(&pod).cloned().unwrap_or_default();
        Some(Ended {
            code: code.as_i64()?,
            log: String::from_utf8_lossy(&log).into_owned(),
        })
    }

    pub(crate) fn wait(self) -> Ended {
        self.site
            .shared
            .wait("the job's end", |state| self.seen(state))
    }

    /// Ends it as a deleted pod ends: its preStop hook, SIGTERM; it has to go by itself.
    pub(crate) fn terminate(self) -> Ended {
        let template = self.template();
        let hook = self.pod(&template).pre_stop;
        assert!(!hook.is_empty(), "a shell that is process 1 needs one");
        let mut words = vec!["exec".to_owned(), self.container()];
        words.extend(hook);
        // It ends with the container, or before it.
        self.podman(&words).run();
        if let Some(pid) = self.frozen {
            // It may be gone by now.
            let _ = kill_process(pid, Signal::CONT);
        }
        self.podman(&["kill".into(), "--signal=TERM".into(), self.container()])
            .run();
        self.wait()
    }

    /// Ends it as a lost node does.
    pub(crate) fn kill(self) -> Ended {
        self.podman(&["kill".into(), "--signal=KILL".into(), self.container()])
            .succeeds();
        self.wait()
    }

    fn container(&self) -> String {
        self.site.inner.container(&self.name)
    }

    fn podman(&self, words: &[String]) -> Program {
        self.site.inner.image.tool("podman").args(words)
    }

    fn template(&self) -> Value {
        let path = format!("/apis/batch/v1/namespaces/{NAMESPACE}/jobs/{}", self.name);
        self.site.shared.lock().objects[&path]["spec"]["template"].clone()
    }

    fn pod(&self, template: &Value) -> Pod {
        self.site.inner.pod(&self.container(), template)
    }
}

/// Stops a process; false when it was ending already.
fn is_stopped(pid: i32) -> bool {
    let Some(Ok(())) = Pid::from_raw(pid).map(|pid| kill_process(pid, Signal::STOP)) else {
        return false;
    };
    wait_for("a process to stop", || {
        let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
        // `pid (name) state …`
        match stat
            .rsplit(')')
            .next()
            .and_then(|rest| rest.trim().chars().next())
        {
            Some('T') => Some(true),
            Some('Z' | 'X') | None => Some(false),
            Some(_) => None,
        }
    })
}

impl Inner {
    /// The name of a job's container: no other site has it.
    fn container(&self, job: &str) -> String {
        format!("{}{job}", self.prefix)
    }

    fn pod(&self, name: &str, template: &Value) -> Pod {
        let state = self.shared.lock();
        // The cluster's names are not this machine's: its PostgreSQL and its storage account are elsewhere.
        let azure = format!("https://{}.blob.core.windows.net", sas::ACCOUNT);
        let settle = |name: &str, value: String| match (name, value.strip_prefix(&azure)) {
            ("PGHOST", _) => self.socket.display().to_string(),
            ("PGUSER", _) => LOGIN.to_owned(),
            (_, Some(rest)) => format!("{}{rest}", self.store),
            _ => value,
        };
        let world = World {
            state: &state,
            namespace: NAMESPACE,
            scratch: &self.scratch,
            mounts: vec![self.socket.clone()],
            settle: &settle,
        };
        Pod::new(name, template, &world)
    }
}

/// What the Job controller, the scheduler and the kubelet do with a Job.
fn start(inner: &Arc<Inner>, job: &Value) {
    let name = text(&job["metadata"]["name"]).to_owned();
    let template = job["spec"]["template"].clone();
    let pod_name = format!("{name}-pod");
    let at = format!("/api/v1/namespaces/{NAMESPACE}/pods/{pod_name}");
    let job_at = format!("/apis/batch/v1/namespaces/{NAMESPACE}/jobs/{name}");
    let mut labels: BTreeMap<String, Value> = template["metadata"]["labels"]
        .as_object()
        .map(|labels| {
            labels
                .iter()
                .map(|(name, value)| (name.clone(), value.clone()))
                .collect()
        })
        .unwrap_or_default();
    labels.insert("job-name".into(), json!(name));
    labels.insert("batch.kubernetes.io/job-name".into(), json!(name));
    let pod = json!({"kind": "Pod", "apiVersion": "v1", "spec": template["spec"], "status": {"phase": "Pending"},
        "metadata": {"name": pod_name, "namespace": NAMESPACE, "labels": labels,
            "creationTimestamp": Utc::now().format("%Y-%m-%dT%H:%M:%SZ").to_string()}});
    let trouble = inner.shared.change(|state| {
        state.objects.insert(at.clone(), pod);
        let trouble = state.trouble.clone();
        if let Some(status) = &trouble {
            state.objects.get_mut(&at).expect("the pod")["status"] = status.clone();
        }
        let job = state.objects.get_mut(&job_at).expect("the job");
        job["spec"]["selector"] = json!({"matchLabels": {"batch.kubernetes.io/job-name": name}});
        job["status"] = json!({"active": 1,
            "startTime": Utc::now().format("%Y-%m-%dT%H:%M:%SZ").to_string()});
        trouble
    });
    if trouble.is_some() {
        return;
    }
    let inner = Arc::clone(inner);
    thread::spawn(move || {
        let code = run(&inner, &name, &pod_name, &at, &template);
        let phase = if code == 0 { "Succeeded" } else { "Failed" };
        let status = json!({"phase": phase,
            "containerStatuses": [{"name": "backup", "containerID": CONTAINER_ID,
                "state": {"terminated": {"exitCode": code}}}]});
        inner.shared.change(|state| {
            state.objects.get_mut(&at).expect("the pod")["status"] = status;
            let job = state.objects.get_mut(&job_at).expect("the job");
            let (count, condition) = match code {
                0 => ("succeeded", "Complete"),
                _ => ("failed", "Failed"),
            };
            job["status"]["active"] = json!(0);
            job["status"][count] = json!(1);
            job["status"]["conditions"] = json!([{"type": condition, "status": "True"}]);
        });
    });
}

/// Runs the containers, one after the other, and gives the exit code of the last one that was run.
fn run(inner: &Inner, job: &str, pod_name: &str, at: &str, template: &Value) -> i32 {
    let containers = in_order(template);
    let mut codes = containers
        .iter()
        .map(|template| run_one(inner, job, pod_name, at, template));
    codes.by_ref().find(|code| *code != 0).unwrap_or(0)
}

/// What makes an image of PostgreSQL's own of ours, where a container asks for another: this machine's programs.
fn of_postgresql(inner: &Inner, template: &Value) -> Vec<String> {
    let image = text(&template["spec"]["containers"][0]["image"]);
    match image.contains("postgresql-backup") {
        true => Vec::new(),
        false => vec![
            "--volume=/usr:/usr:ro".into(),
            format!("--env=PATH={}:/usr/bin", inner.bin.display()),
        ],
    }
}

fn run_one(inner: &Inner, job: &str, pod_name: &str, at: &str, template: &Value) -> i32 {
    let pod = inner.pod(&inner.container(job), template);
    let (mut log, writer) = io::pipe().expect("a pipe");
    let mut command = Command::new("podman");
    let (name, value) = inner.image.env();
    command
        .env(name, value)
        .args(["run", "--rm"])
        .args(&pod.options)
        .args(of_postgresql(inner, template))
        .arg(&inner.image.id)
        .args(&pod.command)
        .stdin(Stdio::null())
        .stdout(writer.try_clone().expect("a pipe"))
        .stderr(writer);
    let mut child = command.spawn().expect("podman");
    // Or the pipe never ends.
    drop(command);
    inner.shared.change(|state| {
        state.objects.get_mut(at).expect("the pod")["status"] = json!({"phase": "Running",
            "containerStatuses": [{"name": "backup", "containerID": CONTAINER_ID, "state": {"running": {}}}]});
    });
    let mut bytes = [0; 4096];
    loop {
        match log.read(&mut bytes) {
            Ok(0) | Err(_) => break,
            Ok(read) => inner.shared.change(|state| {
                state
                    .logs
                    .entry(pod_name.to_owned())
                    .or_default()
                    .extend_from_slice(&bytes[..read]);
            }),
        }
    }
    child.wait().expect("podman").code().unwrap_or(255)
}

/// Waits until nobody is connected to the server as the jobs are.
pub(crate) fn nobody_is_connected(cluster: &Cluster) {
    let count = format!("select count(*) from pg_stat_activity where usename = '{LOGIN}'");
    wait_for("the jobs' sessions to end", || {
        (cluster.sql("postgres", &count) == "0").then_some(())
    });
}

impl Drop for Site {
    fn drop(&mut self) {
        // A test that failed may have left a container running.
        let filter = format!("name=^{}", self.inner.prefix);
        if thread::panicking() {
            let left: Seen = self
                .inner
                .image
                .tool("podman")
                .args(["ps", "-aq", "--filter", &filter])
                .run();
            for id in left.out().lines() {
                self.inner
                    .image
                    .tool("podman")
                    .args(["rm", "-f", "-t", "0", id])
                    .run();
            }
        }
    }
}
