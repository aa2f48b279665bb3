//! How a server is reached.

mod syntax;

use std::ffi::OsStr;
use std::fmt;
use std::os::unix::ffi::OsStrExt;
use std::process::Command;

use pg_text::PgText;

use crate::{Account, Error, ErrorKind, Version, program};
use syntax::{keyword_pairs, uri_pairs};

/// Keywords whose values must not be seen, and which no environment variable can carry instead.
const SECRETS: [&str; 4] = [
    "sslpassword",
    "oauth_client_secret",
    "scram_client_key",
    "scram_server_key",
];
/// Variables that would lead to another server, or demand what a server on a private socket does not do (PostgreSQL
/// documentation, 34.15 Environment Variables).
const ENVIRONMENT: [&str; 19] = [
    "PGCHANNELBINDING",
    "PGDATABASE",
    "PGGSSENCMODE",
    "PGHOST",
    "PGHOSTADDR",
    "PGLOADBALANCEHOSTS",
    "PGOPTIONS",
    "PGPASSFILE",
    "PGPASSWORD",
    "PGPORT",
    "PGREQUIREAUTH",
    "PGREQUIREPEER",
    "PGREQUIRESSL",
    "PGSERVICE",
    "PGSERVICEFILE",
    "PGSSLMODE",
    "PGSSLNEGOTIATION",
    "PGTARGETSESSIONATTRS",
    "PGUSER",
];
/// The client encoding that every session of ours begins with: the server gives names as the bytes that it has, and takes
/// the bytes that may be in the database. Otherwise the environment, or settings of the server, a role or a database,
/// would have them converted.
const ENCODING: (&str, &str) = ("client_encoding", "SQL_ASCII");
/// Seconds a connection may take to be made, unless the environment says another time.
const CONNECT_TIMEOUT: &str = "20";

/// How a server is reached: what `-d/--dbname` gave, or nothing, then the environment says it
/// (`PGHOST`, `PGUSER`, `PGSERVICE`, …).
///
/// A password in it is never shown and never put on a command line.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Conninfo {
    /// Keyword and value, in the order given; no `dbname`, no `password`.
    options: Vec<(String, PgText)>,
    database: Option<PgText>,
    password: Option<PgText>,
    /// Whether the environment has no say.
    alone: bool,
    /// Whom client programs run as, if that is somebody else.
    account: Option<Account>,
    /// What their sessions begin with, as PGOPTIONS has it; unless the keyword `options` has it.
    settings: PgText,
}

impl Conninfo {
    /// The server on a socket in `directory` (an absolute path), as `user`: whatever the environment says.
    pub fn socket(directory: &str, user: &PgText) -> Self {
        let option = |keyword: &str, value: &PgText| (keyword.to_owned(), value.clone());
        Self {
            options: vec![option("host", &directory.into()), option("user", user)],
            alone: true,
            ..Self::default()
        }
    }

    /// Reads what libpq takes (PostgreSQL documentation, 34.1.1 Connection Strings):
    /// `host=… dbname='…'`, `postgresql://…`, or a bare database name.
    ///
    /// # Errors
    /// What is wrong with it (exit code 2), without the password.
    pub fn parse(text: impl AsRef<OsStr>) -> Result<Self, Error> {
        let text = text.as_ref().as_bytes();
        // What comes from a file or a manifest may have line ends around it, which are no part of any URI.
        let trimmed = text.trim_ascii();
        let uri = trimmed
            .strip_prefix(b"postgresql://")
            .or_else(|| trimmed.strip_prefix(b"postgres://"));
        let pairs = match uri {
            Some(rest) => uri_pairs(rest)?,
            None if text.contains(&b'=') => keyword_pairs(text)?,
            None => vec![("dbname".into(), text.into())],
        };
        let mut conninfo = Self::default();
        for (keyword, value) in pairs {
            match keyword.as_str() {
                _ if value.is_empty() => {}
                "dbname" => conninfo.database = Some(value),
                "password" => conninfo.password = Some(value),
                secret if is_secret(secret) => return Err(secret_option(secret)),
                encoding if encoding == ENCODING.0 => {}
                _ => conninfo.options.push((keyword, value)),
            }
        }
        Ok(conninfo)
    }

    /// The same, with this value of a keyword, which is no secret.
    #[must_use]
    pub fn with_option(mut self, keyword: &str, value: &PgText) -> Self {
        self.options.retain(|(it, _)| it != keyword);
        self.options.push((keyword.into(), value.clone()));
        self
    }

    /// The same, and the client programs that [`Conninfo::command`] makes run as `account` (none: as this process).
    #[must_use]
    pub fn run_as(mut self, account: Option<Account>) -> Self {
        self.account = account;
        self
    }

    /// Whom client programs run as, if that is somebody else.
    pub fn account(&self) -> Option<Account> {
        self.account
    }

    /// The same, and the sessions of the client programs that [`Conninfo::command`] makes begin with these settings of
    /// the server (name and value): they come before those of the database and the role, which count for nothing, and
    /// before anything of the database's is run. The server refuses one that it does not know, or that the role may not
    /// set; a pooler may refuse all.
    #[must_use]
    pub fn with_settings(mut self, settings: &[(&str, PgText)]) -> Self {
        let named = self
            .options
            .iter_mut()
            .rfind(|(keyword, _)| keyword == "options");
        // Behind what is said already: of two the last counts.
        let options = named.map_or(&mut self.settings, |(_, value)| value);
        let mut said = options.as_bytes().to_vec();
        for (name, value) in settings {
            said.extend_from_slice(format!(" -c {name}=").as_bytes());
            for byte in value.as_bytes() {
                // A backslash keeps a space in its option (PostgreSQL documentation, 34.1.2, options).
                if matches!(byte, b'\\' | b' ') {
                    said.push(b'\\');
                }
                said.push(*byte);
            }
        }
        *options = said.into();
        self
    }

    /// The database that it names itself.
    pub fn database(&self) -> Option<&PgText> {
        self.database.as_ref()
    }

    /// The same, whose sessions call themselves `application`: whatever it said itself, or a service or the
    /// environment says.
    #[must_use]
    pub fn named(self, application: &str) -> Self {
        self.with_option("application_name", &application.into())
    }

    /// A conninfo string for `psql -d` and `pg_dump -d` that leads to the database `name`, whatever
    /// characters that has. Without a password: see [`Conninfo::apply`].
    pub fn with_database(&self, name: impl AsRef<[u8]>) -> PgText {
        let mut text = self.without_database();
        push(&mut text, "dbname", name.as_ref());
        text.into()
    }

    fn without_database(&self) -> Vec<u8> {
        let mut text = Vec::new();
        for (keyword, value) in &self.options {
            push(&mut text, keyword, value.as_bytes());
        }
        text
    }

    /// Lets `command` (psql, pg_dump, pg_dumpall) connect to `database`, or to the one that this names,
    /// or (none) to the environment's: adds `--dbname=…` and `--no-password` (there is no terminal to
    /// ask on), and the password to its environment. Also bounds the time that making a connection
    /// takes, unless the environment does.
    pub fn apply(&self, command: &mut Command, database: Option<&[u8]>) {
        self.speaking().lead(command, database);
        command.arg("--no-password");
    }

    /// The client program `name` (psql, pg_dump, pg_dumpall), which connects as
    /// [`Conninfo::apply`] says.
    pub fn command(&self, name: &str, database: Option<&[u8]>) -> Command {
        let mut command = self.program(name);
        self.apply(&mut command, database);
        self.begin_with_settings(&mut command);
        command
    }

    /// The same, for a program that takes the database as an argument, and not with `--dbname` (pg_amcheck).
    pub fn command_on(&self, name: &str, database: impl AsRef<[u8]>) -> Command {
        let mut command = self.program(name);
        let text = self.speaking().with_database(database);
        command.arg(text.as_os_str()).arg("--no-password");
        self.surround(&mut command);
        self.begin_with_settings(&mut command);
        command
    }

    fn begin_with_settings(&self, command: &mut Command) {
        if !self.settings.is_empty() {
            let theirs = std::env::var_os("PGOPTIONS").filter(|_| !self.alone);
            let mut options = theirs.unwrap_or_default();
            options.push(self.settings.as_os_str());
            command.env("PGOPTIONS", options);
        }
    }

    /// The same with the client encoding of all our sessions.
    fn speaking(&self) -> Self {
        let (keyword, encoding) = ENCODING;
        let mut speaking = self.clone();
        speaking.options.push((keyword.into(), encoding.into()));
        speaking
    }

    /// The version of the client program `name` that [`Conninfo::command`] runs.
    ///
    /// # Errors
    /// It is not installed (the hint names the package), or says no version.
    pub fn client_version(&self, name: &str) -> Result<Version, Error> {
        Version::said_by(self.program(name), name)
    }

    pub(crate) fn program(&self, name: &str) -> Command {
        let mut keywords = self.options.iter().map(|(keyword, _)| keyword.as_str());
        let known = keywords.any(|keyword| matches!(keyword, "host" | "hostaddr" | "service"));
        let mut command = program::program(name, known || program::environment_names_host());
        if let Some(account) = &self.account {
            account.run(&mut command);
        }
        command
    }

    /// As [`Conninfo::apply`] for a program that never asks for a password (`pg_isready`, `restore-stream`).
    pub fn lead(&self, command: &mut Command, database: Option<&[u8]>) {
        let text = match database.or(self.database().map(PgText::as_bytes)) {
            Some(name) => self.with_database(name),
            None => self.without_database().into(),
        };
        if !text.is_empty() {
            let option = [b"--dbname=", text.as_bytes()].concat();
            command.arg(OsStr::from_bytes(&option));
        }
        self.surround(command);
    }

    /// What a program that connects has in its environment, and what not.
    fn surround(&self, command: &mut Command) {
        if self.alone {
            for name in ENVIRONMENT {
                command.env_remove(name);
            }
        }
        if let Some(password) = &self.password {
            command.env("PGPASSWORD", password.as_os_str());
        }
        if std::env::var_os("PGCONNECT_TIMEOUT").is_none() {
            command.env("PGCONNECT_TIMEOUT", CONNECT_TIMEOUT);
        }
    }
}

/// Without the password.
impl fmt::Debug for Conninfo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Conninfo")
            .field("options", &self.options)
            .field("database", &self.database)
            .finish_non_exhaustive()
    }
}

fn push(text: &mut Vec<u8>, keyword: &str, value: &[u8]) {
    if !text.is_empty() {
        text.push(b' ');
    }
    text.extend_from_slice(keyword.as_bytes());
    text.extend_from_slice(b"='");
    for byte in value {
        if matches!(byte, b'\\' | b'\'') {
            text.push(b'\\');
        }
        text.push(*byte);
    }
    text.push(b'\'');
}

/// One of these, or a password under a name that libpq would refuse only when it is on the command line.
fn is_secret(keyword: &str) -> bool {
    let keyword = keyword.to_ascii_lowercase();
    keyword.ends_with("password") || keyword.ends_with("passwd") || SECRETS.contains(&&*keyword)
}

fn secret_option(keyword: &str) -> Error {
    Error::new(
        ErrorKind::Usage,
        format!("'{keyword}' in a conninfo would be seen on the command lines of psql and pg_dump"),
    )
    .hint("put it into a connection service file (PGSERVICEFILE) and say 'service=NAME'")
}

#[cfg(test)]
mod tests;
