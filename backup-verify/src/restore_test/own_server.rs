//! A server that is made for the test and gone afterwards.

use std::env;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use job::{Error, say, text};
use pg_client::{
    NEUTRAL_SETTINGS, RELEASE, Server, drop_database, quote_ident, quote_literal, random_key, sql,
};
use pg_text::PgText;
use private_server::{ErrorKind, Installation, PrivateServer, ServerDirectory};
use store::Space;

use super::globals::Globals;
use super::inspection::Inspector;

/// How its directory's name begins.
const PREFIX: &str = "backup-verify-";
/// Nobody wants its data when it has ended, however it ends: nothing waits for the disk. Dynamic shared memory is in files,
/// because a container's `/dev/shm` is small; there are many locks, because `postgres` is restored in one transaction.
const SETTINGS: [(&str, &str); 9] = [
    ("fsync", "off"),
    ("synchronous_commit", "off"),
    ("full_page_writes", "off"),
    ("wal_level", "minimal"),
    ("max_wal_senders", "0"),
    ("autovacuum", "off"),
    ("logging_collector", "off"),
    ("dynamic_shared_memory_type", "mmap"),
    ("max_locks_per_transaction", "1024"),
];

/// The server's encoding where the backup does not say its cluster's, or says one that no server has.
const DEFAULT_ENCODING: &str = "UTF8";
/// Encodings that only clients speak (PostgreSQL documentation, 24.3.1): a dump may be in one.
const CLIENTS_ONLY: [&str; 7] = [
    "BIG5",
    "GB18030",
    "GBK",
    "JOHAB",
    "SHIFT_JIS_2004",
    "SJIS",
    "UHC",
];

/// Random bytes in the name of its maintenance database.
const KEY_LENGTH: usize = 8;

/// A running server that nobody else reaches.
#[derive(Debug)]
pub(crate) struct OwnServer {
    server: Server,
    /// A database that no backup has. What is restored into `postgres`, triggers on logins for one, keeps nobody away from
    /// the server.
    maintenance: PgText,
    _running: PrivateServer,
}

impl OwnServer {
    /// Makes and starts one, in the directory `parent` or in the usual one for temporary files; its largest database will
    /// have `largest` bytes of SQL.
    ///
    /// # Errors
    /// It cannot be made (exit code 1): no room, no account to run it, with initdb's or the server's own words.
    pub(crate) fn start(
        installation: &Installation,
        globals: &Globals,
        parent: Option<&Path>,
        largest: u64,
    ) -> Result<Self, Error> {
        let parent = parent.map_or_else(env::temp_dir, Path::to_owned);
        check_room(&parent, largest)?;
        let directory = ServerDirectory::make(installation, &parent, PREFIX).map_err(not_made)?;
        say!(
            "making a server of PostgreSQL {} in '{}'",
            installation.version(),
            directory.path().display()
        );
        // Names of the whole cluster are to be the bytes that they were.
        let encoding = encoding(globals);
        directory
            .initdb(&globals.superuser, encoding)
            .map_err(not_made)?;
        let numbers = 0..globals.tablespaces.len();
        let locations: Vec<PathBuf> = numbers
            .map(|number| directory.make_folder(&format!("tablespace-{number}")))
            .collect::<Result<_, _>>()
            .map_err(not_made)?;
        let running =
            PrivateServer::start(directory, &globals.superuser, &SETTINGS).map_err(not_made)?;
        let owner = Inspector::owner();
        let settings = owner.settings(installation.version().major());
        let conninfo = running.conninfo().clone().with_settings(&settings);
        let made = Self {
            server: Server::new(conninfo),
            maintenance: format!("backup_verify_{}", random_key::<KEY_LENGTH>()?).into(),
            _running: running,
        };
        let create = format!("CREATE DATABASE {}", quote_ident(&made.maintenance));
        made.server.execute(Some("postgres"), &create)?;
        made.add_tablespaces(globals, &locations)?;
        Ok(made)
    }

    pub(crate) fn server(&self) -> &Server {
        &self.server
    }

    /// The database to connect to for all that concerns none.
    pub(crate) fn maintenance(&self) -> &PgText {
        &self.maintenance
    }

    /// Tablespaces have the backup's names, but other directories: nothing may be written where the cluster has its own.
    fn add_tablespaces(&self, globals: &Globals, locations: &[PathBuf]) -> Result<(), Error> {
        for (name, location) in globals.tablespaces.iter().zip(locations) {
            let location = quote_literal(location.as_os_str().as_bytes());
            let create = sql(
                "CREATE TABLESPACE {} LOCATION {}",
                &[&quote_ident(name), &location],
            );
            self.server.execute(Some(&self.maintenance), create)?;
        }
        Ok(())
    }

    /// Drops a database, to make room for the next.
    pub(crate) fn drop_database(&self, name: &PgText) -> Result<(), Error> {
        // If it leaves something in the way, dropping the database fails and says so.
        let release = [NEUTRAL_SETTINGS, RELEASE].concat();
        let _ = self.server.execute(Some(name), release);
        let drop = drop_database(name);
        Ok(self.server.execute(Some(&self.maintenance), drop)?)
    }
}

/// The server programs that restore a dump of the major version `dumped`: of the same version, or of the next one that is
/// here.
///
/// # Errors
/// There are none (exit code 1).
pub(crate) fn installation(bin: Option<&Path>, dumped: Option<u32>) -> Result<Installation, Error> {
    Installation::find(bin, dumped).map_err(not_made)
}

/// The encoding that the cluster's names were dumped in, if a server can have it.
fn encoding(globals: &Globals) -> &str {
    match globals.encoding.as_deref() {
        Some(encoding) if !CLIENTS_ONLY.contains(&encoding) => encoding,
        _ => DEFAULT_ENCODING,
    }
}

/// Adds the options of this program that help.
fn not_made(error: private_server::Error) -> Error {
    const INTO: &str = "name a server with --into";
    let (kind, known) = (error.kind(), error.hint_text().map(str::to_owned));
    let error = Error::from(error);
    match (kind, known) {
        (ErrorKind::NotInstalled, Some(known)) => error.hint(format!(
            "{known}, name its directory with --pg-bindir, or {INTO}"
        )),
        (ErrorKind::Account, _) => {
            error.hint(format!("run backup-verify as another user, or {INTO}"))
        }
        (ErrorKind::Initdb | ErrorKind::NotStarted | ErrorKind::DiskFull, _) => {
            error.within("cannot make a server for the test").hint(
                "--work-dir names another directory for it, --pg-bindir other programs, --into a server that is there",
            )
        }
        (ErrorKind::Directory, Some(known)) => {
            error.hint(format!("{known}; --work-dir names one"))
        }
        _ => error,
    }
}

/// A restored database takes about as much as its SQL.
fn check_room(parent: &Path, largest: u64) -> Result<(), Error> {
    let free = match Space::of(parent)? {
        Some(space) if space.free < largest => space.free,
        _ => return Ok(()),
    };
    Err(Error::failed(format!(
        "there is no room for the test: {} are free in '{}', and the SQL of the largest database has {}",
        text::bytes(free),
        parent.display(),
        text::bytes(largest)
    ))
    .hint("--work-dir names another directory, --into a server"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_missing_has_a_way_around_it() {
        let error = installation(None, Some(99)).unwrap_err();
        let hint = error.hint_text().unwrap();
        assert!(error.to_string().contains("99 or newer"), "{error}");
        assert!(
            hint.contains("postgresql-99") && hint.contains("--into"),
            "{hint}"
        );
        assert_eq!(error.exit().code(), 1);
    }
}
