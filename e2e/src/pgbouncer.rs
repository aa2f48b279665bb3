//! PgBouncer in front of a cluster.

use std::fs;
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::Stdio;

use crate::postgres::{as_server, own};
use crate::watchdog::Watched;
use crate::{Cluster, Scratch, wait_for};

/// Debian has it where only root's `PATH` leads.
const PROGRAM: &str = "/usr/sbin/pgbouncer";

/// A pooler that lets everybody into every database. It is stopped when it is dropped.
#[derive(Debug)]
pub struct PgBouncer {
    // Dropped in this order.
    _process: Watched,
    _scratch: Scratch,
    port: u16,
}

impl PgBouncer {
    /// Starts one; `mode` is session or transaction, `settings` are more lines of its configuration.
    ///
    /// # Panics
    /// When it does not start.
    pub fn start(cluster: &Cluster, mode: &str, settings: &str) -> Self {
        let scratch = Scratch::new();
        own(scratch.path());
        let free = TcpListener::bind("127.0.0.1:0").expect("a port");
        let port = free.local_addr().expect("a port").port();
        drop(free);
        let configuration = scratch.join("pgbouncer.ini");
        let text = format!(
            "[databases]\n* = host={} port=5432 user=postgres\n[pgbouncer]\nlisten_addr = 127.0.0.1\n\
             listen_port = {port}\nauth_type = any\nunix_socket_dir =\npool_mode = {mode}\n{settings}\n",
            cluster.socket().display()
        );
        fs::write(&configuration, text).expect("pgbouncer.ini");
        let mut command = as_server(Path::new(PROGRAM));
        command
            .arg("-q")
            .arg(&configuration)
            .current_dir("/")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        let mut process = Watched::start(&mut command, "KILL");
        wait_for("PgBouncer", || {
            if let Ok(Some(status)) = process.child().try_wait() {
                panic!("PgBouncer ended: {status}: run scripts/setup");
            }
            TcpStream::connect(("127.0.0.1", port)).ok()
        });
        Self {
            _process: process,
            _scratch: scratch,
            port,
        }
    }

    /// The environment in which libpq programs reach it.
    pub fn env(&self) -> [(&'static str, String); 2] {
        [
            ("PGHOST", "127.0.0.1".into()),
            ("PGPORT", self.port.to_string()),
        ]
    }
}
