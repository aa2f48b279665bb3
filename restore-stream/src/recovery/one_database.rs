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

use job::{Error, Exit, say, text};
use pg_client::{Child, Ending};
use pg_text::PgText;
use private_server::{ErrorKind, Installation, PrivateDirectory, PrivateServer, ServerDirectory};
use store::Store;

use super::choice::{self, Candidate, first_good};
use super::databases::{Databases, Found, meant};
use super::fill::{Filling, fill};
use super::server::major;
use crate::cli::Args;
use crate::cli::recovery::{Target, TargetAction};
use crate::source::chosen::ChosenBackup;

/// How the names of its directories begin.
const PREFIX: &str = "restore-stream-";
const DUMPER: &str = "pgdump-gz";
/// Databases that are small, and that a server is asked through.
const ALWAYS: [&str; 3] = ["postgres", "template0", "template1"];
/// Nothing holds a lock for longer in a server that nobody else reaches.
const LOCK_WAIT: &str = "60s";
const ELSEWHERE: &str = "--work-dir names another directory";

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
        let label = format!("{} at {}", self.args.label(), self.target);
        let (server, found) = match self.recover(database, Reading::Needed, &parent, &label)? {
            Attempt::Done(server, found) => (server, found),
            Attempt::NeedsAll(why) => {
                say!("{why}: all of the base backup is read");
                match self.recover(database, Reading::All, &parent, &label)? {
                    Attempt::Done(server, found) => (server, found),
                    Attempt::NeedsAll(why) => return Err(Error::failed(why)),
                }
            }
        };
        say!(
            "recovered to {} after {}",
            self.target,
            text::duration(began.elapsed())
        );
        Databases::new(server.conninfo()).leave_only(&found)?;
        let directory = PrivateDirectory::make(&parent, PREFIX, None).map_err(not_made)?;
        let path = self.run_dump(&server, &found.name, &directory)?;
        drop(server);
        say!(
            "dumped '{}' after {}",
            found.name,
            text::duration(began.elapsed())
        );
        ChosenBackup::made(&path, label, directory)
    }

    /// Recovers the cluster, with all of its databases or with none but those that are needed.
    fn recover(
        &self,
        database: &PgText,
        reading: Reading,
        parent: &Path,
        label: &str,
    ) -> Result<Attempt, Error> {
        let began = Instant::now();
        let (directory, only) = first_good(&self.candidates, self.target, |candidate| {
            let only = match reading {
                Reading::All => None,
                Reading::Needed => of_name(database, candidate),
            };
            let left_out = only.map_or_else(Vec::new, |only| all_but(only, candidate));
            let directory =
                ServerDirectory::make(&self.installation, parent, PREFIX).map_err(not_made)?;
            let data = directory.data();
            let filling = Filling {
                target: self.target,
                path: &data,
                with_wal: true,
                action: TargetAction::Promote,
                archives: false,
                left_out: &left_out,
            };
            let filled = fill(&self.store, candidate, filling, self.args);
            let filled = filled.map_err(elsewhere)?;
            say!(
                "restored {} into '{}' in {}{}; a private server of PostgreSQL {} replays the WAL",
                text::bytes(filled.bytes),
                directory.path().display(),
                text::duration(began.elapsed()),
                match left_out.len() {
                    0 => String::new(),
                    count => format!(", without {}", text::count(count, "other database")),
                },
                self.installation.version()
            );
            Ok((directory, only.filter(|_| !left_out.is_empty())))
        })?;
        let server = match PrivateServer::recover(directory, &likely()) {
            Ok(server) => server,
            // With full_page_writes off, replay wants pages of files that are not there.
            Err(error) if only.is_some() && error.kind() == ErrorKind::NotRecovered => {
                return Ok(Attempt::NeedsAll(format!(
                    "it does not recover without the other databases ({error})"
                )));
            }
            Err(error) => return Err(self.not_recovered(error)),
        };
        let found = Databases::new(server.conninfo()).find(database, label)?;
        match only {
            // It was renamed, or made anew, perhaps as a copy of one whose files are not there.
            Some(only) if only != found.oid => Ok(Attempt::NeedsAll(format!(
                "'{}' of that moment is another database than that of the base backup",
                found.name
            ))),
            _ => Ok(Attempt::Done(Box::new(server), found)),
        }
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
        child.wait().map_err(|error| {
            let error = Error::from(error).within(format!("cannot dump '{database}'"));
            // Its hint does not know the option of this program.
            match error.to_string().ends_with(Error::MAKE_ROOM) {
                true => error.hint(ELSEWHERE),
                false => error,
            }
        })?;
        Ok(said.trim_end_matches('\n').to_owned())
    }

    fn not_recovered(&self, error: private_server::Error) -> Error {
        match error.kind() {
            ErrorKind::NotRecovered => Error::from(error)
                .within(format!("cannot recover to {}", self.target))
                .hint("these are the private server's last words; --data-dir DIR restores the cluster for a server with settings of its own"),
            ErrorKind::DiskFull => {
                not_made(error).within(format!("cannot recover to {}", self.target))
            }
            _ => not_made(error),
        }
    }
}

/// What is read of a base backup.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Reading {
    /// The files of the cluster, of the database that is wanted, and of those that are always there.
    ///
    /// Recovery changes pages of the others too. Where every page comes whole before it is changed (`full_page_writes`),
    /// replay makes their files anew; otherwise it stops, as it does at any page that it does not find.
    Needed,
    All,
}

/// What came of a recovery.
enum Attempt {
    Done(Box<PrivateServer>, Found),
    /// It can only be done with all databases: why.
    NeedsAll(String),
}

/// Superusers that the cluster may have.
fn likely() -> Vec<PgText> {
    let given = env::var_os("PGUSER").map(|it| PgText::from(it.as_os_str()));
    given.into_iter().chain(["postgres".into()]).collect()
}

/// The OID of the database that has the name in a base backup.
fn of_name(wanted: &PgText, candidate: &Candidate) -> Option<u32> {
    let base = candidate.index.base.as_ref()?;
    let databases = base.databases.iter().map(|(oid, name)| (name, *oid));
    let databases: Vec<(&PgText, u32)> = databases.collect();
    meant(wanted, &databases).map(|(_, oid)| oid)
}

/// The databases of a base backup that are not needed for one of them.
fn all_but(wanted: u32, candidate: &Candidate) -> Vec<u32> {
    let Some(base) = &candidate.index.base else {
        return Vec::new();
    };
    let others = base
        .databases
        .iter()
        .filter(|(oid, name)| *oid != wanted && !ALWAYS.iter().any(|always| *name == *always));
    others.map(|(oid, _)| *oid).collect()
}

/// The programs of exactly the version of the base backup: no other starts on it.
fn installation(version: &str, args: &Args) -> Result<Installation, Error> {
    let major = major(version)?;
    let bin = args.recovery.pg_bindir.as_deref();
    Installation::exactly(bin, major).map_err(not_made)
}

/// Names the option, where the directory may be what failed.
fn elsewhere(error: Error) -> Error {
    match error.hint_text() {
        Some(Error::MAKE_ROOM) => error.hint(format!("{}; {ELSEWHERE}", Error::MAKE_ROOM)),
        None if error.exit() == Exit::Failed => error.hint(ELSEWHERE),
        _ => error,
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
        (ErrorKind::OtherVersion, Some(known)) => Error::refused(error.to_string())
            .hint(format!("{known}, or name its directory with --pg-bindir")),
        (ErrorKind::Account, _) => error.hint("run restore-stream as another user"),
        (ErrorKind::NotStarted, _) => error
            .within("cannot make a private server")
            .hint("--work-dir names another directory for it, --pg-bindir other programs"),
        (ErrorKind::DiskFull, _) => elsewhere(error),
        (ErrorKind::Directory, Some(known)) => error.hint(format!("{known}; {ELSEWHERE}")),
        _ => error,
    }
}
