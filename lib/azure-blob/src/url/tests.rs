use proptest::prelude::*;

use super::*;

fn container(text: &str) -> ContainerUrl {
    ContainerUrl::parse_as(text, false).unwrap().0
}

#[test]
fn the_service_s_url() {
    let (url, query) = ContainerUrl::parse_as(
        "https://acc.blob.core.windows.net/backups/prod/eu?sv=1&sig=x%2By",
        false,
    )
    .unwrap();
    assert_eq!(url.container(), "backups");
    assert_eq!(url.prefix(), "prod/eu/");
    assert_eq!(query.as_deref(), Some("sv=1&sig=x%2By"));
    assert_eq!(
        url.to_string(),
        "https://acc.blob.core.windows.net/backups/prod/eu"
    );
    assert_eq!(
        url.blob("a b.gz").to_string(),
        "https://acc.blob.core.windows.net/backups/prod/eu/a%20b.gz"
    );
}

#[test]
fn the_emulator_s_url() {
    for host in ["127.0.0.1:10000", "localhost:10000", "[::1]:10000"] {
        let url = container(&format!("http://{host}/devstoreaccount1/backups/"));
        assert_eq!(url.container(), "backups");
        assert_eq!(url.prefix(), "");
        assert_eq!(url.path(), "/devstoreaccount1/backups");
        assert_eq!(
            url.to_string(),
            format!("http://{host}/devstoreaccount1/backups")
        );
    }
    let url = container("https://azurite.storage.svc:10000/acc/backups");
    assert_eq!(url.path(), "/acc/backups");
}

#[test]
fn a_domain_of_its_own_is_one_account_s() {
    let url = container("https://backups.example.com/nightly/prod/eu");
    assert_eq!((url.container(), url.prefix()), ("nightly", "prod/eu/"));
    assert_eq!(url.path(), "/nightly");
    assert_eq!(url.account(), None);
    // The emulator, under other names.
    for text in [
        "https://azurite.example.com/devstoreaccount1/nightly",
        "https://azurite.example.com:10000/acc/nightly",
        "https://azurite/acc/nightly",
    ] {
        let url = container(text);
        assert_eq!((url.container(), url.prefix()), ("nightly", ""), "{text}");
        assert!(url.account().is_some(), "{text}");
    }
    // The host has a private address, or is in a zone, or a secondary region's.
    for host in [
        "acc.privatelink.blob.core.windows.net",
        "acc.z12.blob.storage.azure.net",
        "acc-secondary.blob.core.windows.net",
    ] {
        let url = container(&format!("https://{host}/nightly"));
        assert_eq!(url.account(), Some("acc"), "{host}");
        assert_eq!(url.path(), "/nightly", "{host}");
    }
}

#[test]
fn each_cloud_has_its_own_sign_in() {
    for (suffix, sign_in) in [
        ("core.windows.net", "https://login.microsoftonline.com"),
        (
            "core.chinacloudapi.cn",
            "https://login.partner.microsoftonline.cn",
        ),
        ("core.usgovcloudapi.net", "https://login.microsoftonline.us"),
    ] {
        let url = container(&format!("https://acc.blob.{suffix}/backups"));
        assert_eq!((url.sign_in(), url.account()), (sign_in, Some("acc")));
        let text = format!("https://acc.dfs.{suffix}/backups");
        let error = ContainerUrl::parse_as(&text, false).unwrap_err();
        assert!(error.to_string().contains("Blob service"), "{error}");
    }
    let url = container("https://backups.example.com/nightly");
    assert_eq!(url.sign_in(), "https://login.microsoftonline.com");
}

#[test]
fn slashes_do_not_matter() {
    let plain = container("https://a.blob.core.windows.net/backups/x");
    assert_eq!(
        plain,
        container("https://a.blob.core.windows.net/backups//x/")
    );
    assert_eq!(
        plain,
        container("https://a.blob.core.windows.net//backups/x//?")
    );
}

#[test]
fn scheme_and_host_may_be_in_capitals() {
    let plain = container("https://acc.blob.core.windows.net/backups/x");
    for text in [
        "HTTPS://acc.blob.core.windows.net/backups/x",
        "https://ACC.BLOB.CORE.WINDOWS.NET/backups/x",
        "Https://Acc.Blob.Core.Windows.Net./backups/x/",
    ] {
        assert_eq!(container(text), plain, "{text}");
        assert!(is_url(text), "{text}");
    }
    assert_eq!(
        container("https://ACC.blob.core.windows.net.:8443/backups").host(),
        "acc.blob.core.windows.net:8443"
    );
    assert_eq!(
        container("HTTP://LOCALHOST:1/a/backups").host(),
        "localhost:1"
    );
    for text in ["backups", "/a", "ftp://x/y", "https:/x/y", "é://x"] {
        assert!(!is_url(text), "{text}");
    }
}

#[test]
fn an_encoded_slash_is_a_slash() {
    let plain = container("https://a.blob.core.windows.net/backups/p/q");
    for path in ["backups/p%2Fq", "backups%2fp/q", "backups/p%2F%2Fq%2f"] {
        let text = format!("https://a.blob.core.windows.net/{path}");
        assert_eq!(container(&text), plain, "{text}");
    }
    let text = "https://a.blob.core.windows.net/backups/p%2Fx.gz";
    let (blob, _) = BlobUrl::parse_as(text, false).unwrap();
    assert_eq!((blob.container().prefix(), blob.name()), ("p/", "x.gz"));
    for path in [
        "..%2Fother/x.gz",
        "p%2F..%2F..%2Fother%2Fx.gz",
        "p/%2e%2e/x.gz",
        "p/%2E%2E%5Cx.gz",
        "p/.%2Fx.gz",
        "p/x%0a.gz",
    ] {
        let text = format!("https://a.blob.core.windows.net/backups/{path}");
        let error = BlobUrl::parse_as(&text, false).unwrap_err();
        assert!(error.to_string().contains("no name"), "{text}: {error}");
    }
    let text = "http://127.0.0.1:1/acc%2F..%2Fother/backups";
    assert!(ContainerUrl::parse_as(text, false).is_err());
}

#[test]
fn plain_http_only_to_this_machine() {
    let text = "http://acc.blob.core.windows.net/backups?sig=secret";
    let error = ContainerUrl::parse_as(text, false).unwrap_err();
    assert!(error.to_string().contains("not encrypted"), "{error}");
    assert!(!error.to_string().contains("secret"), "{error}");
    assert!(ContainerUrl::parse_as(text, true).is_ok());
    assert!(ContainerUrl::parse_as("http://127.0.0.9:1/a/backups", false).is_ok());
    assert!(ContainerUrl::parse_as("http://127.0.0.1.example.org/a/backups", false).is_err());
}

#[test]
fn what_is_no_container_is_said() {
    for (text, said) in [
        ("backups", "no URL"),
        ("ftp://x/y", "no URL"),
        ("https://", "no proper host"),
        (
            "https://user:pw@x.blob.core.windows.net/backups",
            "no proper host",
        ),
        ("https://a..b/backups", "no proper host"),
        ("https://x../backups", "no proper host"),
        ("https://x]/backups", "no proper host"),
        ("https://[::1/backups", "no proper host"),
        ("https://[:җҗ/backups", "no proper host"),
        ("https://җ./backups", "no proper host"),
        ("https://[x]/backups", "no proper host"),
        ("https://[::1]1/backups", "no proper host"),
        ("https://x:1:2/backups", "no proper host"),
        ("https://x:65536/backups", "no proper host"),
        ("https://acc.blob.core.windows.net", "names no container"),
        (
            "https://acc.blob.core.windows.net/?sig=1",
            "names no container",
        ),
        ("http://127.0.0.1:10000/acc", "names no container"),
        (
            "https://acc.blob.core.windows.net/Backups",
            "no container name",
        ),
        ("https://acc.blob.core.windows.net/ab", "no container name"),
        (
            "https://acc.dfs.core.windows.net/backups",
            "not of the Blob service",
        ),
        ("https://acc.blob.core.windows.net/backups/%zz", "'%'"),
        ("https://acc.blob.core.windows.net/backups/100%", "'%'"),
        ("https://acc.blob.core.windows.net/backups/%ff", "'%'"),
        ("https://acc.blob.core.windows.net/backups/a#b", "'#'"),
        ("https://acc.blob.core.windows.net/backups/../x", "no name"),
    ] {
        let error = ContainerUrl::parse_as(text, false).unwrap_err();
        assert!(error.to_string().contains(said), "{text}: {error}");
        assert!(!error.to_string().contains("pw@"), "{text}: {error}");
    }
}

#[test]
fn a_blob_has_a_name() {
    let text = "https://a.blob.core.windows.net/backups/prod/x%2B%C3%BC.gz?sig=s";
    let (blob, query) = BlobUrl::parse_as(text, false).unwrap();
    assert_eq!(blob.name(), "x+ü.gz");
    assert_eq!(blob.container().prefix(), "prod/");
    assert_eq!(query.as_deref(), Some("sig=s"));
    assert_eq!(blob.to_string(), text.trim_end_matches("?sig=s"));
    for text in [
        "https://a.blob.core.windows.net/backups",
        "https://a.blob.core.windows.net/backups/",
        "https://a.blob.core.windows.net/backups/prod/",
        "https://a.blob.core.windows.net/backups/prod%2F",
    ] {
        let error = BlobUrl::parse_as(text, false).unwrap_err();
        assert!(error.to_string().contains("names no blob"), "{error}");
    }
}

proptest! {
    #[test]
    fn any_name_survives_its_url(name in r"[a-z+% #?&=ü😀;:@!'()*,~^\[\]\\-]{1,20}") {
        let url = container("https://a.blob.core.windows.net/backups/p q/").blob(&name);
        let shown = url.to_string();
        prop_assert!(shown.bytes().all(|c| c.is_ascii_graphic()), "{shown}");
        prop_assert!(!shown.contains(['?', '#', '+']), "{shown}");
        prop_assert_eq!(BlobUrl::parse_as(&shown, false).unwrap().0, url);
    }
}
