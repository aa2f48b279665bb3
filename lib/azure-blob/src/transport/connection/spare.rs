//! A second connection that is made beside the first one.

use std::sync::mpsc::{self, Receiver};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::Instant;

use ureq::Error as HttpError;
use ureq::unversioned::resolver::DefaultResolver;
use ureq::unversioned::transport::{ConnectionDetails, Connector, DefaultConnector, Transport};

/// Connects as ureq does. The first time it makes another connection to the same host beside, and hands it to whoever
/// wants the second one.
#[derive(Debug)]
pub(super) struct WithSpare {
    connector: Arc<DefaultConnector>,
    spare: Mutex<Spare>,
}

#[derive(Debug, Default)]
enum Spare {
    #[default]
    NotYet,
    /// It is being made, or waits. Nothing comes if that failed.
    Coming(Receiver<Connection>),
    Taken,
}

#[derive(Debug)]
struct Connection {
    since: Instant,
    transport: Box<dyn Transport>,
}

impl WithSpare {
    pub(super) fn new(connector: DefaultConnector) -> Self {
        Self {
            connector: Arc::new(connector),
            spare: Mutex::default(),
        }
    }

    fn make_spare(&self, details: &ConnectionDetails) -> Spare {
        let (uri, config) = (details.uri.clone(), details.config.clone());
        let (addrs, timeout) = (details.addrs.clone(), details.timeout);
        let (request_level, now) = (details.request_level, details.now);
        let current_time = Arc::clone(&details.current_time);
        let run_connector = Arc::clone(&details.run_connector);
        let register_shutdown = Arc::clone(&details.register_shutdown);
        let connector = Arc::clone(&self.connector);
        let (sender, spare) = mpsc::channel();
        let made = thread::Builder::new()
            .name("connect".into())
            .spawn(move || {
                let details = ConnectionDetails {
                    uri: &uri,
                    addrs,
                    config: &config,
                    request_level,
                    // Only a proxy's name would still have to be resolved.
                    resolver: &DefaultResolver::default(),
                    now,
                    timeout,
                    current_time,
                    run_connector,
                    register_shutdown,
                };
                if let Ok(Some(transport)) = connector.connect(&details, None) {
                    let since = Instant::now();
                    // Nobody may want it any more.
                    let _ = sender.send(Connection { since, transport });
                }
            });
        match made {
            Ok(_) => Spare::Coming(spare),
            Err(_) => Spare::Taken,
        }
    }

    /// Takes the spare connection. The first one to ask gets none, but has one made.
    fn take(&self, details: &ConnectionDetails) -> Option<Receiver<Connection>> {
        let mut spare = self.spare.lock().unwrap_or_else(PoisonError::into_inner);
        match std::mem::replace(&mut *spare, Spare::Taken) {
            Spare::NotYet => {
                *spare = self.make_spare(details);
                None
            }
            Spare::Coming(receiver) => Some(receiver),
            Spare::Taken => None,
        }
    }
}

impl Connector for WithSpare {
    type Out = Box<dyn Transport>;

    fn connect(
        &self,
        details: &ConnectionDetails,
        chained: Option<()>,
    ) -> Result<Option<Self::Out>, HttpError> {
        let spare = self.take(details).and_then(|coming| coming.recv().ok());
        // The host closes what was idle for long, as it does with ureq's own idle connections.
        let is_young = |spare: &Connection| spare.since.elapsed() < details.config.max_idle_age();
        match spare.filter(is_young) {
            Some(spare) => Ok(Some(spare.transport)),
            None => self.connector.connect(details, chained),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};
    use std::net::{SocketAddr, TcpListener, TcpStream};
    use std::time::Duration;

    use ureq::tls::RootCerts;
    use ureq::{Agent, Proxy};

    use super::super::{Route, agent};
    use super::*;
    use crate::Options;

    /// Answers every request with the number of its connection, counted from 0, and says when one is made.
    fn host() -> (SocketAddr, Receiver<()>) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let (sender, made) = mpsc::channel();
        thread::spawn(move || {
            for (number, connection) in listener.incoming().enumerate() {
                sender.send(()).ok();
                thread::spawn(move || answer(connection.unwrap(), number));
            }
        });
        (address, made)
    }

    fn answer(mut connection: TcpStream, number: usize) {
        let mut request = Vec::new();
        let mut byte = [0];
        while let Ok(1) = connection.read(&mut byte) {
            request.push(byte[0]);
            if request.ends_with(b"\r\n\r\n") {
                request.clear();
                write!(
                    connection,
                    "HTTP/1.1 200 OK\r\ncontent-length: 1\r\n\r\n{number}"
                )
                .unwrap();
            }
        }
    }

    fn agent_to(proxy: Option<Proxy>, spare_connection: bool) -> Agent {
        let route = Route {
            https: false,
            roots: RootCerts::WebPki,
            proxy,
            address: None,
        };
        let options = Options {
            spare_connection,
            ..Options::default()
        };
        agent(route, &options)
    }

    /// Waits for so many connections, and makes sure that there are no more.
    fn connections(made: &Receiver<()>, count: usize) {
        for _ in 0..count {
            made.recv_timeout(Duration::from_secs(60)).unwrap();
        }
        assert!(made.recv_timeout(Duration::from_millis(200)).is_err());
    }

    #[test]
    fn the_second_request_finds_its_connection_made() {
        let (address, made) = host();
        let agent = agent_to(None, true);
        let url = format!("http://{address}/");
        let mut first = agent.get(&url).call().unwrap();
        connections(&made, 2);
        // The first one is still in use.
        let mut second = agent.get(&url).call().unwrap();
        let mut bodies =
            [&mut first, &mut second].map(|it| it.body_mut().read_to_string().unwrap());
        bodies.sort();
        assert_eq!(bodies, ["0", "1"]);
        connections(&made, 0);
        let mut third = agent.get(&url).call().unwrap();
        assert_ne!(third.body_mut().read_to_string().unwrap(), "2");
    }

    #[test]
    fn only_who_wants_one_has_one() {
        let (address, made) = host();
        let agent = agent_to(None, false);
        agent.get(format!("http://{address}/")).call().unwrap();
        connections(&made, 1);
    }

    #[test]
    fn a_proxy_gets_none() {
        let (address, made) = host();
        let proxy = Proxy::new(&format!("http://{address}")).unwrap();
        let agent = agent_to(Some(proxy), true);
        let _ = agent.get("http://127.0.0.1:1/").call();
        connections(&made, 1);
    }

    #[test]
    fn who_cannot_connect_says_so() {
        let address = TcpListener::bind("127.0.0.1:0").unwrap().local_addr();
        let url = format!("http://{}/", address.unwrap());
        let agent = agent_to(None, true);
        for _ in 0..3 {
            assert!(matches!(agent.get(&url).call(), Err(HttpError::Io(_))));
        }
    }
}
