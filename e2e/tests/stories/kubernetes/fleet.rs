//! The component `fleet`: eight clusters of several majors, one of them down. Its container is run for each index, as
//! Kubernetes runs it.

use std::fs;
use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use e2e::{Azurite, Cluster, Exporter, Program, Scratch, Seen, Version, backup, sas, tool};
use serde_json::{Value, json};

use super::api::{Shared, path_of};
use super::documents::block;
use super::image::Image;
use super::manifests::{check_pod, objects, render, render_with};
use super::pod::{Pod, World, text};
use super::site::NAMESPACE;

const PASSWORD: &str = "it's $HOME";

fn cronjob<'a>(objects: &'a [Value], name: &str) -> &'a Value {
    let mut found = objects
        .iter()
        .filter(|object| object["kind"] == "CronJob" && object["metadata"]["name"] == name);
    found.next().unwrap_or_else(|| panic!("no CronJob {name}"))
}

#[test]
fn the_fleet_s_manifests() {
    let page = fs::read_to_string(tool::workspace().join("docs/kubernetes.md")).expect("the page");
    let larger = json!({"patches": [{"patch": block(&page, "### More indexes", "yaml")}]});
    for (overlay, components, more, size) in [
        ("primary", &["fleet"][..], json!({}), 10),
        ("dr", &["monitoring", "fleet"], json!({}), 10),
        ("primary", &["scoped-tokens", "fleet"], json!({}), 10),
        ("primary", &["fleet", "workload-identity"], json!({}), 10),
        ("primary", &["fleet"], larger, 40),
    ] {
        let objects = objects(&render_with(overlay, components, &more));
        let jobs = objects.iter().filter(|object| object["kind"] == "CronJob");
        let names: Vec<_> = jobs.map(|job| text(&job["metadata"]["name"])).collect();
        assert_eq!(names, ["postgresql-backup-to-azure", "postgresql-restore"]);
        let secrets = [
            "postgresql-backup-azure-secret",
            "postgresql-backup-login",
            "postgresql-backup-fleet",
        ];
        for name in names {
            let template = &cronjob(&objects, name)["spec"]["jobTemplate"]["spec"]["template"];
            check_pod(name, template, &objects, &secrets);
        }
        let spec = &cronjob(&objects, "postgresql-backup-to-azure")["spec"]["jobTemplate"]["spec"];
        assert_eq!(spec["completionMode"], "Indexed");
        // A limit for all indexes together would end the others with the third failure.
        assert!(spec["backoffLimit"].is_null() && spec["backoffLimitPerIndex"].is_u64());
        let rules = spec["podFailurePolicy"]["rules"].as_array().expect("rules");
        assert!(rules.iter().all(|rule| rule["action"] != "FailJob"));
        let container = &spec["template"]["spec"]["containers"][0];
        let env = container["env"].as_array().expect("env");
        let mut of = env.iter().filter(|it| it["name"] == "FLEET_COMPLETIONS");
        let of = text(&of.next().expect("the number")["value"]);
        assert_eq!(spec["completions"], size);
        assert_eq!(of, size.to_string());
    }
}

/// The fleet's Job, whose pods run here.
struct Fleet {
    shared: Arc<Shared>,
    scratch: Scratch,
    template: Value,
    /// Where the servers' sockets are.
    sockets: Vec<std::path::PathBuf>,
    store: String,
    pushgateway: Exporter,
}

impl Fleet {
    fn new(services: &str, sockets: Vec<std::path::PathBuf>, container: &e2e::Container) -> Self {
        let objects = objects(&render("primary", &["monitoring", "fleet"]));
        let secret = |name: &str, values: &[(&str, &str)]| {
            let mut secret = json!({"kind": "Secret", "apiVersion": "v1",
                "metadata": {"name": name, "namespace": NAMESPACE}});
            for (key, value) in values {
                secret["data"][*key] = json!(BASE64.encode(value));
            }
            secret
        };
        let secrets = [
            secret(
                "postgresql-backup-azure-secret",
                &[
                    ("storage-account", sas::ACCOUNT),
                    ("container-name", container.name()),
                    ("sas-token", &container.token()),
                ],
            ),
            secret("postgresql-backup-fleet", &[("pg_service.conf", services)]),
        ];
        let shared = Arc::new(Shared::default());
        shared.change(|state| {
            // What a pod needs, of all that is rendered.
            let kinds = ["ConfigMap", "CronJob"];
            let needed = objects
                .iter()
                .filter(|object| kinds.iter().any(|kind| object["kind"] == *kind));
            for object in needed.chain(&secrets) {
                state.objects.insert(path_of(object), object.clone());
            }
        });
        let job = cronjob(&objects, "postgresql-backup-to-azure");
        let url = container.url();
        Self {
            shared,
            scratch: Scratch::new(),
            template: job["spec"]["jobTemplate"]["spec"]["template"].clone(),
            sockets,
            store: url.rsplit_once('/').expect("a URL").0.to_owned(),
            pushgateway: Exporter::pushgateway(),
        }
    }

    /// The container of one index.
    fn index(&self, index: usize, more: &[&str]) -> Program {
        let azure = format!("https://{}.blob.core.windows.net", sas::ACCOUNT);
        let settle = |name: &str, value: String| match (name, value.strip_prefix(&azure)) {
            ("BACKUP_VERIFY_PUSH_URL", _) => format!("http://{}", self.pushgateway.address()),
            (_, Some(rest)) => format!("{}{rest}", self.store),
            _ => value,
        };
        let own = self.scratch.path().file_name().expect("a name").display();
        let name = format!("{own}-{index}-{}", more.len());
        let state = self.shared.lock();
        let world = World {
            state: &state,
            namespace: NAMESPACE,
            scratch: &self.scratch,
            mounts: self.sockets.clone(),
            settle: &settle,
        };
        let pod = Pod::new(&name, &self.template, &world);
        let image = Image::shared();
        image
            .tool("podman")
            .args(["run", "--rm"])
            .args(&pod.options)
            // As the Job controller sets it.
            .arg(format!("--env=JOB_COMPLETION_INDEX={index}"))
            .args(more)
            .arg(&image.id)
            .args(&pod.command)
    }
}

/// Which services the metrics say are bad, by the ends of their stores.
fn bad_stores(fleet: &Fleet, container: &e2e::Container) -> Vec<String> {
    let metrics = fleet.pushgateway.metrics();
    let of_store = format!("store=\"{}/", container.url());
    let verified = metrics
        .lines()
        .filter(|line| line.starts_with("postgresql_backup_verify_success{"));
    let mut stores = verified.map(|line| {
        let (_, rest) = line.split_once(&of_store).expect(line);
        let (service, _) = rest.split_once('"').expect(line);
        (service.to_owned(), line.ends_with(" 0"))
    });
    let (bad, good): (Vec<_>, Vec<_>) = stores.by_ref().partition(|(_, is_bad)| *is_bad);
    assert_eq!(good.len(), 7, "{metrics}");
    bad.into_iter().map(|(service, _)| service).collect()
}

fn ends(seen: &Seen, code: i32, says: &str) {
    assert_eq!(seen.code(), Some(code), "{seen}");
    seen.says(says);
}

#[test]
fn one_cluster_of_eight_is_down() {
    let clusters: Vec<Cluster> = [14, 15, 16, 17, 14, 15, 16]
        .into_iter()
        .map(|major| Cluster::of(Version::of(major)))
        .collect();
    for at in [0, 4] {
        let password = PASSWORD.replace('\'', "''");
        let role = format!("create role dumper superuser login password '{password}'");
        clusters[at].sql("postgres", &role);
        clusters[at].admit("local all dumper scram-sha-256\nlocal all all trust\n");
    }
    let mut services = "# all of them\n".to_owned();
    for (at, cluster) in clusters.iter().enumerate() {
        cluster.sql("postgres", &format!("create database app_{at}"));
        let login = match at {
            0 | 4 => format!("user=dumper\npassword={PASSWORD}"),
            _ => "user=postgres".to_owned(),
        };
        let host = cluster.socket();
        services += &format!("[cluster-{at}]\nhost={}\n{login}\n\n", host.display());
    }
    services += "[cluster-7]\nhost=/nonexistent\nuser=postgres\n";
    let container = Azurite::shared().container();
    let sockets = clusters.iter().map(Cluster::socket).collect();
    let fleet = Fleet::new(&services, sockets, &container);

    // It waits for its server, and the others do not wait for it.
    let down = fleet.index(7, &[]).spawn();
    for index in 0..7 {
        let seen = fleet.index(index, &[]).run();
        let made = format!("fleet: index {index}: made and verified: cluster-{index}\n");
        ends(&seen, 0, &made);
        seen.hides("FAILED").hides(PASSWORD);
    }
    for index in [8, 9] {
        let nothing = "nothing to do: 8 services on 10 indexes";
        ends(&fleet.index(index, &[]).run(), 0, nothing);
    }
    let seen = down.wait();
    ends(
        &seen,
        3,
        "fleet: index 7: FAILED: cluster-7 (exit code 3)\n",
    );
    seen.says("/nonexistent").hides("made and verified");
    assert_eq!(bad_stores(&fleet, &container), ["cluster-7"]);

    let names = container.names();
    assert_eq!(names.len(), 7, "{names:?}");
    for (at, name) in names.iter().enumerate() {
        let (service, name) = name.split_once('/').expect("a directory");
        assert_eq!(service, format!("cluster-{at}"));
        assert!(backup::is_name(name), "{name}");
        let listed = Program::new("restore-stream")
            .arg(format!("{}/{service}", container.url()))
            .args(["--latest", "--list"])
            .env("AZURE_STORAGE_SAS_TOKEN", container.token())
            .succeeds();
        assert!(listed.out().contains(&format!("app_{at}")), "{listed}");
    }

    // Fewer indexes than services: none is left out, and one that fails does not stop the others of its index.
    let three = ["--env=FLEET_COMPLETIONS=3"];
    let seen = fleet.index(0, &three).run();
    ends(
        &seen,
        0,
        "made and verified: cluster-0 cluster-3 cluster-6\n",
    );
    clusters[4].sql("postgres", "alter role dumper nologin");
    let seen = fleet.index(0, &["--env=FLEET_COMPLETIONS=4"]).run();
    ends(&seen, 3, "FAILED: cluster-4 (exit code 3)\n");
    seen.says("made and verified: cluster-0\n");

    // A name that is no directory's, and no service at all.
    let odd = Fleet::new("[../up]\nhost=x\n", Vec::new(), &container);
    ends(&odd.index(0, &[]).run(), 2, "FAILED: ../up (exit code 2)\n");
    let none = Fleet::new("# none\n", Vec::new(), &container);
    ends(
        &none.index(3, &[]).run(),
        2,
        "there is no service in '/run/",
    );
}
