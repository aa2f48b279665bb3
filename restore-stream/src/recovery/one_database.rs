//! `--at` with `--database`: a database as it was at a moment, as a backup that is restored as any other is.
//!
//! A private server recovers the cluster in the work directory, and pgdump-gz dumps the one database from it. The server is
//! gone before anything is restored, and the dump when that is done.

use std::env;
use std::ffi::OsString;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Instant;

use job::{Error, say, text};
use pg_client::{Child, Conninfo, Ending, Server, quote_literal, sql};
use pg_text::PgText;
use private_server::{ErrorKind, Installation, PrivateDirectory, PrivateServer, ServerDirectory};
use store::Store;

use super::choice::{self, Candidate, first_good};
use super::fill::{Filling, fill};
use super::server::major;
use crate::cli::Args;
use crate::cli::recovery::{Target, TargetAction};
use crate::source::chosen::ChosenBackup;
use crate::source::selection::not_among;

/// How the names of its directories begin.
const PREFIX: &str = "restore-stream-";
const DUMPER: &str = "pgdump-gz";
/// Databases to connect to, if the one that is wanted lets nobody in.
const OTHERS: [&str; 2] = ["postgres", "template1"];
/// Nothing holds a lock for longer in a server that nobody else reaches.
const LOCK_WAIT: &str = "60s";

/// A moment that base backups lead to.
pub(crate) struct Moment<'a> {
    args: &'a Args,
    target: &'a Target,
    store: Store,
    candidates: Vec<Candidate>,
    /// The server's version.
    version: String,
    installation: Installation,
}

impl<'a> Moment<'a> {
    /// Looks for what leads there. Nothing is written.
    ///
    /// # Errors
    /// Nothing leads there (exit code 3), and which moments can be reached; there is no server here that recovers it (4).
    pub(crate) fn find(target: &'a Target, args: &'a Args) -> Result<Self, Error> {
        let (store, candidates) = choice::leading_to(target, args)?;
        let first = candidates
            .first()
            .ok_or_else(|| Error::not_good("no base backup is good"))?;
        let version = first.index.about.server_version.clone();
        let installation = installation(&version, args)?;
        Ok(Self {
            args,
            target,
            store,
            candidates,
            version,
            installation,
        })
    }

    /// The version of the cluster's server.
    pub(crate) fn version(&self) -> &str {
        &self.version
    }

    /// Recovers the cluster, and makes a backup of one database of it.
    ///
    /// # Errors
    /// Then there is nothing left of it.
    pub(crate) fn dump(&self, database: &PgText) -> Result<ChosenBackup, Error> {
        let parent = self.args.recovery.work_dir.clone();
        let parent = parent.unwrap_or_else(env::temp_dir);
        let began = Instant::now();
        let directory = first_good(&self.candidates, self.target, |candidate| {
            let directory =
                ServerDirectory::make(&self.installation, &parent, PREFIX).map_err(not_made)?;
            let data = directory.data();
            let filling = Filling {
                target: self.target,
                path: &data,
                with_wal: true,
                action: TargetAction::Promote,
                archives: false,
            };
            let filled = fill(&self.store, candidate, filling, self.args);
            let filled = filled.map_err(|error| match error.hint_text() {
                None => error.hint("--work-dir names another directory for it"),
                Some(_) => error,
            })?;
            say!(
                "restored {} into '{}' in {}; a private server of PostgreSQL {} replays the WAL",
                text::bytes(filled.bytes),
                directory.path().display(),
                text::duration(began.elapsed()),
                self.installation.version()
            );
            Ok(directory)
        })?;
        let server = PrivateServer::recover(directory, &[PgText::from("postgres")])
            .map_err(|error| self.not_recovered(error))?;
        say!(
            "recovered to {} after {}",
            self.target,
            text::duration(began.elapsed())
        );
        let label = format!("{} at {}", self.args.label(), self.target);
        let name = Recovered::new(server.conninfo()).leave_only(database, &label)?;
        let directory = PrivateDirectory::make(&parent, PREFIX, None).map_err(not_made)?;
        let path = self.run_dump(&server, &name, &directory)?;
        drop(server);
        say!("dumped '{name}' after {}", text::duration(began.elapsed()));
        ChosenBackup::made(&path, label, directory)
    }

    /// Runs pgdump-gz, and returns the path of its backup.
    fn run_dump(
        &self,
        server: &PrivateServer,
        database: &PgText,
        directory: &PrivateDirectory,
    ) -> Result<String, Error> {
        let mut command = pg_client::command(dumper());
        command.arg("--dir").arg(directory.path());
        command.args(["--lock-wait-timeout", LOCK_WAIT]);
        command.args(["--threads", &self.args.threads().to_string()]);
        server
            .conninfo()
            .lead(&mut command, Some(database.as_bytes()));
        // A pg_dump of another version may not know this server.
        command.env("PATH", first_on_the_path(&self.installation.program(""))?);
        command.stdin(Stdio::null()).stdout(Stdio::piped());
        let mut child = Child::spawn_ending(command, Ending::TIDY, |_| {})?;
        let mut said = String::new();
        if let Some(mut stdout) = child.take_stdout() {
            stdout
                .read_to_string(&mut said)
                .map_err(|error| Error::io("cannot read what pgdump-gz says", &error))?;
        }
        child
            .wait()
            .map_err(|error| Error::from(error).within(format!("cannot dump '{database}'")))?;
        Ok(said.trim_end_matches('\n').to_owned())
    }

    fn not_recovered(&self, error: private_server::Error) -> Error {
        match error.kind() {
            ErrorKind::NotRecovered => Error::from(error)
                .within(format!("cannot recover to {}", self.target))
                .hint("these are the private server's last words; --data-dir DIR restores the cluster for a server with settings of its own"),
            _ => not_made(error),
        }
    }
}

/// The databases of the recovered cluster.
struct Recovered {
    server: Server,
}

impl Recovered {
    fn new(conninfo: &Conninfo) -> Self {
        Self {
            server: Server::new(conninfo.clone()),
        }
    }

    /// Lets a dump find no database but this one. Returns its name's bytes, which may have been typed in another way.
    fn leave_only(&self, wanted: &PgText, label: &str) -> Result<PgText, Error> {
        const ALL: &str =
            "SELECT datname FROM pg_catalog.pg_database WHERE datname <> 'template0' ORDER BY 1";
        let (through, names) = self.ask(wanted, ALL)?;
        let names: Vec<PgText> = names.into_iter().flatten().flatten().collect();
        let mut meant = names.iter().filter(|name| *name == wanted);
        let is_meant = |name: &&PgText| name.is_meant_by(wanted);
        let name = meant.next().or_else(|| names.iter().find(is_meant));
        let name = name.ok_or_else(|| not_among(wanted, label, &names))?;
        self.undo_what_was_in_doubt(&through)?;
        let only = sql(
            "UPDATE pg_catalog.pg_database SET datallowconn = (datname = {})",
            &[&quote_literal(name.as_bytes())],
        );
        self.server.execute(Some(&through), only)?;
        Ok(name.clone())
    }

    /// Rolls back prepared transactions: they were not committed then, and a dump would wait for their locks.
    fn undo_what_was_in_doubt(&self, through: &PgText) -> Result<(), Error> {
        const ALL: &str = "SELECT database, gid FROM pg_catalog.pg_prepared_xacts";
        for row in self.server.query(Some(through), ALL)? {
            let [Some(database), Some(gid)] = row.as_slice() else {
                continue;
            };
            say!(
                "'{gid}' of database '{database}' was prepared and not committed then: it is left out"
            );
            let undo = sql("ROLLBACK PREPARED {}", &[&quote_literal(gid.as_bytes())]);
            self.server.execute(Some(database), undo)?;
        }
        Ok(())
    }

    /// The answer, and the database that it was asked through.
    fn ask(&self, wanted: &PgText, question: &str) -> Result<(PgText, Vec<pg_client::Row>), Error> {
        let ask = |database: &PgText| {
            let rows = self.server.query(Some(database), question)?;
            Ok::<_, pg_client::Error>((database.clone(), rows))
        };
        let refused = match ask(wanted) {
            Ok(answer) => return Ok(answer),
            Err(refused) => refused,
        };
        let mut others = OTHERS.into_iter().map(PgText::from);
        others
            .find_map(|database| ask(&database).ok())
            .ok_or_else(|| refused.into())
    }
}

/// The programs of exactly the version of the base backup: no other starts on it.
fn installation(version: &str, args: &Args) -> Result<Installation, Error> {
    let major = major(version)?;
    let bin = args.recovery.pg_bindir.as_deref();
    let found = Installation::find(bin, Some(major)).map_err(not_made)?;
    match found.version().major() == major {
        true => Ok(found),
        false => Err(Error::refused(format!(
            "the base backup is of PostgreSQL {major}, and the server here is PostgreSQL {}: no other major version starts on it",
            found.version()
        ))
        .hint(format!(
            "install PostgreSQL {major} (Debian: postgresql-{major}), or name the directory of its programs with --pg-bindir"
        ))),
    }
}

/// pgdump-gz beside this program, or on the PATH.
fn dumper() -> PathBuf {
    let beside = env::current_exe().ok().map(|it| it.with_file_name(DUMPER));
    beside
        .filter(|it| it.is_file())
        .unwrap_or_else(|| DUMPER.into())
}

fn first_on_the_path(first: &Path) -> Result<OsString, Error> {
    let path = env::var_os("PATH").unwrap_or_default();
    let all = std::iter::once(first.to_owned()).chain(env::split_paths(&path));
    env::join_paths(all)
        .map_err(|_| Error::usage(format!("'{}' cannot stand in a PATH", first.display())))
}

/// Adds the options of this program that help.
fn not_made(error: private_server::Error) -> Error {
    let (kind, known) = (error.kind(), error.hint_text().map(str::to_owned));
    let error = Error::from(error);
    match (kind, known) {
        (ErrorKind::NotInstalled, Some(known)) => {
            error.hint(format!("{known}, or name its directory with --pg-bindir"))
        }
        (ErrorKind::Account, _) => error.hint("run restore-stream as another user"),
        (ErrorKind::NotStarted, _) => error
            .within("cannot make a private server")
            .hint("--work-dir names another directory for it, --pg-bindir other programs"),
        (ErrorKind::Directory, Some(known)) => error.hint(format!("{known}; --work-dir names one")),
        _ => error,
    }
}
