//! `restore-stream`, run as a child.

use std::env;
use std::ffi::OsString;
use std::io::Read;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use chrono::TimeDelta;
use job::{Error, pass_on};
use pg_client::{Child, Ended, Ending, Server};
use serde::Deserialize;
use serde::de::DeserializeOwned;

const PROGRAM: &str = "restore-stream";
/// Where it finds its token.
const TOKEN_VARIABLES: [&str; 2] = ["AZURE_STORAGE_SAS_TOKEN", "AZURE_STORAGE_SAS_TOKEN_FILE"];
/// How a line about its progress begins: these are handed on.
const PROGRESS: &str = "restore-stream: restoring '";
/// What psql's end tells of an SQL error, in every language (psql's manual page, Exit Status).
const SQL_ERROR: &str = "'psql' failed with exit code 3";
/// SQL errors that are the server's, the user's or somebody's who stopped it, not the backup's: as far as they are in
/// English.
const SERVER_S_OWN: [&str; 35] = [
    // What it was built with, and what is installed beside it.
    "is not available",
    "extension control file",
    "has no installation script",
    "could not access file \"$libdir",
    "could not load library",
    "preload",
    "is not supported by this build",
    "not supported in this build",
    "compression method",
    "unsupported XML feature",
    "unrecognized configuration parameter",
    // Its machine's locales and disks.
    "invalid locale name",
    "invalid LC_C",
    "could not open collator for locale",
    "could not create locale",
    "No space left on device",
    "Disk quota exceeded",
    "Input/output error",
    "Read-only file system",
    "tablespace \"",
    // Its limits.
    "out of memory",
    "out of shared memory",
    "could not resize shared memory",
    "too many clients",
    "too many connections",
    "connection slots",
    "temp_file_limit",
    "deadlock detected",
    // What the role may not do, and what somebody has done.
    "permission denied",
    "must be superuser",
    "must be owner of",
    "canceling statement",
    "terminating connection",
    "being accessed by other users",
    "the database system is",
];

/// A backup that restore-stream restores.
#[derive(Debug)]
pub(crate) struct Restorer {
    program: PathBuf,
    backup: String,
    /// A token that the backup's URL had: no command line shall show it.
    token: Option<String>,
    threads: usize,
    /// How long a request to the service may be tried.
    deadline: Option<TimeDelta>,
}

/// What is restored.
#[derive(Debug, Clone, Copy)]
pub(crate) enum What<'a> {
    /// Roles and tablespaces.
    Globals,
    /// A database, under another name perhaps.
    Database {
        name: &'a str,
        renamed: Option<&'a str>,
        owners: bool,
    },
}

/// What it says it has done.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct Done {
    /// How long it took, in seconds.
    pub(crate) seconds: f64,
    databases: Vec<Database>,
    error: Option<String>,
    exit: Option<u8>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Database {
    name: String,
    /// None where they came by INSERT.
    rows: Option<u64>,
    left_out: u64,
}

impl Done {
    /// How many rows came by COPY.
    pub(crate) fn rows(&self) -> u64 {
        self.databases.iter().filter_map(|it| it.rows).sum()
    }

    /// How many statements that name a role were left out.
    pub(crate) fn left_out(&self) -> u64 {
        self.databases.iter().map(|it| it.left_out).sum()
    }
}

impl Restorer {
    /// `address` names a file or a blob; its query, if it has one, is its token.
    pub(crate) fn new(address: &str, threads: usize, deadline: Option<TimeDelta>) -> Self {
        let beside = env::current_exe().ok().map(|it| it.with_file_name(PROGRAM));
        let url = address.contains("://");
        let (backup, token) = match address.split_once('?') {
            Some((backup, token)) if url => (backup, Some(token)),
            _ => (address, None),
        };
        Self {
            program: beside
                .filter(|it| it.is_file())
                .unwrap_or_else(|| PROGRAM.into()),
            backup: backup.to_owned(),
            token: token.filter(|it| !it.is_empty()).map(str::to_owned),
            threads,
            deadline,
        }
    }

    /// Restores into a server.
    ///
    /// # Errors
    /// Exit code 3 if the backup is to blame, 1 if it could not be done.
    pub(crate) fn restore(&self, what: What<'_>, server: &Server) -> Result<Done, Error> {
        let mut command = self.command();
        command.arg("--yes");
        match what {
            What::Globals => drop(command.arg("--globals-only")),
            What::Database {
                name,
                renamed,
                owners,
            } => {
                command.arg(option("--database", name));
                if let Some(renamed) = renamed {
                    command.arg(option("--as", renamed));
                }
                if !owners {
                    command.arg("--no-owners");
                }
            }
        }
        if let Some(account) = server.conninfo().account() {
            command.arg(option("--psql-user", &account.to_string()));
        }
        server.conninfo().lead(&mut command, Some("postgres"));
        let (said, ended) = run::<Done>(command)?;
        match said {
            Some(done) if ended.status.success() => Ok(done),
            Some(Done {
                error: Some(error),
                exit,
                ..
            }) => Err(judged(exit, error, hint(&ended))),
            _ => Err(ended
                .into_result()
                .err()
                .unwrap_or_else(|| Error::failed("restore-stream did not say what it did"))),
        }
    }

    /// The databases of a backup without an index, which is read through for that.
    ///
    /// # Errors
    /// As [`Restorer::restore`].
    pub(crate) fn databases(&self) -> Result<Vec<String>, Error> {
        let mut command = self.command();
        command.arg("--list");
        let (said, ended) = run::<Done>(command)?;
        if ended.status.success() {
            let databases = said.unwrap_or_default().databases.into_iter();
            return Ok(databases.map(|it| it.name).collect());
        }
        let code = ended.status.code().and_then(|code| u8::try_from(code).ok());
        let own = format!("{PROGRAM}: ");
        let words = ended.last_words.iter().find_map(|it| it.strip_prefix(&own));
        match words {
            Some(words) => Err(judged(code, words.to_owned(), hint(&ended))),
            None => Err(ended
                .into_result()
                .err()
                .unwrap_or_else(|| Error::failed("no list"))),
        }
    }

    fn command(&self) -> Command {
        let mut command = pg_client::command(&self.program);
        command.arg(&self.backup).arg("--json");
        command.arg(option("--threads", &self.threads.to_string()));
        if let Some(deadline) = self.deadline {
            let seconds = format!("{}s", deadline.num_seconds());
            command.arg(option("--deadline", &seconds));
        }
        command.stdin(Stdio::null()).stdout(Stdio::piped());
        // The variables come first, as restore-stream itself would have it. This child alone gets them.
        let mut given = TOKEN_VARIABLES.map(|name| (name, env::var_os(name)));
        if given.iter().all(|(_, value)| value.is_none()) {
            given[0].1 = self.token.as_ref().map(OsString::from);
        }
        for (name, value) in given {
            if let Some(value) = value {
                command.env(name, value);
            }
        }
        command
    }
}

fn option(name: &str, value: &str) -> OsString {
    format!("{name}={value}").into()
}

/// Runs it to its end: what it said to a script, and how it ended.
fn run<T: DeserializeOwned>(command: Command) -> Result<(Option<T>, Ended), Error> {
    let mut child = Child::spawn_ending(command, Ending::TIDY, |line| {
        if line.starts_with(PROGRESS) {
            pass_on(line);
        }
    })?;
    let mut answer = String::new();
    if let Some(mut stdout) = child.take_stdout() {
        stdout
            .read_to_string(&mut answer)
            .map_err(|error| Error::io("cannot hear restore-stream", &error))?;
    }
    let ended = child.ended()?;
    Ok((serde_json::from_str(&answer).ok(), ended))
}

fn hint(ended: &Ended) -> Option<&str> {
    let mut lines = ended.last_words.iter().rev();
    lines.find_map(|line| line.strip_prefix("hint: "))
}

/// Whose fault it is: an error in the SQL of the backup is the backup's, unless it is the server's own.
fn judged(exit: Option<u8>, message: String, hint: Option<&str>) -> Error {
    let sql_error =
        is_of_the_backup(&message) && !SERVER_S_OWN.iter().any(|words| message.contains(words));
    let error = match exit {
        Some(3) => Error::not_good(message),
        _ if sql_error => Error::not_good(message),
        _ => Error::failed(message),
    };
    match hint {
        Some(hint) => error.hint(hint),
        None => error,
    }
}

/// Whether an error is one of the backup's SQL, and not of what restore-stream itself asks of the server.
fn is_of_the_backup(message: &str) -> bool {
    let loaded = |what: &str| {
        what == "roles and tablespaces: " || what.starts_with("database '") && what.ends_with("': ")
    };
    message
        .find(SQL_ERROR)
        .is_some_and(|at| loaded(&message[..at]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whose_fault_it_is() {
        let code = |exit, message: &str| judged(exit, message.into(), None).exit().code();
        assert_eq!(code(Some(3), "cut"), 3);
        assert_eq!(code(Some(1), "cannot read: Connection refused"), 1);
        assert_eq!(code(Some(4), "the server is a standby"), 1);
        assert_eq!(code(None, "killed"), 1);
        let sql = "database 'x': 'psql' failed with exit code 3: psql:<stdin>:7: ";
        assert_eq!(
            code(Some(1), &format!("{sql}FEHLER:  Typ »x« existiert nicht")),
            3
        );
        let own = "the restored databases cannot get their names, and nothing was changed: 'psql' failed with exit code 3: ERROR:  x";
        assert_eq!(code(Some(1), own), 1);
        let role = "roles and tablespaces: 'psql' failed with exit code 3: ERROR:  syntax error";
        assert_eq!(code(Some(1), role), 3);
        for own in [
            "ERROR:  could not extend file: No space left on device",
            "ERROR:  invalid LC_COLLATE locale name: \"de_DE.UTF-8\"",
            "ERROR:  tablespace \"fast\" does not exist",
            "ERROR:  extension \"rare\" is not available",
            "ERROR:  could not open extension control file \"/usr/share/rare.control\": No such file or directory",
            "ERROR:  could not access file \"$libdir/rare\": No such file or directory",
            "ERROR:  ICU is not supported in this build",
            "ERROR:  compression method lz4 not supported",
            "ERROR:  canceling statement due to user request",
            "ERROR:  out of shared memory",
        ] {
            assert_eq!(code(Some(1), &format!("{sql}{own}")), 1, "{own}");
        }
    }

    #[test]
    fn a_url_s_token_is_not_shown() {
        let restorer = Restorer::new("https://a/b/c.sql.gz?sig=s3cret", 1, None);
        let command = restorer.command();
        assert!(!format!("{:?}", command.get_args()).contains("s3cret"));
        assert_eq!(
            Restorer::new("what?.sql.gz", 1, None).backup,
            "what?.sql.gz"
        );
    }
}
