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
use private_server::unused_account;

use super::inspection::Inspector;

/// How the names of all such databases begin.
const PREFIX: &str = "backup_verify_";
/// Random bytes that tell one run from another.
const KEY_LENGTH: usize = 4;
/// How long a drop waits for somebody who is in the database and may not be sent away.
const PATIENCE: Duration = Duration::from_secs(15);
const PAUSE: Duration = Duration::from_millis(200);

/// The databases of one run, on a given server. They are dropped when this is, and when a signal stops the
/// program.
#[derive(Debug)]
pub(crate) struct ScratchDatabases {
    server: Server,
    inside: Server,
    cleanup: Cleanup,
    on_stop: Option<OnStop>,
}

/// What dropping the databases of a run takes.
#[derive(Debug, Clone)]
struct Cleanup {
    conninfo: Conninfo,
    /// For sessions in the databases.
    inside: Conninfo,
    /// The database to connect to for everything else.
    maintenance: PgText,
    /// How the names of this run's databases begin. restore-stream drops those that it gave a name of its own.
    prefix: String,
}

impl ScratchDatabases {
    /// Prepares for databases on the server that `conninfo` leads to; and the server's version.
    ///
    /// # Errors
    /// A conninfo that cannot be read; a server that does not answer.
    pub(crate) fn prepare(conninfo: &OsStr) -> Result<(Self, Version), Error> {
        let conninfo = Conninfo::parse(conninfo)?;
        let named = conninfo.database().cloned();
        let maintenance = named
            .or_else(|| std::env::var_os("PGDATABASE").map(PgText::from))
            .unwrap_or_else(|| "postgres".into());
        let version = Server::new(conninfo.clone()).version(Some(&maintenance))?;
        let conninfo = without_root(conninfo, &maintenance);
        let server = Server::new(conninfo.clone());
        let inspector = Inspector::of(&server, &maintenance)?;
        let inside = conninfo.clone();
        let inside = inside.with_settings(&inspector.settings(version.major()));
        let cleanup = Cleanup {
            conninfo,
            inside: inside.clone(),
            maintenance,
            prefix: format!("{PREFIX}{}_", random_key::<KEY_LENGTH>()?),
        };
        let at_stop = cleanup.clone();
        let scratch = Self {
            server,
            inside: Server::new(inside),
            on_stop: Some(job::on_stop(move || at_stop.clear_or_say())),
            cleanup,
        };
        Ok((scratch, version))
    }

    pub(crate) fn server(&self) -> &Server {
        &self.server
    }

    /// The same server, for sessions in restored databases.
    pub(crate) fn inside(&self) -> &Server {
        &self.inside
    }

    pub(crate) fn maintenance(&self) -> &PgText {
        &self.cleanup.maintenance
    }

    /// A name for a database.
    pub(crate) fn name(&self, number: usize) -> String {
        format!("{}{number}", self.cleanup.prefix)
    }

    /// Drops this run's databases that are there now.
    pub(crate) fn clear(&self) -> Result<(), Error> {
        self.cleanup.clear()
    }

    /// Databases of other runs: one that was killed, or one that is at work.
    pub(crate) fn others(&self) -> Result<Vec<PgText>, Error> {
        let sql = format!(
            "SELECT datname FROM pg_catalog.pg_database WHERE {} ORDER BY 1",
            begins_with(PREFIX)
        );
        let rows = self.server.query(Some(&self.cleanup.maintenance), &sql)?;
        Ok(rows.into_iter().flatten().flatten().collect())
    }
}

impl Drop for ScratchDatabases {
    fn drop(&mut self) {
        // A signal that is ending the program drops them itself.
        drop(self.on_stop.take());
        self.cleanup.clear_or_say();
    }
}

/// Has psql run as a user that owns nothing, and as root only where the server answers nobody else.
fn without_root(conninfo: Conninfo, maintenance: &PgText) -> Conninfo {
    let why = match unused_account() {
        Ok(None) => return conninfo,
        Ok(account) => {
            let other = conninfo.clone().run_as(account);
            // A password file, a key or the name on a socket may be root's.
            match Server::new(other.clone()).version(Some(maintenance)) {
                Ok(_) => return other,
                Err(error) => error.to_string(),
            }
        }
        Err(error) => error.to_string(),
    };
    say!("psql runs as root, for it cannot reach the server as anybody else: {why}");
    conninfo
}

impl Cleanup {
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

    /// Drops a database. Whoever is in it (exporters and poolers connect to every database) is sent away if this role may
    /// do that, and waited for if not. Nobody new gets in.
    fn drop_database(&self, name: &str) -> Result<(), Error> {
        let open = format!(
            "ALTER DATABASE {} ALLOW_CONNECTIONS true",
            quote_ident(name)
        );
        self.ask(&self.conninfo, &self.maintenance, &open)?;
        // If it leaves something in the way, dropping the database fails and says so.
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

    /// Ends sessions in the databases of this run, and sessions that create one, whose psql may be dead already. Then asks
    /// for the names of the databases that are there.
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

    /// Asks with a psql of its own. A [`Server`] cannot be used while a signal ends the program: it registers its
    /// processes to be killed then.
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

/// Closes a database, sends everybody away and drops it. These are statements of their own: the database is closed for
/// new sessions before the others are looked for.
fn shut_and_drop(name: &str) -> String {
    let ended = send_away(&format!("datname = {}", quote_literal(name)));
    let name = quote_ident(name);
    // Not WITH (FORCE): that fails at once if somebody may not be sent away, and this waits for them.
    format!(
        "{NEUTRAL_SETTINGS}SET client_min_messages = error;
ALTER DATABASE {name} WITH ALLOW_CONNECTIONS false IS_TEMPLATE false;
{ended}
DROP DATABASE IF EXISTS {name};"
    )
}

/// Ends the sessions that `which` describes, as far as this role may, and waits until they are gone.
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

/// Asks who is in a database, for a person.
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
