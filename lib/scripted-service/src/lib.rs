//! A Blob service in memory for tests, which does wrong what it is told to do wrong. The names are those of the
//! service's documentation. It can do what the programs ask for, and no more. And a token endpoint ([`Entra`]), which
//! gives the identities of tests their tokens.
#![expect(clippy::unwrap_used, reason = "what fails here fails a test")]

mod answer;
mod blobs;
mod entra;
mod head;
mod request;

use std::collections::HashMap;
use std::io::{self, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Condvar, Mutex};
use std::thread;
use std::time::Duration;

use answer::{status_of, write_answer};
pub use blobs::{ServiceState, Stored};
pub use entra::{Bearers, Entra, EntraFault, EntraState, TokenRequest};
pub use request::Request;
use request::read_head;

/// The kinds of request that the service tells apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Kind {
    /// Put Block of the block that is never committed.
    Probe,
    /// Put Block.
    PutBlock,
    /// Put Block List.
    PutList,
    /// Put Blob.
    PutBlob,
    /// Get Blob Properties.
    Head,
    /// Get Blob.
    Get,
    /// List Blobs.
    List,
    /// Delete Blob.
    Delete,
    /// Blob Batch.
    Batch,
}

/// What the service does wrong.
#[derive(Debug, Clone)]
pub enum Fault {
    /// Does nothing, and answers with this status and error code, perhaps with a header.
    Status(u16, &'static str, Option<(&'static str, &'static str)>),
    /// Does it, sends half the answer's head and closes.
    CutHead,
    /// Does it, sends this many bytes of the answer's body and closes.
    CutBody(usize),
    /// Does it and closes without an answer.
    LoseAnswer,
    /// Does nothing: reads this many bytes of the request's body and closes.
    CutRequest(usize),
    /// Does nothing: reads the request and never answers.
    Stall,
    /// Does nothing: reads this many bytes of the request's body and no more.
    StallRequest(usize),
    /// Sends this many bytes of the answer's body, then no more.
    StallBody(usize),
    /// Does it, and sends the answer byte by byte: the socket never stands still, and nothing comes of it.
    Drip,
    /// Answers 200 with this instead.
    Say(&'static str),
    /// Changes a bit of the body, as a broken link might.
    Garble,
    /// Writes the blob anew, then answers.
    Rewrite,
    /// Deletes the blob, as a prune does, then answers.
    Vanish,
    /// Answers with another ETag, whatever `If-Match` says, as a cache on the way may.
    OtherEtag,
}

#[derive(Debug)]
struct Shared {
    state: Mutex<ServiceState>,
    changed: Condvar,
}

/// The service, on a loopback port of its own, with one container. It ends when it is dropped.
#[derive(Debug)]
pub struct Service {
    port: u16,
    shared: Arc<Shared>,
}

impl Service {
    /// Starts one.
    ///
    /// # Panics
    /// When there is no port to be had.
    pub fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let state = ServiceState::new();
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

    /// Its container's URL.
    pub fn url(&self) -> String {
        format!("http://127.0.0.1:{}/account/backups", self.port)
    }

    /// The `nth` request of this kind (from 1; 0: each) meets the fault.
    pub fn fault(&self, kind: Kind, nth: usize, fault: Fault) {
        self.change(|state| state.faults.push((kind, nth, fault)));
    }

    /// Looks at what it holds, or changes it.
    ///
    /// # Panics
    /// When it did.
    pub fn change<T>(&self, change: impl FnOnce(&mut ServiceState) -> T) -> T {
        change(&mut self.shared.state.lock().unwrap())
    }

    /// Puts a blob there.
    pub fn store(&self, name: &str, bytes: &[u8]) {
        self.change(|state| state.store(name, bytes.to_vec(), Vec::new(), HashMap::new()));
    }

    /// A blob, if it is there.
    pub fn blob(&self, name: &str) -> Option<Stored> {
        self.change(|state| state.blobs.get(name).cloned())
    }

    /// How many requests of this kind it has had.
    pub fn count(&self, kind: Kind) -> usize {
        self.change(|state| state.counts.get(&kind).copied().unwrap_or_default())
    }

    /// The requests of this kind, without their bodies.
    pub fn seen(&self, kind: Kind) -> Vec<Request> {
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
                if let Some(Fault::Vanish) = fault {
                    state.blobs.remove(&request.name);
                }
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
        let now = shared.state.lock().unwrap().now().to_rfc2822();
        answer.headers.push(("date".into(), now));
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
