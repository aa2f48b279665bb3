//! The directory of a server, and the programs that run in it.

use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use job::say;
use pg_client::{Account, Child};
use pg_text::PgText;

use crate::private_directory::PrivateDirectory;
use crate::{Error, ErrorKind, Installation, ServerLog, account};

/// What the server and `initdb` get of the environment, which SQL may read (`COPY … FROM PROGRAM 'env'`): where programs,
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

/// `disk_full` (PostgreSQL documentation, appendix A).
const DISK_FULL: &str = "53100";

/// A directory that is made for one server, with its data and its socket. It is removed when this is dropped, and when
/// a signal stops the program; what a killed program has left, the next one removes.
#[derive(Debug)]
pub struct ServerDirectory {
    installation: Installation,
    /// The account that runs `initdb`; none for the user of this process.
    maker: Option<Account>,
    prefix: String,
    log: ServerLog,
    private: PrivateDirectory,
}

impl ServerDirectory {
    /// Makes one in `parent`; its name begins with `prefix`. Those that killed programs have left there under such names
    /// are removed.
    ///
    /// # Errors
    /// [`ErrorKind::Account`], [`ErrorKind::Directory`].
    pub fn make(installation: &Installation, parent: &Path, prefix: &str) -> Result<Self, Error> {
        let maker = account::for_initdb()?;
        Ok(Self {
            installation: installation.clone(),
            maker,
            prefix: prefix.to_owned(),
            log: ServerLog::default(),
            private: PrivateDirectory::make(parent, prefix, maker)?,
        })
    }

    /// What its server logs of what fails, which is all that this has of a server that recovers
    /// ([`PrivateServer::recover`](crate::PrivateServer::recover)).
    pub fn log(&self) -> ServerLog {
        self.log.clone()
    }

    /// The error of a server in it that has ended.
    pub(crate) fn ended(&self, error: &pg_client::Error) -> Error {
        match self.log.errors().last() {
            Some(last) if last.sqlstate.as_str() == DISK_FULL => Error::new(
                ErrorKind::DiskFull,
                format!(
                    "the disk of '{}' is full: {}",
                    self.path().display(),
                    last.text
                ),
            )
            .hint(job::Error::MAKE_ROOM),
            _ => Error::program(ErrorKind::NotStarted, error),
        }
    }

    /// The programs that run in it.
    pub(crate) fn installation(&self) -> &Installation {
        &self.installation
    }

    /// Its absolute path.
    pub fn path(&self) -> &Path {
        self.private.path()
    }

    /// How its name begins, and that of any other directory of the server's.
    pub(crate) fn prefix(&self) -> &str {
        &self.prefix
    }

    /// Where the server's data are: made by [`initdb`](Self::initdb), or filled by whoever recovers a cluster.
    pub fn data(&self) -> PathBuf {
        self.path().join("data")
    }

    /// Makes a directory in it that the server may write to, for a tablespace.
    ///
    /// # Errors
    /// [`ErrorKind::Directory`].
    pub fn make_folder(&self, name: &str) -> Result<PathBuf, Error> {
        let path = self.path().join(name);
        let cannot = |error| {
            let doing = format_args!("cannot make '{}'", path.display());
            Error::directory(doing, &error)
        };
        fs::create_dir(&path).map_err(cannot)?;
        Ok(path)
    }

    /// Makes a new cluster's data, of the locale C. Everybody who reaches the server is let in.
    ///
    /// # Errors
    /// [`ErrorKind::Initdb`], in initdb's own words.
    pub fn initdb(&self, superuser: &PgText, encoding: &str) -> Result<(), Error> {
        let mut initdb = self.program("initdb", self.maker);
        initdb.args(["--auth=trust", "--no-sync", "--no-locale"]);
        initdb.arg(format!("--encoding={encoding}"));
        initdb.arg("--username").arg(superuser.as_os_str());
        initdb.arg("--pgdata").arg(self.data());
        let ended = Child::spawn(initdb).and_then(Child::wait);
        ended.map_err(|error| Error::program(ErrorKind::Initdb, &error))
    }

    /// A program of the server's that runs in this directory as `account`, with no more of the environment than it needs.
    pub(crate) fn program(&self, name: &str, account: Option<Account>) -> Command {
        let mut command = pg_client::command(self.installation.program(name));
        if let Some(account) = account {
            account.run(&mut command);
        }
        command.env_clear().env("LC_ALL", "C");
        let passed_on = PASSED_ON
            .into_iter()
            .filter_map(|name| Some((name, env::var_os(name)?)));
        command.envs(passed_on).current_dir(self.path());
        command.stdin(Stdio::null()).stdout(Stdio::null());
        command
    }

    /// The account that runs what needs a user with a name; none for the user of this process.
    pub(crate) fn maker(&self) -> Option<Account> {
        self.maker
    }

    /// Gives everything in it to an account; nothing changes where there is none.
    ///
    /// # Errors
    /// [`ErrorKind::Directory`].
    pub(crate) fn give(&self, account: Option<Account>) -> Result<(), Error> {
        account.map_or(Ok(()), |account| account::give(self.path(), account))
    }

    /// Gives everything in it to an account that nothing else runs as; if that cannot be, to the one that ran `initdb`, and
    /// says so. None where the server runs as the user of this process.
    pub(crate) fn hand_over(&self) -> Result<Option<Owner>, Error> {
        let Some(maker) = self.maker else {
            return Ok(None);
        };
        match self.hand_over_to_nobody_else() {
            Ok(account) => Ok(Some(Owner::Alone(account))),
            Err(why) => {
                account::give(self.path(), maker)?;
                let user = maker.user;
                say!("the server runs as user {user}, who may own more on this machine: {why}");
                Ok(Some(Owner::Shared(maker)))
            }
        }
    }

    fn hand_over_to_nobody_else(&self) -> Result<Account, String> {
        let account = account::unused().map_err(|error| error.to_string())?;
        account::give(self.path(), account).map_err(|error| error.to_string())?;
        // Whether it may enter the directory, and run the programs.
        let mut tried = self.program("postgres", Some(account));
        let tried = tried.arg("--version").stderr(Stdio::null()).status();
        match tried {
            Ok(status) if status.success() => Ok(account),
            Ok(status) => Err(format!("user {} cannot run it: {status}", account.user)),
            Err(error) => Err(format!("user {} cannot run it: {error}", account.user)),
        }
    }
}

/// The owner of a server's directory, where this process is root.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Owner {
    /// An account that nothing else runs as.
    Alone(Account),
    /// The account that ran `initdb`, which may own more on this machine.
    Shared(Account),
}

impl Owner {
    pub(crate) fn account(self) -> Account {
        match self {
            Self::Alone(account) | Self::Shared(account) => account,
        }
    }
}
