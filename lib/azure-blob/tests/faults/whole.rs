use azure_blob::{Error, ErrorKind, Record};
use scripted_service::{Fault, Kind, Service};

use crate::{SIGNATURE, bytes, client, hasty, open, token};

const NAME: &str = "wal/7/a b+c%ü.gz";

fn put(service: &Service, bytes: &[u8]) -> Result<(), Error> {
    client(service).put_blob(NAME, bytes, &record())
}

fn record() -> Record {
    Record {
        raw_sha256: [7; 32],
        raw_size: 12,
        writer: "höst\n /data ".into(),
    }
}

#[test]
fn a_blob_is_put_and_got_in_one_request_each() {
    for size in [0, 1, 300_000] {
        let service = Service::start();
        let bytes = bytes(size);
        put(&service, &bytes).unwrap();
        let blob = service.blob(NAME).unwrap();
        assert!(blob.bytes == bytes);
        assert_eq!(blob.headers["x-ms-meta-raw_size"], "12");
        assert_eq!(blob.headers["x-ms-meta-writer"], "h?st? /data");
        let got = client(&service).get_blob(NAME, size as u64).unwrap();
        assert!(got.bytes == Some(bytes));
        assert_eq!(got.properties.raw_sha256, Some([7; 32]));
        assert_eq!(service.change(|state| state.seen.len()), 2);
        if size > 0 {
            let got = client(&service).get_blob(NAME, size as u64 - 1).unwrap();
            assert_eq!((got.bytes, got.properties.size), (None, size as u64));
        }
    }
}

#[test]
fn a_taken_name_is_told() {
    let service = Service::start();
    put(&service, b"one").unwrap();
    let error = put(&service, b"other").unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Exists);
    // The service may say it so too.
    service.fault(
        Kind::PutBlob,
        0,
        Fault::Status(412, "ConditionNotMet", None),
    );
    assert_eq!(
        put(&service, b"other").unwrap_err().kind(),
        ErrorKind::Exists
    );
    assert_eq!(service.blob(NAME).unwrap().bytes, b"one");
}

#[test]
fn a_cut_answer_is_asked_for_again_and_never_taken_for_the_whole() {
    let service = Service::start();
    let bytes = bytes(300_000);
    service.store(NAME, &bytes);
    service.fault(Kind::Get, 1, Fault::CutBody(1000));
    service.fault(Kind::Get, 2, Fault::CutHead);
    assert!(client(&service).get_blob(NAME, 1 << 20).unwrap().bytes == Some(bytes));
    service.fault(Kind::Get, 0, Fault::CutBody(1000));
    let hasty = open(&service, token("r"), hasty());
    let error = hasty.get_blob(NAME, 1 << 20).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Deadline);
    assert!(!error.to_string().contains(SIGNATURE));
    let error = client(&service).get_blob("absent", 1 << 20).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotFound);
}
