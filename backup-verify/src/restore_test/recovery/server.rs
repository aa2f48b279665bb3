//! The server that a cluster recovers in, and where it says it is.

use std::env;
use std::path::Path;

use chrono::{DateTime, Utc};
use job::Error;
use pg_client::{Server, Version, random_key};
use pg_text::PgText;
use private_server::{
    ErrorKind, Installation, LoggedError, PrivateServer, ServerDirectory, ServerLog,
};
use wal::{Lsn, SystemId};

use super::blame;
use super::goal::Place;
use crate::read::archives::Cluster;
use crate::restore_test::failure::Failure;
use crate::restore_test::inspection::Inspector;

/// How its directory's name begins.
pub(super) const PREFIX: &str = "backup-verify-";
/// The name that most clusters' superuser has.
const SUPERUSER: &str = "postgres";
/// Databases that most clusters have. One of them is connected to for all that concerns none.
const MAINTENANCE: [&str; 3] = ["postgres", "template1", "template0"];
/// What every session begins with: each error is logged, with its code and its place, by labels that are known. A database
/// may say otherwise.
const LOGGING: [(&str, &str); 3] = [
    ("lc_messages", "C"),
    ("log_error_verbosity", "verbose"),
    ("log_min_messages", "error"),
];
/// Random bytes of a mark in the log.
const KEY_LENGTH: usize = 8;

/// Where the server is. Text of a moment, to the microsecond and in UTC.
const PLACE: &str = "\
SELECT system_identifier FROM pg_catalog.pg_control_system();
SELECT pg_catalog.substr(pg_catalog.pg_walfile_name(pg_catalog.pg_current_wal_lsn()), 1, 8);
SELECT pg_catalog.pg_last_wal_replay_lsn();
SELECT pg_catalog.to_char(pg_catalog.pg_last_xact_replay_timestamp() AT TIME ZONE 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS.US\"Z\"');
";
const RECOVERS: &str = "SELECT pg_catalog.pg_is_in_recovery()";

/// A server that has recovered.
#[derive(Debug)]
pub(super) struct RecoveredServer {
    server: Server,
    maintenance: PgText,
    log: ServerLog,
    _running: PrivateServer,
}

impl RecoveredServer {
    /// Starts a server on a directory that holds a cluster to be recovered, and waits until it has.
    ///
    /// # Errors
    /// Whether the store is to blame, or it could not be tested.
    pub(super) fn start(
        directory: ServerDirectory,
        installation: &Installation,
    ) -> Result<Self, Failure> {
        let log = directory.log();
        // Whom the jobs connect as is one, mostly.
        let ours = env::var_os("PGUSER").filter(|it| !it.is_empty());
        let likely: Vec<PgText> = ours
            .map(PgText::from)
            .into_iter()
            .chain([SUPERUSER.into()])
            .collect();
        let started = PrivateServer::recover(directory, &likely);
        let running = started.map_err(|error| match error.kind() {
            ErrorKind::NotRecovered => not_recovered(&error, &log),
            _ => not_made(error).into(),
        })?;
        let inspector = Inspector::owner();
        let mut settings = inspector.settings(installation.version().major());
        settings.extend(LOGGING.map(|(name, value)| (name, value.into())));
        let server = Server::new(running.conninfo().clone().with_settings(&settings));
        let answers = |name: &&&str| server.query(Some(**name), "SELECT 1").is_ok();
        let maintenance = MAINTENANCE.iter().find(answers).ok_or_else(|| {
            let names = MAINTENANCE.join("', '");
            let words = format!("the server lets nobody into any of '{names}'");
            match said(&log.errors()) {
                Some(why) => Error::failed(format!("{words}: {why}")),
                None => Error::failed(words),
            }
        })?;
        Ok(Self {
            maintenance: PgText::from(*maintenance),
            server,
            log,
            _running: running,
        })
    }

    pub(super) fn server(&self) -> &Server {
        &self.server
    }

    /// The database to connect to for all that concerns none.
    pub(super) fn maintenance(&self) -> &PgText {
        &self.maintenance
    }

    /// Where it says it is.
    ///
    /// # Errors
    /// It does not.
    pub(super) fn place(&self) -> Result<Place, Error> {
        let ask = |sql: &str| self.server.query(Some(&self.maintenance), sql);
        let recovers = ask(RECOVERS)?;
        let recovers =
            !matches!(recovers.last().map(Vec::as_slice), Some([Some(no)]) if *no == "f");
        if recovers {
            return Ok(Place {
                system: None,
                timeline: 0,
                replayed: None,
                last_commit: None,
                recovers,
            });
        }
        let rows = ask(PLACE)?;
        let values: Vec<Option<&PgText>> = rows.iter().flatten().map(Option::as_ref).collect();
        let unclear = || Error::failed("the server does not say where it is");
        let [system, timeline, replayed, last] = values.as_slice() else {
            return Err(unclear());
        };
        let timeline = timeline.and_then(|it| u32::from_str_radix(it.ascii(), 16).ok());
        let moment = |text: &PgText| text.ascii().parse::<DateTime<Utc>>();
        Ok(Place {
            system: system.and_then(|it| it.parse().map(SystemId)),
            timeline: timeline.ok_or_else(unclear)?,
            replayed: replayed.and_then(|it| it.ascii().parse::<Lsn>().ok()),
            last_commit: last.map(moment).transpose().map_err(|_| unclear())?,
            recovers,
        })
    }

    /// Forgets what was logged up to now.
    pub(super) fn begin(&self) {
        self.log.forget();
    }

    /// What was logged since [`begin`](Self::begin), to the last.
    pub(super) fn errors(&self) -> Vec<LoggedError> {
        // The server logs an error before the client hears of it, but a thread of ours reads what it logged.
        let logged = random_key::<KEY_LENGTH>().ok().is_some_and(|key| {
            let mark = format!("backup_verify_{key}");
            // There is no such table, which is logged behind everything else.
            let _ = self
                .server
                .query(Some(&self.maintenance), format!("TABLE {mark}"));
            self.log.wait_for(&mark)
        });
        let mut errors = self.log.errors();
        if logged {
            errors.pop();
        }
        errors
    }
}

/// The server programs that recover a cluster: of its own major version, and no other.
///
/// # Errors
/// There are none (exit code 1).
pub(super) fn installation(bin: Option<&Path>, cluster: &Cluster) -> Result<Installation, Error> {
    let newest = cluster.bases.last();
    let version = newest.map_or("", |base| base.about.server_version.as_str());
    let major = Version::major_of(version)
        .ok_or_else(|| Error::not_good("the base backup does not say its server's version"))?;
    Installation::exactly(bin, major)
        .map_err(|error| not_made(error).within("recovery could not be tested"))
}

/// Adds the options of this program that help.
pub(super) fn not_made(error: private_server::Error) -> Error {
    let (kind, known) = (error.kind(), error.hint_text().map(str::to_owned));
    let error = Error::from(error);
    match (kind, known) {
        (ErrorKind::NotInstalled | ErrorKind::OtherVersion, Some(known)) => {
            error.hint(format!("{known}, or name its directory with --pg-bindir"))
        }
        (ErrorKind::Account, _) => error.hint("run the test as another user than root"),
        (ErrorKind::Directory | ErrorKind::DiskFull, Some(known)) => {
            error.hint(format!("{known}; --work-dir names another directory"))
        }
        _ => error,
    }
}

/// A server that ended before it had recovered. Where it says no reason of its own, nobody knows whose fault it is: it was
/// killed.
fn not_recovered(error: &private_server::Error, log: &ServerLog) -> Failure {
    // Of a server that is recovering, only an error that ends the recovery is one.
    match log.errors().last() {
        Some(last) if log.has_lost_a_process() => blame::failure(last),
        _ => Error::failed(error.to_string()).into(),
    }
}

/// The last of these errors.
fn said(errors: &[LoggedError]) -> Option<&str> {
    errors.last().map(|it| it.text.as_str())
}
