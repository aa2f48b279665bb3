//! What the endpoint of tokens says, and what becomes of it.

use std::collections::HashMap;
use std::time::Duration;

use azure_blob::{ErrorKind, Options, UploadOptions};
use scripted_service::{Entra, EntraFault};

use super::{Setting, shows_nothing};
use crate::{SOON, hasty, options};

#[test]
fn what_entra_refuses_is_said_with_a_hint() {
    for (status, error, number, said) in [
        (400, "unauthorized_client", 700_016, "AZURE_CLIENT_ID"),
        (401, "invalid_client", 70_021, "federated credential"),
        (401, "invalid_request", 700_213, "system:serviceaccount:"),
        (401, "invalid_client", 700_211, "oidcIssuerProfile"),
        (401, "invalid_client", 700_212, "api://AzureADTokenExchange"),
        (401, "invalid_client", 700_024, "clock"),
        (400, "invalid_request", 50_166, "openid-configuration"),
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
