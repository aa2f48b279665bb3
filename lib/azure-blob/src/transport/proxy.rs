//! Which proxy leads to a host: what the environment says, as curl reads it.

use std::env;

use percent_encoding::percent_decode_str;
use ureq::{Proxy, ProxyProtocol};

use super::no_proxy::is_direct;
use crate::{Error, ErrorKind};

/// curl's port for a proxy that has none.
const PORT: u16 = 1080;
const TLS_PORT: u16 = 443;

/// The proxy for a host (perhaps with a port): `https_proxy` (`http_proxy` for plain http), else `all_proxy`, unless
/// `no_proxy` lists the host. The variables may be in capitals, except `HTTP_PROXY`: a web server sets that to a
/// header of its client's.
///
/// # Errors
/// Kind [`Usage`](ErrorKind::Usage): a proxy that cannot be understood or used. Whoever set it wants nothing to
/// bypass it.
pub fn proxy(https: bool, host: &str) -> Result<Option<Proxy>, Error> {
    let set = |name: &str| {
        let value = env::var_os(name)?.to_string_lossy().into_owned();
        (!value.is_empty()).then_some(value)
    };
    match named(https, host, &set) {
        Some((name, text)) => read(name, &text).map(Some),
        None => Ok(None),
    }
}

/// The variable that counts, and its value.
fn named(
    https: bool,
    host: &str,
    set: &dyn Fn(&str) -> Option<String>,
) -> Option<(&'static str, String)> {
    let first = |names: &[&'static str]| {
        let mut names = names.iter();
        names.find_map(|name| set(name).map(|value| (*name, value)))
    };
    let excepted = first(&["no_proxy", "NO_PROXY"]);
    if excepted.is_some_and(|(_, list)| is_direct(without_port(host), &list)) {
        return None;
    }
    match https {
        true => first(&["https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY"]),
        false => first(&["http_proxy", "all_proxy", "ALL_PROXY"]),
    }
}

fn without_port(host: &str) -> &str {
    match host.strip_prefix('[') {
        Some(rest) => rest.split(']').next().unwrap_or_default(),
        None => host.split(':').next().unwrap_or_default(),
    }
}

/// Reads `[SCHEME://][USER[:PASSWORD]@]HOST[:PORT][/…]`. It may hold a password, so no error shows it.
fn read(name: &str, text: &str) -> Result<Proxy, Error> {
    let wrong = |what: &str| {
        Error::new(ErrorKind::Usage, format!("{name} {what}")).hint(
            "write http://HOST:PORT, or name the host in NO_PROXY to reach it without a proxy",
        )
    };
    let text = text.trim();
    let (scheme, rest) = text.split_once("://").unwrap_or(("http", text));
    let (protocol, port) = match scheme.to_ascii_lowercase().as_str() {
        "http" => (ProxyProtocol::Http, PORT),
        "https" => (ProxyProtocol::Https, TLS_PORT),
        socks if socks.starts_with("socks") => {
            return Err(wrong("names a SOCKS proxy, which is not supported"));
        }
        _ => return Err(wrong("is no URL of a proxy")),
    };
    let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
    let (login, address) = match authority.rsplit_once('@') {
        Some((login, address)) => (Some(login), address),
        None => (None, authority),
    };
    let (host, port) = split(address, port).ok_or_else(|| wrong("has no proper host and port"))?;
    let mut builder = Proxy::builder(protocol).host(host).port(port);
    if let Some(login) = login {
        let (user, password) = login.split_once(':').unwrap_or((login, ""));
        let decoded = |text: &str| match percent_decode_str(text).decode_utf8() {
            Ok(text) => Ok(text.into_owned()),
            Err(_) => Err(wrong("has a user or password that is no text")),
        };
        builder = builder
            .username(&decoded(user)?)
            .password(&decoded(password)?);
    }
    builder
        .build()
        .map_err(|_| wrong("has no proper host and port"))
}

/// `HOST`, `HOST:PORT`, `[::1]:PORT`.
fn split(address: &str, port: u16) -> Option<(&str, u16)> {
    let end = address.rfind(']').map_or(0, |at| at + 1);
    let (host, port) = match address.get(end..)?.find(':') {
        Some(at) => {
            let (host, port) = address.split_at(end + at);
            (host, port.strip_prefix(':')?.parse().ok()?)
        }
        None => (address, port),
    };
    (!host.is_empty()).then_some((host, port))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chosen(https: bool, host: &str, set: &[(&str, &str)]) -> Option<String> {
        let set = |name: &str| {
            let found = set.iter().find(|(key, _)| *key == name);
            found.map(|(_, value)| (*value).to_owned())
        };
        named(https, host, &set).map(|(_, value)| value)
    }

    #[test]
    fn the_variables_in_curl_s_order() {
        let all = [
            ("ALL_PROXY", "a"),
            ("all_proxy", "b"),
            ("HTTPS_PROXY", "c"),
            ("https_proxy", "d"),
            ("HTTP_PROXY", "e"),
            ("http_proxy", "f"),
        ];
        for (https, count, wanted) in [
            (true, 6, Some("d")),
            (true, 3, Some("c")),
            (true, 2, Some("b")),
            (true, 1, Some("a")),
            (true, 0, None),
            (false, 6, Some("f")),
            (false, 5, Some("b")),
            (false, 1, Some("a")),
        ] {
            let found = chosen(https, "acc.example.test:443", &all[..count]);
            assert_eq!(found.as_deref(), wanted, "{https} {count}");
        }
        // A web server's HTTP_PROXY, and another scheme's variable, count for nothing.
        assert_eq!(chosen(false, "x", &all[4..5]), None);
        assert_eq!(chosen(true, "x", &all[4..]), None);
    }

    #[test]
    fn what_is_excepted_goes_direct() {
        let excepted =
            |host, list| chosen(true, host, &[("https_proxy", "p"), ("NO_PROXY", list)]).is_none();
        assert!(excepted("acc.example.test:8443", ".example.test"));
        assert!(excepted("[fd00::1]:8443", "fd00::/8"));
        assert!(excepted("10.1.2.3:10000", "10.0.0.0/8"));
        assert!(!excepted("acc.example.test", "example.org"));
        // The one in small letters counts.
        let both = [("https_proxy", "p"), ("no_proxy", "x"), ("NO_PROXY", "*")];
        assert!(chosen(true, "acc.example.test", &both).is_some());
    }

    #[test]
    fn a_proxy_in_all_its_forms() {
        for (text, host, port) in [
            ("http://proxy:3128", "proxy", 3128),
            ("HTTP://proxy:3128/", "proxy", 3128),
            ("proxy:3128", "proxy", 3128),
            ("proxy", "proxy", 1080),
            (" proxy:3128\r\n", "proxy", 3128),
            ("127.0.0.1:8080/path?x", "127.0.0.1", 8080),
            ("http://[::1]:3128", "[::1]", 3128),
            ("[::1]", "[::1]", 1080),
            ("https://proxy", "proxy", 443),
        ] {
            let proxy = read("HTTPS_PROXY", text).unwrap();
            assert_eq!((proxy.host(), proxy.port()), (host, port), "{text}");
        }
        for (text, user, password) in [
            ("http://me:s%40cret@proxy:1", "me", "s@cret"),
            ("me:a@b@proxy:1", "me", "a@b"),
            ("me@proxy:1", "me", ""),
        ] {
            let proxy = read("HTTPS_PROXY", text).unwrap();
            assert_eq!(proxy.username(), Some(user), "{text}");
            assert_eq!(proxy.password(), Some(password), "{text}");
            assert_eq!((proxy.host(), proxy.port()), ("proxy", 1), "{text}");
        }
    }

    #[test]
    fn a_proxy_that_cannot_be_used_is_said_and_its_password_is_not() {
        for (text, said) in [
            ("socks5h://me:s3cret@proxy:1080", "SOCKS"),
            ("ftp://me:s3cret@proxy", "no URL of a proxy"),
            ("http://me:s3cret@", "no proper host"),
            ("http://me:s3cret@proxy:99999", "no proper host"),
            ("http://me:s3cret@pro xy:1", "no proper host"),
            ("http://me:s3cret%ff@proxy:1", "no text"),
        ] {
            let error = read("ALL_PROXY", text).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Usage);
            let shown = format!("{error} {:?}", error.hint_text());
            assert!(shown.contains(said), "{text}: {shown}");
            assert!(!shown.contains("s3cret"), "{shown}");
        }
    }
}
