//! Databases of a given server that are there for the test only.

use std::fs::File;
use std::io::{Read, Write};
use std::process::Stdio;

use job::{Error, OnStop, say};
use pg_client::{Conninfo, RELEASE, Server, UNHINDERED, drop_database, quote_literal};

/// How the names of all of them begin.
const PREFIX: &str = "backup_verify_";
const KEY_LENGTH: usize = 8;

/// The databases of one run, on a given server. They are dropped when this is, and when a signal stops the
/// program.
#[derive(Debug)]
pub(crate) struct Scratch {
    server: Server,
    place: Place,
    on_stop: Option<OnStop>,
}

/// How they are reached to be dropped.
#[derive(Debug, Clone)]
struct Place {
    conninfo: Conninfo,
    /// The database to connect to for that.
    maintenance: String,
    /// How the names of this run's begin; restore-stream, which begins under another name, only adds to them.
    prefix: String,
}

impl Scratch {
    /// Prepares for databases on the server that `conninfo` leads to.
    ///
    /// # Errors
    /// A conninfo that cannot be read; a server that does not answer.
    pub(crate) fn new(conninfo: &str) -> Result<Self, Error> {
        let conninfo = Conninfo::parse(conninfo)?;
        let named = conninfo.database().map(str::to_owned);
        let maintenance = named
            .or_else(|| std::env::var("PGDATABASE").ok())
            .unwrap_or_else(|| "postgres".into());
        let place = Place {
            conninfo: conninfo.clone(),
            maintenance,
            prefix: format!("{PREFIX}{}_", key()?),
        };
        let at_stop = place.clone();
        let scratch = Self {
            server: Server::new(conninfo),
            on_stop: Some(job::on_stop(move || at_stop.clear_or_say())),
            place,
        };
        Ok(scratch)
    }

    pub(crate) fn server(&self) -> &Server {
        &self.server
    }

    pub(crate) fn maintenance(&self) -> &str {
        &self.place.maintenance
    }

    /// A name for a database.
    pub(crate) fn name(&self, number: usize) -> String {
        format!("{}{number}", self.place.prefix)
    }

    /// Drops those that are there now.
    pub(crate) fn clear(&self) -> Result<(), Error> {
        self.place.clear()
    }

    /// Databases of other runs: one that was killed, or one that is at work.
    pub(crate) fn others(&self) -> Result<Vec<String>, Error> {
        let sql = format!(
            "SELECT datname FROM pg_catalog.pg_database WHERE {} ORDER BY 1",
            begins_with(PREFIX)
        );
        let rows = self.server.query(Some(&self.place.maintenance), &sql)?;
        Ok(rows.into_iter().flatten().flatten().collect())
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        // A signal that is ending the program drops them itself.
        drop(self.on_stop.take());
        self.place.clear_or_say();
    }
}

impl Place {
    fn clear_or_say(&self) {
        if let Err(error) = self.clear() {
            say!("{error}: drop the databases {}… yourself", self.prefix);
        }
    }

    fn clear(&self) -> Result<(), Error> {
        for name in self.ask(&self.maintenance, &self.remains())?.lines() {
            let connectable = format!("ALTER DATABASE {name} ALLOW_CONNECTIONS true;");
            self.ask(&self.maintenance, &connectable)?;
            // What it does not take away is said when it is dropped.
            let _ = self.ask(name, RELEASE);
            self.ask(&self.maintenance, &drop_database(name))?;
        }
        Ok(())
    }

    /// Ends what is at work in the databases of this run, or creates one: the psql that asked for it may be dead
    /// already. Then the names of those that are there.
    fn remains(&self) -> String {
        let about = quote_literal(&format!("%{}%", self.prefix));
        let ours = begins_with(&self.prefix);
        format!(
            "{UNHINDERED}DO $$BEGIN
  FOR i IN 1..200 LOOP
    PERFORM pg_catalog.pg_terminate_backend(pid) FROM pg_catalog.pg_stat_activity
     WHERE pid <> pg_catalog.pg_backend_pid() AND (query LIKE {about} AND state <> 'idle' OR {ours});
    EXIT WHEN NOT FOUND;
    PERFORM pg_catalog.pg_sleep(0.05);
    PERFORM pg_catalog.pg_stat_clear_snapshot();
  END LOOP;
END$$;
\\o
SELECT datname FROM pg_catalog.pg_database WHERE {ours};"
        )
    }

    /// By a psql of its own and not a [`Server`], whose processes must not be used while a signal ends the program.
    fn ask(&self, database: &str, sql: &str) -> Result<String, Error> {
        let cannot = |error| Error::io("cannot run 'psql'", &error);
        let mut command = self.conninfo.command("psql", Some(database));
        command.args(["--no-psqlrc", "--quiet", "--no-align", "--tuples-only"]);
        command.args(["--set=ON_ERROR_STOP=1", "--output=/dev/null"]);
        command.stdin(Stdio::piped()).stdout(Stdio::piped());
        command.stderr(Stdio::piped());
        let mut psql = command.spawn().map_err(cannot)?;
        if let Some(mut stdin) = psql.stdin.take() {
            // What fails here is said by psql's end.
            let _ = stdin.write_all(sql.as_bytes());
        }
        let ended = psql.wait_with_output().map_err(cannot)?;
        if ended.status.success() {
            return Ok(String::from_utf8_lossy(&ended.stdout).into_owned());
        }
        let words = String::from_utf8_lossy(&ended.stderr);
        let words = words.trim().replace('\n', "; ");
        Err(Error::failed(format!(
            "cannot drop the databases of the test: {words}"
        )))
    }
}

fn begins_with(prefix: &str) -> String {
    format!(
        "pg_catalog.left(datname, {}) = {}",
        prefix.len(),
        quote_literal(prefix)
    )
}

/// Digits that no other run has.
fn key() -> Result<String, Error> {
    let mut random = [0; KEY_LENGTH / 2];
    File::open("/dev/urandom")
        .and_then(|mut file| file.read_exact(&mut random))
        .map_err(|error| Error::io("cannot read '/dev/urandom'", &error))?;
    Ok(random.iter().map(|byte| format!("{byte:02x}")).collect())
}
