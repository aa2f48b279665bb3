//! https, with a certificate that only `SSL_CERT_FILE` makes trusted.

use e2e::tls::Certificate;
use e2e::{Azurite, Cluster, Program, backup};

#[test]
fn a_private_authority_is_trusted_when_it_is_named() {
    let certificate = Certificate::make();
    let azurite = Azurite::https(&certificate);
    let container = azurite.container();
    // Also a token that is good for https only.
    let token = container.sas().protocol("https").sign();
    let ours = |program: Program| {
        program
            .env("AZURE_STORAGE_SAS_TOKEN", &token)
            .env("SSL_CERT_FILE", &certificate.authority)
    };
    let cluster = Cluster::start();
    cluster.sql("postgres", "create table t as select 42 as a");
    let dump = backup::pgdump_gz(&cluster).succeeds().stdout;

    let put = Program::new("blob-put").args(["-", &format!("{}/", container.url())]);
    let put = ours(put.stdin(dump.clone())).succeeds();
    let names = container.names();
    assert!(names.len() == 1 && backup::is_name(&names[0]), "{names:?}");
    assert!(put.out().contains(&names[0]), "{put}");
    assert!(container.read(&names[0]) == dump);
    ours(Program::new("backup-verify").arg(container.url())).succeeds();
    let second = Cluster::start();
    let restore = Program::new("restore-stream").args([&container.url(), "--latest"]);
    ours(restore.on(&second)).succeeds();
    assert_eq!(second.sql("postgres", "select a from t"), "42");
    let prune = Program::new("blob-prune").args([&container.url(), "--keep-days", "30"]);
    ours(prune).succeeds();
}

#[test]
fn an_unknown_authority_is_said() {
    let certificate = Certificate::make();
    let azurite = Azurite::https(&certificate);
    let container = azurite.container();
    let stranger = Certificate::make();
    for authority in [None, Some(&stranger.authority)] {
        let mut verify = Program::new("backup-verify")
            .arg(container.url())
            .env("AZURE_STORAGE_SAS_TOKEN", container.token());
        if let Some(authority) = authority {
            verify = verify.env("SSL_CERT_FILE", authority);
        }
        let seen = verify.fails(1);
        seen.says("certificate").says("SSL_CERT_FILE");
        for signature in e2e::sas::signatures(&container.token()) {
            seen.hides(&signature);
        }
    }
}
