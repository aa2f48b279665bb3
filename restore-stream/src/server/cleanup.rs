//! What this run takes back if it does not end well.

use std::io::Write;
use std::process::Stdio;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use job::{OnStop, say};
use pg_client::{Conninfo, Server, open_database, quote_literal};
use pg_text::PgText;

use crate::server::cluster::Cluster;
use crate::server::contents::is_empty;
use crate::server::undo::Undo;

/// What this run has begun. It is taken back when the run fails or a signal stops it. If the run is killed, the next restore
/// drops the databases that have working names.
#[derive(Debug)]
pub(crate) struct Cleanup {
    server: Server,
    maintenance: PgText,
    /// What its sessions call themselves.
    application: String,
    undos: UndoList,
    on_stop: Option<OnStop>,
}

/// What is to be taken back. Clones are the same list.
#[derive(Debug, Clone, Default)]
pub(crate) struct UndoList(Arc<Mutex<Vec<Undo>>>);

impl UndoList {
    pub(crate) fn add(&self, undo: Undo) {
        self.lock().push(undo);
    }

    /// Adds one, which replaces that of the same database.
    pub(crate) fn replace(&self, undo: Undo) {
        let mut undos = self.lock();
        undos.retain(|it| it.dropped() != undo.dropped());
        undos.push(undo);
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Undo>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Cleanup {
    pub(crate) fn new(cluster: &Cluster) -> Self {
        let undos = UndoList::default();
        let on_stop = job::on_stop({
            let (undos, conninfo) = (undos.clone(), cluster.server.conninfo().clone());
            let maintenance = cluster.survey.maintenance.clone();
            let application = cluster.run.application();
            move || undo_now(&conninfo, &maintenance, &application, &undos.lock())
        });
        Self {
            server: cluster.server.clone(),
            maintenance: cluster.survey.maintenance.clone(),
            application: cluster.run.application(),
            undos,
            on_stop: Some(on_stop),
        }
    }

    pub(crate) fn undos(&self) -> UndoList {
        self.undos.clone()
    }

    /// Call it before a database is created under a working name.
    pub(crate) fn add(&self, name: &str) {
        self.undos.add(Undo::Drop(name.to_owned(), None));
    }

    /// Keeps the new databases: they have their names.
    pub(crate) fn keep(&self) {
        self.undos.lock().retain(|undo| undo.dropped().is_none());
    }

    /// Keeps what was restored into this existing database: it is committed.
    pub(crate) fn keep_in_place(&self, database: &PgText) {
        self.undos.lock().retain(|undo| !undo.is_in_place(database));
    }
}

impl Drop for Cleanup {
    fn drop(&mut self) {
        // If a signal is ending the program, its handler does the rest, and this waits for it.
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

impl Cleanup {
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

    /// Names extensions' background workers that are connected to a database that is dropped.
    fn say_who_ends(&self, database: &PgText) {
        let question = pg_client::sql(
            "SELECT DISTINCT backend_type FROM pg_catalog.pg_stat_activity
              WHERE datname = {} AND usesysid IS NOT NULL AND backend_type NOT IN ('client backend', 'parallel worker')",
            &[&quote_literal(database)],
        );
        let workers = self.server.query(Some(&self.maintenance), question);
        for worker in workers.into_iter().flatten().flatten().flatten() {
            say!(
                "'{worker}' is connected to '{database}', which is dropped: if it does not start again, restart the server"
            );
        }
    }
}

/// The SQL that ends all sessions of a run before its databases are dropped. Although psql is dead, the server may still be
/// creating or renaming a database in its session. Databases that were closed to be renamed are opened again.
fn ending(application: &str, undos: &[Undo]) -> String {
    // Working names are ASCII.
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

/// Takes back without [`pg_client::Child`], which must not be used while a signal ends the program.
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
        // The next restore drops what is left behind.
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
