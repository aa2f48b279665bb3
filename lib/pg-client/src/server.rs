use std::io::{Read, Write};
use std::iter::repeat_n;
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use job::say;
use pg_text::PgText;

use crate::{Child, Conninfo, Error, ErrorKind, ServerMessage, Version, random_key};

/// Exit codes of `pg_isready`.
const READY: i32 = 0;
const STARTING: i32 = 1;
const NO_RESPONSE: i32 = 2;
/// psql's exit code when it gets no connection, or loses it.
const BAD_CONNECTION: i32 = 2;

/// One row of an answer; NULL is none.
pub type Row = Vec<Option<PgText>>;

/// What separates the fields of an answer, and what stands for NULL. Both are random, as a name may hold any bytes, and
/// nobody who gives one can guess them. Records end in a NUL byte, which no text has.
#[derive(Debug)]
struct Marks {
    field: String,
    null: String,
}

/// A psql that is asked something.
#[derive(Debug)]
pub(crate) struct Psql {
    command: Command,
    marks: Marks,
}

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
    /// It does not answer in time: with psql's own words. What waiting does not help (a wrong password, no such database)
    /// is left to the first query.
    pub fn wait(&self, timeout: Duration) -> Result<(), Error> {
        let started = Instant::now();
        let mut pause = Duration::from_millis(50);
        let mut said = false;
        while !self.is_ready()? {
            let left = timeout.saturating_sub(started.elapsed());
            if left.is_zero() {
                // It says why; or it has come up in this moment.
                return self.execute::<str>(None, "");
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
        let readiness = self.readiness()?;
        Ok(!matches!(readiness, Some(STARTING | NO_RESPONSE)))
    }

    /// The exit code of `pg_isready`.
    fn readiness(&self) -> Result<Option<i32>, Error> {
        let mut command = self.conninfo.program("pg_isready");
        command.args(["--quiet", "--timeout=5"]);
        self.conninfo.lead(&mut command, None);
        command.stdin(Stdio::null()).stdout(Stdio::null());
        let ended = Child::spawn(command)?.ended()?;
        Ok(ended.status.code())
    }

    /// Runs `sql` (one statement or several, the rows of all of them) in `database`, or in the one
    /// that the conninfo or the environment names.
    ///
    /// The bytes of values are those that the server has, in whatever encoding: so names lead back to where they came
    /// from. `sql` goes there as it is, too: what is in it must be text in that database's encoding.
    ///
    /// # Errors
    /// With psql's own words, and the SQLSTATE of a statement that the server refuses.
    pub fn query<N>(&self, database: Option<&N>, sql: impl AsRef<[u8]>) -> Result<Vec<Row>, Error>
    where
        N: AsRef<[u8]> + ?Sized,
    {
        let answer = self.psql(database)?.ask(sql.as_ref());
        answer.map_err(|error| match error.kind() {
            ErrorKind::Connection => self.explained(error),
            _ => error,
        })
    }

    /// Tells a server that does not answer from one that refuses this connection, without a word in any language.
    fn explained(&self, error: Error) -> Error {
        match self.readiness() {
            Ok(Some(NO_RESPONSE)) => error
                .coded(ErrorKind::Unreachable, None)
                .hint("name the server in PGHOST and PGPORT, or with -d 'host=… port=…'"),
            Ok(Some(READY)) => error.hint(
                "the server is there: if it refuses the role or its password, give the role in PGUSER or with -d 'user=…', and the password in PGPASSWORD or in a file named by PGPASSFILE",
            ),
            _ => error,
        }
    }

    pub(crate) fn psql<N>(&self, database: Option<&N>) -> Result<Psql, Error>
    where
        N: AsRef<[u8]> + ?Sized,
    {
        let marks = Marks::new()?;
        let mut command = self.conninfo.command("psql", database.map(AsRef::as_ref));
        command.args(["--no-psqlrc", "--no-align", "--tuples-only", "--quiet"]);
        command.args(["--set=ON_ERROR_STOP=1", "--record-separator-zero"]);
        command.args(["--field-separator", &marks.field]);
        command.args(["--pset", &format!("null={}", marks.null)]);
        command.arg(ServerMessage::VERBOSE);
        command.stdin(Stdio::piped()).stdout(Stdio::piped());
        Ok(Psql { command, marks })
    }

    /// As [`Server::query`] where nothing is asked: CREATE DATABASE, ALTER DATABASE.
    ///
    /// # Errors
    /// With psql's own words.
    pub fn execute<N>(&self, database: Option<&N>, sql: impl AsRef<[u8]>) -> Result<(), Error>
    where
        N: AsRef<[u8]> + ?Sized,
    {
        self.query(database, sql).map(drop)
    }

    /// The server's version.
    ///
    /// # Errors
    /// As [`Server::query`].
    pub fn version<N>(&self, database: Option<&N>) -> Result<Version, Error>
    where
        N: AsRef<[u8]> + ?Sized,
    {
        let sql = "SELECT current_setting('server_version_num'), current_setting('server_version')";
        let rows = self.query(database, sql)?;
        if let [row] = rows.as_slice()
            && let [Some(number), Some(text)] = row.as_slice()
            && let Some(number) = number.parse()
        {
            let text = text.to_string();
            return Ok(Version { number, text });
        }
        Err(Error::new(
            ErrorKind::Malformed,
            "the server says no version",
        ))
    }
}

impl Psql {
    /// A variable of its environment.
    pub(crate) fn env(mut self, name: &str, value: &str) -> Self {
        self.command.env(name, value);
        self
    }

    /// Runs `sql`.
    pub(crate) fn ask(self, sql: &[u8]) -> Result<Vec<Row>, Error> {
        let mut child = Child::spawn(self.command)?;
        // psql reads its input while it answers, and a pipe holds more than any question has.
        let asked = match child.take_stdin() {
            Some(mut stdin) => stdin.write_all(sql),
            None => Ok(()),
        };
        let mut answer = Vec::new();
        let answered = match child.take_stdout() {
            Some(mut stdout) => stdout.read_to_end(&mut answer).map(drop),
            None => Ok(()),
        };
        let ended = child.ended()?;
        let is_unconnected = ended.status.code() == Some(BAD_CONNECTION);
        ended.into_result().map_err(|error| match error.kind() {
            ErrorKind::Program if is_unconnected => error.coded(ErrorKind::Connection, None),
            _ => error,
        })?;
        asked
            .and(answered)
            .map_err(|error| Error::io(ErrorKind::System, "cannot ask psql", &error))?;
        Ok(self.marks.rows(&answer))
    }
}

impl Marks {
    fn new() -> Result<Self, Error> {
        let key = random_key::<16>()?;
        Ok(Self {
            field: format!("|{key}|"),
            null: format!("null {key}"),
        })
    }

    fn rows(&self, answer: &[u8]) -> Vec<Row> {
        let records = answer.split_inclusive(|byte| *byte == 0);
        records.map(|record| self.row(record)).collect()
    }

    fn row(&self, record: &[u8]) -> Row {
        let mut rest = record.strip_suffix(&[0]).unwrap_or(record);
        let mut row = Vec::new();
        let mark = self.field.as_bytes();
        while let Some(at) = rest.windows(mark.len()).position(|bytes| bytes == mark) {
            row.push(self.field(&rest[..at]));
            rest = &rest[at + mark.len()..];
        }
        row.push(self.field(rest));
        row
    }

    fn field(&self, value: &[u8]) -> Option<PgText> {
        (value != self.null.as_bytes()).then(|| value.into())
    }
}

/// A name as SQL takes it: `"a""b"`.
pub fn quote_ident(name: impl AsRef<[u8]>) -> PgText {
    let quoted = doubled(name.as_ref(), b"\"");
    [b"\"", quoted.as_slice(), b"\""].concat().into()
}

/// A string constant as SQL takes it, whatever `standard_conforming_strings` is: `'a''b'`, `E'a\\b'`.
pub fn quote_literal(text: impl AsRef<[u8]>) -> PgText {
    let text = text.as_ref();
    let quoted = doubled(text, b"'\\");
    // The space in front keeps an identifier before it apart from the E.
    let begin: &[u8] = match text.contains(&b'\\') {
        true => b" E'",
        false => b"'",
    };
    [begin, &quoted, b"'"].concat().into()
}

/// Some SQL, in which each `{}` of the template stands for the next of the texts.
pub fn sql(template: &str, texts: &[&PgText]) -> PgText {
    let mut texts = texts.iter();
    let mut filled = Vec::new();
    for (at, part) in template.split("{}").enumerate() {
        if at > 0 {
            filled.extend_from_slice(texts.next().map_or(b"", |text| text.as_bytes()));
        }
        filled.extend_from_slice(part.as_bytes());
    }
    filled.into()
}

fn doubled(text: &[u8], which: &[u8]) -> Vec<u8> {
    let times = |byte| 1 + usize::from(which.contains(byte));
    let bytes = text.iter();
    bytes
        .flat_map(|byte| repeat_n(*byte, times(byte)))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_and_fields() {
        let some = |bytes: &[u8]| Some(PgText::from(bytes));
        let marks = Marks::new().unwrap();
        let Marks { field, null } = &marks;
        assert_eq!(marks.rows(b""), Vec::<Row>::new());
        assert_eq!(marks.rows(b"\0"), [[some(b"")]]);
        let answer = format!("a\nb{field}{null}\0{field}{field}\0");
        assert_eq!(
            marks.rows(answer.as_bytes()),
            [
                vec![some(b"a\nb"), None],
                vec![some(b""), some(b""), some(b"")]
            ]
        );
        // Any bytes are a value, and another question's marks too.
        let other = Marks::new().unwrap();
        let (mark, null) = (other.field.as_bytes(), other.null.as_bytes());
        let odd = [b"\xff\xe9|", mark, null].concat();
        let answer = [&odd, field.as_bytes(), b"\xff\0"].concat();
        assert_eq!(marks.rows(&answer), [[some(&odd), some(b"\xff")]]);
    }

    #[test]
    fn quotes() {
        assert_eq!(quote_ident("a\"b"), "\"a\"\"b\"");
        assert_eq!(quote_literal("it's"), "'it''s'");
        assert_eq!(quote_literal(r"a\'b"), r" E'a\\''b'");
        assert_eq!(quote_ident(b"\xf6\"").as_bytes(), b"\"\xf6\"\"\"");
        assert_eq!(quote_literal(b"\xf6'").as_bytes(), b"'\xf6'''");
    }

    #[test]
    fn texts_in_sql() {
        let name = PgText::from(&b"\xf6{}"[..]);
        let filled = sql("a {} {} b", &[&name, &name]);
        assert_eq!(filled.as_bytes(), b"a \xf6{} \xf6{} b");
    }
}
