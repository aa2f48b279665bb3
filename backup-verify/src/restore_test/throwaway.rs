//! A server that is made for the test and gone afterwards.

use std::env;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::mpsc;

use job::{Error, OnStop, say, text};
use pg_client::{
    Account, Child, Conninfo, Ending, NEUTRAL_SETTINGS, RELEASE, Server, drop_database,
    quote_ident, quote_literal, random_key, sql,
};
use pg_text::PgText;
use store::Space;

use super::account;
use super::globals::Globals;
use super::installation::Installation;
use super::session::Visitor;

/// Nobody wants its data when it has ended, however it ends: nothing waits for the disk. Dynamic shared memory in
/// files, because a container's `/dev/shm` is small; many locks, because `postgres` is restored in one transaction.
const SETTINGS: [&str; 11] = [
    "port=5432",
    "listen_addresses=",
    "fsync=off",
    "synchronous_commit=off",
    "full_page_writes=off",
    "wal_level=minimal",
    "max_wal_senders=0",
    "autovacuum=off",
    "logging_collector=off",
    "dynamic_shared_memory_type=mmap",
    "max_locks_per_transaction=1024",
];

/// A server's encoding where nothing else is known.
const USUAL: &str = "UTF8";
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

/// What of the environment the server and `initdb` get: a backup's SQL may read that (`COPY … FROM PROGRAM 'env'`). Where programs,
/// libraries and time zones are, and who this process's user is where /etc/passwd does not say (nss_wrapper).
const PASSED_ON: [&str; 9] = [
    "PATH",
    "TMPDIR",
    "TZ",
    "TZDIR",
    "ICU_DATA",
    "LD_LIBRARY_PATH",
    "LD_PRELOAD",
    "NSS_WRAPPER_GROUP",
    "NSS_WRAPPER_PASSWD",
];

/// What the server adds to the path of its directory.
const SOCKET: &str = "/.s.PGSQL.5432";
const LONGEST_SOCKET: usize = 107;
/// Random bytes in the name of its own database.
const KEY_LENGTH: usize = 8;

/// A running server on a socket that only this user (or root) can reach. It is stopped and its directory
/// removed when this is dropped, and when a signal stops the program.
#[derive(Debug)]
pub(crate) struct Throwaway {
    server: Server,
    /// A database that no backup has: what is restored into `postgres`, triggers on logins among it, keeps nobody away
    /// from the server.
    maintenance: PgText,
    // Dropped in this order: the server ends, then whatever it started, before its directories go.
    _postgres: Child,
    _others: Others,
    directory: Directory,
    _socket: Option<Directory>,
}

impl Throwaway {
    /// Makes and starts one; `room` is how many bytes of SQL its largest database will have.
    ///
    /// # Errors
    /// It cannot be made (exit code 1): no room, no account to run it, with initdb's or the server's own words.
    pub(crate) fn start(
        installation: &Installation,
        globals: &Globals,
        parent: Option<&Path>,
        room: u64,
    ) -> Result<Self, Error> {
        let maker = account::maker()?;
        let parent = parent.map_or_else(env::temp_dir, Path::to_owned);
        check_room(&parent, room)?;
        let directory = Directory::make(&parent, maker)?;
        say!(
            "making a server of PostgreSQL {} in '{}'",
            installation.version(),
            directory.path.display()
        );
        let data = directory.path.join("data");
        let mut initdb = directory.program(installation, "initdb", maker);
        initdb.args(["--auth=trust", "--no-sync", "--no-locale"]);
        // Names of the whole cluster are to be the bytes that they were.
        initdb.arg(format!("--encoding={}", encoding(globals)));
        initdb.arg("--username").arg(globals.superuser.as_os_str());
        initdb.arg("--pgdata").arg(&data);
        Child::spawn(initdb)?.wait().map_err(unmade)?;
        for number in 0..globals.tablespaces.len() {
            make(&directory.tablespace(number))?;
        }
        let (account, others) = directory.hand_over(installation, maker)?;
        let mut postgres = directory.program(installation, "postgres", account);
        postgres.arg("-D").arg(&data);
        for setting in SETTINGS {
            postgres.args(["-c", setting]);
        }
        let elsewhere = match fits_socket(&directory.path) {
            true => None,
            false => Some(Directory::for_socket(account)?),
        };
        let socket = elsewhere.as_ref().unwrap_or(&directory);
        let socket = socket.path.display().to_string();
        // A list of quoted names.
        let list = quote_ident(&socket);
        postgres.args(["-c", &format!("unix_socket_directories={list}")]);
        let postgres = serve(postgres)?;
        let conninfo = Conninfo::socket(&socket, &globals.superuser).run_as(account);
        let conninfo =
            conninfo.with_settings(&Visitor::owner().settings(installation.version().major()));
        let made = Self {
            server: Server::new(conninfo),
            maintenance: format!("backup_verify_{}", random_key::<KEY_LENGTH>()?).into(),
            _postgres: postgres,
            _others: others,
            directory,
            _socket: elsewhere,
        };
        let create = format!("CREATE DATABASE {}", quote_ident(&made.maintenance));
        made.server.execute(Some("postgres"), &create)?;
        made.add_tablespaces(globals)?;
        Ok(made)
    }

    pub(crate) fn server(&self) -> &Server {
        &self.server
    }

    /// The database to connect to for all that concerns none.
    pub(crate) fn maintenance(&self) -> &PgText {
        &self.maintenance
    }

    /// Of the same names as the backup's, but here: where theirs are, nothing may be.
    fn add_tablespaces(&self, globals: &Globals) -> Result<(), Error> {
        for (number, name) in globals.tablespaces.iter().enumerate() {
            let path = self.directory.tablespace(number);
            let location = quote_literal(path.as_os_str().as_bytes());
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
        // What it does not take away is said when it is dropped.
        let release = [NEUTRAL_SETTINGS, RELEASE].concat();
        let _ = self.server.execute(Some(name), release);
        Ok(self
            .server
            .execute(Some(&self.maintenance), drop_database(name))?)
    }
}

/// That of the names of the cluster that was dumped, if a server can be of it.
fn encoding(globals: &Globals) -> &str {
    let said = globals.encoding.as_deref().unwrap_or(USUAL);
    match CLIENTS_ONLY.contains(&said) {
        true => USUAL,
        false => said,
    }
}

/// Starts the server, and waits until it says that it is ready, or ends.
fn serve(command: Command) -> Result<Child, Error> {
    let (sender, ready) = mpsc::channel();
    let child = Child::spawn_ending(command, Ending::SERVER, move |line| {
        if line.contains("ready to accept connections") {
            // Nobody listens any more if it is said again.
            let _ = sender.send(());
        }
    })?;
    // The sender is gone when standard error is closed: the server has ended.
    match ready.recv() {
        Ok(()) => Ok(child),
        Err(_) => {
            let ended = child.wait().map_err(unmade);
            Err(ended
                .err()
                .unwrap_or_else(|| Error::failed("the server ended at once")))
        }
    }
}

fn unmade(error: impl Into<Error>) -> Error {
    error.into().within("cannot make a server for the test").hint(
        "--work-dir names another directory for it, --pg-bindir other programs, --into a server that is there",
    )
}

/// A restored database takes about as much as its SQL.
fn check_room(parent: &Path, room: u64) -> Result<(), Error> {
    let free = match Space::of(parent)? {
        Some(space) if space.free < room => space.free,
        _ => return Ok(()),
    };
    Err(Error::failed(format!(
        "there is no room for the test: {} are free in '{}', and the SQL of the largest database has {}",
        text::bytes(free),
        parent.display(),
        text::bytes(room)
    ))
    .hint("--work-dir names another directory, --into a server"))
}

/// Whether the path of the server's socket is one that the system takes: `sun_path` of unix(7).
fn fits_socket(directory: &Path) -> bool {
    directory.as_os_str().len() + SOCKET.len() <= LONGEST_SOCKET
}

/// A directory of its own.
#[derive(Debug)]
struct Directory {
    path: PathBuf,
    on_stop: Option<OnStop>,
}

impl Directory {
    fn make(parent: &Path, maker: Option<Account>) -> Result<Self, Error> {
        let cannot = |error| {
            let words = format!("cannot make a directory in '{}'", parent.display());
            Error::io(words, &error)
        };
        // An absolute path is what a socket's directory must have.
        let parent = fs::canonicalize(parent).map_err(cannot)?;
        let path = tempfile::Builder::new()
            .prefix("backup-verify-")
            .tempdir_in(parent)
            .map_err(cannot)?
            .keep();
        let gone = path.clone();
        let on_stop = Some(job::on_stop(move || remove(&gone)));
        let directory = Self { path, on_stop };
        if let Some(maker) = maker {
            account::own(&directory.path, maker)?;
        }
        Ok(directory)
    }

    /// One with a short path, for a socket alone, where that of the data is too long for one.
    fn for_socket(account: Option<Account>) -> Result<Self, Error> {
        let short = ["/tmp", "/var/tmp", "/dev/shm"].map(Path::new);
        let made = short.into_iter().map(|parent| Self::make(parent, account));
        let made = made.flatten().find(|made| fits_socket(&made.path));
        made.ok_or_else(|| {
            Error::failed(format!(
                "no directory for the server's socket, whose path has at most {LONGEST_SOCKET} bytes"
            ))
            .hint("name a directory with a shorter path with --work-dir")
        })
    }

    /// Where a tablespace is.
    fn tablespace(&self, number: usize) -> PathBuf {
        self.path.join(format!("tablespace-{number}"))
    }

    /// A program of the server's that runs here as `account`, and has no more of the environment than it needs.
    fn program(
        &self,
        installation: &Installation,
        name: &str,
        account: Option<Account>,
    ) -> Command {
        let mut command = pg_client::command(installation.program(name));
        if let Some(account) = account {
            account.run(&mut command);
        }
        command.env_clear().env("LC_ALL", "C");
        command.envs(
            PASSED_ON
                .into_iter()
                .filter_map(|it| Some((it, env::var_os(it)?))),
        );
        command.current_dir(&self.path);
        command.stdin(Stdio::null()).stdout(Stdio::null());
        command
    }

    /// Gives all that `maker` has made to an account that nothing else is, or (said) leaves it to `maker`. Whom the server
    /// runs as, and what is to be done about all that runs as that.
    fn hand_over(
        &self,
        installation: &Installation,
        maker: Option<Account>,
    ) -> Result<(Option<Account>, Others), Error> {
        let Some(maker) = maker else {
            return Ok((None, Others::default()));
        };
        match self.to_nobody_else(installation) {
            Ok(account) => Ok((Some(account), Others::of(account))),
            Err(why) => {
                account::own(&self.path, maker)?;
                let user = maker.user;
                say!("the server runs as user {user}, who may own more on this machine: {why}");
                Ok((Some(maker), Others::default()))
            }
        }
    }

    fn to_nobody_else(&self, installation: &Installation) -> Result<Account, String> {
        let account = account::unused()?;
        account::own(&self.path, account).map_err(|error| error.to_string())?;
        // That it may enter the directory, and run the programs.
        let mut tried = self.program(installation, "postgres", Some(account));
        let tried = tried.arg("--version").stderr(Stdio::null()).status();
        match tried {
            Ok(status) if status.success() => Ok(account),
            Ok(status) => Err(format!("user {} cannot run it: {status}", account.user)),
            Err(error) => Err(format!("user {} cannot run it: {error}", account.user)),
        }
    }
}

/// What else runs as the server's account, whom nothing of this machine is: it ends with the test.
#[derive(Debug, Default)]
struct Others {
    account: Option<Account>,
    on_stop: Option<OnStop>,
}

impl Others {
    fn of(account: Account) -> Self {
        Self {
            account: Some(account),
            on_stop: Some(job::on_stop(move || account::end_all(account))),
        }
    }
}

impl Drop for Others {
    fn drop(&mut self) {
        // A signal that is ending the program ends them itself.
        drop(self.on_stop.take());
        if let Some(account) = self.account {
            account::end_all(account);
        }
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        // A signal that is ending the program removes it itself.
        drop(self.on_stop.take());
        remove(&self.path);
    }
}

fn make(path: &Path) -> Result<(), Error> {
    fs::create_dir(path)
        .map_err(|error| Error::io(format_args!("cannot make '{}'", path.display()), &error))
}

fn remove(path: &Path) {
    if let Err(error) = fs::remove_dir_all(path) {
        say!("cannot remove '{}': {error}", path.display());
    }
}
