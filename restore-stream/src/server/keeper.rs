//! The sign of life of this run on the server.

use std::io::{BufRead, BufReader, Write};
use std::process::{ChildStdin, Stdio};

use job::Error;
use pg_client::{Child, NEUTRAL_SETTINGS};

use crate::server::cluster::Cluster;

/// A session that does nothing. Its name tells other runs that this one lives, so they leave alone what it restores into.
#[derive(Debug)]
pub(crate) struct Keeper {
    _child: Child,
    _input: Option<ChildStdin>,
}

impl Keeper {
    /// Connects, and returns when others can see the session.
    pub(crate) fn start(cluster: &Cluster) -> Result<Self, Error> {
        let conninfo = cluster.server.conninfo();
        let mut command = conninfo.command("psql", Some(cluster.survey.maintenance.as_bytes()));
        // Rows go nowhere: nobody reads after what is echoed, and a psql that writes then is ended by that.
        command.args(["--no-psqlrc", "--quiet", "--output=/dev/null"]);
        command.stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = Child::spawn(command)?;
        let mut input = child.take_stdin();
        let mut said = String::new();
        if let (Some(input), Some(output)) = (&mut input, child.take_stdout()) {
            // psql echoes when it is connected. If the connection fails, its exit says so.
            let _ = input.write_all([NEUTRAL_SETTINGS, "\\echo here\n"].concat().as_bytes());
            let _ = BufReader::new(output).read_line(&mut said);
        }
        if said.is_empty() {
            child.wait()?;
            return Err(Error::failed("psql ended at once"));
        }
        Ok(Self {
            _child: child,
            _input: input,
        })
    }
}
