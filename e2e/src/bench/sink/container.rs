//! The container: what it knows of the blobs that were put, and what it answers.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fs::{self, File};
use std::io::{self, BufRead, BufReader, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

use super::request::Request;
use super::stream::Stream;

/// When every blob was written.
const WRITTEN: &str = "Sun, 23 Nov 2025 02:00:00 GMT";

/// A blob that is smaller is kept: what a client notes for itself.
const KEPT: u64 = 64 << 10;

/// What the connections share.
pub(super) struct Container {
    pub(super) delay: Duration,
    /// Where the blobs are that can be got, each under its path in one of them.
    pub(super) dirs: Vec<PathBuf>,
    /// How many bytes of blobs were sent.
    pub(super) sent: Arc<AtomicU64>,
    /// What was put, by path.
    put: Mutex<BTreeMap<String, Put>>,
}

#[derive(Default)]
struct Put {
    /// The sizes of the blocks that wait for their list.
    blocks: HashMap<String, u64>,
    blob: Option<Blob>,
}

#[derive(Clone)]
struct Blob {
    size: u64,
    /// Of a small one.
    bytes: Option<Vec<u8>>,
}

impl Container {
    pub(super) fn new(delay: Duration, dirs: Vec<PathBuf>, sent: Arc<AtomicU64>) -> Self {
        Self {
            delay,
            dirs,
            sent,
            put: Mutex::default(),
        }
    }

    /// Answers requests until the client closes the connection.
    pub(super) fn serve(&self, stream: Stream) -> io::Result<()> {
        let mut stream = BufReader::with_capacity(256 << 10, stream);
        while let Some(request) = Request::read(&mut stream)? {
            if request.continues {
                stream
                    .get_mut()
                    .write_all(b"HTTP/1.1 100 Continue\r\n\r\n")?;
                stream.get_mut().flush()?;
            }
            self.take(&request, &mut stream)?;
            thread::sleep(self.delay);
            self.answer(&request, stream.get_mut())?;
            stream.get_mut().flush()?;
        }
        Ok(())
    }

    /// Reads the body.
    fn take(&self, request: &Request, stream: &mut impl BufRead) -> io::Result<()> {
        let mut body = stream.take(request.length);
        match (request.method.as_str(), request.comp()) {
            ("PUT", Some("blocklist")) => {
                let mut list = String::new();
                body.read_to_string(&mut list)?;
                self.commit(&request.path, &list);
            }
            ("PUT", Some("block")) => {
                let size = io::copy(&mut body, &mut io::sink())?;
                let id = request.query.get("blockid").cloned().unwrap_or_default();
                let mut put = self.put();
                let blob = put.entry(request.path.clone()).or_default();
                blob.blocks.insert(id, size);
            }
            ("PUT", _) if request.length < KEPT => {
                let mut bytes = Vec::new();
                body.read_to_end(&mut bytes)?;
                self.keep(&request.path, request.length, Some(bytes));
            }
            ("PUT", _) => {
                let size = io::copy(&mut body, &mut io::sink())?;
                self.keep(&request.path, size, None);
            }
            _ => drop(io::copy(&mut body, &mut io::sink())?),
        }
        Ok(())
    }

    fn put(&self) -> MutexGuard<'_, BTreeMap<String, Put>> {
        self.put.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn keep(&self, path: &str, size: u64, bytes: Option<Vec<u8>>) {
        let mut put = self.put();
        put.entry(path.to_owned()).or_default().blob = Some(Blob { size, bytes });
    }

    fn commit(&self, path: &str, list: &str) {
        let mut put = self.put();
        let put = put.entry(path.to_owned()).or_default();
        let ids = list.split(['<', '>']);
        let size = ids.filter_map(|id| put.blocks.get(id)).sum();
        put.blob = Some(Blob { size, bytes: None });
        put.blocks.clear();
    }

    fn answer(&self, request: &Request, stream: &mut Stream) -> io::Result<()> {
        let container = request.query.contains_key("restype");
        match (request.method.as_str(), request.comp()) {
            ("PUT", _) => {
                let headers = format!("ETag: \"1\"\r\nLast-Modified: {WRITTEN}\r\n");
                say(stream, "201 Created", &headers)
            }
            ("GET", Some("list")) => self.list(request, stream),
            ("GET" | "HEAD", None) if container => say(stream, "200 OK", ""),
            ("GET" | "HEAD", None) => self.get(request, stream),
            _ => say(stream, "400 Bad Request", ""),
        }
    }

    fn get(&self, request: &Request, stream: &mut Stream) -> io::Result<()> {
        let file = self.file(&request.path);
        let blob = self.put().get(&request.path).and_then(|it| it.blob.clone());
        let head = request.method == "HEAD";
        let size = match (&file, &blob) {
            (Some(file), _) => file.metadata()?.len(),
            // What was not kept can be asked for its size.
            (None, Some(blob)) if head || blob.bytes.is_some() => blob.size,
            _ => {
                return say(stream, "404 Not Found", "x-ms-error-code: BlobNotFound\r\n");
            }
        };
        let (first, last) = request.range.unwrap_or((0, u64::MAX));
        let last = last.min(size.saturating_sub(1));
        let length = (last + 1).saturating_sub(first).min(size);
        let (status, range) = match request.range {
            Some(_) => (
                "206 Partial Content",
                format!("Content-Range: bytes {first}-{last}/{size}\r\n"),
            ),
            None => ("200 OK", String::new()),
        };
        let answer = format!(
            "HTTP/1.1 {status}\r\nContent-Length: {length}\r\n{range}ETag: \"1\"\r\nAccept-Ranges: bytes\r\n\
             x-ms-blob-type: BlockBlob\r\nContent-Type: application/gzip\r\n\
             Last-Modified: {WRITTEN}\r\nx-ms-version: 2021-12-02\r\n\r\n"
        );
        stream.write_all(answer.as_bytes())?;
        if head {
            return Ok(());
        }
        let sent = match (file, blob.and_then(|it| it.bytes)) {
            (Some(mut file), _) => {
                file.seek(SeekFrom::Start(first))?;
                stream.send(file, length)?
            }
            (None, bytes) => {
                let bytes = bytes.unwrap_or_default();
                let from = bytes.get(first as usize..).unwrap_or_default();
                io::copy(&mut from.take(length), stream)?
            }
        };
        self.sent.fetch_add(sent, Ordering::Relaxed);
        Ok(())
    }

    /// The file that a blob is, if it is one: `/ACCOUNT/CONTAINER/` and its path.
    fn file(&self, path: &str) -> Option<File> {
        let name = path.splitn(4, '/').nth(3)?;
        let mut found = self.dirs.iter().map(|dir| dir.join(name));
        File::open(found.find(|path| path.is_file())?).ok()
    }

    /// List Blobs, in one page; with a delimiter, those of the level and the levels below it.
    fn list(&self, request: &Request, stream: &mut Stream) -> io::Result<()> {
        let mut blobs = self.files()?;
        let place = format!("{}/", request.path);
        for (path, put) in self.put().iter() {
            if let (Some(name), Some(blob)) = (path.strip_prefix(&place), &put.blob) {
                blobs.push((name.to_owned(), blob.size));
            }
        }
        blobs.sort();
        let prefix = request.query.get("prefix").map_or("", String::as_str);
        let level = request.query.contains_key("delimiter");
        let mut below = BTreeSet::new();
        let mut listed = String::new();
        for (name, size) in &blobs {
            let Some(rest) = name.strip_prefix(prefix) else {
                continue;
            };
            if let (true, Some((directory, _))) = (level, rest.split_once('/')) {
                below.insert(format!("{prefix}{directory}/"));
                continue;
            }
            listed += &format!(
                "<Blob><Name>{name}</Name><Properties><Last-Modified>{WRITTEN}</Last-Modified><Etag>1</Etag>\
                 <Content-Length>{size}</Content-Length><BlobType>BlockBlob</BlobType></Properties></Blob>"
            );
        }
        for name in below {
            listed += &format!("<BlobPrefix><Name>{name}</Name></BlobPrefix>");
        }
        let list = format!(
            "<?xml version=\"1.0\" encoding=\"utf-8\"?><EnumerationResults><Blobs>{listed}</Blobs>\
             <NextMarker/></EnumerationResults>"
        );
        let answer = format!(
            "HTTP/1.1 200 OK\r\nContent-Length: {}\r\nContent-Type: application/xml\r\n\r\n{list}",
            list.len()
        );
        stream.write_all(answer.as_bytes())
    }

    fn files(&self) -> io::Result<Vec<(String, u64)>> {
        let mut files = Vec::new();
        for dir in &self.dirs {
            find(dir, "", &mut files)?;
        }
        Ok(files)
    }
}

/// The files of a directory and of those in it, under names that begin with `prefix`.
fn find(dir: &Path, prefix: &str, files: &mut Vec<(String, u64)>) -> io::Result<()> {
    for entry in fs::read_dir(dir)? {
        let entry = entry?;
        let name = format!("{prefix}{}", entry.file_name().display());
        let file = entry.metadata()?;
        if file.is_dir() {
            find(&entry.path(), &format!("{name}/"), files)?;
        } else if file.is_file() {
            files.push((name, file.len()));
        }
    }
    Ok(())
}

/// An answer without a body.
fn say(stream: &mut Stream, status: &str, headers: &str) -> io::Result<()> {
    let answer = format!(
        "HTTP/1.1 {status}\r\nContent-Length: 0\r\n{headers}x-ms-version: 2021-12-02\r\n\r\n"
    );
    stream.write_all(answer.as_bytes())
}
