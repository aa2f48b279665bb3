//! The CronJobs' containers, run from the manifests with an identity: each gets what the webhook of an AKS cluster gives a
//! pod with the label, Microsoft Entra ID is scripted, and the store is an Azurite that takes bearer tokens.

use std::ops::RangeInclusive;
use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::{STANDARD as BASE64, URL_SAFE_NO_PAD};
use e2e::tls::Certificate;
use e2e::{Azurite, Cluster, Container, Program, Scratch, Seen, backup, sample, sas};
use scripted_service::Entra;
use serde_json::json;

use super::super::api::{Shared, path_of};
use super::super::image::Image;
use super::super::manifests::{objects, render};
use super::super::pod::{Pod, World, give, text};
use super::super::site::NAMESPACE;

/// Where the webhook mounts the service account's token.
const TOKENS: &str = "/var/run/secrets/azure/tokens";
/// The group that the kubelet gives a pod's secrets to: its fsGroup.
const GROUP: u32 = 10001;

/// A service account's token, as the cluster would sign it.
fn assertion(account: &str) -> String {
    let subject = json!({"sub": format!("system:serviceaccount:{NAMESPACE}:{account}")});
    let claims = URL_SAFE_NO_PAD.encode(subject.to_string());
    format!("eyJhbGciOiJSUzI1NiJ9.{claims}.U0lHTkFUVVJFLU9GLVRIRS1DTFVTVEVS")
}

fn client_of(account: &str) -> String {
    format!("client-of-{account}")
}

/// An overlay's jobs, a server, and a store that takes no key.
struct Jobs {
    shared: Arc<Shared>,
    scratch: Scratch,
    certificate: Certificate,
    entra: Entra,
    container: Container,
    cluster: Cluster,
    _azurite: Azurite,
}

impl Jobs {
    fn new(components: &[&str]) -> Self {
        let certificate = Certificate::make();
        let azurite = Azurite::oauth(&certificate);
        let container = azurite.container();
        let shared = Arc::new(Shared::default());
        // As setup-backup.sh --identity makes it.
        let store = json!({"kind": "ConfigMap", "apiVersion": "v1",
            "metadata": {"name": "postgresql-backup-store", "namespace": NAMESPACE},
            "data": {"storage-account": sas::ACCOUNT, "container-name": container.name()}});
        let login = json!({"kind": "Secret", "apiVersion": "v1",
            "metadata": {"name": "postgresql-backup-login", "namespace": NAMESPACE},
            "data": {"password": BASE64.encode("x")}});
        let mut all = objects(&render("primary", components));
        for account in all.iter_mut().filter(|it| it["kind"] == "ServiceAccount") {
            let name = text(&account["metadata"]["name"]).to_owned();
            account["metadata"]["annotations"]["azure.workload.identity/client-id"] =
                json!(client_of(&name));
        }
        all.extend([store, login]);
        shared.change(|state| {
            for object in &all {
                state.objects.insert(path_of(object), object.clone());
            }
        });
        let cluster = Cluster::start();
        sample::company(&cluster);
        Self {
            shared,
            scratch: Scratch::new(),
            entra: Entra::https(&certificate.certificate, &certificate.key),
            certificate,
            container,
            cluster,
            _azurite: azurite,
        }
    }

    /// The container of a CronJob's pod, with other arguments if there are any.
    fn job(&self, cronjob: &str, args: Option<&[&str]>) -> Program {
        let from = format!("/apis/batch/v1/namespaces/{NAMESPACE}/cronjobs/{cronjob}");
        let state = self.shared.lock();
        let spec = &state.objects[&from]["spec"]["jobTemplate"]["spec"];
        let mut template = spec["template"].clone();
        if let Some(args) = args {
            template["spec"]["containers"][0]["args"] = json!(args);
        }
        let url = self.container.url();
        let store = url.rsplit_once('/').expect("a URL").0;
        let azure = format!("https://{}.blob.core.windows.net", sas::ACCOUNT);
        let settle = |name: &str, value: String| match (name, value.strip_prefix(&azure)) {
            ("PGHOST", _) => self.cluster.socket().display().to_string(),
            ("PGUSER", _) => "postgres".to_owned(),
            (_, Some(rest)) => format!("{store}{rest}"),
            _ => value,
        };
        let own = self.scratch.path().file_name().expect("a name").display();
        let name = format!("{own}-{cronjob}");
        let world = World {
            state: &state,
            namespace: NAMESPACE,
            scratch: &self.scratch,
            mounts: vec![self.cluster.socket()],
            settle: &settle,
        };
        let mut pod = Pod::new(&name, &template, &world);
        let label = &template["metadata"]["labels"]["azure.workload.identity/use"];
        assert_eq!(label, "true", "{cronjob}");
        let account = text(&template["spec"]["serviceAccountName"]);
        let path = format!("/api/v1/namespaces/{NAMESPACE}/serviceaccounts/{account}");
        let annotations = &state.objects[&path]["metadata"]["annotations"];
        let client = text(&annotations["azure.workload.identity/client-id"]);
        pod.options.extend(self.webhook(&name, account, client));
        let image = Image::shared();
        image
            .tool("podman")
            .args(["run", "--rm"])
            .args(&pod.options)
            .arg(&image.id)
            .args(&pod.command)
    }

    /// What the webhook adds, and the authority of the certificates that are made here.
    fn webhook(&self, pod: &str, account: &str, client: &str) -> Vec<String> {
        let tokens = self.scratch.make(format!("{pod}-tokens"));
        let file = tokens.join("azure-identity-token");
        std::fs::write(&file, assertion(account)).expect("a token");
        give(&file, GROUP, 0o640);
        let authority = self.certificate.authority.display();
        vec![
            format!("--volume={}:{TOKENS}:ro", tokens.display()),
            format!("--env=AZURE_FEDERATED_TOKEN_FILE={TOKENS}/azure-identity-token"),
            format!("--env=AZURE_CLIENT_ID={client}"),
            "--env=AZURE_TENANT_ID=tenant".into(),
            format!("--env=AZURE_AUTHORITY_HOST={}/", self.entra.url()),
            format!("--volume={authority}:/etc/authority.pem:ro"),
            "--env=SSL_CERT_FILE=/etc/authority.pem".into(),
        ]
    }

    /// Runs it to its good end. It asked for as many tokens, all as this service account, and showed none.
    fn run(
        &self,
        cronjob: &str,
        args: Option<&[&str]>,
        account: &str,
        exchanges: RangeInclusive<usize>,
    ) -> Seen {
        let before = self.entra.count();
        let seen = self.job(cronjob, args).succeeds();
        let asked = self.entra.change(|state| state.seen.split_off(before));
        assert!(
            exchanges.contains(&asked.len()),
            "{cronjob}: {asked:?}\n{seen}"
        );
        for request in &asked {
            assert_eq!(request.line, "POST /tenant/oauth2/v2.0/token");
            assert_eq!(request.fields["client_id"], client_of(account), "{cronjob}");
            assert_eq!(request.fields["client_assertion"], assertion(account));
        }
        self.entra.change(|state| state.seen.extend(asked));
        for token in self.entra.issued().into_iter().chain([assertion(account)]) {
            for part in token.split('.') {
                seen.hides(part);
            }
        }
        seen
    }
}

fn put(jobs: &Jobs, account: &str) {
    jobs.run("postgresql-backup-to-azure", None, account, 1..=1);
    let names = jobs.container.names();
    assert!(names.len() == 1 && backup::is_name(&names[0]), "{names:?}");
}

/// Verifies, then prunes.
fn prune(jobs: &Jobs, account: &str) {
    // Old ones, three more than are kept.
    let bytes = jobs.container.read(&jobs.container.names()[0]);
    for days in 40..49 {
        let then = chrono::Utc::now() - chrono::TimeDelta::days(days);
        let name = then.format("postgresql_backup_%Y%m%d_%H%M%S.sql.gz");
        jobs.container.write(&name.to_string(), &bytes);
    }
    let seen = jobs.run("postgresql-backup-prune-azure", None, account, 2..=2);
    seen.says("3 backups deleted");
    assert!(seen.out().contains("ok       backup"), "{seen}");
    assert_eq!(jobs.container.names().len(), 7, "{seen}");
}

fn test_restore(jobs: &Jobs, account: &str) {
    // backup-verify, and the restore-stream that it runs.
    let seen = jobs.run("postgresql-restore-test", None, account, 2..=3);
    assert!(seen.out().contains("the measured RTO"), "{seen}");
}

fn restore(jobs: &Jobs, account: &str) {
    let args = ["$(STORE)", "--latest", "--database", "jupyterhub"];
    let args = [&args[..], &["--as", "again", "--yes"]].concat();
    jobs.run("postgresql-restore", Some(&args), account, 1..=1);
    let users = "select string_agg(u::text, '' order by u::text) from users u";
    assert_eq!(
        jobs.cluster.sql("again", users),
        jobs.cluster.sql("jupyterhub", users)
    );
}

#[test]
fn one_identity_for_all_jobs() {
    let jobs = Jobs::new(&["workload-identity"]);
    put(&jobs, "postgresql-backup");
    restore(&jobs, "postgresql-backup");
}

#[test]
fn an_identity_for_each_job() {
    let jobs = Jobs::new(&["workload-identity", "scoped-identities"]);
    put(&jobs, "postgresql-backup-put");
    prune(&jobs, "postgresql-backup-prune");
    test_restore(&jobs, "postgresql-backup-read");
    restore(&jobs, "postgresql-backup-read");
}
