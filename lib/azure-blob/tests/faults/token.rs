use std::fs;
use std::sync::Arc;

use azure_blob::{ErrorKind, TokenSource, UploadOptions};

use crate::{SIGNATURE, open, options};
use scripted_service::{Fault, Kind, Service};

fn text(signature: &str) -> String {
    format!("?se=2999-01-01&sr=c&sp=racwdl&sig={signature}\n")
}

/// A secret is rotated while an upload runs: the old token is refused, the file has the new one.
#[test]
fn a_rotated_token_is_picked_up() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("token");
    fs::write(&path, text("FIRST-SIGNATURE")).unwrap();
    let service = Service::start();
    service.change(|state| state.signature = Some("FIRST-SIGNATURE".into()));
    let client = open(&service, TokenSource::File(path.clone()), options());
    let mut upload = client.upload("x", UploadOptions::default()).unwrap();
    service.change(|state| state.signature = Some(SIGNATURE.into()));
    fs::write(&path, text(SIGNATURE)).unwrap();
    for _ in 0..5 {
        let length = upload.space().unwrap().len();
        upload.filled(length).unwrap();
    }
    upload.finish().unwrap().commit().unwrap();
    assert_eq!(service.blob("x").unwrap().bytes.len(), 10 << 20);
    assert_eq!(client.list().unwrap().len(), 1);
}

#[test]
fn a_token_that_is_not_rotated_is_final() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("token");
    fs::write(&path, text("FIRST-SIGNATURE")).unwrap();
    let service = Service::start();
    service.change(|state| state.signature = Some(SIGNATURE.into()));
    let client = open(&service, TokenSource::File(path.clone()), options());
    let error = client.list().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Token);
    assert_eq!(service.count(Kind::List), 1);
    // Rotated to another one that is refused as well: asked once more, not for ever.
    fs::write(&path, text("SECOND-SIGNATURE")).unwrap();
    assert_eq!(client.list().unwrap_err().kind(), ErrorKind::Token);
    assert_eq!(service.count(Kind::List), 3);
}

#[test]
fn many_threads_may_find_the_old_one_refused() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("token");
    fs::write(&path, text("FIRST-SIGNATURE")).unwrap();
    let service = Service::start();
    service.store("x", b"text");
    service.change(|state| state.signature = Some(SIGNATURE.into()));
    let client = Arc::new(open(&service, TokenSource::File(path.clone()), options()));
    fs::write(&path, text(SIGNATURE)).unwrap();
    std::thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| client.properties("x").unwrap());
        }
    });
}

#[test]
fn a_token_file_that_is_not_there_is_named() {
    let service = Service::start();
    let (url, _) = azure_blob::ContainerUrl::parse(&service.url()).unwrap();
    let source = TokenSource::File("/nowhere/token".into());
    let error = azure_blob::Client::new(url, source, options()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Token);
    assert!(
        error.to_string().contains("'/nowhere/token': No such file"),
        "{error}"
    );
}

/// The service's words when a token has expired by its clock, not by ours.
#[test]
fn the_service_s_clock_counts() {
    let service = Service::start();
    service.fault(
        Kind::List,
        0,
        Fault::Status(403, "AuthenticationFailed", None),
    );
    let client = open(&service, crate::token("l"), options());
    let error = client.list().unwrap_err();
    assert!(
        error.to_string().contains("403 AuthenticationFailed"),
        "{error}"
    );
    assert!(
        error.hint_text().unwrap().contains("signature is wrong"),
        "{error:?}"
    );
}
