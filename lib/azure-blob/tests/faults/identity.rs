//! Requests with an identity: the token of a service account for a bearer token, on an account that takes no SAS.

use std::collections::HashMap;
use std::ffi::OsString;
use std::fs;
use std::io::Read;
use std::path::PathBuf;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use azure_blob::{
    Client, ContainerUrl, CredentialSource, Deletion, Error, ErrorKind, Options, UploadOptions,
};
use scripted_service::{Bearers, Entra, EntraFault, Kind, Service};

use crate::{SOON, bytes, hasty, options};

/// The service account's token; no part of it may be shown.
const ASSERTION: &str = "eyJhbGciOiJSUzI1NiJ9.S3CRETCLA1MS.S3CRETS1GNATURE";

struct Setting {
    service: Service,
    entra: Entra,
    dir: tempfile::TempDir,
    variables: HashMap<&'static str, OsString>,
}

impl Setting {
    fn new() -> Self {
        let (service, entra) = (Service::start(), Entra::start());
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("token");
        fs::write(&path, format!("{ASSERTION}\n")).unwrap();
        let bearers = entra.tokens_from(1);
        service.change(|state| state.bearers = Some(bearers));
        entra.change(|state| state.assertion = Some(ASSERTION.into()));
        let variables = HashMap::from([
            ("AZURE_FEDERATED_TOKEN_FILE", path.into()),
            ("AZURE_CLIENT_ID", "client".into()),
            ("AZURE_TENANT_ID", "tenant".into()),
            ("AZURE_AUTHORITY_HOST", format!("{}/", entra.url()).into()),
        ]);
        Self {
            service,
            entra,
            dir,
            variables,
        }
    }

    fn token_file(&self) -> PathBuf {
        self.dir.path().join("token")
    }

    fn open(&self, options: Options) -> Client {
        let (url, _) = ContainerUrl::parse(&self.service.url()).unwrap();
        let variables = |name: &str| self.variables.get(name).cloned();
        let source = CredentialSource::find_in(&variables, None, &url).unwrap();
        Client::new(url, source, options).unwrap()
    }

    /// From now on the service takes Entra's tokens from the `nth` on only.
    fn trust_from(&self, nth: usize) {
        let bearers = self.entra.tokens_from(nth);
        self.service.change(|state| state.bearers = Some(bearers));
    }
}

/// No part of a secret is in it.
fn shows_nothing(setting: &Setting, error: &Error) {
    let shown = format!("{error} {error:?} {:?}", error.hint_text());
    for secret in setting
        .entra
        .issued()
        .iter()
        .map(String::as_str)
        .chain([ASSERTION])
    {
        for part in secret.split('.') {
            assert!(!shown.contains(part), "{shown}");
        }
    }
}

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
    let mut rest = &content[..];
    while !rest.is_empty() {
        let space = upload.space().unwrap();
        let count = space.len().min(rest.len());
        space[..count].copy_from_slice(&rest[..count]);
        upload.filled(count).unwrap();
        rest = &rest[count..];
    }
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

#[test]
fn what_entra_refuses_is_said_with_a_hint() {
    for (status, error, number, said) in [
        (400, "unauthorized_client", 700_016, "AZURE_CLIENT_ID"),
        (401, "invalid_client", 70_021, "federated credential"),
        (401, "invalid_request", 700_213, "system:serviceaccount:"),
        (401, "invalid_client", 700_024, "clock"),
        (400, "invalid_request", 90_002, "AZURE_TENANT_ID"),
        (400, "invalid_grant", 53_003, "Conditional Access"),
    ] {
        let setting = Setting::new();
        setting
            .entra
            .fault(0, EntraFault::Refuse(status, error, number));
        let client = setting.open(options());
        let error = client.list().unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Identity);
        let message = error.to_string();
        for words in [
            "cannot get a token for the workload identity 'client'",
            &format!("AADSTS{number}: Words (trace ID 0000aaaa"),
        ] {
            assert!(message.contains(words), "{words}: {message}");
        }
        assert!(error.hint_text().unwrap().contains(said), "{error:?}");
        assert_eq!(setting.entra.count(), 1);
        // Whoever asks next hears the same; nothing was asked of the service.
        assert!(client.upload("x", UploadOptions::default()).is_err());
        assert_eq!(setting.entra.count(), 1);
        assert_eq!(setting.service.change(|state| state.seen.len()), 0);
        shows_nothing(&setting, &error);
    }
}

#[test]
fn what_passes_is_outlived() {
    for fault in [
        EntraFault::Busy(429, 0),
        EntraFault::Busy(503, 0),
        EntraFault::Busy(500, 0),
        EntraFault::Refuse(400, "temporarily_unavailable", 90_033),
        EntraFault::Cut,
        EntraFault::Say("<html>one moment</html>"),
        EntraFault::Slow(Duration::from_millis(300)),
    ] {
        let setting = Setting::new();
        setting.entra.fault(1, fault.clone());
        setting.open(options()).list().unwrap();
        let count = setting.entra.count();
        let is_slow = matches!(fault, EntraFault::Slow(_));
        assert_eq!(count, if is_slow { 1 } else { 2 }, "{fault:?}");
    }
}

#[test]
fn a_pause_that_entra_asks_for_is_taken() {
    let setting = Setting::new();
    setting.entra.fault(0, EntraFault::Busy(429, 3600));
    let error = setting.open(hasty()).list().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Deadline);
    assert!(error.to_string().contains("429"), "{error}");
    assert_eq!(setting.entra.count(), 1);
}

#[test]
fn an_endpoint_that_stands_still_is_left() {
    let setting = Setting::new();
    setting.entra.fault(1, EntraFault::Stall);
    let options = Options {
        stall_timeout: SOON,
        ..options()
    };
    setting.open(options).list().unwrap();
    assert_eq!(setting.entra.count(), 2);
}

#[test]
fn an_endpoint_that_is_not_there_is_named() {
    let mut setting = Setting::new();
    let closed = format!("http://127.0.0.1:{}", Entra::start().port());
    setting
        .variables
        .insert("AZURE_AUTHORITY_HOST", closed.clone().into());
    let error = setting.open(hasty()).list().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unreachable);
    let host = closed.trim_start_matches("http://");
    assert!(error.to_string().contains(host), "{error}");
    assert!(error.hint_text().unwrap().contains("AZURE_AUTHORITY_HOST"));
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

#[test]
fn the_machine_s_identity_is_asked_for_by_name() {
    let mut setting = Setting::new();
    let url = setting.entra.url();
    let mut managed = |client: &str| {
        setting.variables = HashMap::from([
            ("AZURE_STORAGE_AUTH", "managed-identity".into()),
            ("AZURE_POD_IDENTITY_AUTHORITY_HOST", url.clone().into()),
            ("AZURE_CLIENT_ID", client.into()),
        ]);
        setting.open(options()).list().unwrap();
        setting
            .entra
            .change(|state| state.seen.last().unwrap().clone())
    };
    assert!(!managed("").fields.contains_key("client_id"));
    assert_eq!(managed("a+b").fields["client_id"], "a+b");
    // While it is updated it is waited for.
    let busy = setting.entra.count() + 1;
    setting.entra.fault(busy, EntraFault::Busy(410, 0));
    setting.open(options()).list().unwrap();
    assert_eq!(setting.entra.count(), busy + 1);
    setting
        .entra
        .fault(0, EntraFault::Refuse(400, "invalid_request", 0));
    let error = setting.open(options()).list().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Identity);
    assert!(error.hint_text().unwrap().contains("vmss identity assign"));
}
