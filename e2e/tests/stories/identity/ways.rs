//! The other ways to an identity: a binding of AKS, a machine's.

use std::fs;

use e2e::tls::Certificate;
use scripted_service::{Entra, EntraFault};

use super::Pod;

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
