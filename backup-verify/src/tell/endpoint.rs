//! A service that hears over HTTP how a run went: a URL that may hold a secret, and is never shown whole.

use std::path::Path;
use std::time::Duration;
use std::{env, fmt, thread};

use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use job::{Error, secret};
use ureq::http::{StatusCode, Uri};
use ureq::tls::TlsConfig;
use ureq::{Agent, Proxy};

/// A file with a URL in it is no longer than this, in bytes.
const LONGEST: usize = 64 << 10;

/// A URL. It is displayed without what may be secret: a check's UUID in the path, a password, the query.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Endpoint {
    https: bool,
    host: String,
    /// `user:password`.
    login: Option<String>,
    /// Empty, or `/…`; without a `/` at its end.
    path: String,
    query: Option<String>,
}

/// How long a report may take. With the default, three tries of ten seconds, a backup waits half a minute for its
/// monitoring at most.
#[derive(Debug, Clone, Copy)]
pub(crate) struct RetryPolicy {
    /// The limit of one try, from the name's resolution to the end of the answer.
    pub(crate) timeout: Duration,
    /// The pause before the second try; it doubles with each further try.
    pub(crate) pause: Duration,
    /// The number of tries, at least 1.
    pub(crate) tries: u32,
}

impl Default for RetryPolicy {
    fn default() -> Self {
        Self {
            timeout: Duration::from_secs(10),
            pause: Duration::from_secs(1),
            tries: 3,
        }
    }
}

/// Why a report did not arrive.
#[derive(Debug)]
enum Fault {
    /// Another try may help.
    Passing(String),
    /// No try helps.
    Final(String),
}

impl Endpoint {
    /// The URL that an option gives; or the one in the file that the variable `NAME_FILE` names; or the one in the
    /// variable `NAME`. An empty variable counts as none.
    ///
    /// # Errors
    /// A file that cannot be read, a text that is no URL.
    pub(crate) fn find(option: Option<&str>, name: &str) -> Result<Option<Self>, Error> {
        let variable = |name: &str| env::var_os(name).filter(|it| !it.is_empty());
        let file = format!("{name}_FILE");
        let (text, from) = if let Some(text) = option {
            (text.to_owned(), "the URL that is given".to_owned())
        } else if let Some(path) = variable(&file) {
            let bytes = job::read_any(Path::new(&path), LONGEST).map_err(|error| {
                let doing = format_args!("cannot read {file} '{}'", path.display());
                Error::io(doing, &error)
            })?;
            let text = String::from_utf8_lossy(&bytes).into_owned();
            (text, format!("what is in '{}'", path.display()))
        } else if let Some(text) = variable(name) {
            (text.to_string_lossy().into_owned(), name.to_owned())
        } else {
            return Ok(None);
        };
        secret::learn_url(&text);
        match Self::parse(text.trim()) {
            Some(endpoint) => Ok(Some(endpoint)),
            // It is not shown, as it may be a mistyped secret.
            None => Err(Error::usage(format!("{from} is no URL"))
                .hint("it begins with https:// or http://, and has no spaces")),
        }
    }

    fn parse(text: &str) -> Option<Self> {
        let (scheme, rest) = text.split_once("://")?;
        let https = match scheme.to_ascii_lowercase().as_str() {
            "https" => true,
            "http" => false,
            _ => return None,
        };
        let rest = rest.split('#').next()?;
        let (address, query) = match rest.split_once('?') {
            Some((address, query)) => (address, Some(query.to_owned())),
            None => (rest, None),
        };
        let (authority, path) = match address.find('/') {
            Some(at) => address.split_at(at),
            None => (address, ""),
        };
        let (login, host) = match authority.rsplit_once('@') {
            Some((login, host)) => (Some(login.to_owned()), host),
            None => (None, authority),
        };
        let endpoint = Self {
            https,
            host: host.to_owned(),
            login,
            path: path.trim_end_matches('/').to_owned(),
            query,
        };
        let uri = Uri::try_from(endpoint.uri()).ok()?;
        uri.host()
            .is_some_and(|it| !it.is_empty())
            .then_some(endpoint)
    }

    /// The URL with `more` at the end of its path, and the same query.
    #[must_use]
    pub(crate) fn under(&self, more: &str) -> Self {
        Self {
            path: format!("{}/{more}", self.path),
            ..self.clone()
        }
    }

    fn uri(&self) -> String {
        let Self {
            host, path, query, ..
        } = self;
        let scheme = if self.https { "https" } else { "http" };
        let query = query.as_ref().map(|query| format!("?{query}"));
        let path = if path.is_empty() { "/" } else { path };
        format!("{scheme}://{host}{path}{}", query.unwrap_or_default())
    }

    /// Posts a text.
    ///
    /// # Errors
    /// Why it did not arrive, in words without a secret.
    pub(crate) fn post(&self, kind: &str, text: &str, policy: RetryPolicy) -> Result<(), String> {
        let agent = self.agent(policy).map_err(|error| error.to_string())?;
        let mut pause = policy.pause;
        let mut tries = 1;
        loop {
            match self.post_once(&agent, kind, text) {
                Ok(()) => return Ok(()),
                Err(Fault::Passing(_)) if tries < policy.tries => {}
                Err(Fault::Passing(why)) if tries > 1 => {
                    return Err(format!("{why} (tried {tries} times)"));
                }
                Err(Fault::Passing(why) | Fault::Final(why)) => return Err(why),
            }
            thread::sleep(pause);
            pause *= 2;
            tries += 1;
        }
    }

    fn post_once(&self, agent: &Agent, kind: &str, text: &str) -> Result<(), Fault> {
        let mut request = agent.post(self.uri()).content_type(kind);
        if let Some(login) = &self.login {
            let login = percent_decoded(login);
            request = request.header("authorization", format!("Basic {}", BASE64.encode(login)));
        }
        let answer = request.send(text).map_err(|error| fault(&error))?;
        let status = answer.status();
        let said = format!("the answer is {status}");
        match status {
            _ if status.is_success() => Ok(()),
            StatusCode::REQUEST_TIMEOUT | StatusCode::TOO_MANY_REQUESTS => {
                Err(Fault::Passing(said))
            }
            _ if status.is_server_error() => Err(Fault::Passing(said)),
            _ => Err(Fault::Final(said)),
        }
    }

    /// An agent that trusts the same certificates as the store's client.
    fn agent(&self, policy: RetryPolicy) -> Result<Agent, azure_blob::Error> {
        let mut config = Agent::config_builder()
            .http_status_as_error(false)
            .proxy(self.proxy()?)
            .user_agent(format!("{}/{}", job::program(), env!("CARGO_PKG_VERSION")))
            .timeout_global(Some(policy.timeout));
        if self.https {
            let roots = azure_blob::root_certs()?;
            config = config.tls_config(TlsConfig::builder().root_certs(roots).build());
        }
        Ok(config.build().new_agent())
    }

    /// The proxy that the environment names; none for this machine's own ports, which no proxy reaches.
    fn proxy(&self) -> Result<Option<Proxy>, azure_blob::Error> {
        let host = self.host.rsplit_once(':').map_or(&*self.host, |it| it.0);
        match host {
            "localhost" | "127.0.0.1" | "[::1]" => Ok(None),
            _ => azure_blob::proxy(self.https, &self.host),
        }
    }
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = if self.https { "https" } else { "http" };
        write!(f, "{scheme}://{}/…", self.host)
    }
}

impl fmt::Debug for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

fn percent_decoded(text: &str) -> Vec<u8> {
    percent_encoding::percent_decode_str(text).collect()
}

fn fault(error: &ureq::Error) -> Fault {
    let words = words(error);
    match azure_blob::is_certificate_error(error) {
        true => Fault::Final(format!(
            "{words} (SSL_CERT_FILE names a file of certificates to trust)"
        )),
        false => Fault::Passing(words),
    }
}

/// An error's words, without the URL.
fn words(error: &ureq::Error) -> String {
    use ureq::Error as Kind;
    match error {
        Kind::Timeout(_) => "no answer in time".into(),
        Kind::HostNotFound => "no such host".into(),
        Kind::ConnectionFailed => "no connection".into(),
        Kind::TooManyRedirects => "it redirects in a circle".into(),
        Kind::Tls(_) | Kind::Rustls(_) | Kind::ConnectProxyFailed(_) => error.to_string(),
        Kind::Io(error) => {
            let said = Error::io("", error).to_string();
            said.trim_start_matches(": ").to_owned()
        }
        _ => "the answer is not understood".into(),
    }
}

#[cfg(test)]
mod tests;
