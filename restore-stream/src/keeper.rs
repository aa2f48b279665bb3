//! What must be gone when this run is: its sign of life on the server, and the databases that it has
//! begun.

use std::io::{BufRead, BufReader, Write};
use std::process::{ChildStdin, Stdio};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use job::{Error, OnStop, say};
use pg_client::{Child, Conninfo, Server, quote_ident};

use crate::preflight::Cluster;

/// A session that does nothing, but by its name tells other runs that this one lives: what it restores
/// into is not theirs to clear away.
#[derive(Debug)]
pub(crate) struct Keeper {
    _child: Child,
    _input: Option<ChildStdin>,
}

impl Keeper {
    /// Connects; returns when others can see it.
    pub(crate) fn start(cluster: &Cluster) -> Result<Self, Error> {
        let conninfo = cluster.server.conninfo();
        let mut command = conninfo.command("psql", Some(&cluster.maintenance));
        command.args(["--no-psqlrc", "--quiet"]);
        command.env("PGAPPNAME", cluster.run.application());
        command.stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = Child::spawn(command)?;
        let mut input = child.take_stdin();
        let mut said = String::new();
        if let (Some(input), Some(output)) = (&mut input, child.take_stdout()) {
            // psql echoes when it is connected. What fails here is said by its end.
            let _ = input.write_all(b"\\echo here\n");
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

/// The databases that this run has begun. They are dropped when it fails, when a signal stops it, and
/// (by the next restore of the same database) when it was killed.
#[derive(Debug)]
pub(crate) struct Begun {
    server: Server,
    maintenance: String,
    names: Names,
    on_stop: Option<OnStop>,
}

#[derive(Debug, Clone, Default)]
struct Names(Arc<Mutex<Vec<String>>>);

impl Names {
    fn lock(&self) -> MutexGuard<'_, Vec<String>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Begun {
    pub(crate) fn new(cluster: &Cluster) -> Self {
        let names = Names::default();
        let on_stop = job::on_stop({
            let (names, conninfo) = (names.clone(), cluster.server.conninfo().clone());
            let maintenance = cluster.maintenance.clone();
            move || {
                for name in names.lock().iter() {
                    drop_now(&conninfo, &maintenance, name);
                }
            }
        });
        Self {
            server: cluster.server.clone(),
            maintenance: cluster.maintenance.clone(),
            names,
            on_stop: Some(on_stop),
        }
    }

    /// A database is about to be created.
    pub(crate) fn add(&self, name: &str) {
        self.names.lock().push(name.to_owned());
    }

    /// They have their names, and stay.
    pub(crate) fn keep(&self) {
        self.names.lock().clear();
    }
}

impl Drop for Begun {
    fn drop(&mut self) {
        // A signal that is ending the program drops them itself.
        drop(self.on_stop.take());
        for name in self.names.lock().drain(..) {
            let sql = drop_sql(&name);
            if let Err(error) = self.server.execute(Some(&self.maintenance), &sql) {
                say!("cannot drop '{name}', which is not whole: {error}");
            }
        }
    }
}

fn drop_sql(name: &str) -> String {
    format!(
        "SET client_min_messages = error; DROP DATABASE IF EXISTS {} WITH (FORCE);",
        quote_ident(name)
    )
}

/// Without [`Child`], which must not be used while a signal ends the program.
fn drop_now(conninfo: &Conninfo, maintenance: &str, name: &str) {
    let mut command = conninfo.command("psql", Some(maintenance));
    command.args(["--no-psqlrc", "--quiet"]);
    for statement in drop_sql(name).split_inclusive(';') {
        command.args(["-c", statement]);
    }
    command.stdin(Stdio::null());
    command.stdout(Stdio::null()).stderr(Stdio::null());
    // Who is left behind is cleared away by the next restore.
    let _ = command.status();
}
