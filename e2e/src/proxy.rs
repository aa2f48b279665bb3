//! An HTTP proxy between our programs and Azurite: it counts what is asked for, and cuts connections.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{Ipv4Addr, Shutdown, TcpListener, TcpStream};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;

/// A request that went through.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Request {
    /// `GET`, `PUT`, …
    pub method: String,
    /// The path, without the query.
    pub path: String,
    /// The query, with the token.
    pub query: String,
    /// The bytes of the body that the server was asked to send: a range's length, or a whole blob's.
    pub asked: u64,
}

/// The next requests of a method that are to be cut, and after how many bytes of their body (the
/// request's for `PUT`, the answer's for `GET`).
#[derive(Debug, Clone)]
struct Cut {
    method: &'static str,
    times: usize,
    after: u64,
}

#[derive(Debug, Default)]
struct Shared {
    requests: Vec<Request>,
    cuts: Vec<Cut>,
    /// The bytes of answers that are still to come, if there is an end to them.
    left: Option<u64>,
    /// The end of the path whose first request finds it gone.
    gone_at: Option<String>,
    /// The requests that came when there were none.
    refused: usize,
    /// Words of queries whose next answers are lost, and how many of them.
    losses: Vec<(&'static str, usize)>,
}

/// A proxy on loopback that ends with the test process.
#[derive(Debug)]
pub struct Proxy {
    port: u16,
    shared: Arc<Mutex<Shared>>,
}

impl Proxy {
    /// Starts one in front of a server on a loopback port.
    ///
    /// # Panics
    /// When there is no port to be had.
    pub fn to(server: u16) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port");
        let port = listener.local_addr().expect("an address").port();
        let shared = Arc::new(Mutex::new(Shared::default()));
        let seen = Arc::clone(&shared);
        thread::spawn(move || {
            for client in listener.incoming().flatten() {
                let seen = Arc::clone(&seen);
                thread::spawn(move || {
                    // A connection that breaks is what a proxy is there for.
                    let _ = pass(&client, server, &seen);
                    let _ = client.shutdown(Shutdown::Both);
                });
            }
        });
        Self { port, shared }
    }

    /// Its port.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// The requests until now.
    pub fn requests(&self) -> Vec<Request> {
        lock(&self.shared).requests.clone()
    }

    /// The bytes that were asked for by `GET` of one path's end (a blob's name).
    pub fn bytes_asked(&self, name: &str) -> u64 {
        let requests = self.requests();
        let reads = requests
            .iter()
            .filter(|request| request.method == "GET" && request.path.ends_with(name));
        reads.map(|request| request.asked).sum()
    }

    /// Cuts the connection of the next `times` requests of a method after some bytes of their body.
    pub fn cut(&self, method: &'static str, times: usize, after: u64) {
        lock(&self.shared).cuts.push(Cut {
            method,
            times,
            after,
        });
    }

    /// After so many bytes of answers' bodies the server is gone for good.
    pub fn gone_after(&self, bytes: u64) {
        lock(&self.shared).left = Some(bytes);
    }

    /// From the first request for a path with this end on (a blob's name) the server is gone for good.
    pub fn gone_at(&self, name: impl Into<String>) {
        lock(&self.shared).gone_at = Some(name.into());
    }

    /// The server is there again.
    pub fn comes_back(&self) {
        lock(&self.shared).left = None;
    }

    /// How many requests have come while it was gone.
    pub fn refused(&self) -> usize {
        lock(&self.shared).refused
    }

    /// Whether it is.
    pub fn is_gone(&self) -> bool {
        lock(&self.shared).left == Some(0)
    }

    /// Loses the answers of the next `times` requests that have these words in their query: the server has
    /// done what was asked, and nobody hears of it.
    pub fn lose(&self, words: &'static str, times: usize) {
        lock(&self.shared).losses.push((words, times));
    }

    /// How many answers have not been lost.
    pub fn losses_left(&self) -> usize {
        lock(&self.shared).losses.iter().map(|loss| loss.1).sum()
    }

    /// How many of the cuts have not been made.
    pub fn cuts_left(&self) -> usize {
        lock(&self.shared).cuts.iter().map(|cut| cut.times).sum()
    }
}

/// A port on loopback that was free a moment ago, and that nobody listens on: no network.
///
/// # Panics
/// When there is none.
pub fn closed_port() -> u16 {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port");
    listener.local_addr().expect("an address").port()
}

fn lock(shared: &Mutex<Shared>) -> std::sync::MutexGuard<'_, Shared> {
    shared.lock().unwrap_or_else(PoisonError::into_inner)
}

/// One request and its answer; then the connection is closed, as both are told.
fn pass(client: &TcpStream, server: u16, shared: &Mutex<Shared>) -> io::Result<()> {
    let mut from_client = BufReader::new(client);
    let head = Head::read(&mut from_client)?;
    let (method, target) = head.request();
    let (path, query) = target.split_once('?').unwrap_or((target, ""));
    let cut = take_cut(shared, method);
    {
        let mut shared = lock(shared);
        if (shared.gone_at.take_if(|name| path.ends_with(name.as_str()))).is_some() {
            shared.left = Some(0);
        }
        if shared.left == Some(0) {
            shared.refused += 1;
            return Ok(());
        }
    }

    let server = TcpStream::connect((Ipv4Addr::LOCALHOST, server))?;
    (&server).write_all(head.closing().as_bytes())?;
    let body = head.length().unwrap_or(0);
    let passed = match cut {
        Some(after) if method == "PUT" => after.min(body),
        _ => body,
    };
    io::copy(&mut (&mut from_client).take(passed), &mut &server)?;
    if passed < body {
        return server.shutdown(Shutdown::Both);
    }

    let mut from_server = BufReader::new(&server);
    let answer = Head::read(&mut from_server)?;
    lock(shared).requests.push(Request {
        method: method.into(),
        path: path.into(),
        query: query.into(),
        asked: answer.length().unwrap_or(0),
    });
    if take_loss(shared, query) {
        return server.shutdown(Shutdown::Both);
    }
    (&mut &*client).write_all(answer.lines.concat().as_bytes())?;
    let mut limit = cut.filter(|_| method == "GET").unwrap_or(u64::MAX);
    if let ("GET", Some(left)) = (method, &mut lock(shared).left) {
        limit = limit.min(*left);
        *left -= limit.min(answer.length().unwrap_or(0));
    }
    io::copy(&mut from_server.take(limit), &mut &*client)?;
    server.shutdown(Shutdown::Both)
}

fn take_cut(shared: &Mutex<Shared>, method: &str) -> Option<u64> {
    let mut shared = lock(shared);
    let cut = shared
        .cuts
        .iter_mut()
        .find(|cut| cut.method == method && cut.times > 0)?;
    cut.times -= 1;
    Some(cut.after)
}

fn take_loss(shared: &Mutex<Shared>, query: &str) -> bool {
    let mut shared = lock(shared);
    let mut losses = shared.losses.iter_mut();
    let loss = losses.find(|(words, times)| *times > 0 && query.contains(words));
    loss.map(|(_, times)| *times -= 1).is_some()
}

/// The first lines of a message, each with its end, the empty one with them.
struct Head {
    lines: Vec<String>,
}

impl Head {
    fn read(from: &mut impl BufRead) -> io::Result<Self> {
        let mut lines = Vec::new();
        loop {
            let mut line = String::new();
            if from.read_line(&mut line)? == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            let last = line == "\r\n";
            lines.push(line);
            if last {
                return Ok(Self { lines });
            }
        }
    }

    fn request(&self) -> (&str, &str) {
        let mut words = self.lines[0].split(' ');
        (
            words.next().unwrap_or_default(),
            words.next().unwrap_or_default(),
        )
    }

    fn length(&self) -> Option<u64> {
        let fields = self.lines.iter().filter_map(|line| line.split_once(':'));
        fields
            .filter(|(name, _)| name.eq_ignore_ascii_case("content-length"))
            .find_map(|(_, value)| value.trim().parse().ok())
    }

    /// The request, asking the server to close the connection after the answer.
    fn closing(&self) -> String {
        let kept = self.lines.iter().filter(|line| {
            let name = line.split(':').next().unwrap_or_default();
            !name.eq_ignore_ascii_case("connection") && *line != "\r\n"
        });
        let kept: String = kept.map(String::as_str).collect();
        kept + "connection: close\r\n\r\n"
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::azurite::Azurite;

    #[test]
    fn it_counts_and_cuts() {
        let azurite = Azurite::shared();
        let container = azurite.container();
        container.write("blob", &[7; 1000]);
        let proxy = Proxy::to(azurite.port());
        let url = format!(
            "{}/blob?{}",
            container.url_at(proxy.port()),
            container.token()
        );
        let read = |range: &str| {
            let answer = ureq::get(&url).header("range", range).call().unwrap();
            answer.into_body().read_to_vec()
        };
        assert_eq!(read("bytes=10-19").unwrap().len(), 10);
        assert_eq!(read("bytes=990-").unwrap().len(), 10);
        assert_eq!(proxy.bytes_asked("/blob"), 20);
        proxy.cut("GET", 1, 5);
        assert!(read("bytes=10-19").is_err());
        assert_eq!(proxy.cuts_left(), 0);
        assert_eq!(read("bytes=10-19").unwrap().len(), 10);
    }
}
