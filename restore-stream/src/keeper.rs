//! What must be gone when this run is: its sign of life on the server, and the databases that it has
//! begun.

use std::io::{BufRead, BufReader, Write};
use std::process::{ChildStdin, Stdio};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use job::{Error, OnStop, say};
use pg_client::{
    Child, Conninfo, RELEASE, Server, UNHINDERED, drop_database, open_database, quote_literal,
};

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
        // Rows go nowhere: nobody reads after what is echoed, and a psql that writes then is ended by that.
        command.args(["--no-psqlrc", "--quiet", "--output=/dev/null"]);
        command.stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = Child::spawn(command)?;
        let mut input = child.take_stdin();
        let mut said = String::new();
        if let (Some(input), Some(output)) = (&mut input, child.take_stdout()) {
            // psql echoes when it is connected. What fails here is said by its end.
            let _ = input.write_all([UNHINDERED, "\\echo here\n"].concat().as_bytes());
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
    /// What its sessions call themselves.
    application: String,
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
            let application = cluster.run.application();
            move || drop_now(&conninfo, &maintenance, &application, &names.lock())
        });
        Self {
            server: cluster.server.clone(),
            maintenance: cluster.maintenance.clone(),
            application: cluster.run.application(),
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
        let names = std::mem::take(&mut *self.names.lock());
        if names.is_empty() {
            return;
        }
        let maintenance = Some(self.maintenance.as_str());
        let end = ending(&self.application, &names);
        if let Err(error) = self.server.execute(maintenance, &end) {
            let names = names.join("', '");
            say!("cannot drop '{names}', which is not whole (the next restore will): {error}");
            return;
        }
        for name in names {
            let _ = self.server.execute(Some(&name), RELEASE);
            if let Err(error) = self.server.execute(maintenance, &drop_database(&name)) {
                say!("cannot drop '{name}', which is not whole (the next restore will): {error}");
            }
        }
    }
}

/// Drops a database that a killed run has left.
pub(crate) fn clear(cluster: &Cluster, name: &str) -> Result<(), Error> {
    let execute = |sql: &str| cluster.server.execute(Some(&cluster.maintenance), sql);
    execute(&open_database(name))?;
    let _ = cluster.server.execute(Some(name), RELEASE);
    execute(&drop_database(name))
}

/// Ends all sessions of a run, before its databases are dropped: the psql of one may be dead, and the server still
/// creating its database, or renaming it. Then lets those be connected to that were closed to be renamed.
fn ending(application: &str, names: &[String]) -> String {
    let open: String = names.iter().map(|name| open_database(name)).collect();
    format!(
        "DO $$BEGIN
           FOR i IN 1..400 LOOP
             PERFORM pg_catalog.pg_terminate_backend(pid) FROM pg_catalog.pg_stat_activity
              WHERE application_name = {} AND pid <> pg_catalog.pg_backend_pid();
             EXIT WHEN NOT FOUND;
             PERFORM pg_catalog.pg_sleep(0.05);
             PERFORM pg_catalog.pg_stat_clear_snapshot();
           END LOOP;
         END$$;
{open}",
        quote_literal(application)
    )
}

/// Without [`Child`], which must not be used while a signal ends the program.
fn drop_now(conninfo: &Conninfo, maintenance: &str, application: &str, names: &[String]) {
    if names.is_empty() {
        return;
    }
    let execute = |database: &str, sql: &str| {
        let mut command = conninfo.command("psql", Some(database));
        command
            .args(["--no-psqlrc", "--quiet"])
            .stdin(Stdio::piped());
        command.stdout(Stdio::null()).stderr(Stdio::null());
        // What is left behind is cleared away by the next restore.
        let _ = command.spawn().and_then(|mut psql| {
            let asked = psql
                .stdin
                .take()
                .map(|mut input| input.write_all(sql.as_bytes()));
            psql.wait().map(|_| asked)
        });
    };
    execute(maintenance, &ending(application, names));
    for name in names {
        execute(name, RELEASE);
        execute(maintenance, &drop_database(name));
    }
}
