//! `NO_PROXY`, as curl reads it (`lib/noproxy.c`).

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Whether a host (a name, or an address without brackets) is reached without a proxy.
///
/// `*` alone means every host. Otherwise a name, with or without a leading dot, means itself and every name under it;
/// an address means itself, or with `/BITS` its network. Ports and other wildcards mean nothing, as in curl.
pub(crate) fn is_direct(host: &str, list: &str) -> bool {
    if list == "*" {
        return true;
    }
    let mut entries = list
        .split([',', ' ', '\t'])
        .filter(|entry| !entry.is_empty());
    match host.parse::<IpAddr>() {
        Ok(address) => entries.any(|entry| is_in(address, entry)),
        Err(_) => entries.any(|entry| is_under(host, entry)),
    }
}

fn is_under(host: &str, entry: &str) -> bool {
    let host = host.strip_suffix('.').unwrap_or(host);
    let entry = entry.strip_suffix('.').unwrap_or(entry);
    let entry = entry.strip_prefix('.').unwrap_or(entry);
    let Some(at) = host.len().checked_sub(entry.len()) else {
        return false;
    };
    let (before, tail) = match host.split_at_checked(at) {
        Some(parts) if !entry.is_empty() => parts,
        _ => return false,
    };
    (before.is_empty() || before.ends_with('.')) && tail.eq_ignore_ascii_case(entry)
}

fn is_in(address: IpAddr, entry: &str) -> bool {
    let (network, bits) = match entry.split_once('/') {
        Some((network, bits)) => match bits.parse::<u32>() {
            Ok(bits) => (network, bits),
            Err(_) => return false,
        },
        None => (entry, 0),
    };
    match address {
        IpAddr::V4(address) => network.parse().is_ok_and(|network: Ipv4Addr| {
            let (one, other) = (address.to_bits().into(), network.to_bits().into());
            agree(one, other, bits, 32)
        }),
        IpAddr::V6(address) => network
            .parse()
            .is_ok_and(|network: Ipv6Addr| agree(address.to_bits(), network.to_bits(), bits, 128)),
    }
}

/// Whether the first `bits` bits are equal; 0 means all of them, as in curl.
fn agree(one: u128, other: u128, bits: u32, width: u32) -> bool {
    let rest = match bits {
        0 => 0,
        _ if bits > width => return false,
        _ => width - bits,
    };
    one >> rest == other >> rest
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOST: &str = "acc.blob.core.example.test";

    #[test]
    fn names_as_curl_takes_them() {
        for list in [
            "*",
            HOST,
            ".core.example.test",
            "core.example.test",
            "core.example.test.",
            "CORE.Example.TEST",
            "localhost, .example.test",
            "localhost .example.test",
            ",,localhost,,test,",
            "localhost\t,\texample.test",
        ] {
            assert!(is_direct(HOST, list), "{list}");
        }
        for list in [
            "",
            ",",
            ".",
            " * ",
            "*,",
            "*.core.example.test",
            "localhost,*",
            "acc.blob.core.example.test:443",
            "ore.example.test",
            "x.acc.blob.core.example.test",
            "..core.example.test",
            "example",
            "ést",
        ] {
            assert!(!is_direct(HOST, list), "{list}");
        }
        assert!(is_direct("acc.example.test.", "example.test"));
    }

    #[test]
    fn addresses_and_networks() {
        for (host, list) in [
            ("10.1.2.3", "10.1.2.3"),
            ("10.1.2.3", "localhost,10.0.0.0/8"),
            ("10.1.2.3", "10.1.2.0/24"),
            ("10.1.2.3", "10.1.2.3/32"),
            ("10.1.2.3", "*"),
            ("fd00::1", "fd00::/8"),
            ("fd00::1", "FD00:0:0::1"),
            ("fd00::1", "fd00::1/128"),
        ] {
            assert!(is_direct(host, list), "{host} {list}");
        }
        for (host, list) in [
            ("10.1.2.3", "10.1.2"),
            ("10.1.2.3", "2.3"),
            ("10.1.2.3", "10.0.0.0/0"),
            ("10.1.2.3", "10.1.2.0/33"),
            ("10.1.2.3", "10.1.2.0/x"),
            ("10.1.2.3", "10.1.2.3:443"),
            ("11.1.2.3", "10.0.0.0/8"),
            ("10.1.2.3", "10.1.2.3/"),
            ("fd00::1", "[fd00::1]"),
            ("fd00::1", "fe00::/8"),
            ("fd00::1", "fd00::/129"),
            ("fd00::1", "10.0.0.0/8"),
        ] {
            assert!(!is_direct(host, list), "{host} {list}");
        }
    }
}
