//! Where a container or a blob is, without the token.

mod authority;

use std::net::IpAddr;
use std::{env, fmt};

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};

pub(crate) use authority::Endpoint;
use authority::{host_of, is_authority, is_loopback, normal, scheme, split_authority};

use crate::{Error, ErrorKind};

/// Everything is encoded but RFC 3986's unreserved characters and the slash. `+` is, as some servers read it as a
/// space.
const PATH: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'.')
    .remove(b'_')
    .remove(b'~')
    .remove(b'/');
/// In the value of a query the slash is encoded too.
const QUERY: &AsciiSet = &PATH.add(b'/');

/// The clouds, by the end of their hosts' names, and where each has its Microsoft Entra ID ("Microsoft Entra
/// authentication and national clouds").
const CLOUDS: [(&str, &str); 3] = [
    (".core.windows.net", "https://login.microsoftonline.com"),
    (
        ".core.chinacloudapi.cn",
        "https://login.partner.microsoftonline.cn",
    ),
    (
        ".core.usgovcloudapi.net",
        "https://login.microsoftonline.us",
    ),
];
/// The account that every emulator has.
const EMULATOR: &str = "devstoreaccount1";

const EXAMPLE: &str = "write https://ACCOUNT.blob.core.windows.net/CONTAINER";

/// A container, perhaps with a prefix of the names in it. Displayed without the token.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct ContainerUrl {
    https: bool,
    /// Host and perhaps port.
    authority: String,
    /// The account, if it is the first part of the path and not of the host.
    account: Option<String>,
    container: String,
    prefix: String,
}

/// A blob. Displayed without the token.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct BlobUrl {
    container: ContainerUrl,
    name: String,
}

impl ContainerUrl {
    /// Reads a container's URL. What follows the container in the path is the prefix (it gets a `/` at its end if it has
    /// none). The query, which is the token, is returned apart.
    ///
    /// The account is the first part of the host (`ACCOUNT.blob.core.windows.net`), or the host is a domain of its own
    /// (`https://backups.example.com/CONTAINER`). If the host is an address, `localhost`, or a name with a port, as with
    /// the emulator, the account is the first part of the path. Empty parts of the path are dropped, so `"$STORE/"` may
    /// end in two slashes. An encoded slash is a slash. Scheme and host may be in capitals.
    ///
    /// # Errors
    /// What is no such URL; plain http to another machine, unless `AZURE_STORAGE_ALLOW_HTTP=1` allows it.
    pub fn parse(text: &str) -> Result<(Self, Option<String>), Error> {
        Self::parse_as(text, http_allowed())
    }

    fn parse_as(text: &str, http_allowed: bool) -> Result<(Self, Option<String>), Error> {
        let (mut container, names, query) = split(text, http_allowed)?;
        container.prefix = names.iter().map(|name| format!("{name}/")).collect();
        Ok((container, query))
    }

    /// The container's name.
    pub fn container(&self) -> &str {
        &self.container
    }

    /// The host, with its port.
    pub fn host(&self) -> &str {
        &self.authority
    }

    /// What all names begin with: nothing, or something that ends in `/`.
    pub fn prefix(&self) -> &str {
        &self.prefix
    }

    /// The blob of that name under the prefix.
    pub fn blob(&self, name: &str) -> BlobUrl {
        BlobUrl {
            container: self.clone(),
            name: name.to_owned(),
        }
    }

    /// Whether the requests are encrypted.
    pub fn is_https(&self) -> bool {
        self.https
    }

    /// The account, where the URL names it: not if the host is a domain of its own.
    pub(crate) fn account(&self) -> Option<&str> {
        let host = host_of(&self.authority);
        match &self.account {
            Some(account) => Some(account),
            None if !host.contains(".blob.") => None,
            None => host
                .split('.')
                .next()
                .map(|name| name.trim_end_matches("-secondary")),
        }
    }

    /// Where its cloud has its Microsoft Entra ID.
    pub(crate) fn sign_in(&self) -> &'static str {
        let host = host_of(&self.authority);
        let mut clouds = CLOUDS.iter();
        let cloud = clouds.find(|(suffix, _)| host.ends_with(suffix));
        cloud.unwrap_or(&CLOUDS[0]).1
    }

    /// Whether the host is this machine.
    pub(crate) fn is_loopback(&self) -> bool {
        is_loopback(host_of(&self.authority))
    }

    /// `/CONTAINER`, or `/ACCOUNT/CONTAINER` if the account is in the path; encoded.
    pub(crate) fn path(&self) -> String {
        let container = utf8_percent_encode(&self.container, PATH);
        match &self.account {
            Some(account) => format!("/{}/{container}", utf8_percent_encode(account, PATH)),
            None => format!("/{container}"),
        }
    }

    /// The container's URL as requests use it: no prefix, no query.
    pub(crate) fn request(&self) -> String {
        format!("{}{}", self.origin(), self.path())
    }

    /// The same place, plain http.
    #[cfg(test)]
    pub(crate) fn unencrypted(&self) -> Self {
        Self {
            https: false,
            ..self.clone()
        }
    }

    /// Scheme and host.
    pub(crate) fn origin(&self) -> String {
        let scheme = if self.https { "https" } else { "http" };
        format!("{scheme}://{}", self.authority)
    }
}

impl BlobUrl {
    /// Reads a blob's URL. The last part of the path is the blob's name; the parts between it and the container are the
    /// prefix. The query, which is the token, is returned apart.
    ///
    /// # Errors
    /// As [`ContainerUrl::parse`], and a URL that ends at the container or in `/`.
    pub fn parse(text: &str) -> Result<(Self, Option<String>), Error> {
        Self::parse_as(text, http_allowed())
    }

    fn parse_as(text: &str, http_allowed: bool) -> Result<(Self, Option<String>), Error> {
        let (mut container, mut names, query) = split(text, http_allowed)?;
        let name = names.pop().filter(|_| !ends_in_slash(text));
        let Some(name) = name else {
            return Err(wrong(text, "names no blob").hint("write …/CONTAINER/NAME"));
        };
        container.prefix = names.iter().map(|name| format!("{name}/")).collect();
        Ok((Self { container, name }, query))
    }

    /// The container, with the prefix.
    pub fn container(&self) -> &ContainerUrl {
        &self.container
    }

    /// The blob's name, the prefix taken off.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The blob's path after the host, encoded.
    pub(crate) fn path(&self) -> String {
        let (container, prefix) = (&self.container, &self.container.prefix);
        format!(
            "{}/{}{}",
            container.path(),
            utf8_percent_encode(prefix, PATH),
            utf8_percent_encode(&self.name, PATH)
        )
    }
}

impl fmt::Display for ContainerUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.request())?;
        match self.prefix.strip_suffix('/') {
            Some(prefix) => write!(f, "/{}", utf8_percent_encode(prefix, PATH)),
            None => Ok(()),
        }
    }
}

impl fmt::Display for BlobUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}", self.container.origin(), self.path())
    }
}

/// A value in a query.
pub(crate) fn encode_value(text: &str) -> String {
    utf8_percent_encode(text, QUERY).to_string()
}

/// Whether a text is a URL and not a path: it begins with `https://` or `http://`, perhaps in capitals. This is the one
/// rule for that.
pub fn is_url(text: &str) -> bool {
    scheme(text).is_some()
}

/// Whether a URL's path ends in a slash, perhaps an encoded one: then it has no name at its end.
pub fn ends_in_slash(text: &str) -> bool {
    percent_decode_str(path_of(text)).last() == Some(b'/')
}

fn http_allowed() -> bool {
    env::var_os("AZURE_STORAGE_ALLOW_HTTP").is_some_and(|value| value == "1")
}

/// The container without a prefix, the decoded parts of the path after it, and the query.
fn split(
    text: &str,
    http_allowed: bool,
) -> Result<(ContainerUrl, Vec<String>, Option<String>), Error> {
    let Some((https, rest)) = scheme(text) else {
        return Err(wrong(text, "is no URL of a container").hint(EXAMPLE));
    };
    if text
        .split('?')
        .next()
        .is_some_and(|text| text.contains('#'))
    {
        return Err(wrong(text, "has a '#'").hint("in a name, write it %23"));
    }
    let query = rest.split_once('?').map(|(_, query)| query.to_owned());
    let rest = rest.split('?').next().unwrap_or_default();
    let (authority, path) = rest.split_once('/').unwrap_or((rest, ""));
    let authority = normal(authority);
    let host = host_of(&authority);
    check_host(text, &authority)?;
    if !https && !http_allowed && !is_loopback(host) {
        return Err(wrong(text, "is not encrypted").hint(
            "write https://, or allow it with AZURE_STORAGE_ALLOW_HTTP=1 (anyone on the way can read the token)",
        ));
    }
    let mut names = names(text, path)?.into_iter().peekable();
    let account = match is_path_style(https, &authority, names.peek()) {
        true => names.next(),
        false => None,
    };
    let Some(container) = names.next() else {
        return Err(wrong(text, "names no container").hint(EXAMPLE));
    };
    if !is_container_name(&container) {
        return Err(
            wrong(text, &format!("has no container name: '{container}'")).hint(
                "a container's name is 3 to 63 lower-case letters, digits and single hyphens",
            ),
        );
    }
    let container = ContainerUrl {
        https,
        authority,
        account,
        container,
        prefix: String::new(),
    };
    Ok((container, names.collect(), query.filter(|q| !q.is_empty())))
}

fn path_of(text: &str) -> &str {
    text.split('?').next().unwrap_or_default()
}

/// An error about a URL, which shows it without its query.
fn wrong(text: &str, what: &str) -> Error {
    Error::new(ErrorKind::Usage, format!("'{}' {what}", path_of(text)))
}

fn check_host(text: &str, authority: &str) -> Result<(), Error> {
    let host = host_of(authority);
    if !is_authority(authority) {
        // It is not shown: it may hold a password before an '@'.
        return Err(Error::new(ErrorKind::Usage, "the URL has no proper host name").hint(EXAMPLE));
    }
    if CLOUDS.iter().any(|(suffix, _)| host.ends_with(suffix)) && !host.contains(".blob.") {
        return Err(wrong(text, "is not of the Blob service").hint(EXAMPLE));
    }
    Ok(())
}

/// Whether the account is the first part of the path: at an address, at `localhost`, and at the emulator under another
/// name, which has a port, or one that is no domain, or its own account. Other hosts belong to one account: the
/// service's, and domains that somebody mapped to it ("Map a custom domain to an Azure Blob Storage endpoint").
fn is_path_style(https: bool, authority: &str, first: Option<&String>) -> bool {
    let (host, port) = split_authority(authority);
    if host.parse::<IpAddr>().is_ok() || host == "localhost" {
        return true;
    }
    let is_domain = https && port.is_empty() && host.contains('.');
    let is_emulator = first.is_some_and(|account| account == EMULATOR);
    !host.contains(".blob.") && (!is_domain || is_emulator)
}

/// "Naming and Referencing Containers, Blobs, and Metadata": and the special ones, `$root`, `$web`, `$logs`.
fn is_container_name(name: &str) -> bool {
    let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    matches!(name, "$root" | "$web" | "$logs")
        || ((3..=63).contains(&name.len())
            && name.chars().all(plain)
            && !name.starts_with('-')
            && !name.ends_with('-')
            && !name.contains("--"))
}

/// The parts of a path, decoded. An encoded slash divides too: the service takes `a%2Fb` for `a/b`, and `..%2Fother`
/// must not lead out of the container.
fn names(text: &str, path: &str) -> Result<Vec<String>, Error> {
    let path = decode(text, path)?;
    let names = path.split('/').filter(|part| !part.is_empty());
    names
        .map(|name| {
            let dots = name.split('\\').any(|part| matches!(part, "." | ".."));
            match dots || name.contains(char::is_control) {
                true => Err(wrong(
                    text,
                    &format!("has a part that is no name: '{}'", name.escape_debug()),
                )),
                false => Ok(name.to_owned()),
            }
        })
        .collect()
}

fn decode(text: &str, part: &str) -> Result<String, Error> {
    let after_percent = part.split('%').skip(1);
    let proper = |hex: &str| {
        hex.get(..2)
            .is_some_and(|two| two.bytes().all(|c| c.is_ascii_hexdigit()))
    };
    let decoded = percent_decode_str(part).decode_utf8();
    match decoded {
        Ok(decoded) if after_percent.into_iter().all(proper) => Ok(decoded.into_owned()),
        _ => Err(wrong(text, "has a '%' that encodes nothing").hint("in a name, write it %25")),
    }
}

#[cfg(test)]
mod tests;
