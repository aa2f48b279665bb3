//! No key, nothing to rotate: the programs run as a pod with a workload identity does, on an Azurite that takes bearer
//! tokens, which a scripted Microsoft Entra ID gives out.

use std::fs;
use std::sync::OnceLock;

use chrono::Utc;
use e2e::tls::Certificate;
use e2e::{Azurite, Cluster, Container, Program, Scratch, Seen, backup, wait_for};
use scripted_service::{Entra, EntraFault};

/// A service account's token; no part of it may be shown.
const ASSERTION: &str =
    "eyJhbGciOiJSUzI1NiJ9.eyJzdWIiOiJTM0NSRVRDTEExTVMifQ.U0MzQ1IzVFMxR05BVFVSRQ";

/// What all of these stories share.
struct Shared {
    certificate: Certificate,
    azurite: Azurite,
}

fn shared() -> &'static Shared {
    static SHARED: OnceLock<Shared> = OnceLock::new();
    SHARED.get_or_init(|| {
        let certificate = Certificate::make();
        Shared {
            azurite: Azurite::oauth(&certificate),
            certificate,
        }
    })
}

/// A container, and an identity that may use it.
struct Pod {
    container: Container,
    entra: Entra,
    scratch: Scratch,
}

impl Pod {
    fn new() -> Self {
        let Shared {
            certificate,
            azurite,
        } = shared();
        let entra = Entra::https(&certificate.certificate, &certificate.key);
        entra.change(|state| state.assertion = Some(ASSERTION.into()));
        Self {
            container: azurite.container(),
            entra,
            scratch: Scratch::new(),
        }
    }

    fn store(&self) -> String {
        self.container.url()
    }

    /// With the variables that the cluster's webhook sets.
    fn run(&self, program: Program) -> Program {
        let file = self.scratch.write("account-token", ASSERTION);
        program
            .env("AZURE_FEDERATED_TOKEN_FILE", file)
            .env("AZURE_CLIENT_ID", "11111111-client")
            .env("AZURE_TENANT_ID", "22222222-tenant")
            .env("AZURE_AUTHORITY_HOST", format!("{}/", self.entra.url()))
            .env("SSL_CERT_FILE", &shared().certificate.authority)
    }

    fn program(&self, name: &str) -> Program {
        self.run(Program::new(name))
    }

    /// Runs it; it must exit 0, after one exchange.
    fn succeeds_with_one_exchange(&self, program: Program) -> Seen {
        let before = self.entra.count();
        let seen = self.run(program).succeeds();
        assert_eq!(self.entra.count() - before, 1, "exchanges\n{seen}");
        self.hides_all(&seen);
        seen
    }

    fn hides_all(&self, seen: &Seen) {
        for token in self
            .entra
            .issued()
            .iter()
            .map(String::as_str)
            .chain([ASSERTION])
        {
            for part in token.split('.') {
                seen.hides(part);
            }
        }
        seen.hides("panicked");
    }

    /// Old backups, which may go.
    fn fill(&self, count: usize) {
        let name = |at| format!("postgresql_backup_20200101_{at:06}.sql.gz");
        let names: Vec<String> = (0..count).map(name).collect();
        self.container.fill(&names);
    }
}

#[test]
fn every_program_runs_without_a_key() {
    let pod = Pod::new();
    let cluster = Cluster::start();
    cluster.sql("postgres", "create table t as select 42 as a");
    let dump = backup::pgdump_gz(&cluster).succeeds().stdout;
    let (store, slash) = (pod.store(), format!("{}/", pod.store()));

    let put = Program::new("blob-put")
        .args(["-", &slash])
        .stdin(dump.clone());
    pod.succeeds_with_one_exchange(put).hides("expires");
    let names = pod.container.names();
    assert!(names.len() == 1 && backup::is_name(&names[0]), "{names:?}");
    assert!(pod.container.read(&names[0]) == dump);
    // The name is taken: it may read, so it says so before it reads anything.
    let again = format!("{slash}{}", names[0]);
    let put = Program::new("blob-put").args(["-", &again]);
    pod.run(put.stdin(dump)).fails(4).says("is there already");

    // What belongs to a SAS token is not there: no line, and no metric, not even the last one's.
    let file = pod.scratch.join("backup.prom");
    let family = "postgresql_backup_token_expiry_timestamp_seconds";
    let stale = format!("{family}{{store=\"{store}\"}} 1\n");
    fs::write(&file, stale).unwrap();
    let path = file.display().to_string();
    let verify =
        Program::new("backup-verify").args([&store, "--metrics", &path, "--warn-expiry=99d"]);
    let seen = pod.succeeds_with_one_exchange(verify);
    assert!(!seen.out().contains("token"), "{seen}");
    let metrics = fs::read_to_string(&file).unwrap();
    assert!(
        metrics.contains("stored_backups") && !metrics.contains(family),
        "{metrics}"
    );
    let blob = format!("{store}/{}", names[0]);
    pod.succeeds_with_one_exchange(Program::new("backup-verify").arg(&blob));
    let all = Program::new("backup-verify").args([&store, "--all", "--json"]);
    let seen = pod.succeeds_with_one_exchange(all);
    assert!(!seen.out().contains("token"), "{seen}");

    let list = Program::new("restore-stream").args([&store, "--latest", "--list"]);
    pod.succeeds_with_one_exchange(list);
    let second = Cluster::start();
    let restore = Program::new("restore-stream").args([&store, "--latest"]);
    pod.succeeds_with_one_exchange(restore.on(&second));
    assert_eq!(second.sql("postgres", "select a from t"), "42");
    // A child that needs the store too gets the identity.
    let test = Program::new("backup-verify").args([&store, "--restore-test"]);
    let seen = pod.run(test).succeeds();
    pod.hides_all(&seen);

    pod.fill(3);
    let prune = Program::new("blob-prune").args([&store, "--keep-days", "30", "--keep-min", "1"]);
    pod.succeeds_with_one_exchange(prune);
    assert_eq!(pod.container.names(), names);
    // In one batch, each part of which carried the token.
    let path = format!("/{}?", pod.container.name());
    let azurite = &shared().azurite;
    wait_for("a line in Azurite's log", || {
        (azurite.answered(&["POST", &path, "comp=batch", " 202 "]) == 1).then_some(())
    });
    let one = format!("/{}/", pod.container.name());
    assert_eq!(azurite.answered(&["\"DELETE ", &one]), 0);
}

/// The service takes the first token for a moment only, whatever Entra said of it.
fn short_lived(pod: &Pod) {
    pod.entra.change(|state| state.really_lasts = Some(2));
}

/// Waits until that token is of no use any more, and lets later ones be good.
fn outlive(pod: &Pod, issued_before: usize) {
    wait_for("a token", || {
        (pod.entra.issued().len() > issued_before).then_some(())
    });
    pod.entra.change(|state| state.really_lasts = None);
    let until = Utc::now().timestamp() + 3;
    wait_for("the token's end", || {
        (Utc::now().timestamp() > until).then_some(())
    });
}

#[test]
fn a_token_that_ends_is_renewed_in_the_middle() {
    let pod = Pod::new();
    let (source, file) = (pod.scratch.join("source"), pod.scratch.join("source.gz"));
    Program::sh("head -c 30000000 /dev/urandom")
        .stdout_file(&source)
        .succeeds();
    let dump = Program::new("pgdump-gz").args(["--", "cat"]).arg(&source);
    dump.stdout_file(&file).succeeds();
    let go = pod.scratch.join("go");
    let waits = format!("until [ -e '{}' ]; do sleep 0.1; done", go.display());
    let blob = format!("{}/x.gz", pod.store());

    short_lived(&pod);
    let put = format!("{{ head -c 10000000; {waits}; cat; }} | blob-put - '{blob}'");
    let running = pod.run(Program::sh(&put).stdin_file(&file)).spawn();
    outlive(&pod, 0);
    fs::write(&go, "").unwrap();
    let seen = running.wait();
    assert_eq!(seen.code(), Some(0), "{seen}");
    pod.hides_all(&seen);
    assert_eq!(pod.entra.count(), 2, "{seen}");

    fs::remove_file(&go).unwrap();
    let copy = pod.scratch.join("copy");
    let feed = format!("head -c 1000000; {waits}; cat");
    short_lived(&pod);
    let restore = Program::new("restore-stream").args([&blob, "--", "sh", "-c", &feed]);
    let running = pod.run(restore.stdout_file(&copy)).spawn();
    outlive(&pod, 2);
    fs::write(&go, "").unwrap();
    let seen = running.wait();
    assert_eq!(seen.code(), Some(0), "{seen}");
    pod.hides_all(&seen);
    assert_eq!(pod.entra.count(), 4, "{seen}");
    Program::other("cmp").args([&source, &copy]).succeeds();
}

#[test]
fn what_entra_refuses_is_said_by_every_program() {
    let pod = Pod::new();
    let store = pod.store();
    let file = pod
        .scratch
        .write("postgresql_backup_20250101_000000.sql.gz", "x");
    let file = file.display().to_string();
    let slash = format!("{store}/");
    let lines: [&[&str]; 4] = [
        &["blob-put", &file, &slash, "--raw"],
        &["blob-prune", &store, "--keep-days", "30"],
        &["backup-verify", &store],
        &["restore-stream", &store, "--latest", "--list"],
    ];
    for (fault, said) in [
        (
            EntraFault::Refuse(401, "invalid_client", 70_021),
            "federated credential",
        ),
        (
            EntraFault::Refuse(400, "invalid_request", 90_002),
            "AZURE_TENANT_ID",
        ),
    ] {
        pod.entra.recover();
        pod.entra.fault(0, fault);
        for line in lines {
            let before = pod.entra.count();
            let seen = pod.program(line[0]).args(&line[1..]).fails(1);
            seen.says("AADSTS").says("'11111111-client'").says(said);
            assert_eq!(pod.entra.count() - before, 1, "{seen}");
            pod.hides_all(&seen);
        }
    }
    // Half an identity, and none.
    for (name, said) in [
        ("AZURE_CLIENT_ID", "azure.workload.identity/client-id"),
        (
            "AZURE_FEDERATED_TOKEN_FILE",
            "there is no SAS token and no identity",
        ),
    ] {
        for line in lines {
            let program = pod.program(line[0]).without_env(name);
            program.args(&line[1..]).fails(1).says(said);
        }
    }
    let odd = pod.program("blob-prune").env("AZURE_STORAGE_AUTH", "key");
    odd.args(&lines[1][1..]).fails(2).says("workload-identity");
    assert!(pod.container.names().is_empty());
}

#[test]
fn what_passes_at_entra_is_outlived() {
    let pod = Pod::new();
    pod.entra.fault(1, EntraFault::Busy(429, 1));
    pod.entra.fault(2, EntraFault::Cut);
    let seen = pod.program("backup-verify").arg(pod.store()).fails(3);
    seen.says("429");
    assert_eq!(pod.entra.count(), 3, "{seen}");
}

/// An identity binding of AKS: the cluster's own endpoint, with a certificate of its own and another name.
#[test]
fn an_identity_binding_is_exchanged_by_the_cluster() {
    let mut pod = Pod::new();
    let cluster = Certificate::make();
    pod.entra = Entra::https(&cluster.certificate, &cluster.key);
    let proxy = format!("https://127.0.0.1:{}/binding", pod.entra.port());
    pod.fill(2);
    let list = |file: Option<&std::path::Path>, data: Option<String>| {
        let mut program = pod
            .program("restore-stream")
            .args([&pod.store(), "--list"])
            // Nobody is there.
            .env("AZURE_AUTHORITY_HOST", "https://127.0.0.1:9")
            .env("HTTPS_PROXY", "http://127.0.0.1:9")
            .env("NO_PROXY", "")
            .env("AZURE_KUBERNETES_TOKEN_PROXY", &proxy)
            .env("AZURE_KUBERNETES_SNI_NAME", "localhost");
        if let Some(file) = file {
            program = program.env("AZURE_KUBERNETES_CA_FILE", file);
        }
        if let Some(data) = data {
            program = program.env("AZURE_KUBERNETES_CA_DATA", data);
        }
        program
    };
    let authority = fs::read_to_string(&cluster.authority).unwrap();
    list(Some(&cluster.authority), None).succeeds();
    list(None, Some(authority.clone())).succeeds();
    let seen = pod.entra.change(|state| state.seen.clone());
    assert_eq!(seen.len(), 2);
    for request in seen {
        assert_eq!(
            request.line,
            "POST /binding/22222222-tenant/oauth2/v2.0/token"
        );
        assert_eq!(request.sni.as_deref(), Some("localhost"));
        let host = format!("127.0.0.1:{}", pod.entra.port());
        assert_eq!(request.headers["host"], host);
    }
    list(None, None).fails(1).says("certificate");
    list(Some(&cluster.authority), Some(authority))
        .fails(1)
        .says("both set");
    let empty = pod.scratch.write("empty.crt", "");
    list(Some(&empty), None).fails(1).says("no certificates");
}

#[test]
fn a_machine_s_identity_is_used_when_it_is_asked_for() {
    let pod = Pod::new();
    pod.fill(2);
    // The metadata service speaks plain http.
    let metadata = Entra::start();
    let list = || {
        let program = pod.program("restore-stream").args([&pod.store(), "--list"]);
        program
            .env("AZURE_STORAGE_AUTH", "managed-identity")
            .env("AZURE_POD_IDENTITY_AUTHORITY_HOST", metadata.url())
    };
    list().succeeds();
    assert_eq!((metadata.count(), pod.entra.count()), (1, 0));
    metadata.fault(0, EntraFault::Refuse(400, "invalid_request", 0));
    list().fails(1).says("vmss identity assign");
    // A SAS token comes first, unless something else is asked for.
    let token = pod.container.token();
    let sas = pod.program("restore-stream").args([&pod.store(), "--list"]);
    sas.env("AZURE_STORAGE_SAS_TOKEN", &token).succeeds();
    assert_eq!(pod.entra.count(), 0);
    let other = pod.program("restore-stream").args([&pod.store(), "--list"]);
    let other = other.env("AZURE_STORAGE_SAS_TOKEN", token);
    other
        .env("AZURE_STORAGE_AUTH", "workload-identity")
        .succeeds();
    assert_eq!(pod.entra.count(), 1);
}

#[test]
fn wrong_usage_shows_no_token() {
    let pod = Pod::new();
    let issued = {
        pod.program("backup-verify").arg(pod.store()).fails(3);
        pod.entra.issued().remove(0)
    };
    for token in [ASSERTION, &issued] {
        for text in [
            token.to_owned(),
            format!("Bearer {token}"),
            format!("https://acc.blob.core.windows.net/backups?token={token}"),
            format!("'{token}'"),
        ] {
            for program in [
                "blob-put",
                "blob-prune",
                "backup-verify",
                "restore-stream",
                "pgdump-gz",
            ] {
                for line in [
                    vec![text.clone(), "--bogus".into()],
                    vec!["x".into(), format!("--deadline={text}")],
                    vec![format!("--{text}")],
                ] {
                    let seen = pod.program(program).args(&line).run();
                    assert_ne!(seen.code(), Some(0), "{seen}");
                    pod.hides_all(&seen);
                }
            }
        }
    }
}
