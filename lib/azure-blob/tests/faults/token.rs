use std::fs;
use std::sync::Arc;

use azure_blob::{CredentialSource, ErrorKind, Permission, Token, UploadOptions};
use chrono::{TimeDelta, Utc};

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
    let client = open(&service, CredentialSource::SasFile(path.clone()), options());
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
    let client = open(&service, CredentialSource::SasFile(path.clone()), options());
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
    let client = Arc::new(open(
        &service,
        CredentialSource::SasFile(path.clone()),
        options(),
    ));
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
    let source = CredentialSource::SasFile("/nowhere/token".into());
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

/// A token that is valid from so many minutes after now to so many, by this machine's clock.
fn dated(from: i64, to: i64) -> CredentialSource {
    let moment = |minutes| {
        let moment = Utc::now() + TimeDelta::minutes(minutes);
        moment.format("%Y-%m-%dT%H:%M:%SZ").to_string()
    };
    let text = format!(
        "st={}&se={}&sr=c&sp=racwdl&sig={SIGNATURE}",
        moment(from),
        moment(to)
    );
    Token::parse(&text).unwrap().into()
}

#[test]
fn what_the_service_takes_is_not_refused_by_our_clock() {
    let service = Service::start();
    service.store("x", b"text");
    // Just made, or just expired, by a clock that is not ours.
    for (from, to, ahead) in [(3, 60, 4), (-60, -3, -4)] {
        service.change(|state| state.ahead = TimeDelta::minutes(ahead));
        let client = open(&service, dated(from, to), options());
        client.check(&[Permission::List]).unwrap();
        assert_eq!(client.list().unwrap().len(), 1);
        drop(client.upload("y", UploadOptions::default()).unwrap());
    }
}

#[test]
fn a_refusal_is_explained_by_the_clocks() {
    let service = Service::start();
    for (from, to, ahead, said) in [
        (
            -1,
            60,
            -3,
            ["not valid before", "this machine's is 3 min ahead of that"],
        ),
        (
            -60,
            2,
            5,
            ["expired at", "this machine's is 5 min behind that"],
        ),
        (-60, -1, 0, ["expired at", "by the service's clock it is"]),
    ] {
        service.change(|state| state.ahead = TimeDelta::minutes(ahead));
        let client = open(&service, dated(from, to), options());
        // Before anything is read of what is to be uploaded.
        let error = client.upload("y", UploadOptions::default()).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Token);
        let hint = error.hint_text().unwrap();
        for said in said {
            assert!(hint.contains(said), "{said}: {hint}");
        }
        assert_eq!(hint.contains("this machine"), ahead != 0, "{hint}");
    }
}

/// In a query a bare plus sign is a space: pasted so, it must be encoded again.
#[test]
fn a_signature_with_a_plus_sign_is_sent_as_it_is_meant() {
    let service = Service::start();
    service.change(|state| state.signature = Some("a+b/c+d=".into()));
    for written in ["a+b/c+d=", "a%2Bb/c+d%3D", "a%2Bb%2Fc%2bd%3D"] {
        let text = format!("se=2999-01-01&sr=c&sp=l&sig={written}");
        let token = Token::parse(&text).unwrap().into();
        open(&service, token, options()).list().unwrap();
    }
}
