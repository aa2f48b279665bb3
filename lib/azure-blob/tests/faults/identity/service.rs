//! What the service lets an identity do, and what it refuses.

use azure_blob::{Deletion, Error, ErrorKind, UploadOptions};
use scripted_service::{Bearers, Kind};

use super::{ASSERTION, Setting, shows_nothing};
use crate::options;

#[test]
fn all_operations_make_one_exchange() {
    let setting = Setting::new();
    let client = setting.open(options());
    let mut upload = client.upload("x", UploadOptions::default()).unwrap();
    for _ in 0..3 {
        let length = upload.space().unwrap().len();
        upload.filled(length).unwrap();
    }
    upload.finish().unwrap().commit().unwrap();
    assert_eq!(client.list().unwrap().len(), 1);
    let blob = client.blob("x").unwrap();
    assert_eq!(blob.read_at(0, 4).unwrap(), [0; 4]);
    let names = ["x", "y", "z"];
    for name in &names[1..] {
        setting.service.store(name, b"text");
    }
    let mut deleted = 0;
    client
        .delete(&names, &mut |_, deletion| {
            assert_eq!(deletion, Deletion::Deleted);
            deleted += 1;
        })
        .unwrap();
    assert_eq!(deleted, 3);
    assert_eq!(setting.service.count(Kind::Batch), 1);
    assert_eq!(setting.service.count(Kind::Delete), 0);
    assert_eq!(setting.entra.count(), 1);
    assert_eq!(client.expires(), None);
    assert_eq!(client.sas(), None);
    let request = setting.entra.change(|state| state.seen[0].clone());
    assert_eq!(request.line, "POST /tenant/oauth2/v2.0/token");
    assert_eq!(request.fields["client_id"], "client");
    assert_eq!(request.fields["client_assertion"], ASSERTION);
}

#[test]
fn a_token_that_is_refused_again_is_final() {
    let setting = Setting::new();
    setting
        .service
        .change(|state| state.bearers = Some(Bearers::none()));
    let client = setting.open(options());
    let error = client.list().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Token);
    let said = error.to_string();
    assert!(said.contains("401 InvalidAuthenticationInfo"), "{said}");
    assert!(said.contains("the workload identity 'client'"), "{said}");
    assert_eq!(setting.service.count(Kind::List), 2);
    assert_eq!(setting.entra.count(), 2);
    shows_nothing(&setting, &error);
}

#[test]
fn what_the_identity_may_not_do_is_named() {
    let setting = Setting::new();
    let client = setting.open(options());
    client.list().unwrap();
    setting.service.store("x", b"text");
    setting.service.store("y", b"text");
    let allow = |roles: &[&'static str]| {
        setting
            .service
            .change(|state| state.roles = Some(roles.to_vec()));
    };
    let hint = |error: &Error| error.hint_text().unwrap_or_default().to_owned();
    allow(&["read"]);
    let error = client.upload("z", UploadOptions::default()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Token);
    assert!(hint(&error).contains("blobs/write at"), "{error:?}");
    assert!(
        hint(&error).contains("storageAccounts/account/"),
        "{error:?}"
    );
    allow(&["write"]);
    let error = client.list().unwrap_err();
    assert!(
        hint(&error).contains("Storage Blob Data Reader"),
        "{error:?}"
    );
    // It may not see whether the name is taken, and learns that at the end.
    let mut upload = client.upload("x", UploadOptions::default()).unwrap();
    upload.space().unwrap();
    upload.filled(4).unwrap();
    let error = upload.finish().unwrap().commit().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Exists, "{error}");
    // Without the right to batches the blobs go one by one.
    allow(&["read", "delete"]);
    let mut deleted = 0;
    client
        .delete(&["x", "y"], &mut |_, _| deleted += 1)
        .unwrap();
    assert_eq!((deleted, setting.service.count(Kind::Delete)), (2, 2));
    allow(&["read"]);
    let error = client.delete(&["x", "y"], &mut |_, _| ()).unwrap_err();
    assert!(hint(&error).contains("blobs/delete at"), "{error:?}");
    // None of that made it ask for another token.
    assert_eq!(setting.entra.count(), 1);
}

#[test]
fn an_account_that_takes_no_keys_is_named() {
    let setting = Setting::new();
    let client = crate::open(&setting.service, crate::token("rl"), options());
    let error = client.list().unwrap_err();
    let hint = error.hint_text().unwrap();
    assert!(hint.contains("--identity"), "{hint}");
}
