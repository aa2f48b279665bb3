//! Scheme, host and port of a URL (RFC 3986).

use std::net::{IpAddr, Ipv6Addr};

/// Whether the scheme is https (or http), and what follows the `://`.
pub(crate) fn scheme(text: &str) -> Option<(bool, &str)> {
    let (scheme, rest) = text.split_once("://")?;
    match scheme.to_ascii_lowercase().as_str() {
        "https" => Some((true, rest)),
        "http" => Some((false, rest)),
        _ => None,
    }
}

/// The host without the brackets of an IPv6 address, and what follows it: nothing, or a port with its colon.
pub(crate) fn split_authority(authority: &str) -> (&str, &str) {
    match authority.strip_prefix('[') {
        Some(rest) => rest.split_once(']').unwrap_or((rest, "")),
        None => authority.split_at(authority.find(':').unwrap_or(authority.len())),
    }
}

pub(crate) fn host_of(authority: &str) -> &str {
    split_authority(authority).0
}

/// A name or an address of a host, and perhaps a port (RFC 3986, 3.2).
pub(crate) fn is_authority(authority: &str) -> bool {
    let (host, port) = split_authority(authority);
    let is_label = |label: &str| {
        let known = |c: char| c.is_ascii_alphanumeric() || "-_".contains(c);
        !label.is_empty() && label.chars().all(known)
    };
    let is_host = match authority.starts_with('[') {
        true => authority.contains(']') && host.parse::<Ipv6Addr>().is_ok(),
        false => host.split('.').all(is_label),
    };
    let is_port = |port: &str| port.is_empty() || port.parse::<u16>().is_ok();
    is_host && (port.is_empty() || port.strip_prefix(':').is_some_and(is_port))
}

pub(crate) fn is_loopback(host: &str) -> bool {
    host == "localhost"
        || host.ends_with(".localhost")
        || host
            .parse()
            .is_ok_and(|address: IpAddr| address.is_loopback())
}

/// Host and port in the form in which they are compared: lower case, without the dot at the end of the host.
pub(crate) fn normal(authority: &str) -> String {
    let authority = authority.to_ascii_lowercase();
    let (host, port) = split_authority(&authority);
    match host.strip_suffix('.') {
        Some(name) if !name.is_empty() && !authority.starts_with('[') => format!("{name}{port}"),
        _ => authority,
    }
}

/// A server that is asked for something else than blobs: for tokens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Endpoint {
    pub(crate) https: bool,
    /// Host and perhaps port.
    pub(crate) authority: String,
    /// Without a slash at its end; perhaps empty.
    pub(crate) path: String,
}

impl Endpoint {
    /// Reads `https://HOST[:PORT][/PATH]`; none if it is anything else, or plain http to another machine.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let (https, rest) = scheme(text.trim())?;
        let (authority, path) = rest.split_once('/').unwrap_or((rest, ""));
        let authority = normal(authority);
        let proper = |c: char| c.is_ascii_alphanumeric() || "-._~/".contains(c);
        let is_path = path.chars().all(proper) && !path.split('/').any(|part| part == "..");
        let is_safe = https || is_loopback(host_of(&authority));
        (is_safe && is_path && is_authority(&authority)).then(|| Self {
            https,
            authority,
            path: format!("/{path}").trim_end_matches('/').to_owned(),
        })
    }

    /// Scheme, host and path.
    pub(crate) fn url(&self) -> String {
        let scheme = if self.https { "https" } else { "http" };
        format!("{scheme}://{}{}", self.authority, self.path)
    }

    /// Whether it is this machine.
    pub(crate) fn is_loopback(&self) -> bool {
        is_loopback(host_of(&self.authority))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_endpoint_is_https_or_this_machine() {
        for (text, url) in [
            (
                "https://login.microsoftonline.com/",
                "https://login.microsoftonline.com",
            ),
            ("HTTPS://Login.Example./a/b/", "https://login.example/a/b"),
            ("http://127.0.0.1:8080", "http://127.0.0.1:8080"),
            ("https://10.0.0.1:443/proxy", "https://10.0.0.1:443/proxy"),
        ] {
            assert_eq!(Endpoint::parse(text).unwrap().url(), url);
        }
        for text in [
            "",
            "login.microsoftonline.com",
            "http://login.microsoftonline.com",
            "https://",
            "https://u:p@host",
            "https://host/?x=1",
            "https://host/#x",
            "https://host/a/../b",
            "https://host/a b",
            "ftp://host",
        ] {
            assert_eq!(Endpoint::parse(text), None, "{text}");
        }
    }
}
