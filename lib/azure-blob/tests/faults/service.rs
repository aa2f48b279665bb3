//! A Blob service in memory that does what it is told to do wrong.

use std::collections::{BTreeMap, HashMap};
use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Condvar, Mutex};
use std::thread;
use std::time::Duration;

use percent_encoding::percent_decode_str;

/// A request that the service tells apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Kind {
    Probe,
    PutBlock,
    PutList,
    Head,
    Get,
    List,
    Delete,
    Batch,
}

/// What it does wrong.
#[derive(Debug, Clone)]
pub(crate) enum Fault {
    /// Answers with this status and error code, and a header perhaps; does nothing.
    Status(u16, &'static str, Option<(&'static str, &'static str)>),
    /// Does it, sends half the answer's head and closes.
    CutHead,
    /// Does it, sends so many bytes of the answer's body and closes.
    CutBody(usize),
    /// Does it and closes without an answer.
    LoseAnswer,
    /// Reads so many bytes of the request's body and closes; does nothing.
    CutRequest(usize),
    /// Reads the request and never answers; does nothing.
    Stall,
    /// Reads so many bytes of the request's body and no more; does nothing.
    StallRequest(usize),
    /// Sends so many bytes of the answer's body, then no more.
    StallBody(usize),
    /// Does it, and sends the answer byte by byte: the socket never stands still, and nothing comes of it.
    Drip,
    /// Answers 200 with this instead.
    Say(&'static str),
    /// Takes the body for another one than was sent.
    Garble,
    /// Writes the blob anew, then answers.
    Rewrite,
    /// Answers as if the blob were another one, whatever `If-Match` says: a cache on the way does so.
    OtherEtag,
}

#[derive(Debug, Clone)]
pub(crate) struct Request {
    pub(crate) kind: Kind,
    pub(crate) name: String,
    pub(crate) query: HashMap<String, String>,
    pub(crate) headers: HashMap<String, String>,
    pub(crate) body: Vec<u8>,
}

#[derive(Debug, Clone)]
pub(crate) struct Stored {
    pub(crate) bytes: Vec<u8>,
    pub(crate) ids: Vec<String>,
    pub(crate) etag: String,
    pub(crate) headers: HashMap<String, String>,
}

#[derive(Default)]
pub(crate) struct State {
    pub(crate) blobs: BTreeMap<String, Stored>,
    /// By name and ID.
    pub(crate) blocks: HashMap<(String, String), Vec<u8>>,
    pub(crate) seen: Vec<Request>,
    /// Of which kind, which one (from 1; 0: each).
    faults: Vec<(Kind, usize, Fault)>,
    counts: HashMap<Kind, usize>,
    /// The signature that is taken; any if none.
    pub(crate) signature: Option<String>,
    pub(crate) page_size: usize,
    pub(crate) no_batches: bool,
    pub(crate) retained: HashMap<String, (u16, &'static str)>,
    /// Connections that were made.
    pub(crate) connections: usize,
    etags: usize,
    stopped: bool,
}

struct Shared {
    state: Mutex<State>,
    changed: Condvar,
}

/// It ends when it is dropped.
pub(crate) struct Service {
    port: u16,
    shared: Arc<Shared>,
}

struct Answer {
    status: u16,
    headers: Vec<(String, String)>,
    body: Vec<u8>,
}

impl Service {
    pub(crate) fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let state = State {
            page_size: 3,
            ..State::default()
        };
        let shared = Arc::new(Shared {
            state: Mutex::new(state),
            changed: Condvar::new(),
        });
        let accepting = Arc::clone(&shared);
        thread::spawn(move || {
            for stream in listener.incoming() {
                {
                    let mut state = accepting.state.lock().unwrap();
                    if state.stopped {
                        return;
                    }
                    state.connections += 1;
                }
                let shared = Arc::clone(&accepting);
                thread::spawn(move || stream.map(|stream| serve(&stream, &shared)));
            }
        });
        Self { port, shared }
    }

    pub(crate) fn url(&self) -> String {
        format!("http://127.0.0.1:{}/account/backups", self.port)
    }

    /// The `nth` request of this kind (from 1; 0: each) meets the fault.
    pub(crate) fn fault(&self, kind: Kind, nth: usize, fault: Fault) {
        self.change(|state| state.faults.push((kind, nth, fault)));
    }

    pub(crate) fn change<T>(&self, change: impl FnOnce(&mut State) -> T) -> T {
        change(&mut self.shared.state.lock().unwrap())
    }

    pub(crate) fn store(&self, name: &str, bytes: &[u8]) {
        self.change(|state| state.store(name, bytes.to_vec(), Vec::new(), HashMap::new()));
    }

    pub(crate) fn blob(&self, name: &str) -> Option<Stored> {
        self.change(|state| state.blobs.get(name).cloned())
    }

    pub(crate) fn count(&self, kind: Kind) -> usize {
        self.change(|state| state.counts.get(&kind).copied().unwrap_or_default())
    }

    pub(crate) fn seen(&self, kind: Kind) -> Vec<Request> {
        self.change(|state| {
            state
                .seen
                .iter()
                .filter(|seen| seen.kind == kind)
                .cloned()
                .collect()
        })
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        self.change(|state| state.stopped = true);
        self.shared.changed.notify_all();
        // The listener wakes up and sees it.
        let _ = TcpStream::connect(("127.0.0.1", self.port));
    }
}

fn serve(stream: &TcpStream, shared: &Shared) -> io::Result<()> {
    let mut reader = BufReader::new(stream);
    loop {
        let Some(mut request) = read_head(&mut reader)? else {
            return Ok(());
        };
        let fault = {
            let mut state = shared.state.lock().unwrap();
            state.seen.push(request.clone());
            state.next_fault(request.kind)
        };
        let length = request
            .headers
            .get("content-length")
            .map_or(0, |length| length.parse().unwrap());
        let expects = request.headers.contains_key("expect");
        if let (Some(Fault::Status(..)), true) = (&fault, expects) {
            // As a service does that refuses before the body.
            let answer = status_of(fault.as_ref()).unwrap();
            return write_answer(stream, &answer, None);
        }
        if expects {
            (&mut &*stream).write_all(b"HTTP/1.1 100 Continue\r\n\r\n")?;
        }
        if let Some(Fault::CutRequest(some)) = fault {
            reader.read_exact(&mut vec![0; some.min(length)])?;
            return Ok(());
        }
        if let Some(Fault::StallRequest(some)) = fault {
            reader.read_exact(&mut vec![0; some.min(length)])?;
            return shared.hold();
        }
        request.body = vec![0; length];
        reader.read_exact(&mut request.body)?;
        if let Some(Fault::Garble) = fault {
            request.body[0] ^= 1;
        }
        if let Some(Fault::Stall) = fault {
            return shared.hold();
        }
        let mut answer = match status_of(fault.as_ref()) {
            Some(answer) => answer,
            None => {
                let mut state = shared.state.lock().unwrap();
                if let Some(Fault::Rewrite) = fault {
                    let bytes = b"another one".to_vec();
                    state.store(&request.name, bytes, Vec::new(), HashMap::new());
                }
                // Before the answer: who has it may look at once.
                state.answer(&request)
            }
        };
        if request.kind == Kind::Head {
            answer.body.clear();
        }
        if let Some(Fault::OtherEtag) = fault {
            answer.headers.retain(|(name, _)| name != "etag");
            answer.headers.push(("etag".into(), "\"another\"".into()));
        }
        match fault {
            Some(Fault::LoseAnswer) => return Ok(()),
            Some(Fault::CutHead) => return (&mut &*stream).write_all(b"HTTP/1.1 200 OK\r\nConte"),
            Some(Fault::CutBody(some)) => return write_answer(stream, &answer, Some(some)),
            Some(Fault::Drip) => return shared.drip(stream),
            Some(Fault::StallBody(some)) => {
                write_answer(stream, &answer, Some(some))?;
                return shared.hold();
            }
            _ => write_answer(stream, &answer, None)?,
        }
    }
}

impl Shared {
    /// A head without end, one byte after the other, until the other side leaves or the service ends.
    fn drip(&self, mut stream: &TcpStream) -> io::Result<()> {
        stream.write_all(b"HTTP/1.1 200 OK\r\nx: ")?;
        let mut state = self.state.lock().unwrap();
        while !state.stopped {
            stream.write_all(b"x")?;
            let pause = Duration::from_millis(20);
            (state, _) = self.changed.wait_timeout(state, pause).unwrap();
        }
        Ok(())
    }

    /// Keeps the connection open until the service ends.
    fn hold(&self) -> io::Result<()> {
        let state = self.state.lock().unwrap();
        drop(
            self.changed
                .wait_while(state, |state| !state.stopped)
                .unwrap(),
        );
        Ok(())
    }
}

fn read_head(reader: &mut BufReader<&TcpStream>) -> io::Result<Option<Request>> {
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
    let mut words = lines[0].split(' ');
    let (method, target) = (words.next().unwrap(), words.next().unwrap());
    let (path, query) = target.split_once('?').unwrap_or((target, ""));
    let decode = |text: &str| percent_decode_str(text).decode_utf8().unwrap().into_owned();
    let query: HashMap<_, _> = query
        .split('&')
        .map(|pair| pair.split_once('=').unwrap_or((pair, "")))
        .map(|(key, value)| (key.to_owned(), decode(value)))
        .collect();
    let headers: HashMap<_, _> = lines[1..]
        .iter()
        .filter_map(|line| line.split_once(": "))
        .map(|(name, value)| (name.to_lowercase(), value.to_owned()))
        .collect();
    let name = path.strip_prefix("/account/backups").unwrap();
    let name = decode(name.trim_start_matches('/'));
    let comp = query.get("comp").map(String::as_str);
    let kind = match (method, comp) {
        ("PUT", Some("block")) if query["blockid"].ends_with("////") => Kind::Probe,
        ("PUT", Some("block")) => Kind::PutBlock,
        ("PUT", Some("blocklist")) => Kind::PutList,
        ("GET", Some("list")) => Kind::List,
        ("POST", Some("batch")) => Kind::Batch,
        ("GET", None) => Kind::Get,
        ("HEAD", None) => Kind::Head,
        ("DELETE", None) => Kind::Delete,
        _ => unreachable!("{method} {comp:?}"),
    };
    Ok(Some(Request {
        kind,
        name,
        query,
        headers,
        body: Vec::new(),
    }))
}

fn write_answer(mut stream: &TcpStream, answer: &Answer, some: Option<usize>) -> io::Result<()> {
    let mut head = format!("HTTP/1.1 {} X\r\n", answer.status);
    if !answer
        .headers
        .iter()
        .any(|(name, _)| name == "content-length")
    {
        head += &format!("content-length: {}\r\n", answer.body.len());
    }
    for (name, value) in &answer.headers {
        head += &format!("{name}: {value}\r\n");
    }
    stream.write_all(format!("{head}\r\n").as_bytes())?;
    stream.write_all(&answer.body[..some.unwrap_or(usize::MAX).min(answer.body.len())])
}

fn status_of(fault: Option<&Fault>) -> Option<Answer> {
    match fault? {
        Fault::Status(status, code, header) => {
            let mut answer = refused(*status, code);
            let header = header.map(|(name, value)| (name.to_owned(), value.to_owned()));
            answer.headers.extend(header);
            Some(answer)
        }
        Fault::Say(text) => Some(Answer {
            status: 200,
            headers: Vec::new(),
            body: text.as_bytes().to_vec(),
        }),
        _ => None,
    }
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;")
}

fn refused(status: u16, code: &str) -> Answer {
    let body = format!(
        "<?xml version=\"1.0\"?><Error><Code>{code}</Code><Message>Words.\nRequestId:1</Message></Error>"
    );
    Answer {
        status,
        headers: vec![("x-ms-error-code".into(), code.into())],
        body: body.into_bytes(),
    }
}

fn done(status: u16) -> Answer {
    Answer {
        status,
        headers: Vec::new(),
        body: Vec::new(),
    }
}

impl State {
    fn next_fault(&mut self, kind: Kind) -> Option<Fault> {
        let count = self.counts.entry(kind).or_default();
        *count += 1;
        let mut faults = self.faults.iter();
        let fault = faults.find(|(of, nth, _)| *of == kind && (*nth == 0 || nth == count));
        fault.map(|(_, _, fault)| fault.clone())
    }

    fn store(
        &mut self,
        name: &str,
        bytes: Vec<u8>,
        ids: Vec<String>,
        headers: HashMap<String, String>,
    ) {
        self.etags += 1;
        let etag = format!("\"0x{}\"", self.etags);
        self.blobs.insert(
            name.to_owned(),
            Stored {
                bytes,
                ids,
                etag,
                headers,
            },
        );
    }

    fn answer(&mut self, request: &Request) -> Answer {
        let signature = request.query.get("sig");
        if self.signature.is_some() && self.signature.as_ref() != signature {
            return refused(403, "AuthenticationFailed");
        }
        match request.kind {
            Kind::Probe | Kind::PutBlock => self.put_block(request),
            Kind::PutList => self.put_list(request),
            Kind::Head | Kind::Get => self.get(request),
            Kind::List => self.list(request),
            Kind::Delete => self.delete(&request.name),
            Kind::Batch => self.batch(request),
        }
    }

    fn put_block(&mut self, request: &Request) -> Answer {
        use base64::Engine;
        use md5::Digest;
        let md5 = base64::engine::general_purpose::STANDARD.encode(md5::Md5::digest(&request.body));
        if request.headers.get("content-md5") != Some(&md5) {
            return refused(400, "Md5Mismatch");
        }
        let id = request.query["blockid"].clone();
        self.blocks
            .insert((request.name.clone(), id), request.body.clone());
        done(201)
    }

    fn put_list(&mut self, request: &Request) -> Answer {
        let there = self.blobs.get(&request.name);
        if request.headers.contains_key("if-none-match") && there.is_some() {
            return refused(409, "BlobAlreadyExists");
        }
        let body = String::from_utf8(request.body.clone()).unwrap();
        let of = |which: &str| -> Vec<String> {
            let open = format!("<{which}>");
            body.split(&open)
                .skip(1)
                .map(|rest| rest.split('<').next().unwrap().to_owned())
                .collect()
        };
        let committed = of("Committed");
        if !committed.is_empty() {
            return match there.is_some_and(|there| there.ids == committed) {
                true => self.created(&request.name),
                false => refused(400, "InvalidBlockList"),
            };
        }
        let ids = of("Uncommitted");
        let mut bytes = Vec::new();
        for id in &ids {
            match self.blocks.get(&(request.name.clone(), id.clone())) {
                Some(block) => bytes.extend(block),
                None => return refused(400, "InvalidBlockList"),
            }
        }
        self.blocks.retain(|(name, _), _| *name != request.name);
        self.store(&request.name, bytes, ids, request.headers.clone());
        self.created(&request.name)
    }

    fn created(&self, name: &str) -> Answer {
        let mut answer = done(201);
        answer
            .headers
            .push(("etag".into(), self.blobs[name].etag.clone()));
        answer
    }

    fn get(&self, request: &Request) -> Answer {
        let Some(blob) = self.blobs.get(&request.name) else {
            return refused(404, "BlobNotFound");
        };
        if request
            .headers
            .get("if-match")
            .is_some_and(|etag| *etag != blob.etag)
        {
            return refused(412, "ConditionNotMet");
        }
        let mut headers = vec![("etag".to_owned(), blob.etag.clone())];
        if let Some(sha256) = blob.headers.get("x-ms-meta-sha256") {
            headers.push(("x-ms-meta-sha256".to_owned(), sha256.clone()));
        }
        if request.kind == Kind::Head {
            headers.push(("content-length".to_owned(), blob.bytes.len().to_string()));
            return Answer {
                status: 200,
                headers,
                body: Vec::new(),
            };
        }
        let range = request.headers["range"].strip_prefix("bytes=").unwrap();
        let (first, last) = range.split_once('-').unwrap();
        let (first, last): (usize, usize) = (first.parse().unwrap(), last.parse().unwrap());
        let total = blob.bytes.len();
        headers.push((
            "content-range".to_owned(),
            format!("bytes {first}-{last}/{total}"),
        ));
        Answer {
            status: 206,
            headers,
            body: blob.bytes[first..=last].to_vec(),
        }
    }

    fn list(&self, request: &Request) -> Answer {
        let prefix = request.query.get("prefix").cloned().unwrap_or_default();
        let after = request.query.get("marker").cloned().unwrap_or_default();
        let names = self.blobs.keys().filter(|name| name.starts_with(&prefix));
        let names: Vec<_> = names.filter(|name| **name > after).collect();
        let page = &names[..names.len().min(self.page_size)];
        let blobs: String = page
            .iter()
            .map(|name| {
                let blob = &self.blobs[*name];
                let (etag, size) = (blob.etag.trim_matches('"'), blob.bytes.len());
                let name = escape(name);
                format!("<Blob><Name>{name}</Name><Properties><Etag>{etag}</Etag><Content-Length>{size}</Content-Length></Properties></Blob>")
            })
            .collect();
        let more = page.len() < names.len();
        let marker = if more {
            escape(page.last().unwrap())
        } else {
            String::new()
        };
        let mut answer = done(200);
        answer.body = format!("\u{feff}<?xml version=\"1.0\" encoding=\"utf-8\"?><EnumerationResults><Blobs>{blobs}</Blobs><NextMarker>{marker}</NextMarker></EnumerationResults>").into_bytes();
        answer
    }

    fn delete(&mut self, name: &str) -> Answer {
        if let Some((status, code)) = self.retained.get(name) {
            return refused(*status, code);
        }
        match self.blobs.remove(name) {
            Some(_) => done(202),
            None => refused(404, "BlobNotFound"),
        }
    }

    fn batch(&mut self, request: &Request) -> Answer {
        if self.no_batches {
            return refused(400, "UnsupportedOperation");
        }
        let body = String::from_utf8(request.body.clone()).unwrap();
        let mut parts = String::new();
        for part in body.split("\r\n\r\nDELETE ").skip(1) {
            let path = part.split(['?', ' ']).next().unwrap();
            let name = path.strip_prefix("/account/backups/").unwrap();
            let name = percent_decode_str(name).decode_utf8().unwrap().into_owned();
            let answer = self.delete(&name);
            let id = parts.matches("Content-ID").count();
            let code = answer
                .headers
                .iter()
                .map(|(name, value)| format!("{name}: {value}\r\n"));
            parts += &format!(
                "--part\r\nContent-Type: application/http\r\nContent-ID: {id}\r\n\r\nHTTP/1.1 {} X\r\n{}\r\n{}\r\n",
                answer.status,
                code.collect::<String>(),
                String::from_utf8(answer.body).unwrap()
            );
        }
        let mut answer = done(202);
        answer.headers.push((
            "content-type".into(),
            "multipart/mixed; boundary=part".into(),
        ));
        answer.body = format!("{parts}--part--\r\n").into_bytes();
        answer
    }
}
