use std::net::TcpListener;
use std::time::{Duration, Instant};

use azure_blob::{Client, ContainerUrl, Error, ErrorKind, Options, UploadOptions, Uploaded};
use sha2::{Digest, Sha256};

use crate::{SIGNATURE, SOON, bytes, client, fill, hasty, open, options, token};
use scripted_service::{Fault, Kind, Service};

const NAME: &str = "a b+c%ü.gz";
const BLOCK: usize = 2 << 20;

fn put_as(client: &Client, bytes: &[u8], options: UploadOptions) -> Result<Uploaded, Error> {
    let mut upload = client.upload(NAME, options)?;
    fill(&mut upload, bytes)?;
    upload.finish()?.commit()
}

fn put(client: &Client, bytes: &[u8]) -> Result<Uploaded, Error> {
    put_as(client, bytes, UploadOptions::default())
}

fn is_there(service: &Service, bytes: &[u8]) {
    let blob = service.blob(NAME).unwrap();
    assert!(
        blob.bytes == bytes,
        "{} bytes are not the {} sent",
        blob.bytes.len(),
        bytes.len()
    );
    let digest = hex::encode(Sha256::digest(bytes));
    assert_eq!(blob.headers["x-ms-meta-sha256"], digest);
    assert_eq!(blob.headers["x-ms-blob-content-type"], "application/gzip");
}

#[test]
fn every_size_arrives() {
    for size in [0, 1, BLOCK - 1, BLOCK, BLOCK + 1, 5 * BLOCK + 17] {
        let service = Service::start();
        let bytes = bytes(size);
        let uploaded = put(&client(&service), &bytes).unwrap();
        is_there(&service, &bytes);
        assert_eq!(uploaded.size, size as u64);
        assert_eq!(
            uploaded.sha256.as_slice(),
            Sha256::digest(&bytes).as_slice()
        );
        assert_eq!(uploaded.etag, service.blob(NAME).unwrap().etag);
        assert_eq!(service.count(Kind::PutBlock), size.div_ceil(BLOCK));
    }
}

#[test]
fn what_passes_is_outlived() {
    let bytes = bytes(BLOCK + 1);
    for fault in [
        Fault::Status(500, "InternalError", None),
        Fault::Status(503, "ServerBusy", Some(("Retry-After", "0"))),
        Fault::Status(429, "", None),
        Fault::Status(408, "", None),
        Fault::CutHead,
        Fault::CutRequest(0),
        Fault::CutRequest(100_000),
        Fault::LoseAnswer,
        // The block was changed on its way: the service sees it by its CRC-64.
        Fault::Garble,
    ] {
        for kind in [Kind::Probe, Kind::PutBlock, Kind::PutList, Kind::Head] {
            if matches!((kind, &fault), (Kind::Head, Fault::Garble)) {
                continue;
            }
            let service = Service::start();
            service.fault(kind, 1, fault.clone());
            service.fault(kind, 2, fault.clone());
            let put = put(&client(&service), &bytes);
            assert!(put.is_ok(), "{kind:?} {fault:?}: {put:?}");
            is_there(&service, &bytes);
        }
    }
}

#[test]
fn the_service_may_ask_for_a_pause() {
    let service = Service::start();
    let busy = Fault::Status(503, "ServerBusy", Some(("Retry-After", "1")));
    service.fault(Kind::PutBlock, 1, busy);
    let started = Instant::now();
    put(&client(&service), b"text").unwrap();
    is_there(&service, b"text");
    assert!(started.elapsed() >= Duration::from_secs(1));
}

#[test]
fn a_socket_that_stands_still_is_left() {
    for kind in [Kind::Probe, Kind::PutBlock, Kind::PutList] {
        let service = Service::start();
        service.fault(kind, 1, Fault::Stall);
        let options = Options {
            stall_timeout: SOON,
            ..options()
        };
        put(&open(&service, token("racwdl"), options), b"text").unwrap();
        is_there(&service, b"text");
    }
}

/// The service stops to read in the middle of a block: the socket's buffers are full, and writing stands still.
#[test]
fn a_body_that_is_not_taken_is_left() {
    let bytes = bytes(2 * BLOCK);
    for some in [0, 1_000_000] {
        let service = Service::start();
        service.fault(Kind::PutBlock, 1, Fault::StallRequest(some));
        let options = Options {
            stall_timeout: SOON,
            ..options()
        };
        put(&open(&service, token("racwdl"), options), &bytes).unwrap();
        is_there(&service, &bytes);
    }
}

/// `--deadline` holds for a host that takes the connection and says nothing, too: an attempt is no longer.
#[test]
fn an_attempt_is_no_longer_than_the_deadline() {
    let service = Service::start();
    service.fault(Kind::Probe, 0, Fault::Stall);
    let options = Options::default().within(SOON);
    let client = open(&service, token("cw"), options);
    let error = client.upload(NAME, UploadOptions::default()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Deadline, "{error}");
    assert!(error.to_string().contains("stood still"), "{error}");
}

#[test]
fn connections_are_used_again() {
    let service = Service::start();
    let bytes = bytes(12 * BLOCK);
    put(&client(&service), &bytes).unwrap();
    is_there(&service, &bytes);
    // Three requests at once, and a moment in which one is not given back yet.
    let connections = service.change(|state| state.connections);
    assert!(connections <= 4, "{connections}");
}

#[test]
fn what_does_not_pass_in_time_is_given_up() {
    for fault in [
        Fault::Status(503, "ServerBusy", None),
        Fault::Status(503, "ServerBusy", Some(("Retry-After", "1000"))),
        Fault::LoseAnswer,
        Fault::CutHead,
    ] {
        let service = Service::start();
        service.fault(Kind::PutBlock, 0, fault.clone());
        let error = put(&open(&service, token("cw"), hasty()), b"text").unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Deadline, "{error}");
        let said = error.to_string();
        assert!(
            said.starts_with(&format!("cannot put block 1 of '{NAME}': ")),
            "{said}"
        );
        assert!(service.blob(NAME).is_none());
    }
}

#[test]
fn a_refusal_is_final() {
    for (status, code, kind) in [
        (400, "InvalidHeaderValue", ErrorKind::Refused),
        (403, "AuthorizationPermissionMismatch", ErrorKind::Token),
        (404, "ContainerNotFound", ErrorKind::ContainerNotFound),
        (413, "RequestBodyTooLarge", ErrorKind::Refused),
    ] {
        for at in [Kind::Probe, Kind::PutBlock, Kind::PutList] {
            let service = Service::start();
            service.fault(at, 0, Fault::Status(status, code, None));
            let error = put(&client(&service), b"text").unwrap_err();
            assert_eq!(error.kind(), kind, "{error}");
            assert!(
                error
                    .to_string()
                    .contains(&format!("{status} {code}: Words")),
                "{error}"
            );
            assert_eq!(service.count(at), 1, "{code} was asked for again");
            assert!(service.blob(NAME).is_none());
        }
    }
}

/// A page of a proxy's, with status 200, is no sign that anything was stored.
#[test]
fn a_success_that_is_not_the_service_s_is_none() {
    let page = Fault::Say("<html>log in first</html>");
    for kind in [Kind::Probe, Kind::PutBlock, Kind::PutList] {
        let service = Service::start();
        service.fault(kind, 1, page.clone());
        put(&client(&service), b"text").unwrap();
        is_there(&service, b"text");
        let service = Service::start();
        service.fault(kind, 0, page.clone());
        let error = put(&client(&service), b"text").unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Malformed, "{kind:?}: {error}");
        assert!(service.blob(NAME).is_none());
    }
}

/// A proxy on the way that knows no `Expect` (RFC 9110 §10.1.1) gets the block without it.
#[test]
fn an_expectation_that_is_not_met_is_left_out() {
    let service = Service::start();
    service.fault(Kind::PutBlock, 1, Fault::CutRequest(100));
    service.fault(Kind::PutBlock, 2, Fault::Status(417, "", None));
    put(&client(&service), b"text").unwrap();
    is_there(&service, b"text");
    let blocks = service.seen(Kind::PutBlock);
    let expects = blocks
        .iter()
        .map(|seen| seen.headers.contains_key("expect"));
    assert_eq!(expects.collect::<Vec<_>>(), [false, true, false]);
}

#[test]
fn a_body_garbled_each_time_is_an_error() {
    let service = Service::start();
    service.fault(Kind::PutBlock, 0, Fault::Garble);
    let error = put(&client(&service), b"text").unwrap_err();
    assert!(error.to_string().contains("400 Crc64Mismatch"), "{error}");
    assert_eq!(service.count(Kind::PutBlock), 3);
}

#[test]
fn the_message_is_one_for_a_person() {
    let service = Service::start();
    service.fault(
        Kind::PutList,
        0,
        Fault::Status(403, "AuthorizationPermissionMismatch", None),
    );
    let error = put(&open(&service, token("cw"), options()), b"text").unwrap_err();
    assert_eq!(
        error.to_string(),
        format!(
            "cannot commit block list of '{NAME}': 403 AuthorizationPermissionMismatch: Words; sent with the SAS token"
        )
    );
    let service = Service::start();
    service.fault(
        Kind::Probe,
        0,
        Fault::Status(403, "AuthorizationPermissionMismatch", None),
    );
    let error = put(&open(&service, token("c"), options()), b"text").unwrap_err();
    assert!(
        error.hint_text().unwrap().contains("'c' without 'w'"),
        "{error:?}"
    );
}

#[test]
fn a_name_that_is_taken_is_left_alone() {
    let service = Service::start();
    service.store(NAME, b"first");
    // With 'r' before anything is sent, without it at the commit.
    let error = put(&client(&service), b"second").unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Exists, "{error}");
    assert_eq!(service.count(Kind::Probe), 0);
    let error = put(&open(&service, token("cw"), options()), b"second").unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Exists, "{error}");
    assert_eq!(service.blob(NAME).unwrap().bytes, b"first");
    let options = UploadOptions {
        overwrite: true,
        ..UploadOptions::default()
    };
    put_as(&client(&service), b"second", options).unwrap();
    is_there(&service, b"second");
}

#[test]
fn a_name_taken_meanwhile_may_be_said_as_412() {
    let service = Service::start();
    service.fault(
        Kind::PutList,
        0,
        Fault::Status(412, "ConditionNotMet", None),
    );
    let error = put(&client(&service), b"text").unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Exists, "{error}");
}

#[test]
fn of_two_writers_one_wins() {
    let service = Service::start();
    let first = client(&service)
        .upload(NAME, UploadOptions::default())
        .unwrap();
    let mut second = client(&service)
        .upload(NAME, UploadOptions::default())
        .unwrap();
    second.space().unwrap()[..6].copy_from_slice(b"second");
    second.filled(6).unwrap();
    second.finish().unwrap().commit().unwrap();
    let error = first.finish().unwrap().commit().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Exists, "{error}");
    is_there(&service, b"second");
}

#[test]
fn a_lost_answer_is_resolved_by_looking() {
    let text = b"text".as_slice();
    for overwrite in [false, true] {
        for permissions in ["racwdl", "cw"] {
            let service = Service::start();
            // The service is asked to refuse even the look, as it does where 'r' is missing.
            if permissions == "cw" {
                service.fault(Kind::Head, 0, Fault::Status(403, "", None));
            }
            service.fault(Kind::PutList, 1, Fault::LoseAnswer);
            let client = open(&service, token(permissions), options());
            let options = UploadOptions {
                overwrite,
                ..UploadOptions::default()
            };
            let uploaded = put_as(&client, text, options).unwrap();
            is_there(&service, text);
            assert_eq!(uploaded.etag, service.blob(NAME).unwrap().etag);
        }
    }
}

#[test]
fn a_lost_answer_does_not_hide_another_s_blob() {
    for permissions in ["racwdl", "cw"] {
        let service = Service::start();
        if permissions == "cw" {
            service.fault(Kind::Head, 0, Fault::Status(403, "", None));
        }
        // The commit is not done, its answer is lost, and another writer is quicker with the next.
        service.fault(Kind::PutList, 1, Fault::CutRequest(1));
        let client = open(&service, token(permissions), options());
        let upload = client.upload(NAME, UploadOptions::default()).unwrap();
        service.store(NAME, b"another");
        let error = upload.finish().unwrap().commit().unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Exists, "{error}");
        assert_eq!(service.blob(NAME).unwrap().bytes, b"another");
    }
}

/// Where nobody may look, and the list cannot be confirmed, it is not said that nothing was changed.
#[test]
fn a_lost_answer_that_cannot_be_resolved_is_told() {
    let service = Service::start();
    service.fault(Kind::Head, 0, Fault::Status(403, "", None));
    service.fault(Kind::PutList, 1, Fault::LoseAnswer);
    service.fault(
        Kind::PutList,
        3,
        Fault::Status(409, "BlobImmutableDueToPolicy", None),
    );
    let client = open(&service, token("cw"), options());
    let error = put(&client, b"text").unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Exists, "{error}");
    let hint = error.hint_text().unwrap();
    assert!(hint.contains("an answer was lost"), "{hint}");
    is_there(&service, b"text");
}

/// A commit discards all other uncommitted blocks of the name, those of a writer that is still at it too.
#[test]
fn blocks_that_another_commit_discarded_are_told() {
    let service = Service::start();
    service.fault(
        Kind::PutList,
        0,
        Fault::Status(400, "InvalidBlockList", None),
    );
    let error = put(&client(&service), b"text").unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Discarded, "{error}");
    assert!(error.hint_text().unwrap().contains("another"), "{error:?}");
    assert_eq!(job::Error::from(error).exit(), job::Exit::Refused);
}

#[test]
fn nothing_is_read_of_a_source_before_the_container_is_known() {
    for (fault, kind) in [
        (
            Fault::Status(404, "ContainerNotFound", None),
            ErrorKind::ContainerNotFound,
        ),
        (
            Fault::Status(403, "AuthorizationFailure", None),
            ErrorKind::Token,
        ),
    ] {
        let service = Service::start();
        service.fault(Kind::Probe, 0, fault);
        let client = open(&service, token("cw"), options());
        let error = client.upload(NAME, UploadOptions::default()).unwrap_err();
        assert_eq!(error.kind(), kind, "{error}");
    }
    let service = Service::start();
    let client = open(&service, token("rl"), options());
    let error = client.upload(NAME, UploadOptions::default()).unwrap_err();
    assert_eq!(error.to_string(), "the SAS token's sp=rl lacks 'c' or 'w'");
    assert_eq!(service.count(Kind::Probe), 0);
}

#[test]
fn options_become_headers() {
    let service = Service::start();
    let until = "2030-01-02T03:04:05Z".parse().unwrap();
    let options = UploadOptions {
        tier: Some("Cool".into()),
        immutable_until: Some(until),
        tags: vec![
            ("kind".into(), "full + daily".into()),
            ("a".into(), String::new()),
        ],
        ..UploadOptions::default()
    };
    put_as(
        &open(&service, token("cwti"), crate::options()),
        b"text",
        options,
    )
    .unwrap();
    let headers = service.blob(NAME).unwrap().headers;
    assert_eq!(headers["x-ms-access-tier"], "Cool");
    assert_eq!(
        headers["x-ms-immutability-policy-until-date"],
        "Wed, 02 Jan 2030 03:04:05 GMT"
    );
    assert_eq!(headers["x-ms-immutability-policy-mode"], "Unlocked");
    assert_eq!(headers["x-ms-tags"], "kind=full%20%2B%20daily&a=");
    assert_eq!(headers["if-none-match"], "*");
}

#[test]
fn the_blocks_of_an_earlier_run_do_not_mix() {
    let service = Service::start();
    let mut killed = client(&service)
        .upload(NAME, UploadOptions::default())
        .unwrap();
    let length = killed.space().unwrap().len();
    killed.space().unwrap().fill(b'x');
    killed.filled(length).unwrap();
    drop(killed);
    put(&client(&service), b"text").unwrap();
    is_there(&service, b"text");
}

/// A block that stands still holds the source up: no more blocks are filled than may be sent at once.
#[test]
fn a_source_waits_for_memory() {
    let service = Service::start();
    service.fault(Kind::PutBlock, 1, Fault::Stall);
    let patience = Options {
        stall_timeout: SOON,
        ..options()
    };
    let client = open(&service, token("cw"), patience);
    let options = UploadOptions {
        memory: 16 << 20,
        ..UploadOptions::default()
    };
    let mut upload = client.upload(NAME, options).unwrap();
    for filled in 0..30 {
        let length = upload.space().unwrap().len();
        // Three blocks are in memory at most, this one counted; the first that was stored was the probe.
        let stored = service.change(|state| state.blocks.len()) - 1;
        assert!(filled - stored <= 2, "{filled} filled, {stored} stored");
        upload.filled(length).unwrap();
    }
    upload.finish().unwrap().commit().unwrap();
    assert_eq!(service.blob(NAME).unwrap().bytes.len(), 30 * BLOCK);
}

#[test]
fn a_stream_longer_than_memory_goes_through() {
    let service = Service::start();
    let bytes = bytes(40 * BLOCK);
    let options = UploadOptions {
        memory: 16 << 20,
        ..UploadOptions::default()
    };
    put_as(&client(&service), &bytes, options).unwrap();
    is_there(&service, &bytes);
    // A block is a quarter of the memory at most.
    assert!(
        service
            .seen(Kind::PutBlock)
            .iter()
            .all(|seen| seen.headers["content-length"] == BLOCK.to_string())
    );
}

#[test]
fn no_error_shows_the_signature() {
    let service = Service::start();
    service.fault(
        Kind::Probe,
        0,
        Fault::Status(403, "AuthenticationFailed", None),
    );
    let client = open(&service, token("cw"), options());
    let error = client.upload(NAME, UploadOptions::default()).unwrap_err();
    assert!(!format!("{error:?} {client:?}").contains(SIGNATURE));
}

/// A host that takes the connection and never says who it is: TLS on a port of another kind.
#[test]
fn a_handshake_that_stands_still_is_left() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let url = format!("https://127.0.0.1:{port}/account/backups");
    let (url, _) = ContainerUrl::parse(&url).unwrap();
    let options = Options {
        deadline: 2 * SOON,
        connect_timeout: SOON,
        ..options()
    };
    let client = Client::new(url, token("cw"), options).unwrap();
    let error = client.upload(NAME, UploadOptions::default()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unreachable, "{error}");
    assert!(error.to_string().contains("no answer"), "{error}");
}

#[test]
fn a_host_that_is_not_there_is_told_soon() {
    let service = Service::start();
    let client = client(&service);
    drop(service);
    let error = loop {
        // The port is closed when the service's thread has ended.
        let error = client.upload(NAME, UploadOptions::default()).unwrap_err();
        if error.kind() == ErrorKind::Unreachable {
            break error;
        }
    };
    assert!(
        error.to_string().contains("cannot reach 127.0.0.1:"),
        "{error}"
    );
    assert!(error.to_string().contains("connection refused"), "{error}");
}

#[test]
fn an_answer_that_drips_is_left() {
    let service = Service::start();
    service.fault(Kind::PutList, 1, Fault::Drip);
    let options = Options {
        request_timeout: SOON,
        ..options()
    };
    put(&open(&service, token("racwdl"), options), b"text").unwrap();
    is_there(&service, b"text");
    assert!(service.count(Kind::PutList) >= 2);
}

#[test]
fn a_file_too_long_for_the_memory_is_refused_at_once() {
    let service = Service::start();
    let options = UploadOptions {
        expected_size: Some(200 << 30),
        memory: 16 << 20,
        ..UploadOptions::default()
    };
    let error = client(&service).upload(NAME, options).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Usage, "{error}");
    assert!(
        error
            .to_string()
            .contains("195.31 GiB that 50000 blocks hold"),
        "{error}"
    );
    assert_eq!(service.count(Kind::Probe), 0);
}
