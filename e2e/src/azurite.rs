//! Azurite, Microsoft's emulator of the Blob service, on a loopback port of its own.

use std::io::{BufRead, BufReader, Read};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc;
use std::sync::{Arc, Mutex, OnceLock};
use std::thread;

use ureq::http::{HeaderMap, Response};
use ureq::tls::{PemItem, RootCerts, TlsConfig, parse_pem};
use ureq::{Agent, Body};

use crate::sas::{self, ACCOUNT, Sas};
use crate::tls::Certificate;
use crate::watchdog::Watched;
use crate::{PATIENCE, tool, wait_for};

/// A running Azurite that keeps its blobs in memory. It is stopped when it is dropped, or when the test
/// process ends.
#[derive(Debug)]
pub struct Azurite {
    base: String,
    agent: Agent,
    containers: AtomicUsize,
    /// What it says of each request: method, URL, status.
    accesses: Arc<Mutex<Vec<String>>>,
    _server: Watched,
}

impl Azurite {
    /// The one that all tests of one process share; each has a container of its own.
    ///
    /// # Panics
    /// When it cannot be started.
    pub fn shared() -> &'static Self {
        static SHARED: OnceLock<Azurite> = OnceLock::new();
        SHARED.get_or_init(Self::start)
    }

    /// Starts one.
    ///
    /// # Panics
    /// When it cannot be started.
    pub fn start() -> Self {
        Self::with(&[], Agent::new_with_defaults())
    }

    /// Starts one for clients that speak a newer version than it knows.
    ///
    /// # Panics
    /// When it cannot be started.
    pub fn lenient() -> Self {
        Self::with(&["--skipApiVersionCheck"], Agent::new_with_defaults())
    }

    /// Starts one that speaks https.
    ///
    /// # Panics
    /// When it cannot be started.
    pub fn https(certificate: &Certificate) -> Self {
        Self::https_with(certificate, &[])
    }

    /// Starts one that speaks https and takes the bearer tokens of identities.
    ///
    /// # Panics
    /// When it cannot be started.
    pub fn oauth(certificate: &Certificate) -> Self {
        Self::https_with(certificate, &["--oauth", "basic"])
    }

    fn https_with(certificate: &Certificate, args: &[&str]) -> Self {
        let file = |path: &std::path::Path| path.display().to_string();
        let pem = std::fs::read(&certificate.authority).expect("the authority");
        let roots = parse_pem(&pem).filter_map(|item| match item {
            Ok(PemItem::Certificate(certificate)) => Some(certificate),
            _ => None,
        });
        let tls = TlsConfig::builder()
            .root_certs(RootCerts::from(roots))
            .build();
        let (certificate, key) = (file(&certificate.certificate), file(&certificate.key));
        let https = ["--cert", &certificate, "--key", &key];
        Self::with(
            &[&https[..], args].concat(),
            Agent::config_builder().tls_config(tls).build().new_agent(),
        )
    }

    fn with(args: &[&str], agent: Agent) -> Self {
        let main = tool::tools().join("azurite/node_modules/azurite/dist/src/blob/main.js");
        assert!(
            main.exists(),
            "{} is not there: run scripts/setup",
            main.display()
        );
        let mut command = Command::new("node");
        command
            .arg(main)
            // The system chooses a free port, and Azurite says which.
            .args(["--blobHost", "127.0.0.1", "--blobPort", "0"])
            .args(["--inMemoryPersistence", "--disableTelemetry"])
            .args(args)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        let mut server = Watched::start(&mut command, "KILL");
        let stdout = server.child().stdout.take().expect("a pipe");
        let stderr = server.child().stderr.take().expect("a pipe");
        let accesses = Arc::default();
        let base = listening(stdout, stderr, Arc::clone(&accesses));
        Self {
            base: format!("{base}/{ACCOUNT}"),
            agent,
            containers: AtomicUsize::new(0),
            accesses,
            _server: server,
        }
    }

    /// Its port.
    ///
    /// # Panics
    /// Never: its address ends in a port.
    pub fn port(&self) -> u16 {
        let authority = self.base.split('/').nth(2).expect("an address");
        let port = authority.rsplit(':').next();
        port.and_then(|port| port.parse().ok()).expect("a port")
    }

    /// How many requests it has answered whose line in its log has all of these words.
    ///
    /// # Panics
    /// When another thread did while it wrote one.
    pub fn answered(&self, words: &[&str]) -> usize {
        let lines = self.accesses.lock().expect("the log");
        let has = |line: &&String| words.iter().all(|word| line.contains(word));
        lines.iter().filter(has).count()
    }

    /// Makes a container.
    ///
    /// # Panics
    /// When that fails.
    pub fn container(&self) -> Container {
        let number = self.containers.fetch_add(1, Ordering::Relaxed);
        self.container_named(&format!("backups-{number}"))
    }

    /// Makes a container of this name.
    ///
    /// # Panics
    /// When that fails.
    pub fn container_named(&self, name: &str) -> Container {
        let container = Container {
            name: name.into(),
            base: self.base.clone(),
            agent: self.agent.clone(),
        };
        let url = format!(
            "{}?restype=container&{}",
            container.url(),
            sas::for_account()
        );
        self.agent
            .put(&url)
            .header("x-ms-version", API_VERSION)
            .send_empty()
            .expect("a container");
        container
    }
}

const API_VERSION: &str = "2023-11-03";

/// A container in Azurite, seen by the harness with all rights.
#[derive(Debug)]
pub struct Container {
    name: String,
    base: String,
    agent: Agent,
}

impl Container {
    /// Its name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Its URL, without a token: a STORE.
    pub fn url(&self) -> String {
        format!("{}/{}", self.base, self.name)
    }

    /// Its URL by way of another port on loopback: that of a [`Proxy`](crate::proxy::Proxy).
    pub fn url_at(&self, port: u16) -> String {
        format!("http://127.0.0.1:{port}/{ACCOUNT}/{}", self.name)
    }

    /// A token for it, about to be signed.
    pub fn sas(&self) -> Sas {
        Sas::new(&self.name)
    }

    /// A token that allows everything for an hour.
    pub fn token(&self) -> String {
        self.sas().sign()
    }

    fn blob(&self, name: &str) -> String {
        format!("{}/{name}?{}", self.url(), self.token())
    }

    /// The names of its blobs, sorted: of the committed ones only, as everybody sees them.
    ///
    /// # Panics
    /// When it cannot be listed.
    pub fn names(&self) -> Vec<String> {
        let url = format!(
            "{}?restype=container&comp=list&{}",
            self.url(),
            self.token()
        );
        let listing = self.get(&url).into_body().read_to_string();
        let listing = listing.expect("a listing");
        let names = listing.split("<Name>").skip(1);
        names
            .filter_map(|rest| rest.split("</Name>").next())
            .map(str::to_owned)
            .collect()
    }

    /// A blob's bytes.
    ///
    /// # Panics
    /// When it cannot be read.
    pub fn read(&self, name: &str) -> Vec<u8> {
        let body = self.get(&self.blob(name)).into_body();
        let body = body.into_with_config().limit(1 << 32).read_to_vec();
        body.unwrap_or_else(|error| panic!("{name}: {error}"))
    }

    /// A blob's properties and metadata.
    ///
    /// # Panics
    /// When it is not there.
    pub fn head(&self, name: &str) -> HeaderMap {
        let answer = self
            .agent
            .head(self.blob(name))
            .header("x-ms-version", API_VERSION)
            .call();
        let answer = answer.unwrap_or_else(|error| panic!("{name}: {error}"));
        answer.headers().clone()
    }

    /// Puts a blob there, as another program would.
    ///
    /// # Panics
    /// When that fails.
    pub fn write(&self, name: &str, bytes: &[u8]) {
        wait_for("a blob to be put", || {
            let put = self.agent.put(self.blob(name));
            let put = put.header("x-ms-version", API_VERSION);
            match put.header("x-ms-blob-type", "BlockBlob").send(bytes) {
                Ok(_) => Some(()),
                // A connection that was kept, and that the server closed at this very moment.
                Err(ureq::Error::Io(_)) => None,
                Err(error) => panic!("{name}: {error}"),
            }
        });
    }

    /// Deletes a blob.
    ///
    /// # Panics
    /// When that fails.
    pub fn remove(&self, name: &str) {
        let deleted = self
            .agent
            .delete(self.blob(name))
            .header("x-ms-version", API_VERSION)
            .call();
        deleted.unwrap_or_else(|error| panic!("{name}: {error}"));
    }

    /// Puts empty blobs there, several at once.
    ///
    /// # Panics
    /// When that fails.
    pub fn fill(&self, names: &[String]) {
        // As many as the agent keeps connections.
        let threads = 3;
        thread::scope(|scope| {
            for part in names.chunks(names.len().div_ceil(threads).max(1)) {
                scope.spawn(move || part.iter().for_each(|name| self.write(name, b"")));
            }
        });
    }

    /// Leases a blob for ever: nobody else deletes it or writes over it.
    ///
    /// # Panics
    /// When that fails.
    pub fn lease(&self, name: &str) {
        let url = format!("{}/{name}?comp=lease&{}", self.url(), self.token());
        self.agent
            .put(&url)
            .header("x-ms-version", API_VERSION)
            .header("x-ms-lease-action", "acquire")
            .header("x-ms-lease-duration", "-1")
            .send_empty()
            .unwrap_or_else(|error| panic!("{name}: {error}"));
    }

    fn get(&self, url: &str) -> Response<Body> {
        let answer = self
            .agent
            .get(url)
            .header("x-ms-version", API_VERSION)
            .call();
        answer.unwrap_or_else(|error| panic!("{}: {error}", self.name))
    }
}

/// Waits for the line that says where it listens, and goes on reading what it says.
fn listening(
    stdout: impl Read + Send + 'static,
    mut stderr: impl Read + Send + 'static,
    accesses: Arc<Mutex<Vec<String>>>,
) -> String {
    let (found, address) = mpsc::channel();
    thread::spawn(move || {
        for line in BufReader::new(stdout).lines().map_while(Result::ok) {
            if let Some(at) = line.find("successfully listens on ") {
                let address = line[at..].rsplit(' ').next().unwrap_or_default();
                let _ = found.send(address.to_owned());
            }
            accesses.lock().expect("the log").push(line);
        }
    });
    let errors = thread::spawn(move || {
        let mut said = String::new();
        let _ = stderr.read_to_string(&mut said);
        said
    });
    address.recv_timeout(PATIENCE).unwrap_or_else(|_| {
        let ended = errors.is_finished();
        let said = if ended { errors.join().ok() } else { None };
        panic!("Azurite does not listen: {}", said.unwrap_or_default())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_container_keeps_what_is_put() {
        let container = Azurite::shared().container();
        container.write("b", b"second");
        container.write("a", b"first");
        assert_eq!(container.names(), ["a", "b"]);
        assert_eq!(container.read("a"), b"first");
        assert_eq!(container.head("b")["content-length"], "6");
    }

    #[test]
    fn https() {
        let certificate = Certificate::make();
        let azurite = Azurite::https(&certificate);
        let container = azurite.container();
        assert!(container.url().starts_with("https://127.0.0.1:"));
        container.write("a", b"first");
        assert_eq!(container.read("a"), b"first");
    }
}
