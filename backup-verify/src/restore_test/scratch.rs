//! Databases of a given server that are there for the test only.

use std::ffi::OsStr;
use std::io::Write;
use std::process::Stdio;
use std::thread;
use std::time::{Duration, Instant};

use job::{Error, OnStop, say};
use pg_client::{
    Conninfo, NEUTRAL_SETTINGS, RELEASE, Server, Version, quote_ident, quote_literal, random_key,
};
use pg_text::PgText;

use super::account;
use super::session::Visitor;

/// How the names of all of them begin.
const PREFIX: &str = "backup_verify_";
/// Random bytes that tell one run from another.
const KEY_LENGTH: usize = 4;
/// How long somebody who is in a database, and may not be sent away, is waited for.
const PATIENCE: Duration = Duration::from_secs(15);
const PAUSE: Duration = Duration::from_millis(200);

/// The databases of one run, on a given server. They are dropped when this is, and when a signal stops the
/// program.
#[derive(Debug)]
pub(crate) struct Scratch {
    server: Server,
    inside: Server,
    place: Place,
    on_stop: Option<OnStop>,
}

/// How they are reached to be dropped.
#[derive(Debug, Clone)]
struct Place {
    conninfo: Conninfo,
    /// For sessions in them.
    inside: Conninfo,
    /// The database to connect to for all else.
    maintenance: PgText,
    /// How the names of this run's begin. What restore-stream has under a name of its own, it drops itself.
    prefix: String,
}

impl Scratch {
    /// Prepares for databases on the server that `conninfo` leads to; and the server's version.
    ///
    /// # Errors
    /// A conninfo that cannot be read; a server that does not answer.
    pub(crate) fn new(conninfo: &OsStr) -> Result<(Self, Version), Error> {
        let conninfo = Conninfo::parse(conninfo)?;
        let named = conninfo.database().cloned();
        let maintenance = named
            .or_else(|| std::env::var_os("PGDATABASE").map(PgText::from))
            .unwrap_or_else(|| "postgres".into());
        let version = Server::new(conninfo.clone()).version(Some(&maintenance))?;
        let conninfo = without_root(conninfo, &maintenance);
        let server = Server::new(conninfo.clone());
        let visitor = Visitor::of(&server, &maintenance)?;
        let inside = conninfo.clone();
        let inside = inside.with_settings(&visitor.settings(version.major()));
        let place = Place {
            conninfo,
            inside: inside.clone(),
            maintenance,
            prefix: format!("{PREFIX}{}_", random_key::<KEY_LENGTH>()?),
        };
        let at_stop = place.clone();
        let scratch = Self {
            server,
            inside: Server::new(inside),
            on_stop: Some(job::on_stop(move || at_stop.clear_or_say())),
            place,
        };
        Ok((scratch, version))
    }

    pub(crate) fn server(&self) -> &Server {
        &self.server
    }

    /// The same, for sessions in restored databases.
    pub(crate) fn inside(&self) -> &Server {
        &self.inside
    }

    pub(crate) fn maintenance(&self) -> &PgText {
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
    pub(crate) fn others(&self) -> Result<Vec<PgText>, Error> {
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

/// Whom psql can be run as: root only where the server answers nobody else.
fn without_root(conninfo: Conninfo, maintenance: &PgText) -> Conninfo {
    let why = match account::for_psql() {
        Ok(None) => return conninfo,
        Ok(account) => {
            let other = conninfo.clone().run_as(account);
            // A password file, a key or the name on a socket may be root's.
            match Server::new(other.clone()).version(Some(maintenance)) {
                Ok(_) => return other,
                Err(error) => error.to_string(),
            }
        }
        Err(why) => why,
    };
    say!("psql runs as root, for it cannot reach the server as anybody else: {why}");
    conninfo
}

impl Place {
    fn clear_or_say(&self) {
        if let Err(error) = self.clear() {
            say!("{error}: drop the databases {}… yourself", self.prefix);
        }
    }

    fn clear(&self) -> Result<(), Error> {
        let there = self.ask(&self.conninfo, &self.maintenance, &self.remains())?;
        let mut failed = None;
        for name in there.lines() {
            failed = self.drop_database(name).err().or(failed);
        }
        failed.map_or(Ok(()), Err)
    }

    /// Whoever is in it (an exporter, a pooler: they connect to every database there is) is sent away where that may be
    /// done, and waited for where it may not; nobody else gets in.
    fn drop_database(&self, name: &str) -> Result<(), Error> {
        let open = format!(
            "ALTER DATABASE {} ALLOW_CONNECTIONS true",
            quote_ident(name)
        );
        self.ask(&self.conninfo, &self.maintenance, &open)?;
        // What it does not take away is said when the database is dropped.
        let release = [NEUTRAL_SETTINGS, RELEASE].concat();
        let _ = self.ask(&self.inside, &name.into(), &release);
        let started = Instant::now();
        loop {
            let dropped = self.ask(&self.conninfo, &self.maintenance, &shut_and_drop(name));
            let Err(error) = dropped else {
                return Ok(());
            };
            if started.elapsed() >= PATIENCE {
                let there = self.ask(&self.conninfo, &self.maintenance, &visitors(name));
                let there = there.unwrap_or_default().trim().replace('\n', ", ");
                return Err(match there.as_str() {
                    "" => error,
                    _ => error
                        .within(format!("'{name}' is in use by {there}"))
                        .hint("--into a role that may send them away: a superuser, or a member of pg_signal_backend"),
                });
            }
            thread::sleep(PAUSE);
        }
    }

    /// Ends what is at work in the databases of this run, or creates one: the psql that asked for it may be dead
    /// already. Then the names of those that are there.
    fn remains(&self) -> String {
        let about = quote_literal(format!("%{}%", self.prefix));
        let ours = begins_with(&self.prefix);
        let ended = send_away(&format!("query LIKE {about} AND state <> 'idle' OR {ours}"));
        format!(
            "{NEUTRAL_SETTINGS}{ended}
\\o
SELECT datname FROM pg_catalog.pg_database WHERE {ours};"
        )
    }

    /// By a psql of its own and not a [`Server`], whose processes must not be used while a signal ends the program.
    fn ask(&self, conninfo: &Conninfo, database: &PgText, sql: &str) -> Result<String, Error> {
        let cannot = |error| Error::io("cannot run 'psql'", &error);
        let mut command = conninfo.command("psql", Some(database.as_bytes()));
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
            return Ok(PgText::from(ended.stdout).to_string());
        }
        let words = PgText::from(ended.stderr).to_string();
        let words = words.trim().replace('\n', "; ");
        Err(Error::failed(format!(
            "cannot drop the databases of the test: {words}"
        )))
    }
}

/// Each statement for itself: the first one holds when the second looks who is in.
fn shut_and_drop(name: &str) -> String {
    let ended = send_away(&format!("datname = {}", quote_literal(name)));
    let name = quote_ident(name);
    // Not WITH (FORCE), which fails at once where somebody may not be sent away: this waits for them.
    format!(
        "{NEUTRAL_SETTINGS}SET client_min_messages = error;
ALTER DATABASE {name} WITH ALLOW_CONNECTIONS false IS_TEMPLATE false;
{ended}
DROP DATABASE IF EXISTS {name};"
    )
}

/// Sends away those whom `which` describes, and waits until they are gone: as far as this role may.
fn send_away(which: &str) -> String {
    format!(
        "DO $$DECLARE who integer; sent boolean;
BEGIN
  FOR i IN 1..200 LOOP
    sent := false;
    FOR who IN SELECT pid FROM pg_catalog.pg_stat_activity
     WHERE pid <> pg_catalog.pg_backend_pid() AND ({which}) LOOP
      BEGIN
        sent := pg_catalog.pg_terminate_backend(who) OR sent;
      EXCEPTION WHEN insufficient_privilege THEN NULL;
      END;
    END LOOP;
    EXIT WHEN NOT sent;
    PERFORM pg_catalog.pg_sleep(0.05);
    PERFORM pg_catalog.pg_stat_clear_snapshot();
  END LOOP;
END$$;"
    )
}

/// Who is in a database, for a person.
fn visitors(name: &str) -> String {
    format!(
        "\\o
SELECT pg_catalog.format('%s (%s, pid %s)', coalesce(usename, backend_type), nullif(application_name, ''), pid)
 FROM pg_catalog.pg_stat_activity WHERE datname = {} ORDER BY backend_start;",
        quote_literal(name)
    )
}

fn begins_with(prefix: &str) -> String {
    format!(
        "pg_catalog.left(datname, {}) = {}",
        prefix.len(),
        quote_literal(prefix)
    )
}
