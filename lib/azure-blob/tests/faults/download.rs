use std::io::Read;

use azure_blob::{Error, ErrorKind, Options};

use crate::{SOON, bytes, client, hasty, open, options, token};
use scripted_service::{Fault, Kind, Service};

const NAME: &str = "x.sql.gz";

fn holding(bytes: &[u8]) -> Service {
    let service = Service::start();
    service.store(NAME, bytes);
    service
}

fn read(service: &Service, options: Options) -> Result<Vec<u8>, Error> {
    let mut bytes = Vec::new();
    let blob = open(service, token("r"), options).blob(NAME)?;
    match blob.reader().read_to_end(&mut bytes) {
        Ok(_) => Ok(bytes),
        Err(error) => Err(Error::from_io(&error).unwrap().clone()),
    }
}

#[test]
fn every_size_is_read() {
    for size in [0, 1, 256 << 10, (256 << 10) + 1, 30 << 20] {
        let bytes = bytes(size);
        assert!(
            read(&holding(&bytes), options()).unwrap() == bytes,
            "{size}"
        );
    }
}

#[test]
fn parts_are_read() {
    let bytes = bytes(1 << 20);
    let service = holding(&bytes);
    let blob = client(&service).blob(NAME).unwrap();
    for (offset, length) in [(0, 10), (1000, 1), (5, 400_000), ((1 << 20) - 7, 7)] {
        let mut part = Vec::new();
        blob.range(offset, length).read_to_end(&mut part).unwrap();
        let start = usize::try_from(offset).unwrap();
        let end = start + usize::try_from(length).unwrap();
        assert!(part == bytes[start..end]);
        assert!(blob.read_at(offset, end - start).unwrap() == bytes[start..end]);
    }
    // Beyond the end there is nothing.
    let mut part = Vec::new();
    blob.range((1 << 20) - 3, 10)
        .read_to_end(&mut part)
        .unwrap();
    assert_eq!(part.len(), 3);
    blob.range(5 << 20, 10).read_to_end(&mut part).unwrap();
    assert_eq!(part.len(), 3);
    assert!(blob.read_at((1 << 20) - 3, 10).is_err());
    assert!(blob.read_at(u64::MAX, 10).is_err());
}

#[test]
fn only_what_was_asked_for_is_asked_for() {
    let service = holding(&bytes(1 << 20));
    let blob = client(&service).blob(NAME).unwrap();
    let mut part = Vec::new();
    blob.range(1000, 500_000).read_to_end(&mut part).unwrap();
    let mut ranges: Vec<_> = service
        .seen(Kind::Get)
        .iter()
        .map(|seen| seen.headers["range"].clone())
        .collect();
    ranges.sort();
    assert_eq!(ranges, ["bytes=1000-263143", "bytes=263144-500999"]);
    assert!(
        service
            .seen(Kind::Get)
            .iter()
            .all(|seen| seen.headers["if-match"] == blob.properties().etag)
    );
}

#[test]
fn what_passes_is_outlived() {
    let bytes = bytes(9 << 20);
    for fault in [
        Fault::Status(500, "InternalError", None),
        Fault::Status(503, "ServerBusy", Some(("Retry-After", "1"))),
        Fault::CutHead,
        Fault::LoseAnswer,
        Fault::CutBody(0),
        Fault::CutBody(1),
        Fault::CutBody(200_000),
        Fault::Say("<html>a proxy's page</html>"),
    ] {
        let service = holding(&bytes);
        // A range may meet all of them; a page of a proxy's is borne twice.
        let met: &[usize] = match fault {
            Fault::Say(_) => &[1, 4],
            _ => &[1, 2, 4, 5, 6],
        };
        for nth in met {
            service.fault(Kind::Get, *nth, fault.clone());
        }
        let read = read(&service, options());
        assert!(read.as_ref() == Ok(&bytes), "{fault:?}: {:?}", read.err());
    }
}

#[test]
fn a_cut_body_is_gone_on_with_where_it_stopped() {
    let service = holding(&bytes(256 << 10));
    service.fault(Kind::Get, 1, Fault::CutBody(100_000));
    service.fault(Kind::Get, 2, Fault::CutBody(70_000));
    read(&service, options()).unwrap();
    let ranges: Vec<_> = service
        .seen(Kind::Get)
        .iter()
        .map(|seen| seen.headers["range"].clone())
        .collect();
    assert_eq!(
        ranges,
        [
            "bytes=0-262143",
            "bytes=100000-262143",
            "bytes=170000-262143"
        ]
    );
}

#[test]
fn a_socket_that_stands_still_is_left() {
    let bytes = bytes(5 << 20);
    for fault in [Fault::Stall, Fault::StallBody(0), Fault::StallBody(100_000)] {
        let service = holding(&bytes);
        service.fault(Kind::Get, 2, fault.clone());
        let options = Options {
            stall_timeout: SOON,
            ..options()
        };
        assert!(read(&service, options).unwrap() == bytes, "{fault:?}");
    }
}

#[test]
fn a_blob_that_changes_is_an_error() {
    let service = holding(&bytes(20 << 20));
    service.fault(Kind::Get, 3, Fault::Rewrite);
    let error = read(&service, options()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Changed, "{error}");
    assert!(error.to_string().contains("412 ConditionNotMet"), "{error}");
}

#[test]
fn a_412_midway_is_an_error() {
    let service = holding(&bytes(20 << 20));
    service.fault(Kind::Get, 4, Fault::Status(412, "ConditionNotMet", None));
    assert_eq!(
        read(&service, options()).unwrap_err().kind(),
        ErrorKind::Changed
    );
}

#[test]
fn an_answer_of_another_blob_is_an_error() {
    let service = holding(&bytes(20 << 20));
    service.fault(Kind::Get, 3, Fault::OtherEtag);
    let error = read(&service, options()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Changed, "{error}");
    assert!(
        error.to_string().contains("written to meanwhile"),
        "{error}"
    );
}

#[test]
fn the_right_error_is_told() {
    for (status, code, kind) in [
        (403, "AuthorizationFailure", ErrorKind::Token),
        (404, "BlobNotFound", ErrorKind::NotFound),
        (409, "BlobArchived", ErrorKind::Archived),
        (416, "InvalidRange", ErrorKind::Refused),
    ] {
        let service = holding(b"text");
        service.fault(Kind::Get, 0, Fault::Status(status, code, None));
        let error = read(&service, options()).unwrap_err();
        assert_eq!(error.kind(), kind, "{error}");
        assert!(
            error.to_string().starts_with("cannot read 'x.sql.gz': "),
            "{error}"
        );
        assert_eq!(service.count(Kind::Get), 1);
    }
    let service = Service::start();
    assert_eq!(
        read(&service, options()).unwrap_err().kind(),
        ErrorKind::NotFound
    );
}

#[test]
fn what_never_passes_is_given_up() {
    for fault in [
        Fault::CutBody(10),
        Fault::LoseAnswer,
        Fault::Status(500, "", None),
    ] {
        let service = holding(&bytes(5 << 20));
        service.fault(Kind::Get, 0, fault);
        assert_eq!(
            read(&service, hasty()).unwrap_err().kind(),
            ErrorKind::Deadline
        );
    }
    let service = holding(b"text");
    service.fault(Kind::Get, 0, Fault::Say("a proxy's page"));
    assert_eq!(
        read(&service, options()).unwrap_err().kind(),
        ErrorKind::Malformed
    );
}

#[test]
fn a_reader_that_is_dropped_stops() {
    let service = holding(&bytes(100 << 20));
    let mut reader = client(&service).blob(NAME).unwrap().reader();
    reader.read_exact(&mut [0; 10]).unwrap();
    drop(reader);
    // Three threads with four ranges between them had no room for more.
    assert!(
        service.count(Kind::Get) <= 5,
        "{}",
        service.count(Kind::Get)
    );
}

#[test]
fn an_answer_that_drips_is_left() {
    let service = holding(b"text");
    service.fault(Kind::Get, 1, Fault::Drip);
    let options = Options {
        request_timeout: SOON,
        ..options()
    };
    assert!(read(&service, options).unwrap() == b"text");
    assert!(service.count(Kind::Get) >= 2);
}
