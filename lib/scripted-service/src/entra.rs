//! The token endpoint of Microsoft Entra ID and the Instance Metadata Service, as their documentation shows them, on
//! loopback: they give out tokens that Azurite takes, and refuse as they are told to.

use std::collections::HashMap;
use std::fmt;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::sync::{Arc, Condvar, Mutex};
use std::thread;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use chrono::Utc;
use percent_encoding::percent_decode_str;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ServerConfig, ServerConnection, StreamOwned};
use serde_json::json;

/// What it does wrong.
#[derive(Debug, Clone)]
pub enum EntraFault {
    /// Refuses as Entra does: status, `error`, the number of `AADSTS…`.
    Refuse(u16, &'static str, u64),
    /// Answers with this status and no body, and asks to wait for so many seconds.
    Busy(u16, u64),
    /// Answers after this long.
    Slow(Duration),
    /// Closes without an answer.
    Cut,
    /// Never answers.
    Stall,
    /// Answers 200 with this instead.
    Say(&'static str),
}

/// The bearer tokens that a service takes.
#[derive(Clone)]
pub struct Bearers(Arc<dyn Fn(&str) -> bool + Send + Sync>);

impl Bearers {
    /// None at all.
    pub fn none() -> Self {
        Self(Arc::new(|_| false))
    }

    pub(crate) fn contain(&self, token: &str) -> bool {
        (self.0)(token)
    }
}

impl fmt::Debug for Bearers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Bearers")
    }
}

/// A request for a token.
#[derive(Debug, Clone)]
pub struct TokenRequest {
    /// `POST /tenant/oauth2/v2.0/token`
    pub line: String,
    /// By their names in lower case.
    pub headers: HashMap<String, String>,
    /// The fields of the form, or of the query, decoded.
    pub fields: HashMap<String, String>,
    /// The name that the client asked for in TLS.
    pub sni: Option<String>,
}

/// What it was asked and told.
#[derive(Debug)]
pub struct EntraState {
    /// All requests.
    pub seen: Vec<TokenRequest>,
    /// All tokens that it gave out.
    pub issued: Vec<String>,
    /// How long a token lasts, as the answer says, in seconds.
    pub lasts: u64,
    /// When the client had better ask again (`refresh_in`), in seconds; the answer need not say so.
    pub refresh: Option<u64>,
    /// How long it lasts as it says itself, if that is something else: what a service goes by.
    pub really_lasts: Option<i64>,
    /// The only token of a service account that it takes; none if it takes any.
    pub assertion: Option<String>,
    /// Which request meets which fault: its number (from 1; 0 for each).
    faults: Vec<(usize, EntraFault)>,
    stopped: bool,
}

#[derive(Debug)]
struct Shared {
    state: Mutex<EntraState>,
    changed: Condvar,
}

/// The endpoint, on a loopback port of its own. It ends when it is dropped.
#[derive(Debug)]
pub struct Entra {
    port: u16,
    https: bool,
    shared: Arc<Shared>,
}

impl Entra {
    /// Starts one that speaks plain http, which the programs take on loopback.
    ///
    /// # Panics
    /// When there is no port to be had.
    pub fn start() -> Self {
        Self::with(None)
    }

    /// Starts one that speaks https with this certificate and key, in files of PEM.
    ///
    /// # Panics
    /// When there is no port to be had, or the files are no good.
    pub fn https(certificate: &Path, key: &Path) -> Self {
        let certificates = CertificateDer::pem_file_iter(certificate).unwrap();
        let certificates = certificates.map(Result::unwrap).collect();
        let key = PrivateKeyDer::from_pem_file(key).unwrap();
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(certificates, key);
        Self::with(Some(Arc::new(config.unwrap())))
    }

    fn with(tls: Option<Arc<ServerConfig>>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let shared = Arc::new(Shared {
            state: Mutex::new(EntraState {
                seen: Vec::new(),
                issued: Vec::new(),
                lasts: 3600,
                refresh: None,
                really_lasts: None,
                assertion: None,
                faults: Vec::new(),
                stopped: false,
            }),
            changed: Condvar::new(),
        });
        let https = tls.is_some();
        let accepting = Arc::clone(&shared);
        thread::spawn(move || {
            for stream in listener.incoming() {
                if accepting.state.lock().unwrap().stopped {
                    return;
                }
                let (shared, tls) = (Arc::clone(&accepting), tls.clone());
                thread::spawn(move || -> io::Result<()> {
                    let stream = stream?;
                    match tls {
                        Some(tls) => shared.serve_tls(stream, tls),
                        None => shared.serve(stream, |_| None),
                    }
                });
            }
        });
        Self {
            port,
            https,
            shared,
        }
    }

    /// Its URL: what `AZURE_AUTHORITY_HOST` names.
    pub fn url(&self) -> String {
        let scheme = if self.https { "https" } else { "http" };
        format!("{scheme}://127.0.0.1:{}", self.port)
    }

    /// Its port.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// The `nth` request (from 1; 0: each) meets the fault.
    pub fn fault(&self, nth: usize, fault: EntraFault) {
        self.change(|state| state.faults.push((nth, fault)));
    }

    /// Meets no more faults.
    pub fn recover(&self) {
        self.change(|state| state.faults.clear());
    }

    /// Looks at what it was asked, or changes what it does.
    ///
    /// # Panics
    /// When it did.
    pub fn change<T>(&self, change: impl FnOnce(&mut EntraState) -> T) -> T {
        change(&mut self.shared.state.lock().unwrap())
    }

    /// How many requests it has had.
    pub fn count(&self) -> usize {
        self.change(|state| state.seen.len())
    }

    /// The tokens that it gives out from the `nth` on (from 1), those of later on too.
    pub fn tokens_from(&self, nth: usize) -> Bearers {
        let shared = Arc::clone(&self.shared);
        Bearers(Arc::new(move |token| {
            let state = shared.state.lock().unwrap();
            let known = state.issued.iter().skip(nth - 1);
            known.into_iter().any(|issued| issued == token)
        }))
    }

    /// The tokens that it gave out.
    pub fn issued(&self) -> Vec<String> {
        self.change(|state| state.issued.clone())
    }
}

impl Drop for Entra {
    fn drop(&mut self) {
        self.change(|state| state.stopped = true);
        self.shared.changed.notify_all();
        // The listener wakes up and sees it.
        let _ = TcpStream::connect(("127.0.0.1", self.port));
    }
}

type Answer = (u16, Vec<(&'static str, String)>, String);

impl Shared {
    fn serve_tls(&self, stream: TcpStream, config: Arc<ServerConfig>) -> io::Result<()> {
        let connection = ServerConnection::new(config).map_err(io::Error::other)?;
        let stream = StreamOwned::new(connection, stream);
        self.serve(stream, |stream| {
            stream.conn.server_name().map(ToOwned::to_owned)
        })
    }

    fn serve<S: Read + Write>(
        &self,
        stream: S,
        sni: impl Fn(&S) -> Option<String>,
    ) -> io::Result<()> {
        let mut reader = BufReader::new(stream);
        let Some(mut request) = read(&mut reader)? else {
            return Ok(());
        };
        request.sni = sni(reader.get_ref());
        let fault = {
            let mut state = self.state.lock().unwrap();
            state.seen.push(request.clone());
            let count = state.seen.len();
            let mut faults = state.faults.iter();
            let fault = faults.find(|(nth, _)| *nth == 0 || *nth == count);
            fault.map(|(_, fault)| fault.clone())
        };
        let (status, headers, body) = match fault {
            Some(EntraFault::Cut) => return Ok(()),
            Some(EntraFault::Stall) => return self.hold(None),
            Some(EntraFault::Slow(time)) => {
                self.hold(Some(time))?;
                self.state.lock().unwrap().answer(&request)
            }
            Some(EntraFault::Refuse(status, error, number)) => {
                refused(status, error, number, "Words.")
            }
            Some(EntraFault::Busy(status, seconds)) => {
                let wait = vec![("retry-after", seconds.to_string())];
                (status, wait, String::new())
            }
            Some(EntraFault::Say(text)) => (200, Vec::new(), text.to_owned()),
            None => self.state.lock().unwrap().answer(&request),
        };
        let mut head = format!(
            "HTTP/1.1 {status} X\r\ncontent-length: {}\r\nconnection: close\r\n",
            body.len()
        );
        for (name, value) in headers {
            head += &format!("{name}: {value}\r\n");
        }
        let stream = reader.get_mut();
        stream.write_all(format!("{head}\r\n{body}").as_bytes())?;
        stream.flush()
    }

    /// Keeps the connection open for this long, or until the endpoint ends.
    fn hold(&self, time: Option<Duration>) -> io::Result<()> {
        let state = self.state.lock().unwrap();
        let time = time.unwrap_or(Duration::from_secs(86_400));
        let ended = self
            .changed
            .wait_timeout_while(state, time, |state| !state.stopped);
        drop(ended.unwrap());
        Ok(())
    }
}

impl EntraState {
    fn answer(&mut self, request: &TokenRequest) -> Answer {
        let field = |name: &str| request.fields.get(name).map_or("", String::as_str);
        if request.line.starts_with("GET ") {
            let is_right = request
                .headers
                .get("metadata")
                .is_some_and(|it| it == "true")
                && field("api-version") == "2018-02-01"
                && field("resource") == "https://storage.azure.com"
                && request.line.contains(" /metadata/identity/oauth2/token?");
            return match is_right {
                true => self.token(true),
                false => refused(
                    400,
                    "invalid_request",
                    0,
                    "Required metadata header not specified",
                ),
            };
        }
        let is_right = field("grant_type") == "client_credentials"
            && field("scope") == "https://storage.azure.com/.default"
            && field("client_assertion_type")
                == "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
            && !field("client_id").is_empty()
            && request.line.ends_with("/oauth2/v2.0/token");
        if !is_right {
            return refused(
                400,
                "invalid_request",
                900_144,
                "The request body must contain more.",
            );
        }
        let assertion = field("client_assertion");
        if self.assertion.as_ref().is_some_and(|it| it != assertion) {
            return refused(
                401,
                "invalid_client",
                700_024,
                "Client assertion is not within its valid time range.",
            );
        }
        self.token(false)
    }

    /// A token as Azurite wants it: it does not check the signature.
    fn token(&mut self, numbers_are_texts: bool) -> Answer {
        let now = Utc::now().timestamp();
        let lasts = i64::try_from(self.lasts).unwrap();
        let number = self.issued.len() + 1;
        let part = |value: serde_json::Value| URL_SAFE_NO_PAD.encode(value.to_string());
        let token = format!(
            "{}.{}.{}",
            part(json!({"typ": "JWT", "alg": "none"})),
            part(json!({
                "aud": "https://storage.azure.com",
                "iss": "https://sts.windows.net/tenant/",
                "iat": now - 60,
                "nbf": now - 60,
                "exp": now + self.really_lasts.unwrap_or(lasts),
                "appid": "client",
            })),
            URL_SAFE_NO_PAD.encode(format!("the signature of token {number} of {now}")),
        );
        self.issued.push(token.clone());
        let body = match numbers_are_texts {
            true => json!({
                "access_token": token,
                "expires_in": lasts.to_string(),
                "expires_on": (now + lasts).to_string(),
                "resource": "https://storage.azure.com",
                "token_type": "Bearer",
            }),
            false => json!({
                "token_type": "Bearer",
                "expires_in": lasts,
                "ext_expires_in": lasts,
                "access_token": token,
            }),
        };
        let mut body = body;
        if let Some(refresh) = self.refresh {
            body["refresh_in"] = refresh.into();
        }
        (200, Vec::new(), body.to_string())
    }
}

fn refused(status: u16, error: &str, number: u64, words: &str) -> Answer {
    let body = json!({
        "error": error,
        "error_description": format!(
            "AADSTS{number}: {words}\r\nTrace ID: 0000aaaa-11bb-cccc-dd33-eeeeee333333\r\nCorrelation ID: aaaa0000-bb11-2222-33cc-444444dddddd\r\nTimestamp: 2026-11-22 02:02:12Z"
        ),
        "error_codes": [number],
        "timestamp": "2026-11-22 02:02:12Z",
        "trace_id": "0000aaaa-11bb-cccc-dd33-eeeeee333333",
        "correlation_id": "aaaa0000-bb11-2222-33cc-444444dddddd",
    });
    (status, Vec::new(), body.to_string())
}

fn read(reader: &mut impl BufRead) -> io::Result<Option<TokenRequest>> {
    let mut lines = Vec::new();
    loop {
        let mut line = String::new();
        if reader.read_line(&mut line)? == 0 {
            return Ok(None);
        }
        if line == "\r\n" {
            break;
        }
        lines.push(line.trim_end().to_owned());
    }
    let headers: HashMap<_, _> = lines[1..]
        .iter()
        .filter_map(|line| line.split_once(": "))
        .map(|(name, value)| (name.to_lowercase(), value.to_owned()))
        .collect();
    let length = headers
        .get("content-length")
        .map_or(0, |length| length.parse().unwrap());
    let mut body = vec![0; length];
    reader.read_exact(&mut body)?;
    let line = lines[0].trim_end_matches(" HTTP/1.1").to_owned();
    let query = line.split_once('?').map(|(_, query)| query.to_owned());
    let form = query.unwrap_or_else(|| String::from_utf8(body).unwrap());
    let decode = |text: &str| percent_decode_str(text).decode_utf8().unwrap().into_owned();
    let fields = form.split('&').filter_map(|pair| pair.split_once('='));
    let fields = fields.map(|(name, value)| (decode(name), decode(value)));
    Ok(Some(TokenRequest {
        fields: fields.collect(),
        line,
        headers,
        sni: None,
    }))
}
