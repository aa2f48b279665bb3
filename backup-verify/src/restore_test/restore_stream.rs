//! `restore-stream`, run as a child.

use std::env;
use std::ffi::{OsStr, OsString};
use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use azure_blob::CREDENTIAL_VARIABLES;
use job::{Error, pass_on};
use pg_client::{Child, Ended, Ending, Server};
use pg_text::PgText;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use wal::SystemId;

use super::failure::Failure;
use super::judgement::FailedStatement;
use crate::moment::Target;

const PROGRAM: &str = "restore-stream";
/// The variable that it finds a token in.
const TOKEN_VARIABLE: &str = "AZURE_STORAGE_SAS_TOKEN";
/// The variable that names a file with one.
const TOKEN_FILE_VARIABLE: &str = "AZURE_STORAGE_SAS_TOKEN_FILE";
/// How lines begin that are handed on: its progress, and which base backups it leaves aside.
const HANDED_ON: [&str; 4] = [
    "restore-stream: restoring '",
    "restore-stream: unpacking '",
    "restore-stream: fetching WAL: ",
    "restore-stream: passed over '",
];

/// A backup that restore-stream restores.
#[derive(Debug)]
pub(crate) struct Restorer {
    program: PathBuf,
    backup: String,
    /// The token that the backup's URL had: no command line may show it.
    token: Option<String>,
    threads: usize,
    /// Its `--jobs`.
    jobs: Option<u16>,
    /// Its `--deadline`.
    deadline: Option<Duration>,
}

/// What is restored of a backup.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Scope<'a> {
    /// Roles and tablespaces.
    Globals,
    /// A database; `renamed` is another name that it gets.
    Database {
        name: &'a PgText,
        renamed: Option<&'a PgText>,
        owners: bool,
    },
}

/// What restore-stream says it did (`--json`).
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct Outcome {
    /// How long it took, in seconds.
    pub(crate) seconds: f64,
    databases: Vec<Database>,
    error: Option<String>,
    exit: Option<u8>,
    failure: Option<FailedStatement>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Database {
    name: String,
    /// The name's bytes, where it is not UTF-8.
    name_hex: Option<String>,
    /// None if they came by INSERT.
    rows: Option<u64>,
    left_out: u64,
}

/// What restore-stream says it did for a recovery (`--json`).
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct Recovery {
    /// The base backup's name.
    pub(crate) base_backup: String,
    /// Bytes of its files.
    pub(crate) bytes: u64,
    error: Option<String>,
    exit: Option<u8>,
}

impl Scope<'_> {
    /// Its name in messages.
    pub(crate) fn words(self) -> String {
        match self {
            Self::Globals => "roles and tablespaces".into(),
            Self::Database { name, .. } => format!("database '{name}'"),
        }
    }
}

impl Outcome {
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
    pub(crate) fn new(address: &str, threads: usize, deadline: Option<Duration>) -> Self {
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
            jobs: None,
            deadline,
        }
    }

    /// Restores with this many sessions.
    pub(crate) fn with_jobs(self, jobs: Option<u16>) -> Self {
        Self { jobs, ..self }
    }

    /// Restores into a server, whose database `maintenance` is connected to for all that concerns no database.
    ///
    /// # Errors
    /// Whether the backup is to blame, or it could not be tested.
    pub(crate) fn restore(
        &self,
        scope: Scope<'_>,
        server: &Server,
        maintenance: &PgText,
    ) -> Result<Outcome, Failure> {
        let mut command = self.command();
        command.arg("--yes");
        if let Some(jobs) = self.jobs {
            command.arg(option("--jobs", jobs.to_string()));
        }
        match scope {
            Scope::Globals => drop(command.arg("--globals-only")),
            Scope::Database {
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
            command.arg(option("--psql-user", account.to_string()));
        }
        server
            .conninfo()
            .lead(&mut command, Some(maintenance.as_bytes()));
        let (said, ended) = run::<Outcome>(command)?;
        let failure = match said {
            Some(outcome) if ended.status.success() => return Ok(outcome),
            Some(Outcome {
                failure: Some(statement),
                exit: Some(1),
                ..
            }) => statement.failure(),
            Some(Outcome {
                error: Some(error),
                exit,
                ..
            }) => judged(scope, exit, &error),
            _ => return Err(unexplained(ended).into()),
        };
        Err(match hint(&ended) {
            Some(hint) => failure.hint(hint),
            None => failure,
        })
    }

    /// Makes the data directory of a cluster that recovers to `target`, with all the WAL that it needs.
    ///
    /// # Errors
    /// Whether the store is to blame, or it could not be tested.
    pub(crate) fn recover(
        &self,
        target: &Target,
        system: SystemId,
        directory: &Path,
    ) -> Result<Recovery, Failure> {
        let mut command = self.command();
        command.arg(option("--at", target.to_string()));
        command.arg(option("--data-dir", directory.as_os_str()));
        command.arg(option("--system", system.to_string()));
        command.arg("--with-wal");
        let (said, ended) = run::<Recovery>(command)?;
        let failure = match said {
            Some(recovery) if ended.status.success() => return Ok(recovery),
            Some(Recovery {
                error: Some(error),
                exit,
                ..
            }) => match exit {
                Some(3) => Failure::not_good(error),
                _ => Error::failed(error).into(),
            },
            _ => return Err(unexplained(ended).into()),
        };
        Err(match hint(&ended) {
            // It does not know that the directory is in one of this program's.
            Some(Error::MAKE_ROOM) => failure.hint(&format!(
                "{}; --work-dir names another directory",
                Error::MAKE_ROOM
            )),
            Some(hint) => failure.hint(hint),
            None => failure,
        })
    }

    /// The databases of a backup without an index, which is read through for that.
    ///
    /// # Errors
    /// Exit code 3 if the backup is to blame, 1 if it could not be read.
    pub(crate) fn databases(&self) -> Result<Vec<PgText>, Error> {
        let mut command = self.command();
        command.arg("--list");
        let (said, ended) = run::<Outcome>(command)?;
        if ended.status.success() {
            let databases = said.unwrap_or_default().databases.into_iter();
            let name = |it: Database| match it.name_hex {
                Some(hex) => PgText::from_hex(&hex),
                None => Some(it.name.into()),
            };
            let names: Option<_> = databases.map(name).collect();
            return names.ok_or_else(|| Error::failed("restore-stream lists names that are none"));
        }
        let own = format!("{PROGRAM}: ");
        let Some(words) = ended.last_words.iter().find_map(|it| it.strip_prefix(&own)) else {
            return Err(unexplained(ended));
        };
        let error = match ended.status.code() {
            Some(3) => Error::not_good(words),
            _ => Error::failed(words),
        };
        Err(error.hint_if_known(hint(&ended)))
    }

    fn command(&self) -> Command {
        let mut command = pg_client::command(&self.program);
        command.arg(&self.backup).arg("--json");
        command.arg(option("--threads", self.threads.to_string()));
        if let Some(deadline) = self.deadline {
            let seconds = format!("{}s", deadline.as_secs());
            command.arg(option("--deadline", &seconds));
        }
        command.stdin(Stdio::null()).stdout(Stdio::piped());
        // It finds the credential as we did. No other child gets these.
        let set = |name: &str| env::var_os(name).filter(|value| !value.is_empty());
        for name in CREDENTIAL_VARIABLES {
            if let Some(value) = set(name) {
                command.env(name, value);
            }
        }
        // The variables come before the URL's token, as in restore-stream itself.
        let is_named = [TOKEN_VARIABLE, TOKEN_FILE_VARIABLE]
            .iter()
            .any(|name| set(name).is_some());
        if let Some(token) = self.token.as_ref().filter(|_| !is_named) {
            command.env(TOKEN_VARIABLE, token);
        }
        command
    }
}

fn option(name: &str, value: impl AsRef<OsStr>) -> OsString {
    let mut option = OsString::from(name);
    option.push("=");
    option.push(value);
    option
}

/// Runs restore-stream to its end: what it printed for programs, and how it ended.
fn run<T: DeserializeOwned>(command: Command) -> Result<(Option<T>, Ended), Error> {
    let mut child = Child::spawn_ending(command, Ending::TIDY, |line| {
        if HANDED_ON.iter().any(|it| line.starts_with(it)) {
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

/// The hint that it gave.
fn hint(ended: &Ended) -> Option<&str> {
    let mut lines = ended.last_words.iter().rev();
    lines.find_map(|line| line.strip_prefix("hint: "))
}

/// The error of a run that did not say what it did.
fn unexplained(ended: Ended) -> Error {
    let silent = || Error::failed("restore-stream did not say what it did");
    ended.into_result().err().map_or_else(silent, Error::from)
}

/// The failure of a restore in which no statement failed.
fn judged(scope: Scope<'_>, exit: Option<u8>, message: &str) -> Failure {
    // The message begins with the database's name on the server.
    let own = match scope {
        Scope::Database {
            renamed: Some(renamed),
            ..
        } => format!("database '{renamed}': "),
        _ => format!("{}: ", scope.words()),
    };
    let message = message.strip_prefix(&own).unwrap_or(message);
    match exit {
        Some(3) => Failure::not_good(message),
        _ => Error::failed(message).into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_fails_beside_statements() {
        let scope = Scope::Database {
            name: &"shop".into(),
            renamed: Some(&"backup_verify_1".into()),
            owners: false,
        };
        let cut = judged(scope, Some(3), "database 'backup_verify_1': cut");
        let cut = cut.error(&scope.words());
        assert_eq!(cut.exit().code(), 3);
        assert_eq!(cut.to_string(), "database 'shop': cut");
        for exit in [Some(1), Some(4), None] {
            let error = judged(Scope::Globals, exit, "the server is a standby");
            let error = error.error(&Scope::Globals.words());
            assert_eq!(error.exit().code(), 1);
            assert_eq!(
                error.to_string(),
                "roles and tablespaces could not be tested: the server is a standby"
            );
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
