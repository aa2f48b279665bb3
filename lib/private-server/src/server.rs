//! The server itself.

use std::path::Path;
use std::thread;
use std::time::Duration;

use job::OnStop;
use pg_client::{Account, Child, Conninfo, Ending, quote_ident};
use pg_text::PgText;

use crate::directory::{Owner, ServerDirectory};
use crate::private_directory::PrivateDirectory;
use crate::{Error, ErrorKind, account, readiness};

/// What the server adds to the path of its socket's directory.
const SOCKET: &str = "/.s.PGSQL.5432";
/// `sun_path` of unix(7), without the NUL byte at its end.
const LONGEST_SOCKET: usize = 107;
/// Directories with a short path, for a socket whose server's directory has a long one.
const SHORT: [&str; 3] = ["/tmp", "/var/tmp", "/dev/shm"];
/// The pause between two looks at whether the server is ready.
const PAUSE: Duration = Duration::from_millis(20);

/// A running server on a socket that only its user (or root) can reach. When this is dropped, and when a signal stops the
/// program, the server ends at once, without saving anything; whatever it started is killed, and its directory removed.
#[derive(Debug)]
pub struct PrivateServer {
    pub(crate) conninfo: Conninfo,
    /// How it is started.
    pub(crate) options: Vec<String>,
    // Dropped in this order: the server ends, then whatever it started, before its directories go.
    pub(crate) postgres: Option<Child>,
    _leftovers: Option<Leftovers>,
    pub(crate) directory: ServerDirectory,
    _socket: Option<PrivateDirectory>,
}

impl PrivateServer {
    /// Starts a server on the data in a directory, and waits until it takes connections. `settings` override those in the
    /// data's own files. The directory is given to the user that the server runs as.
    ///
    /// # Errors
    /// [`ErrorKind::NotStarted`], in the server's own words; [`ErrorKind::Directory`].
    pub fn start(
        directory: ServerDirectory,
        superuser: &PgText,
        settings: &[(&str, &str)],
    ) -> Result<Self, Error> {
        let options = settings
            .iter()
            .map(|(name, value)| format!("{name}={value}"));
        let mut server = Self::prepared(directory, superuser, options.collect())?;
        server.postgres = Some(server.started()?);
        Ok(server)
    }

    /// A server that is not started yet, on data that are handed over to its user.
    pub(crate) fn prepared(
        directory: ServerDirectory,
        superuser: &PgText,
        mut options: Vec<String>,
    ) -> Result<Self, Error> {
        let owner = directory.hand_over()?;
        let leftovers = owner.and_then(Leftovers::of);
        let account = owner.map(Owner::account);
        let elsewhere = match fits_socket(directory.path()) {
            true => None,
            false => Some(short_directory(directory.prefix(), account)?),
        };
        let socket = elsewhere
            .as_ref()
            .map_or(directory.path(), PrivateDirectory::path);
        let socket = socket.display().to_string();
        // The setting is a list of quoted names.
        let sockets = quote_ident(&socket);
        options.extend(["port=5432".to_owned(), "listen_addresses=".to_owned()]);
        options.push(format!("unix_socket_directories={sockets}"));
        Ok(Self {
            conninfo: Conninfo::socket(&socket, superuser).run_as(account),
            options,
            postgres: None,
            _leftovers: leftovers,
            directory,
            _socket: elsewhere,
        })
    }

    /// How it is reached, by a psql that runs as the server's user.
    pub fn conninfo(&self) -> &Conninfo {
        &self.conninfo
    }

    /// Starts `postgres`, and waits until it is ready, or ends.
    pub(crate) fn started(&self) -> Result<Child, Error> {
        self.started_while(&mut || ())
    }

    /// The same; `waiting` is called again and again meanwhile.
    pub(crate) fn started_while(&self, waiting: &mut dyn FnMut()) -> Result<Child, Error> {
        let failed = |error: pg_client::Error| self.directory.ended(&error);
        let data = self.directory.data();
        let mut postgres = self.directory.program("postgres", self.conninfo.account());
        postgres.arg("-D").arg(&data);
        for option in &self.options {
            postgres.args(["-c", option]);
        }
        let log = self.directory.log();
        let child = Child::spawn_ending(postgres, Ending::SERVER, move |line| log.see(line))
            .map_err(failed)?;
        while !readiness::is_ready(&data)? {
            if child.has_ended() {
                child.wait().map_err(failed)?;
                return Err(Error::new(
                    ErrorKind::NotStarted,
                    "the server ended at once",
                ));
            }
            waiting();
            thread::sleep(PAUSE);
        }
        Ok(child)
    }
}

/// Whether the path of a socket in this directory is one that the system takes.
fn fits_socket(directory: &Path) -> bool {
    directory.as_os_str().len() + SOCKET.len() <= LONGEST_SOCKET
}

fn short_directory(prefix: &str, account: Option<Account>) -> Result<PrivateDirectory, Error> {
    let made = SHORT
        .iter()
        .map(|parent| PrivateDirectory::make(Path::new(parent), prefix, account));
    let made = made.flatten().find(|made| fits_socket(made.path()));
    made.ok_or_else(|| {
        let message = format!(
            "no directory for the server's socket, whose path has at most {LONGEST_SOCKET} bytes"
        );
        Error::new(ErrorKind::Directory, message)
            .hint("take a directory with a shorter path for the server")
    })
}

/// Processes of the server's user, which nothing else runs as, that are left when the server has ended: they are killed.
#[derive(Debug)]
struct Leftovers {
    account: Account,
    on_stop: Option<OnStop>,
}

impl Leftovers {
    fn of(owner: Owner) -> Option<Self> {
        match owner {
            Owner::Alone(account) => Some(Self {
                account,
                on_stop: Some(job::on_stop(move || account::end_all(account))),
            }),
            Owner::Shared(_) => None,
        }
    }
}

impl Drop for Leftovers {
    fn drop(&mut self) {
        // A signal that is ending the program kills them itself.
        drop(self.on_stop.take());
        account::end_all(self.account);
    }
}
