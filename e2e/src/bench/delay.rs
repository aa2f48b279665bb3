//! A line whose other end is far away: what is sent arrives later, and as fast as it was sent.

use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, Shutdown, TcpListener, TcpStream};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, mpsc};
use std::thread;
use std::time::{Duration, Instant};

/// A line to a server on loopback, until the benchmark ends.
#[derive(Debug, Clone)]
pub(super) struct DelayLine {
    port: u16,
    received: Arc<AtomicU64>,
}

impl DelayLine {
    /// Passes connections on to a port on loopback. A question and its answer take `round_trip` longer.
    ///
    /// # Panics
    /// When there is no port.
    pub(super) fn to(server: u16, round_trip: Duration) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port");
        let port = listener.local_addr().expect("an address").port();
        let received = Arc::new(AtomicU64::new(0));
        let line = Self {
            port,
            received: Arc::clone(&received),
        };
        thread::spawn(move || {
            for client in listener.incoming().flatten() {
                // Who goes away is no concern of the others.
                let _ = connect(client, server, round_trip / 2, &received);
            }
        });
        line
    }

    /// The port at this end.
    pub(super) fn port(&self) -> u16 {
        self.port
    }

    /// The bytes that clients have received so far, TLS and headers with them.
    pub(super) fn received(&self) -> u64 {
        self.received.load(Ordering::Relaxed)
    }
}

fn connect(
    client: TcpStream,
    server: u16,
    delay: Duration,
    received: &Arc<AtomicU64>,
) -> io::Result<()> {
    let server = TcpStream::connect((Ipv4Addr::LOCALHOST, server))?;
    for stream in [&client, &server] {
        stream.set_nodelay(true)?;
    }
    pass(
        client.try_clone()?,
        server.try_clone()?,
        delay,
        Arc::default(),
    );
    pass(server, client, delay, Arc::clone(received));
    Ok(())
}

/// One direction, which counts its bytes. What is under way is not waited for by what comes after it.
fn pass(mut from: TcpStream, mut to: TcpStream, delay: Duration, bytes: Arc<AtomicU64>) {
    let (sender, receiver) = mpsc::sync_channel::<(Instant, Vec<u8>)>(1024);
    thread::spawn(move || {
        let mut piece = vec![0; 64 << 10];
        while let Ok(size @ 1..) = from.read(&mut piece) {
            let arrives = Instant::now() + delay;
            if sender.send((arrives, piece[..size].to_vec())).is_err() {
                break;
            }
        }
    });
    thread::spawn(move || {
        for (arrives, piece) in receiver {
            thread::sleep(arrives.saturating_duration_since(Instant::now()));
            if to.write_all(&piece).is_err() {
                break;
            }
            bytes.fetch_add(piece.len() as u64, Ordering::Relaxed);
        }
        let _ = to.shutdown(Shutdown::Write);
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_takes_its_time_and_loses_nothing() {
        let echo = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let port = echo.local_addr().unwrap().port();
        thread::spawn(move || {
            let (mut stream, _) = echo.accept().unwrap();
            let mut all = Vec::new();
            stream.read_to_end(&mut all).unwrap();
            stream.write_all(&all).unwrap();
        });
        let delay = Duration::from_millis(20);
        let line = DelayLine::to(port, delay);
        let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, line.port())).unwrap();
        let started = Instant::now();
        let sent: Vec<u8> = (0..1_000_000_u32).map(|at| at.to_le_bytes()[1]).collect();
        stream.write_all(&sent).unwrap();
        stream.shutdown(Shutdown::Write).unwrap();
        let mut back = Vec::new();
        stream.read_to_end(&mut back).unwrap();
        assert!(back == sent);
        assert_eq!(line.received(), sent.len() as u64);
        // Never sooner, however busy the machine is.
        assert!(started.elapsed() >= delay);
    }
}
