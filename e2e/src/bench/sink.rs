//! A container that keeps nothing: what is put is read and forgotten, what is got is a file of a directory.
//! It answers each request after a delay, as a service far away does, and is quick otherwise: what is
//! measured with it is the client. Azurite is slower than any client.

use std::collections::HashMap;
use std::fs::{self, File};
use std::io::{self, BufRead, BufReader, Read, Seek, SeekFrom, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use crate::sas::ACCOUNT;

/// The one container.
pub(crate) const CONTAINER: &str = "bench";

/// When every blob was written.
const WRITTEN: &str = "Sun, 23 Nov 2025 02:00:00 GMT";

/// A sink that listens on loopback until the benchmark ends.
#[derive(Debug)]
pub(crate) struct Sink {
    port: u16,
    sent: Arc<AtomicU64>,
}

/// What the connections share.
struct Container {
    delay: Duration,
    /// Where the blobs are that can be got.
    dir: PathBuf,
    /// How many bytes of blobs were sent.
    sent: Arc<AtomicU64>,
    /// The sizes of the blocks that were put, and of the blobs that were made of them, by path.
    sizes: Mutex<HashMap<String, Sizes>>,
}

#[derive(Default)]
struct Sizes {
    blocks: HashMap<String, u64>,
    blob: Option<u64>,
}

/// A request without its body.
struct Request {
    method: String,
    path: String,
    query: HashMap<String, String>,
    length: u64,
    range: Option<(u64, u64)>,
    continues: bool,
}

impl Sink {
    /// Starts it. Each answer waits for `delay`.
    ///
    /// # Panics
    /// When there is no port.
    pub(crate) fn start(delay: Duration, dir: PathBuf) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port");
        let port = listener.local_addr().expect("a port").port();
        let sent = Arc::new(AtomicU64::new(0));
        let container = Arc::new(Container {
            delay,
            dir,
            sent: Arc::clone(&sent),
            sizes: Mutex::default(),
        });
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let container = Arc::clone(&container);
                // A client that goes away is no concern of the others.
                thread::spawn(move || container.serve(stream));
            }
        });
        Self { port, sent }
    }

    /// How many bytes of blobs it has sent so far.
    pub(crate) fn sent(&self) -> u64 {
        self.sent.load(Ordering::Relaxed)
    }

    /// The container's URL.
    pub(crate) fn url(&self) -> String {
        format!("http://127.0.0.1:{}/{ACCOUNT}/{CONTAINER}", self.port)
    }
}

impl Container {
    /// Answers requests until the client closes the connection.
    fn serve(&self, stream: TcpStream) -> io::Result<()> {
        stream.set_nodelay(true)?;
        let mut answers = stream.try_clone()?;
        let mut requests = BufReader::with_capacity(256 << 10, stream);
        while let Some(request) = Request::read(&mut requests)? {
            self.answer(&request, &mut requests, &mut answers)?;
        }
        Ok(())
    }

    fn answer(
        &self,
        request: &Request,
        requests: &mut impl Read,
        answers: &mut TcpStream,
    ) -> io::Result<()> {
        if request.continues {
            answers.write_all(b"HTTP/1.1 100 Continue\r\n\r\n")?;
        }
        let mut body = requests.take(request.length);
        let comp = request.query.get("comp").map(String::as_str);
        match (request.method.as_str(), comp) {
            ("PUT", Some("blocklist")) => {
                let mut list = String::new();
                body.read_to_string(&mut list)?;
                self.commit(&request.path, &list);
            }
            ("PUT", comp) => {
                let size = io::copy(&mut body, &mut io::sink())?;
                self.put(request, comp == Some("block"), size);
            }
            ("GET", Some("list")) => return self.list(answers),
            ("GET" | "HEAD", None) => return self.get(request, answers),
            _ => return self.say(answers, "400 Bad Request", ""),
        }
        self.say(
            answers,
            "201 Created",
            &format!(
                "ETag: 1
Last-Modified: {WRITTEN}
"
            ),
        )
    }

    fn put(&self, request: &Request, block: bool, size: u64) {
        let mut sizes = self.sizes.lock().unwrap_or_else(PoisonError::into_inner);
        let sizes = sizes.entry(request.path.clone()).or_default();
        match request.query.get("blockid").filter(|_| block) {
            Some(id) => {
                sizes.blocks.insert(id.clone(), size);
            }
            None => sizes.blob = Some(size),
        }
    }

    fn commit(&self, path: &str, list: &str) {
        let mut sizes = self.sizes.lock().unwrap_or_else(PoisonError::into_inner);
        let sizes = sizes.entry(path.to_owned()).or_default();
        let ids = list.split(['<', '>']);
        sizes.blob = Some(ids.filter_map(|id| sizes.blocks.get(id)).sum());
        sizes.blocks.clear();
    }

    /// The size of a blob that was put.
    fn put_size(&self, path: &str) -> Option<u64> {
        let sizes = self.sizes.lock().unwrap_or_else(PoisonError::into_inner);
        sizes.get(path)?.blob
    }

    fn get(&self, request: &Request, answers: &mut TcpStream) -> io::Result<()> {
        let name = request.path.rsplit('/').next().unwrap_or_default();
        let file = File::open(self.dir.join(name));
        let size = match (&file, self.put_size(&request.path)) {
            (Ok(file), _) => file.metadata()?.len(),
            (Err(_), Some(size)) if request.method == "HEAD" => size,
            _ => {
                return self.say(
                    answers,
                    "404 Not Found",
                    "x-ms-error-code: BlobNotFound\r\n",
                );
            }
        };
        let (first, last) = request.range.unwrap_or((0, u64::MAX));
        let last = last.min(size.saturating_sub(1));
        let length = (last + 1).saturating_sub(first);
        let (status, range) = match request.range {
            Some(_) => (
                "206 Partial Content",
                format!("Content-Range: bytes {first}-{last}/{size}\r\n"),
            ),
            None => ("200 OK", String::new()),
        };
        thread::sleep(self.delay);
        write!(
            answers,
            "HTTP/1.1 {status}\r\nContent-Length: {length}\r\n{range}ETag: \"1\"\r\nAccept-Ranges: bytes\r\n\
             x-ms-blob-type: BlockBlob\r\nContent-Type: application/gzip\r\n\
             Last-Modified: {WRITTEN}\r\nx-ms-version: 2021-12-02\r\n\r\n"
        )?;
        if let (Ok(mut file), "GET") = (file, request.method.as_str()) {
            file.seek(SeekFrom::Start(first))?;
            let sent = io::copy(&mut file.take(length), answers)?;
            self.sent.fetch_add(sent, Ordering::Relaxed);
        }
        Ok(())
    }

    /// List Blobs: all files, whatever the prefix.
    fn list(&self, answers: &mut TcpStream) -> io::Result<()> {
        let mut blobs = String::new();
        for entry in fs::read_dir(&self.dir)? {
            let entry = entry?;
            let file = entry.metadata()?;
            if file.is_file() {
                blobs += &format!(
                    "<Blob><Name>{}</Name><Properties><Last-Modified>{WRITTEN}</Last-Modified><Etag>1</Etag>\
                     <Content-Length>{}</Content-Length><BlobType>BlockBlob</BlobType></Properties></Blob>",
                    entry.file_name().display(),
                    file.len()
                );
            }
        }
        let list = format!(
            "<?xml version=\"1.0\" encoding=\"utf-8\"?><EnumerationResults><Blobs>{blobs}</Blobs>\
             <NextMarker/></EnumerationResults>"
        );
        thread::sleep(self.delay);
        write!(
            answers,
            "HTTP/1.1 200 OK\r\nContent-Length: {}\r\nContent-Type: application/xml\r\n\r\n{list}",
            list.len()
        )
    }

    /// An answer without a body.
    fn say(&self, answers: &mut TcpStream, status: &str, headers: &str) -> io::Result<()> {
        thread::sleep(self.delay);
        write!(
            answers,
            "HTTP/1.1 {status}\r\nContent-Length: 0\r\n{headers}x-ms-version: 2021-12-02\r\n\r\n"
        )
    }
}

impl Request {
    /// The next one; none if the client has closed the connection.
    fn read(from: &mut impl BufRead) -> io::Result<Option<Self>> {
        let mut line = String::new();
        if from.read_line(&mut line)? == 0 {
            return Ok(None);
        }
        let mut words = line.split_whitespace();
        let method = words.next().unwrap_or_default().to_owned();
        let target = words.next().unwrap_or_default();
        let (path, query) = target.split_once('?').unwrap_or((target, ""));
        let query = query.split('&').filter_map(|pair| pair.split_once('='));
        let mut request = Self {
            method,
            path: path.to_owned(),
            // What is looked at needs no decoding, block IDs (base64) excepted.
            query: query
                .map(|(key, value)| (key.to_owned(), decoded(value)))
                .collect(),
            length: 0,
            range: None,
            continues: false,
        };
        loop {
            let mut line = String::new();
            from.read_line(&mut line)?;
            let Some((name, value)) = line.trim_end().split_once(':') else {
                return Ok(Some(request));
            };
            let value = value.trim();
            match name.to_ascii_lowercase().as_str() {
                "content-length" => request.length = value.parse().unwrap_or(0),
                "expect" => request.continues = true,
                "range" | "x-ms-range" => request.range = range(value),
                _ => {}
            }
        }
    }
}

/// `bytes=0-99`, `bytes=100-`.
fn range(text: &str) -> Option<(u64, u64)> {
    let (first, last) = text.strip_prefix("bytes=")?.split_once('-')?;
    Some((first.parse().ok()?, last.parse().unwrap_or(u64::MAX)))
}

/// Base64 in a query.
fn decoded(value: &str) -> String {
    let mut text = value.to_owned();
    for (code, character) in [("%2B", "+"), ("%2F", "/"), ("%3D", "=")] {
        text = text
            .replace(code, character)
            .replace(&code.to_lowercase(), character);
    }
    text
}

#[cfg(test)]
mod tests {
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
}
