//! One request and its answer, in TLS or not.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::sync::{Arc, Condvar, Mutex};
use std::time::Duration;

use percent_encoding::percent_decode_str;
use rustls::{ServerConfig, ServerConnection, StreamOwned};

use super::answer::refused;
use super::state::{EntraFault, EntraState, TokenRequest};
use crate::head::Head;

/// What all connections of an endpoint share.
#[derive(Debug)]
pub(super) struct Shared {
    pub(super) state: Mutex<EntraState>,
    pub(super) changed: Condvar,
}

impl Shared {
    pub(super) fn serve_tls(&self, stream: TcpStream, config: Arc<ServerConfig>) -> io::Result<()> {
        let connection = ServerConnection::new(config).map_err(io::Error::other)?;
        let stream = StreamOwned::new(connection, stream);
        self.serve(stream, |stream| {
            stream.conn.server_name().map(ToOwned::to_owned)
        })
    }

    pub(super) fn serve<S: Read + Write>(
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

fn read(reader: &mut impl BufRead) -> io::Result<Option<TokenRequest>> {
    let Some(Head { line, headers }) = Head::read(reader)? else {
        return Ok(None);
    };
    let length = headers
        .get("content-length")
        .map_or(0, |length| length.parse().unwrap());
    let mut body = vec![0; length];
    reader.read_exact(&mut body)?;
    let line = line.trim_end_matches(" HTTP/1.1").to_owned();
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
