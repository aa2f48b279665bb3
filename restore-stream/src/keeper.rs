//! What must be gone when this run is: its sign of life on the server, and the databases that it has
//! begun.

use std::io::{BufRead, BufReader, Write};
use std::process::{ChildStdin, Stdio};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use job::{Error, OnStop, say};
use pg_client::{
    Child, Conninfo, NEUTRAL_SETTINGS, RELEASE, Server, drop_database, open_database, quote_literal,
};

use pg_text::PgText;

use crate::preflight::Cluster;
use crate::sessions::is_empty;
use crate::undo::Undo;

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
        let mut command = conninfo.command("psql", Some(cluster.maintenance.as_bytes()));
        // Rows go nowhere: nobody reads after what is echoed, and a psql that writes then is ended by that.
        command.args(["--no-psqlrc", "--quiet", "--output=/dev/null"]);
        command.stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = Child::spawn(command)?;
        let mut input = child.take_stdin();
        let mut said = String::new();
        if let (Some(input), Some(output)) = (&mut input, child.take_stdout()) {
            // psql echoes when it is connected. What fails here is said by its end.
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

/// What this run has begun. It is taken back when it fails, when a signal stops it, and (by the next restore, as far as
/// databases under a working name go) when it was killed.
#[derive(Debug)]
pub(crate) struct Begun {
    server: Server,
    maintenance: PgText,
    /// What its sessions call themselves.
    application: String,
    undos: Undos,
    on_stop: Option<OnStop>,
}

/// What is to be taken back. Its clones are the same list.
#[derive(Debug, Clone, Default)]
pub(crate) struct Undos(Arc<Mutex<Vec<Undo>>>);

impl Undos {
    pub(crate) fn add(&self, undo: Undo) {
        self.lock().push(undo);
    }

    /// Adds one in the place of that of the same database.
    pub(crate) fn replace(&self, undo: Undo) {
        let mut undos = self.lock();
        undos.retain(|it| it.dropped() != undo.dropped());
        undos.push(undo);
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Undo>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Begun {
    pub(crate) fn new(cluster: &Cluster) -> Self {
        let undos = Undos::default();
        let on_stop = job::on_stop({
            let (undos, conninfo) = (undos.clone(), cluster.server.conninfo().clone());
            let maintenance = cluster.maintenance.clone();
            let application = cluster.run.application();
            move || undo_now(&conninfo, &maintenance, &application, &undos.lock())
        });
        Self {
            server: cluster.server.clone(),
            maintenance: cluster.maintenance.clone(),
            application: cluster.run.application(),
            undos,
            on_stop: Some(on_stop),
        }
    }

    pub(crate) fn undos(&self) -> Undos {
        self.undos.clone()
    }

    /// A database is about to be created.
    pub(crate) fn add(&self, name: &str) {
        self.undos.add(Undo::Drop(name.to_owned(), None));
    }

    /// The new databases have their names, and stay.
    pub(crate) fn keep(&self) {
        self.undos.lock().retain(|undo| undo.dropped().is_none());
    }

    /// What was restored into this database in place is committed.
    pub(crate) fn keep_in_place(&self, database: &PgText) {
        self.undos.lock().retain(|undo| !undo.is_in_place(database));
    }
}

impl Drop for Begun {
    fn drop(&mut self) {
        // A signal that is ending the program takes it back itself.
        drop(self.on_stop.take());
        let undos = std::mem::take(&mut *self.undos.lock());
        if undos.is_empty() {
            return;
        }
        let maintenance = Some(&self.maintenance);
        let end = ending(&self.application, &undos);
        if let Err(error) = self.server.execute(maintenance, end) {
            for undo in &undos {
                say!("{}: {error}", undo.left());
            }
            return;
        }
        for undo in &undos {
            self.take_back(undo);
        }
    }
}

impl Begun {
    fn take_back(&self, undo: &Undo) {
        if let Undo::Drop(_, Some(taken)) = undo {
            self.say_who_ends(&taken.name);
        }
        let mut done = Ok(());
        for step in undo.steps(&self.maintenance) {
            let ended = self.server.execute(Some(&step.database), &step.sql);
            if step.needed {
                done = done.and(ended);
            }
        }
        match (done, undo) {
            (Err(error), _) => say!("{}: {error}", undo.left()),
            (Ok(()), Undo::Partial(name)) if !is_empty(&self.server, name).unwrap_or(false) => {
                say!("{}", undo.left());
            }
            _ => {}
        }
    }
}

impl Begun {
    /// An extension's background worker that has come into a database that is dropped.
    fn say_who_ends(&self, database: &PgText) {
        let question = pg_client::sql(
            "SELECT DISTINCT backend_type FROM pg_catalog.pg_stat_activity
              WHERE datname = {} AND usesysid IS NOT NULL AND backend_type NOT IN ('client backend', 'parallel worker')",
            &[&quote_literal(database)],
        );
        let workers = self.server.query(Some(&self.maintenance), question);
        for worker in workers.into_iter().flatten().flatten().flatten() {
            say!(
                "'{worker}' is connected to '{database}', which is dropped: if it does not begin again, restart the server"
            );
        }
    }
}

/// Drops a database that a killed run has left.
pub(crate) fn clear(cluster: &Cluster, name: &PgText) -> Result<(), Error> {
    let execute = |sql: &PgText| cluster.server.execute(Some(&cluster.maintenance), sql);
    execute(&open_database(name))?;
    let _ = cluster.server.execute(Some(name), RELEASE);
    Ok(execute(&drop_database(name))?)
}

/// Ends all sessions of a run, before its databases are dropped: the psql of one may be dead, and the server still
/// creating its database, or renaming it. Then lets those be connected to that were closed to be renamed.
fn ending(application: &str, undos: &[Undo]) -> String {
    // Names of ours are ASCII.
    let names = undos.iter().filter_map(Undo::dropped);
    let open: String = names.map(|name| open_database(name).to_string()).collect();
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
fn undo_now(conninfo: &Conninfo, maintenance: &PgText, application: &str, undos: &[Undo]) {
    if undos.is_empty() {
        return;
    }
    let execute = |database: &[u8], sql: &[u8]| {
        let mut command = conninfo.command("psql", Some(database));
        command
            .args(["--no-psqlrc", "--quiet"])
            .stdin(Stdio::piped());
        command.stdout(Stdio::null()).stderr(Stdio::null());
        // What is left behind is cleared away by the next restore.
        let _ = command.spawn().and_then(|mut psql| {
            let asked = psql.stdin.take().map(|mut input| input.write_all(sql));
            psql.wait().map(|_| asked)
        });
    };
    execute(
        maintenance.as_bytes(),
        ending(application, undos).as_bytes(),
    );
    for undo in undos {
        for step in undo.steps(maintenance) {
            execute(step.database.as_bytes(), step.sql.as_bytes());
        }
        if matches!(undo, Undo::Partial(_)) {
            say!("{}", undo.left());
        }
    }
}
