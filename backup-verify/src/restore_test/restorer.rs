//! `restore-stream`, run as a child.

use std::env;
use std::ffi::{OsStr, OsString};
use std::io::Read;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use chrono::TimeDelta;
use job::{Error, pass_on};
use pg_client::{Child, Ended, Ending, Server};
use pg_text::PgText;
use serde::Deserialize;
use serde::de::DeserializeOwned;

use super::judgement::Failed;

const PROGRAM: &str = "restore-stream";
/// Where it finds its token.
const TOKEN_VARIABLES: [&str; 2] = ["AZURE_STORAGE_SAS_TOKEN", "AZURE_STORAGE_SAS_TOKEN_FILE"];
/// How a line about its progress begins: these are handed on.
const PROGRESS: &str = "restore-stream: restoring '";
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
        name: &'a PgText,
        renamed: Option<&'a PgText>,
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
    failure: Option<Failed>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Database {
    name: String,
    /// Its bytes, where it is shown otherwise.
    name_hex: Option<String>,
    /// None where they came by INSERT.
    rows: Option<u64>,
    left_out: u64,
}

impl What<'_> {
    /// For messages.
    fn words(self) -> String {
        match self {
            Self::Globals => "roles and tablespaces".into(),
            Self::Database { name, .. } => format!("database '{name}'"),
        }
    }
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

    /// Restores into a server, whose database `maintenance` is connected to for all that concerns no database.
    ///
    /// # Errors
    /// Exit code 3 if the backup is to blame, 1 if it could not be done.
    pub(crate) fn restore(
        &self,
        what: What<'_>,
        server: &Server,
        maintenance: &PgText,
    ) -> Result<Done, Error> {
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
            command.arg(option("--psql-user", account.to_string()));
        }
        server
            .conninfo()
            .lead(&mut command, Some(maintenance.as_bytes()));
        let (said, ended) = run::<Done>(command)?;
        match said {
            Some(done) if ended.status.success() => Ok(done),
            Some(Done {
                error: Some(error),
                exit,
                failure,
                ..
            }) => Err(match failure {
                Some(failed) if exit == Some(1) => hinted(failed.error(&what.words()), &ended),
                _ => hinted(judged(what, exit, &error), &ended),
            }),
            _ => Err(ended.into_result().err().map_or_else(
                || Error::failed("restore-stream did not say what it did"),
                Error::from,
            )),
        }
    }

    /// The databases of a backup without an index, which is read through for that.
    ///
    /// # Errors
    /// As [`Restorer::restore`].
    pub(crate) fn databases(&self) -> Result<Vec<PgText>, Error> {
        let mut command = self.command();
        command.arg("--list");
        let (said, ended) = run::<Done>(command)?;
        if ended.status.success() {
            let databases = said.unwrap_or_default().databases.into_iter();
            let name = |it: Database| match it.name_hex {
                Some(hex) => PgText::from_hex(&hex),
                None => Some(it.name.into()),
            };
            let names: Option<_> = databases.map(name).collect();
            return names.ok_or_else(|| Error::failed("restore-stream lists names that are none"));
        }
        let code = ended.status.code().and_then(|code| u8::try_from(code).ok());
        let own = format!("{PROGRAM}: ");
        let words = ended.last_words.iter().find_map(|it| it.strip_prefix(&own));
        match words {
            Some(words) if code == Some(3) => Err(hinted(Error::not_good(words), &ended)),
            Some(words) => Err(hinted(Error::failed(words), &ended)),
            None => Err(ended
                .into_result()
                .err()
                .map_or_else(|| Error::failed("no list"), Error::from)),
        }
    }

    fn command(&self) -> Command {
        let mut command = pg_client::command(&self.program);
        command.arg(&self.backup).arg("--json");
        command.arg(option("--threads", self.threads.to_string()));
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

fn option(name: &str, value: impl AsRef<OsStr>) -> OsString {
    let mut option = OsString::from(name);
    option.push("=");
    option.push(value);
    option
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

/// With the hint that it gave.
fn hinted(error: Error, ended: &Ended) -> Error {
    let mut lines = ended.last_words.iter().rev();
    match lines.find_map(|line| line.strip_prefix("hint: ")) {
        Some(hint) => error.hint(hint),
        None => error,
    }
}

/// The error of a restore in which no statement failed, or not one of the backup's.
fn judged(what: What<'_>, exit: Option<u8>, message: &str) -> Error {
    // It names the database as it is called on the server.
    let own = match what {
        What::Database {
            renamed: Some(renamed),
            ..
        } => format!("database '{renamed}': "),
        _ => format!("{}: ", what.words()),
    };
    let message = message.strip_prefix(&own).unwrap_or(message);
    match exit {
        Some(3) => Error::not_good(format!("{}: {message}", what.words())),
        _ => Error::failed(format!("{} could not be tested: {message}", what.words())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_fails_beside_statements() {
        let what = What::Database {
            name: &"shop".into(),
            renamed: Some(&"backup_verify_1".into()),
            owners: false,
        };
        let cut = judged(what, Some(3), "database 'backup_verify_1': cut");
        assert_eq!(cut.exit().code(), 3);
        assert_eq!(cut.to_string(), "database 'shop': cut");
        for exit in [Some(1), Some(4), None] {
            let error = judged(What::Globals, exit, "the server is a standby");
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
