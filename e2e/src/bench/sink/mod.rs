//! A container that keeps next to nothing: what is put is read and forgotten (small notes excepted), what is got is a
//! file of a directory. It answers each request after a delay, as a service far away does, and is quick otherwise: what
//! is measured with it is the client. Azurite is slower than any client.

mod container;
mod request;
mod stream;

use std::net::{Ipv4Addr, TcpListener};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::Duration;

use rustls::ServerConfig;

use container::Container;
use stream::Stream;

use crate::sas::ACCOUNT;
use crate::tls::Certificate;

/// The one container.
pub(crate) const CONTAINER: &str = "bench";

/// A sink that listens on loopback until the benchmark ends.
#[derive(Debug)]
pub(crate) struct Sink {
    port: u16,
    sent: Arc<AtomicU64>,
}

impl Sink {
    /// Starts it. Each answer waits for `delay`.
    ///
    /// # Panics
    /// When there is no port.
    pub(crate) fn start(delay: Duration, dir: PathBuf) -> Self {
        Self::with(delay, vec![dir], None)
    }

    /// One that speaks https, has the files of these directories, and answers at once.
    ///
    /// # Panics
    /// When there is no port, or the certificate is no good.
    pub(crate) fn https(certificate: &Certificate, dirs: Vec<PathBuf>) -> Self {
        let tls = stream::config(certificate);
        Self::with(Duration::ZERO, dirs, Some(tls))
    }

    fn with(delay: Duration, dirs: Vec<PathBuf>, tls: Option<Arc<ServerConfig>>) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port");
        let port = listener.local_addr().expect("a port").port();
        let sent = Arc::new(AtomicU64::new(0));
        let container = Arc::new(Container::new(delay, dirs, Arc::clone(&sent)));
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let (container, tls) = (Arc::clone(&container), tls.clone());
                // A client that goes away is no concern of the others.
                thread::spawn(move || container.serve(Stream::new(stream, tls)?));
            }
        });
        Self { port, sent }
    }

    /// How many bytes of blobs it has sent so far.
    pub(crate) fn sent(&self) -> u64 {
        self.sent.load(Ordering::Relaxed)
    }

    /// Its port.
    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    /// The container's URL, without TLS.
    pub(crate) fn url(&self) -> String {
        format!("http://127.0.0.1:{}/{ACCOUNT}/{CONTAINER}", self.port)
    }
}

#[cfg(test)]
mod tests {
    use std::fs::{self, File};
    use std::io::{Read, Write};
    use std::net::TcpStream;

    use super::*;

    fn connect(url: &str) -> TcpStream {
        let port = url.split([':', '/']).nth(4).unwrap();
        let stream = TcpStream::connect(("127.0.0.1", port.parse().unwrap())).unwrap();
        let patience = Some(Duration::from_secs(10));
        stream.set_read_timeout(patience).unwrap();
        stream
    }

    fn exchange(url: &str, request: &str) -> String {
        let mut stream = connect(url);
        stream.write_all(request.as_bytes()).unwrap();
        stream.shutdown(std::net::Shutdown::Write).unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        answer
    }

    /// Each request is answered whatever another one waits for.
    #[test]
    fn a_slow_client_holds_nobody_up() {
        let dir = tempfile::tempdir().unwrap();
        let large = File::create(dir.path().join("large")).unwrap();
        large.set_len(100 << 20).unwrap();
        fs::write(dir.path().join("file"), "0123456789").unwrap();
        let url = Sink::start(Duration::ZERO, dir.path().to_owned()).url();
        let mut slow = connect(&url);
        slow.write_all(b"GET /a/c/large HTTP/1.1\r\n\r\n").unwrap();
        // It is in the middle of its answer.
        slow.read_exact(&mut [0; 1000]).unwrap();
        let whole = exchange(&url, "GET /a/c/file HTTP/1.1\r\n\r\n");
        assert!(whole.ends_with("0123456789"), "{whole}");
    }

    #[test]
    fn what_was_put_has_a_size_and_a_file_can_be_got() {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("file"), "0123456789").unwrap();
        let url = Sink::start(Duration::ZERO, dir.path().to_owned()).url();
        let put = |query: &str, body: &str| {
            let length = body.len();
            exchange(
                &url,
                &format!("PUT /a/c/new?{query} HTTP/1.1\r\nContent-Length: {length}\r\n\r\n{body}"),
            )
        };
        assert!(put("comp=block&blockid=YQ%3D%3D", "12345").contains("201 Created"));
        assert!(put("comp=block&blockid=Yg%3d%3d", "123").contains("201 Created"));
        put(
            "comp=blocklist",
            "<Latest>YQ==</Latest><Latest>Yg==</Latest>",
        );
        let head = exchange(&url, "HEAD /a/c/new HTTP/1.1\r\n\r\n");
        assert!(head.contains("Content-Length: 8\r\n"), "{head}");
        let none = exchange(&url, "HEAD /a/c/none HTTP/1.1\r\n\r\n");
        assert!(none.contains("404"), "{none}");
        let part = exchange(&url, "GET /a/c/file HTTP/1.1\r\nRange: bytes=2-4\r\n\r\n");
        assert!(
            part.contains("bytes 2-4/10\r\n") && part.ends_with("\r\n\r\n234"),
            "{part}"
        );
        let whole = exchange(&url, "GET /a/c/file?sig=x HTTP/1.1\r\n\r\n");
        assert!(whole.ends_with("0123456789"), "{whole}");
    }

    /// A client finds what it noted, and among the names of one level what it put there.
    #[test]
    fn small_blobs_are_kept_and_listed() {
        let dir = tempfile::tempdir().unwrap();
        let url = Sink::start(Duration::ZERO, dir.path().to_owned()).url();
        let place = format!("/{ACCOUNT}/{CONTAINER}");
        let ask = |line: &str| exchange(&url, &format!("{line} HTTP/1.1\r\n\r\n"));
        for name in ["a/note", "a/b/note"] {
            exchange(
                &url,
                &format!("PUT {place}/{name} HTTP/1.1\r\nContent-Length: 2\r\n\r\nit"),
            );
        }
        assert!(ask(&format!("GET {place}/a/note")).ends_with("\r\n\r\nit"));
        let list = |query: &str| ask(&format!("GET {place}?restype=container&comp=list&{query}"));
        let level = list("prefix=a%2F&delimiter=%2F");
        assert!(
            level.contains("<Name>a/note</Name>") && !level.contains("a/b/note"),
            "{level}"
        );
        assert!(list("prefix=a%2F").contains("<Name>a/b/note</Name>"));
        assert!(!list("prefix=b").contains("note"));
    }

    #[test]
    fn files_have_their_paths_in_either_directory() {
        let (one, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        fs::write(one.path().join("file"), "one").unwrap();
        fs::create_dir_all(other.path().join("a/b")).unwrap();
        fs::write(other.path().join("a/b/file"), "other").unwrap();
        let dirs = vec![one.path().to_owned(), other.path().to_owned()];
        let url = Sink::with(Duration::ZERO, dirs, None).url();
        let place = format!("/{ACCOUNT}/{CONTAINER}");
        let ask = |what: &str| exchange(&url, &format!("GET {place}{what} HTTP/1.1\r\n\r\n"));
        assert!(ask("/file").ends_with("\r\n\r\none"));
        assert!(ask("/a/b/file").ends_with("\r\n\r\nother"));
        assert!(ask("/b/file").contains("404"));
        assert!(ask("/a/b").contains("404"));
        let list = ask("?restype=container&comp=list&prefix=a%2F&delimiter=%2F");
        assert!(list.contains("<BlobPrefix><Name>a/b/</Name>"), "{list}");
        assert!(!list.contains("<Blob>"), "{list}");
    }
}
