use azure_blob::{Client, Deletion, Error, ErrorKind, Options};

use crate::{SOON, client, hasty, open, options, token};
use scripted_service::{Fault, Kind, Service};

fn holding(count: usize) -> (Service, Vec<String>) {
    let service = Service::start();
    let names: Vec<_> = (0..count).map(|at| format!("a+b %ü {at:05}")).collect();
    for name in &names {
        service.store(name, b"text");
    }
    (service, names)
}

fn delete(client: &Client, names: &[String]) -> Result<Vec<Deletion>, Error> {
    let names: Vec<_> = names.iter().map(String::as_str).collect();
    let mut told = vec![None; names.len()];
    client.delete(&names, &mut |at, deletion| {
        assert_eq!(told[at], None, "told twice");
        told[at] = Some(deletion);
    })?;
    Ok(told.into_iter().map(Option::unwrap).collect())
}

#[test]
fn ten_thousand_go_in_batches() {
    let (service, names) = holding(10_000);
    let told = delete(&client(&service), &names).unwrap();
    assert!(told.iter().all(|deletion| *deletion == Deletion::Deleted));
    assert!(service.change(|state| state.blobs.is_empty()));
    assert_eq!(service.count(Kind::Batch), 40);
    assert_eq!(service.count(Kind::Delete), 0);
}

#[test]
fn without_batches_they_go_singly() {
    let (service, names) = holding(600);
    service.change(|state| state.no_batches = true);
    let told = delete(&client(&service), &names).unwrap();
    assert!(told.iter().all(|deletion| *deletion == Deletion::Deleted));
    assert_eq!(service.count(Kind::Batch), 1);
    assert_eq!(service.count(Kind::Delete), 600);
}

#[test]
fn what_is_gone_or_retained_is_told_apart() {
    for no_batches in [false, true] {
        let (service, names) = holding(6);
        service.change(|state| {
            state.no_batches = no_batches;
            state.blobs.remove(&names[1]);
            state
                .retained
                .insert(names[2].clone(), (409, "BlobImmutableDueToPolicy"));
            state
                .retained
                .insert(names[3].clone(), (412, "LeaseIdMissing"));
            state
                .retained
                .insert(names[4].clone(), (409, "SnapshotsPresent"));
        });
        let told = delete(&client(&service), &names).unwrap();
        assert_eq!(told[0], Deletion::Deleted);
        assert_eq!(told[1], Deletion::Gone);
        assert_eq!(told[2], Deletion::Retained("immutability policy".into()));
        assert_eq!(told[3], Deletion::Retained("lease".into()));
        let Deletion::Failed(error) = &told[4] else {
            panic!("{:?}", told[4]);
        };
        assert!(
            error.to_string().contains("409 SnapshotsPresent"),
            "{error}"
        );
        assert_eq!(told[5], Deletion::Deleted);
    }
}

#[test]
fn what_passes_is_outlived() {
    for fault in [
        Fault::Status(500, "InternalError", None),
        Fault::Status(503, "ServerBusy", None),
        Fault::CutHead,
        Fault::CutBody(300),
        // Done, and not known to be: the next attempt finds them gone.
        Fault::LoseAnswer,
    ] {
        for count in [1, 5] {
            let (service, names) = holding(count);
            for kind in [Kind::Batch, Kind::Delete] {
                service.fault(kind, 1, fault.clone());
            }
            let told = delete(&client(&service), &names).unwrap();
            let away = |deletion| matches!(deletion, &Deletion::Deleted | &Deletion::Gone);
            assert!(told.iter().all(away), "{fault:?}: {told:?}");
            assert!(service.change(|state| state.blobs.is_empty()));
        }
    }
}

#[test]
fn a_socket_that_stands_still_is_left() {
    for count in [1, 5] {
        let (service, names) = holding(count);
        for kind in [Kind::Batch, Kind::Delete] {
            service.fault(kind, 1, Fault::Stall);
        }
        let options = Options {
            stall_timeout: SOON,
            ..options()
        };
        let told = delete(&open(&service, token("dl"), options), &names).unwrap();
        assert!(told.iter().all(|deletion| *deletion == Deletion::Deleted));
    }
}

/// A page of a proxy's, with status 200, is no sign that anything was deleted.
#[test]
fn a_success_that_is_not_the_service_s_is_none() {
    for count in [1, 5] {
        let (service, names) = holding(count);
        for kind in [Kind::Batch, Kind::Delete] {
            service.fault(kind, 0, Fault::Say("<html>log in first</html>"));
        }
        let told = delete(&client(&service), &names).unwrap();
        let failed = |deletion: &Deletion| matches!(deletion, Deletion::Failed(_));
        assert!(told.iter().all(failed), "{told:?}");
        assert_eq!(service.change(|state| state.blobs.len()), count);
    }
}

#[test]
fn what_concerns_all_ends_it() {
    let (service, names) = holding(5);
    service.fault(
        Kind::Batch,
        0,
        Fault::Status(403, "AuthorizationPermissionMismatch", None),
    );
    service.fault(
        Kind::Delete,
        0,
        Fault::Status(403, "AuthorizationPermissionMismatch", None),
    );
    let error = delete(&client(&service), &names).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Token, "{error}");
    let (service, names) = holding(5);
    let error = delete(&open(&service, token("rl"), hasty()), &names).unwrap_err();
    assert_eq!(error.to_string(), "the SAS token's sp=rl lacks 'd'");
    assert_eq!(service.change(|state| state.blobs.len()), 5);
}
