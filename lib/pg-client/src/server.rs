use std::ffi::OsStr;
use std::io::{Read, Write};
use std::os::unix::ffi::OsStrExt;
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use job::{Error, say};

use crate::{Child, Conninfo, Version};

/// One row of an answer; NULL is none.
pub type Row = Vec<Option<String>>;

/// Between fields: a byte that no UTF-8 text has. Records end in a NUL byte.
const FIELD: u8 = 0xff;
/// For NULL: no name and no setting is this. psql takes bytes out of it that are not text.
const NULL: &[u8] = b"\x02\x03NULL\x03\x02";

/// A server that is asked through `psql`.
#[derive(Debug, Clone)]
pub struct Server {
    conninfo: Conninfo,
}

impl Server {
    /// The server that `conninfo` leads to; nothing is asked of it yet.
    pub fn new(conninfo: Conninfo) -> Self {
        Self { conninfo }
    }

    /// How it is reached.
    pub fn conninfo(&self) -> &Conninfo {
        &self.conninfo
    }

    /// Waits for a server that is starting, or whose address does not answer yet, at most this long.
    ///
    /// # Errors
    /// It does not answer in time: with psql's own words. Whatever waiting does not help against (a
    /// wrong password, no such database) is no matter here: the first query says it.
    pub fn wait(&self, timeout: Duration) -> Result<(), Error> {
        let started = Instant::now();
        let mut pause = Duration::from_millis(50);
        let mut said = false;
        while !self.is_ready()? {
            let left = timeout.saturating_sub(started.elapsed());
            if left.is_zero() {
                // It says why; or it has come up in this moment.
                return self.execute(None, "");
            }
            if !said {
                say!("waiting for the server (at most {} s)", timeout.as_secs());
                said = true;
            }
            thread::sleep(pause.min(left));
            pause = (pause * 2).min(Duration::from_secs(1));
        }
        Ok(())
    }

    /// Whether a server is there and takes connections; not whether it lets us into any database.
    ///
    /// `pg_isready` tells "starting" and "no answer" from all else without a word in any language.
    ///
    /// # Errors
    /// `pg_isready` cannot be run.
    pub fn is_ready(&self) -> Result<bool, Error> {
        let mut command = self.conninfo.program("pg_isready");
        command.args(["--quiet", "--timeout=5"]);
        self.conninfo.lead(&mut command, None);
        command.stdin(Stdio::null()).stdout(Stdio::null());
        let ended = Child::spawn(command)?.ended()?;
        Ok(!matches!(ended.status.code(), Some(1 | 2)))
    }

    /// Runs `sql` (one statement or several, the rows of all of them) in `database`, or in the one
    /// that the conninfo or the environment names.
    ///
    /// Values come in the encoding of that database: names of databases are bytes, and so they lead
    /// back to where they came from.
    ///
    /// # Errors
    /// With psql's own words; a value that is not UTF-8.
    pub fn query(&self, database: Option<&str>, sql: &str) -> Result<Vec<Row>, Error> {
        ask(self.psql(database), sql)
    }

    pub(crate) fn psql(&self, database: Option<&str>) -> Command {
        let mut command = self.conninfo.command("psql", database);
        command.args(["--no-psqlrc", "--no-align", "--tuples-only", "--quiet"]);
        command.args(["--set=ON_ERROR_STOP=1", "--record-separator-zero"]);
        command
            .arg("--field-separator")
            .arg(OsStr::from_bytes(&[FIELD]));
        command
            .arg("--pset")
            .arg(OsStr::from_bytes(&[b"null=", NULL].concat()));
        command.env("LC_ALL", "C").env_remove("PGCLIENTENCODING");
        command.stdin(Stdio::piped()).stdout(Stdio::piped());
        command
    }

    /// As [`Server::query`] where nothing is asked: CREATE DATABASE, ALTER DATABASE.
    ///
    /// # Errors
    /// With psql's own words.
    pub fn execute(&self, database: Option<&str>, sql: &str) -> Result<(), Error> {
        self.query(database, sql).map(drop)
    }

    /// The server's version.
    ///
    /// # Errors
    /// As [`Server::query`].
    pub fn version(&self, database: Option<&str>) -> Result<Version, Error> {
        let sql = "SELECT current_setting('server_version_num'), current_setting('server_version')";
        let rows = self.query(database, sql)?;
        if let [row] = rows.as_slice()
            && let [Some(number), Some(text)] = row.as_slice()
            && let Ok(number) = number.parse()
        {
            let text = text.clone();
            return Ok(Version { number, text });
        }
        Err(Error::failed("the server says no version"))
    }
}

/// Runs `sql` in a psql of [`Server::psql`].
pub(crate) fn ask(psql: Command, sql: &str) -> Result<Vec<Row>, Error> {
    let mut child = Child::spawn(psql)?;
    // psql reads its input while it answers, and a pipe holds more than any question has.
    let asked = match child.take_stdin() {
        Some(mut stdin) => stdin.write_all(sql.as_bytes()),
        None => Ok(()),
    };
    let mut answer = Vec::new();
    let answered = match child.take_stdout() {
        Some(mut stdout) => stdout.read_to_end(&mut answer).map(drop),
        None => Ok(()),
    };
    child.wait()?;
    asked
        .and(answered)
        .map_err(|error| Error::io("cannot ask psql", &error))?;
    rows(&answer)
}

fn rows(answer: &[u8]) -> Result<Vec<Row>, Error> {
    answer
        .split_inclusive(|byte| *byte == 0)
        .map(|record| {
            let record = record.strip_suffix(&[0]).unwrap_or(record);
            record.split(|byte| *byte == FIELD).map(field).collect()
        })
        .collect()
}

fn field(value: &[u8]) -> Result<Option<String>, Error> {
    if value == NULL {
        return Ok(None);
    }
    let text = std::str::from_utf8(value).map_err(|_| {
        let shown = String::from_utf8_lossy(value).into_owned();
        Error::failed(format!("the server says '{shown}', which is not UTF-8"))
    })?;
    Ok(Some(text.to_owned()))
}

/// A name as SQL takes it: `"a""b"`.
pub fn quote_ident(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

/// A string constant as SQL takes it, whatever `standard_conforming_strings` is: `'a''b'`, `E'a\\b'`.
pub fn quote_literal(text: &str) -> String {
    let quoted = text.replace('\'', "''");
    if quoted.contains('\\') {
        // The space in front keeps an identifier before it apart from the E.
        format!(" E'{}'", quoted.replace('\\', "\\\\"))
    } else {
        format!("'{quoted}'")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_and_fields() {
        let some = |text: &str| Some(text.to_owned());
        assert_eq!(rows(b"").unwrap(), Vec::<Row>::new());
        assert_eq!(rows(b"\0").unwrap(), [[some("")]]);
        assert_eq!(
            rows(b"a\nb\xff\x02\x03NULL\x03\x02\0\xff\xff\0").unwrap(),
            [vec![some("a\nb"), None], vec![some(""), some(""), some("")]]
        );
        assert!(rows(b"\xe9\0").unwrap_err().to_string().contains("UTF-8"));
    }

    #[test]
    fn quotes() {
        assert_eq!(quote_ident("a\"b"), "\"a\"\"b\"");
        assert_eq!(quote_literal("it's"), "'it''s'");
        assert_eq!(quote_literal(r"a\'b"), r" E'a\\''b'");
    }
}
