//! What monitoring sees: metrics that a real Prometheus takes, and the alerts and the dashboard that are
//! shipped.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use chrono::{DateTime, TimeDelta, Utc};
use e2e::tls::Certificate;
use e2e::{
    Azurite, Cluster, Exporter, Program, Prometheus, Scratch, Version, WalStore, backup, tool,
    wait_for,
};
use serde_json::{Deserializer, Value, json};

use crate::base_backup::base;

fn component(file: &str) -> PathBuf {
    tool::workspace()
        .join("k8s/components/monitoring")
        .join(file)
}

/// The objects of a manifest.
fn objects(file: &str) -> Vec<Value> {
    let seen = Program::other(tool::tools().join("kubernetes/bin/kubectl"))
        .args(["annotate", "--local", "-o", "json", "none-", "-f"])
        .arg(component(file))
        .succeeds();
    let objects = Deserializer::from_slice(&seen.stdout).into_iter();
    objects.map(|object| object.expect("JSON")).collect()
}

/// What the PrometheusRule says, as a file of rules.
fn rules() -> Value {
    objects("alerts.yaml")[0]["spec"].clone()
}

fn alerts(rules: &Value) -> &Vec<Value> {
    rules["groups"][0]["rules"].as_array().expect("rules")
}

fn dashboard() -> Value {
    let text = fs::read(component("dashboard.json")).expect("the dashboard");
    serde_json::from_slice(&text).expect("JSON")
}

/// The expressions of all panels.
fn expressions(dashboard: &Value) -> Vec<String> {
    let panels = dashboard["panels"].as_array().expect("panels").iter();
    let targets = panels.flat_map(|panel| panel["targets"].as_array().expect("targets"));
    targets
        .map(|target| target["expr"].as_str().expect("an expression").to_owned())
        .collect()
}

#[test]
fn alerts_fire_and_do_not_fire() {
    let scratch = Scratch::new();
    let rules = rules();
    scratch.write("alerts.json", rules.to_string());
    let tests = fs::read_to_string(component("alerts_test.yaml")).expect("their tests");
    scratch.write("alerts_test.yaml", &tests);
    for words in [
        ["check", "rules", "alerts.json"],
        ["test", "rules", "alerts_test.yaml"],
    ] {
        Program::other("promtool")
            .args(words)
            .in_dir(scratch.path())
            .succeeds();
    }
    let mut tested: Vec<(&str, bool)> = Vec::new();
    let mut lines = tests.lines().map(str::trim).peekable();
    while let Some(line) = lines.next() {
        if let Some(name) = line.strip_prefix("alertname: ") {
            tested.push((name, lines.peek() == Some(&"exp_alerts:")));
        }
    }
    for alert in alerts(&rules) {
        let name = alert["alert"].as_str().expect("a name");
        for fires in [true, false] {
            let there = tested.contains(&(name, fires));
            assert!(there, "{name}: no test in which it fires: {fires}");
        }
    }
}

#[test]
fn the_page_that_an_alert_names_is_there() {
    let workspace = tool::workspace();
    for alert in alerts(&rules()) {
        let link = alert["annotations"]["runbook"].as_str().expect("a link");
        let (page, anchor) = link.split_once('#').expect("a place in a page");
        let page = fs::read_to_string(workspace.join(page)).expect(link);
        let titles = page.lines().filter_map(|line| line.strip_prefix("## "));
        let anchors: Vec<_> = titles
            .map(|title| title.to_lowercase().replace(' ', "-"))
            .collect();
        assert!(anchors.iter().any(|it| it == anchor), "{link}: {anchors:?}");
    }
}

/// What kube-state-metrics and the kubelets say; ours are looked at in backup-verify's own tests.
const OTHERS: [&str; 11] = [
    "kube_cronjob_created",
    "kube_cronjob_spec_suspend",
    "kube_cronjob_status_last_successful_time",
    "kube_job_created",
    "kube_job_failed",
    "kube_job_owner",
    "kube_job_status_completion_time",
    "kube_job_status_start_time",
    "kubelet_volume_stats_capacity_bytes",
    "kubelet_volume_stats_used_bytes",
    "kubelet_volume_stats_available_bytes",
];

#[test]
fn metrics_of_others_are_known() {
    let rules = rules();
    let mut all = expressions(&dashboard());
    let of_alerts = alerts(&rules).iter();
    all.extend(of_alerts.map(|alert| alert["expr"].as_str().expect("expr").to_owned()));
    let text = all.join("\n");
    let words: BTreeSet<_> = text
        .split(|it: char| !it.is_ascii_alphanumeric() && it != '_')
        .filter(|word| word.starts_with("kube_") || word.starts_with("kubelet_"))
        .collect();
    assert!(words.len() > 5, "{words:?}");
    for word in words {
        assert!(OTHERS.contains(&word), "{word}");
    }
}

#[test]
fn a_push_finds_the_pushgateway_and_prometheus_finds_it_too() {
    let objects = objects("pushgateway.yaml");
    let of_kind = |kind: &str| -> Vec<&Value> {
        let of_kind = objects.iter().filter(|object| object["kind"] == kind);
        of_kind.map(|object| &object["spec"]).collect()
    };
    let [deployment] = of_kind("Deployment")[..] else {
        panic!("one Deployment")
    };
    let labels = &deployment["template"]["metadata"]["labels"];
    assert_eq!(&deployment["selector"]["matchLabels"], labels);
    let pod = &deployment["template"]["spec"];
    let container = &pod["containers"][0];
    let port = &container["ports"][0];

    let service = of_kind("Service")[0];
    assert_eq!(&service["selector"], labels);
    assert_eq!(service["ports"][0]["targetPort"], port["name"]);
    let name = objects
        .iter()
        .find(|object| object["kind"] == "Service")
        .expect("a Service")["metadata"]["name"]
        .as_str()
        .expect("a name");
    let url = format!("http://{name}:{}", service["ports"][0]["port"]);
    let settings = fs::read_to_string(component("kustomization.yaml")).expect("settings");
    let literal = format!("- BACKUP_VERIFY_PUSH_URL={url}\n");
    assert!(settings.contains(&literal), "{literal}");

    let monitor = of_kind("ServiceMonitor")[0];
    assert_eq!(&monitor["selector"]["matchLabels"], labels);
    assert_eq!(monitor["endpoints"][0]["port"], service["ports"][0]["name"]);
    assert_eq!(monitor["endpoints"][0]["honorLabels"], true);

    // The jobs may go out to it, and it lets them in.
    let jobs = json!({"app.kubernetes.io/part-of": "postgresql-backup"});
    let policies = of_kind("NetworkPolicy");
    let into = |policy: &&&Value| policy["podSelector"]["matchLabels"] == *labels;
    let out = |policy: &&&Value| policy["podSelector"]["matchLabels"] == jobs;
    let ingress = &policies.iter().find(into).expect("a policy")["ingress"][0];
    let egress = &policies.iter().find(out).expect("a policy")["egress"][0];
    assert_eq!(ingress["from"][0]["podSelector"]["matchLabels"], jobs);
    assert_eq!(&egress["to"][0]["podSelector"]["matchLabels"], labels);
    for rule in [ingress, egress] {
        assert_eq!(rule["ports"][0]["port"], port["containerPort"]);
    }

    // The restricted profile.
    assert_eq!(pod["securityContext"]["runAsNonRoot"], true);
    let profile = &pod["securityContext"]["seccompProfile"];
    assert_eq!(profile["type"], "RuntimeDefault");
    let security = &container["securityContext"];
    assert_eq!(security["allowPrivilegeEscalation"], false);
    assert_eq!(security["readOnlyRootFilesystem"], true);
    assert_eq!(security["capabilities"]["drop"], json!(["ALL"]));
}

#[test]
fn a_ping_over_https() {
    let certificate = Certificate::make();
    // It takes no such request, but whoever reads that has got through.
    let azurite = Azurite::https(&certificate);
    let ping = format!("https://127.0.0.1:{}/no/such/thing", azurite.port());
    let cluster = Cluster::start();
    let verify = || {
        Program::new("backup-verify")
            .arg("-")
            .stdin(backup::pgdump_gz(&cluster).succeeds().stdout)
            .env("BACKUP_VERIFY_PING_URL", &ping)
    };
    let seen = verify()
        .env("SSL_CERT_FILE", &certificate.authority)
        .succeeds();
    seen.says("warning: cannot ping https://127.0.0.1:")
        .says("/…: the answer is 4")
        .hides("such");
    verify().succeeds().says("SSL_CERT_FILE").hides("such");
}

/// A label's value in an expression.
fn quoted(text: &str) -> String {
    format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\""))
}

/// A backup's name, so many hours ago.
fn name(now: DateTime<Utc>, hours: i64) -> String {
    let moment = now - TimeDelta::hours(hours);
    moment
        .format("postgresql_backup_%Y%m%d_%H%M%S.sql.gz")
        .to_string()
}

/// Two stores on a volume, whose metrics the node exporter reads.
struct Volume {
    scratch: Scratch,
    now: DateTime<Utc>,
}

impl Volume {
    /// In `old` the newest backup is 40 hours old. In `shrunk` it has lost a database and most rows.
    fn new(now: DateTime<Utc>, before: &[u8], after: &[u8]) -> Self {
        let scratch = Scratch::new();
        for directory in ["old", "shrunk", "files"] {
            scratch.make(directory);
        }
        scratch.write(format!("old/{}", name(now, 40)), before);
        for nights in 1..=4 {
            scratch.write(format!("shrunk/{}", name(now, 24 * nights)), before);
        }
        scratch.write(format!("shrunk/{}", name(now, 0)), after);
        Self { scratch, now }
    }

    fn store(&self, name: &str) -> String {
        self.scratch.join(name).display().to_string()
    }

    fn files(&self) -> PathBuf {
        self.scratch.join("files")
    }

    fn metrics(&self, name: &str) -> String {
        fs::read_to_string(self.files().join(format!("{name}.prom"))).expect("metrics")
    }

    /// With a quota: how full this machine's disk is must not matter.
    fn verify(&self, name: &str, quota: &str) -> Program {
        Program::new("backup-verify")
            .arg(self.store(name))
            .arg("--metrics")
            .arg(self.files().join(format!("{name}.prom")))
            .args(["--quota", quota, "--now", &self.now.to_rfc3339()])
    }
}

#[test]
fn a_real_prometheus_takes_the_metrics_and_raises_the_alerts() {
    let odd = "ödd \"☃\\name";
    let cluster = Cluster::start();
    let create = format!("create database \"{}\"", odd.replace('"', "\"\""));
    cluster.sql("postgres", &create);
    cluster.sql("postgres", "create database lost");
    let rows = "create table t as select md5(n::text) as a from generate_series(1, 20000) as n";
    cluster.sql("postgres", rows);
    let dump = || backup::pgdump_gz(&cluster).succeeds().stdout;
    let before = dump();
    cluster.sql("postgres", "delete from t where a > '1'");
    cluster.sql("postgres", "drop database lost");
    let after = dump();
    let now = Utc::now();

    let volume = Volume::new(now, &before, &after);
    volume.verify("old", "1T").fails(3);
    // A mebibyte is less than the four take.
    volume.verify("shrunk", "1M").fails(3).says("lost");

    // A good container whose token expires in ten days, by way of a Pushgateway.
    let container = Azurite::shared().container();
    container.write(&name(now, 0), &after);
    let pushgateway = Exporter::pushgateway();
    let expires = now + TimeDelta::days(10);
    let token = container.sas().expires(expires).sign();
    let url = format!("http://{}", pushgateway.address());
    let seen = Program::new("backup-verify")
        .arg(container.url())
        .args(["--quota", "1T"])
        .env("AZURE_STORAGE_SAS_TOKEN", &token)
        .env("BACKUP_VERIFY_PUSH_URL", url)
        .succeeds();
    assert!(!seen.err().contains("cannot push"), "{seen}");
    assert!(!pushgateway.metrics().contains("sig="));

    for text in [
        volume.metrics("old"),
        volume.metrics("shrunk"),
        ours(&pushgateway.metrics()),
    ] {
        let checked = Program::other("promtool").args(["check", "metrics"]);
        let seen = checked.stdin(text).succeeds();
        assert_eq!(seen.out() + &seen.err(), "", "{seen}");
    }

    // What waits for hours before it fires is tested by promtool; here nothing can.
    let mut rules = rules();
    let alerts = rules["groups"][0]["rules"].as_array_mut().expect("rules");
    alerts.retain(|alert| alert["for"].is_null());
    let textfile = Exporter::textfile(&volume.files());
    let prometheus = Prometheus::start(&[&textfile, &pushgateway], &rules);
    let value = |name: &str, store: &str, more: &str| {
        let labels = format!("store={}{more}", quoted(store));
        let expression = format!("postgresql_backup_{name}{{{labels}}}");
        wait_for(&expression, || prometheus.value(&expression))
    };
    let (old, shrunk, blobs) = (volume.store("old"), volume.store("shrunk"), container.url());
    for (store, good, bytes, hours) in [
        (&old, 0.0, &before, 40),
        (&shrunk, 0.0, &after, 0),
        (&blobs, 1.0, &after, 0),
    ] {
        assert_eq!(value("verify_success", store, ""), good);
        let last = value("last_success_timestamp_seconds", store, "");
        let started = (now - TimeDelta::hours(hours)).timestamp() as f64;
        // The dump was started before it was given its name.
        assert!((last - started).abs() < 60.0, "{store}: {last}");
        assert_eq!(value("size_bytes", store, ""), bytes.len() as f64);
        let database = format!(",database={}", quoted(odd));
        assert!(value("database_size_bytes", store, &database) > 100.0);
    }
    let ratio = after.len() as f64 / before.len() as f64;
    assert!((value("size_ratio", &shrunk, "") - ratio).abs() < 1e-6);
    let lost = ",database=\"lost\"";
    assert_eq!(value("database_size_ratio", &shrunk, lost), 0.0);
    assert_eq!(value("check_grade", &shrunk, ",check=\"size\""), 2.0);
    assert!(value("used_ratio", &shrunk, "") > 0.8);
    assert!(value("used_ratio", &blobs, "") < 0.8);
    let until = value("token_expiry_timestamp_seconds", &blobs, "");
    assert_eq!(until, expires.timestamp() as f64);

    let firing = || prometheus.firing(&["store", "database"]);
    let mut wanted = vec![
        format!("PostgresqlBackupNotGood {old}"),
        format!("PostgresqlBackupNotGood {shrunk}"),
        format!("PostgresqlBackupSizeChanged {shrunk}"),
        format!("PostgresqlBackupSizeChanged {shrunk} lost"),
        format!("PostgresqlBackupSizeChanged {shrunk} postgres"),
        format!("PostgresqlBackupStorageNearlyFull {shrunk}"),
        format!("PostgresqlBackupTokenExpires {blobs}"),
        format!("PostgresqlBackupTooOld {old}"),
    ];
    wait_for(&format!("{wanted:#?}"), || {
        firing().filter(|it| *it == wanted)
    });

    // Repaired, and its alerts end.
    volume
        .scratch
        .write(format!("old/{}", name(now, 0)), &before);
    volume.verify("old", "1T").succeeds();
    wanted.retain(|alert| !alert.ends_with("/old"));
    wait_for("the alerts to end", || firing().filter(|it| *it == wanted));

    let archive = archive(&volume.files().join("archive.prom"));
    assert!(value("recoverable_until_timestamp_seconds", &archive, "") > 0.0);

    for expression in expressions(&dashboard()) {
        let shown = expression.replace("$store", ".*");
        let found = prometheus.ask("query", &[("query", &shown)]);
        let found = found.expect("an answer");
        // There is no Kubernetes here, and no restore was tried.
        let tests = ["restore_", "recovery_"];
        let elsewhere =
            expression.contains("kube") || tests.iter().any(|it| expression.contains(it));
        let empty = found["result"].as_array().is_none_or(Vec::is_empty);
        assert!(elsewhere || !empty, "nothing to show for {expression}");
    }
}

/// Measures a store of a base backup and WAL, and returns its name.
fn archive(metrics: &Path) -> String {
    let store = WalStore::directory();
    let cluster = Cluster::with(Version::debian(), &[], &store.archiving(""));
    base(&cluster).arg("--dir").arg(store.url()).succeeds();
    Program::new("backup-verify")
        .arg(store.url())
        .args(["--wal-only", "--dbname", "dbname=postgres", "--metrics"])
        .arg(metrics)
        .on(&cluster)
        .succeeds();
    store.url()
}

/// Without what the Pushgateway says of itself.
fn ours(metrics: &str) -> String {
    let ours = metrics
        .lines()
        .filter(|line| line.contains("postgresql_backup_"));
    ours.map(|line| format!("{line}\n")).collect()
}
