//! The life of a token: shared by all, exchanged when it ends or is refused.

use std::fs;
use std::io::Read;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use azure_blob::{Deletion, ErrorKind, UploadOptions};
use scripted_service::EntraFault;

use super::{ASSERTION, Setting};
use crate::{bytes, fill, options};

#[test]
fn many_threads_share_a_token() {
    let setting = Setting::new();
    setting.service.store("x", b"text");
    setting
        .entra
        .fault(1, EntraFault::Slow(Duration::from_millis(200)));
    let client = Arc::new(setting.open(options()));
    thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| client.properties("x").unwrap());
        }
    });
    assert_eq!(setting.entra.count(), 1);
}

/// The service does not know the token any more: it is exchanged once, in the middle of an upload and of a download.
#[test]
fn a_refused_token_is_exchanged_once() {
    let setting = Setting::new();
    let client = setting.open(options());
    let content = bytes(5 << 20);
    let mut upload = client.upload("x", UploadOptions::default()).unwrap();
    assert_eq!(setting.entra.count(), 1);
    setting.trust_from(2);
    fill(&mut upload, &content).unwrap();
    upload.finish().unwrap().commit().unwrap();
    assert_eq!(setting.service.blob("x").unwrap().bytes, content);
    assert_eq!(setting.entra.count(), 2);
    let blob = client.blob("x").unwrap();
    setting.trust_from(3);
    let mut read = Vec::new();
    blob.reader().read_to_end(&mut read).unwrap();
    assert!(read == content);
    assert_eq!(setting.entra.count(), 3);
    // A batch, and what goes one by one.
    for no_batches in [false, true] {
        setting
            .service
            .change(|state| state.no_batches = no_batches);
        for name in ["y", "z"] {
            setting.service.store(name, b"text");
        }
        setting.trust_from(setting.entra.count() + 1);
        let mut told = Vec::new();
        client
            .delete(&["y", "z"], &mut |_, deletion| told.push(deletion))
            .unwrap();
        assert_eq!(told, [Deletion::Deleted, Deletion::Deleted]);
    }
    assert_eq!(setting.entra.count(), 5);
}

/// The cluster projects the service account's token anew: each exchange reads the file.
#[test]
fn the_file_is_read_at_each_exchange() {
    let setting = Setting::new();
    let client = setting.open(options());
    client.list().unwrap();
    let second = ASSERTION.replace("CLA1MS", "0THERS");
    fs::write(setting.token_file(), &second).unwrap();
    setting
        .entra
        .change(|state| state.assertion = Some(second.clone()));
    // The first token is not known any more.
    setting.trust_from(2);
    client.list().unwrap();
    let last = setting
        .entra
        .change(|state| state.seen.last().unwrap().clone());
    assert_eq!(last.fields["client_assertion"], second);
    fs::remove_file(setting.token_file()).unwrap();
    let error = setting.open(options()).list().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Identity);
    assert!(error.to_string().contains("No such file"), "{error}");
}

/// When its time comes a token is renewed; while that fails, the old one goes on to be used.
#[test]
fn a_token_is_renewed_before_it_ends() {
    let setting = Setting::new();
    setting.entra.change(|state| state.refresh = Some(0));
    let client = setting.open(options());
    client.list().unwrap();
    client.list().unwrap();
    assert_eq!(setting.entra.count(), 2);
    setting.entra.fault(0, EntraFault::Busy(503, 0));
    client.list().unwrap();
    // The next attempt takes its time.
    client.list().unwrap();
    assert_eq!(setting.entra.count(), 3);
    // One that has ended is of no use.
    let setting = Setting::new();
    setting.entra.change(|state| state.lasts = 0);
    let client = setting.open(options());
    client.list().unwrap();
    setting
        .entra
        .fault(0, EntraFault::Refuse(401, "invalid_client", 700_024));
    let error = client.list().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Identity);
}

/// What goes wrong with a renewal is said beside what made it necessary.
#[test]
fn a_renewal_that_is_refused_is_said() {
    let setting = Setting::new();
    let client = setting.open(options());
    client.list().unwrap();
    setting.trust_from(2);
    setting
        .entra
        .fault(0, EntraFault::Refuse(401, "invalid_client", 700_213));
    let error = client.list().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Identity);
    let said = error.to_string();
    for words in ["401 InvalidAuthenticationInfo", "AADSTS700213"] {
        assert!(said.contains(words), "{said}");
    }
}
