use azure_blob::{Client, ContainerUrl, ErrorKind, Options};

use crate::{SOON, client, hasty, open, options, token};
use scripted_service::{Fault, Kind, Service};

fn names(client: &Client) -> Vec<String> {
    client
        .list()
        .unwrap()
        .into_iter()
        .map(|item| item.name)
        .collect()
}

fn holding(count: usize) -> (Service, Vec<String>) {
    let service = Service::start();
    let names: Vec<_> = (0..count).map(|at| format!("a & <b> ü {at:05}")).collect();
    for name in &names {
        service.store(name, name.as_bytes());
    }
    (service, names)
}

#[test]
fn pages_are_followed() {
    for count in [0, 1, 3, 4, 20] {
        let (service, stored) = holding(count);
        assert_eq!(names(&client(&service)), stored);
        assert_eq!(service.count(Kind::List), count.div_ceil(3).max(1));
    }
    let (service, stored) = holding(12_000);
    service.change(|state| state.page_size = 5000);
    let items = client(&service).list().unwrap();
    assert_eq!(items.len(), stored.len());
    assert!(
        items
            .iter()
            .all(|item| item.properties.size == item.name.len() as u64)
    );
}

#[test]
fn a_prefix_is_taken_off() {
    let service = Service::start();
    for name in ["prod/x+y/a", "prod/x+y/b", "prod/x", "a"] {
        service.store(name, b"");
    }
    let (url, _) = ContainerUrl::parse(&format!("{}/prod/x+y", service.url())).unwrap();
    let client = Client::new(url, token("l"), options()).unwrap();
    assert_eq!(names(&client), ["a", "b"]);
    let seen = service.seen(Kind::List);
    assert_eq!(seen[0].query["prefix"], "prod/x+y/");
    assert_eq!(seen[0].query["delimiter"], "/");
}

#[test]
fn an_empty_page_may_have_another_after_it() {
    let (service, stored) = holding(2);
    let page = "<EnumerationResults><Blobs/><NextMarker>a</NextMarker></EnumerationResults>";
    service.fault(Kind::List, 1, Fault::Say(page));
    assert_eq!(names(&client(&service)), stored);
    assert_eq!(service.count(Kind::List), 2);
}

#[test]
fn the_same_page_again_and_again_is_an_error() {
    let (service, _) = holding(2);
    let page = "<EnumerationResults><Blobs/><NextMarker>a</NextMarker></EnumerationResults>";
    service.fault(Kind::List, 0, Fault::Say(page));
    let error = client(&service).list().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Malformed, "{error}");
}

#[test]
fn pages_that_go_round_are_an_error() {
    let (service, _) = holding(2);
    for (nth, next) in [(1, "a"), (2, "b"), (3, "a"), (4, "b"), (5, "")] {
        let page = format!(
            "<EnumerationResults><Blobs/><NextMarker>{next}</NextMarker></EnumerationResults>"
        );
        service.fault(Kind::List, nth, Fault::Say(page.leak()));
    }
    let error = client(&service).list().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Malformed, "{error}");
}

#[test]
fn a_listing_without_end_ends() {
    for (blobs, said) in [
        (5000, "more than 100000 backups"),
        (0, "no end after 1000 pages"),
    ] {
        let service = Service::start();
        service.change(|state| state.endless = Some(blobs));
        let error = client(&service).list().unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Malformed, "{error}");
        assert!(error.to_string().contains(said), "{error}");
    }
}

#[test]
fn what_is_not_wanted_is_not_kept() {
    let service = Service::start();
    service.change(|state| state.endless = Some(200));
    let error = client(&service).list_named(|_| false).unwrap_err();
    assert!(error.to_string().contains("no end"), "{error}");
    let (service, stored) = holding(20);
    let items = client(&service).list_named(|name| name.ends_with('7'));
    let names: Vec<_> = items.unwrap().into_iter().map(|item| item.name).collect();
    assert_eq!(names, [stored[7].clone(), stored[17].clone()]);
}

#[test]
fn a_socket_that_stands_still_is_left() {
    for fault in [Fault::Stall, Fault::StallBody(0), Fault::StallBody(100)] {
        let (service, stored) = holding(2);
        service.fault(Kind::List, 1, fault);
        let options = Options {
            stall_timeout: SOON,
            ..options()
        };
        assert_eq!(names(&open(&service, token("l"), options)), stored);
    }
}

#[test]
fn what_passes_is_outlived() {
    for fault in [
        Fault::Status(500, "InternalError", None),
        Fault::Status(503, "ServerBusy", Some(("Retry-After", "1"))),
        Fault::Status(429, "", None),
        Fault::CutHead,
        Fault::LoseAnswer,
        Fault::CutBody(0),
        Fault::CutBody(70),
        Fault::Say("<?xml version=\"1.0\"?><EnumerationResults><Blobs><Blob><Name>a</Name>"),
        Fault::Say("<html>a proxy's page</html>"),
        Fault::Say(""),
    ] {
        let (service, stored) = holding(7);
        service.fault(Kind::List, 1, fault.clone());
        service.fault(Kind::List, 3, fault.clone());
        assert_eq!(names(&client(&service)), stored, "{fault:?}");
    }
}

#[test]
fn xml_that_stays_wrong_is_an_error() {
    for text in [
        "<?xml version=\"1.0\"?><EnumerationResults><Blobs><Blob><Name>a</Name>",
        "<EnumerationResults><Blobs><Blob><Name>a</Blob></Blobs></EnumerationResults>",
        "<EnumerationResults><Blobs><Blob><Name>a</Name><Properties><Etag>x</Etag><Content-Length>many</Content-Length></Properties></Blob></Blobs></EnumerationResults>",
        "not XML",
    ] {
        let (service, _) = holding(1);
        service.fault(Kind::List, 0, Fault::Say(text));
        let error = client(&service).list().unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Malformed, "{error}");
    }
}

#[test]
fn the_right_error_is_told() {
    let (service, _) = holding(1);
    service.fault(Kind::List, 0, Fault::Status(404, "ContainerNotFound", None));
    let error = client(&service).list().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::ContainerNotFound);
    assert!(
        error
            .to_string()
            .contains("no container 'backups' at 127.0.0.1:"),
        "{error}"
    );
    let (service, _) = holding(1);
    service.fault(Kind::List, 0, Fault::CutBody(50));
    let error = open(&service, token("l"), hasty()).list().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Deadline);
    assert!(error.to_string().contains("times in"), "{error}");
}

#[test]
fn an_answer_that_drips_is_left() {
    let (service, stored) = holding(2);
    service.fault(Kind::List, 1, Fault::Drip);
    let options = Options {
        request_timeout: SOON,
        ..options()
    };
    assert_eq!(names(&open(&service, token("l"), options)), stored);
    assert!(service.count(Kind::List) >= 2);
}
