//! How a statement failed: what psql says of it, taken to pieces. The server speaks whatever language it likes; its codes,
//! and psql's own labels, are the same in all.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use dump_text::{Token, tokens};
use job::Error;
use serde::Serialize;

/// What psql is to say, and [`Listener`] reads: codes and places with each error, and the statement after it.
pub(crate) const TELLING: [&str; 2] = ["--set=VERBOSITY=verbose", "--echo-errors"];

/// How many lines of an error a person gets.
const SHOWN: usize = 6;
/// How many lines are kept of each error, and of its statement.
const KEPT: usize = 30;
/// How many words a statement's name has at most: `ALTER TABLE ONLY public.t ADD CONSTRAINT k FOREIGN KEY`.
const NAME_WORDS: usize = 14;
/// Statements that may hold a password anywhere.
const SECRETIVE: [&str; 4] = ["role", "server", "subscription", "user"];
/// What libpq puts before each part of an error (`pqBuildErrorMessage3`), and psql before the statement.
const LABELS: [(&str, Part); 11] = [
    ("LINE ", Part::Line),
    ("DETAIL:", Part::Detail),
    ("HINT:", Part::Detail),
    ("QUERY:", Part::Query),
    ("CONTEXT:", Part::Context),
    ("SCHEMA NAME:", Part::Name),
    ("TABLE NAME:", Part::Name),
    ("COLUMN NAME:", Part::Name),
    ("DATATYPE NAME:", Part::Name),
    ("CONSTRAINT NAME:", Part::Name),
    ("LOCATION:", Part::Location),
];
const STATEMENT: &str = "STATEMENT:";
/// How psql refuses a command in restricted mode.
pub(crate) const RESTRICTED: &str = "backslash commands are restricted";

/// A statement that failed.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub(crate) struct Failure {
    /// How it begins, up to where a secret could be: `CREATE EXTENSION pg_cron`.
    statement: String,
    /// Its code (PostgreSQL documentation, appendix A).
    sqlstate: String,
    /// The server's own words, in its language.
    message: String,
    /// The other lines that are for a person.
    details: Vec<String>,
    /// Whether it failed in something that it set off: a function, the rows of a COPY.
    within: bool,
    /// Where in the server's source: `get_role_oid, acl.c:5185`.
    location: String,
}

impl Failure {
    /// The error that the program ends with.
    pub(crate) fn error(&self) -> Error {
        let lines = self.message.lines().map(str::trim);
        let details = self.details.iter().map(String::as_str);
        let lines: Vec<&str> = lines.chain(details).take(SHOWN).collect();
        let error = Error::failed(format!("{}: {}", self.statement, lines.join("; ")));
        match self.remedy() {
            Some(hint) => error.hint(hint),
            None => error,
        }
    }

    /// What helps against the commonest ones.
    fn remedy(&self) -> Option<&'static str> {
        let about = |words: &str| self.statement.to_ascii_uppercase().starts_with(words);
        let raised_in = |file: &str| self.location.contains(&format!(", {file}:"));
        let says = |name: &str| self.details.iter().any(|line| line.contains(name));
        let code = self.sqlstate.as_str();
        Some(match code {
            "42501" => return None,
            // character_not_in_repertoire, untranslatable_character.
            "22021" | "22P05" => {
                "what is not text in the server's encoding is taken by a server of the backup's: initdb --encoding=…; one database can be restored with --database DB --as NAME --no-owners"
            }
            "53100" => "make room on the server",
            // The server's own hint names it.
            "53200" if says("max_locks_per_transaction") => {
                "raise max_locks_per_transaction on the server and restart it; what is restored in place also goes in several transactions: --in-place NAME"
            }
            "42704" if raised_in("acl.c") || raised_in("user.c") => {
                "restore the roles first, with --globals-only, or create that role"
            }
            _ if raised_in("tablespace.c") || about("SET DEFAULT_TABLESPACE") => {
                "restore the tablespaces first, with --globals-only, or create that tablespace"
            }
            "0A000" | "58P01" if about("CREATE EXTENSION") => {
                "install that extension's package on the server"
            }
            _ if about("CREATE EXTENSION") => {
                "see what the extension wants of its server: a library among shared_preload_libraries, or a database of one certain name (--in-place NAME gives it that from the start, if no database of that name is there, or an empty one)"
            }
            "22023" | "42809" if about("CREATE DATABASE") || about("CREATE COLLATION") => {
                "generate that locale on the server's machine (locale-gen, localedef), and restart the server"
            }
            _ if self.is_lost_without_search_path() => {
                "dumps are restored with an empty search_path, by psql and pg_restore too: give the function one (ALTER FUNCTION … SET search_path = …), and dump again"
            }
            _ => return None,
        })
    }

    /// Whether a function does not find what it names: an undefined table, column, function, type or other object.
    fn is_lost_without_search_path(&self) -> bool {
        let code = self.sqlstate.as_str();
        self.within && matches!(code, "42P01" | "42703" | "42704" | "42883" | "3F000")
    }
}

/// The error of a command of psql's that the backup holds, if it is that.
pub(crate) fn refused_command(error: Error) -> Error {
    let said = error.to_string();
    if !said.contains(RESTRICTED) {
        return error;
    }
    Error::not_good(format!("{said}: the backup holds a command of psql's, which was not carried out"))
        .hint("no dump of pg_dump has one there: see where it came from before anything of it is restored")
}

/// The first statement of a run that failed: what comes after it may have been stopped for it.
#[derive(Debug, Clone, Default)]
pub(crate) struct FirstFailure(Arc<Mutex<Option<Failure>>>);

impl FirstFailure {
    pub(crate) fn note(&self, failure: &Failure) {
        lock(&self.0).get_or_insert_with(|| failure.clone());
    }

    pub(crate) fn get(&self) -> Option<Failure> {
        lock(&self.0).clone()
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A part of what is said of an error.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Part {
    Message,
    /// The line of the statement, or of a function's query, and a mark below it.
    Line,
    Detail,
    Query,
    Context,
    Name,
    Location,
}

/// Reads a psql's standard error, in a thread of its own.
#[derive(Debug, Clone, Default)]
pub(crate) struct Listener(Arc<Mutex<Report>>);

/// The last error or warning that psql told of.
#[derive(Debug, Default)]
struct Report {
    sqlstate: String,
    warning: bool,
    lines: Vec<(Part, String)>,
    statement: Vec<String>,
}

impl Listener {
    /// The next line. What of it is for the person at once: a warning.
    pub(crate) fn hear(&self, line: &str) -> Option<String> {
        lock(&self.0).hear(line)
    }

    /// The statement that failed, if one has. Anything else that psql ends for is none: it names no statement then.
    pub(crate) fn failure(&self) -> Option<Failure> {
        lock(&self.0).failure()
    }

    /// Why the server ended the session, if it said so.
    pub(crate) fn farewell(&self) -> Option<String> {
        lock(&self.0).farewell()
    }
}

impl Report {
    fn hear(&mut self, line: &str) -> Option<String> {
        let part = self.lines.last().map(|it| it.0);
        if !self.statement.is_empty() {
            // psql ends with it, and whatever its lines look like, they are its own.
            self.add_to_statement(line);
            return None;
        }
        // A location is the last that is said of an error: until it has come, all belongs to that, however it looks.
        if matches!(part, None | Some(Part::Location))
            && let Some((severity, code, message)) = head(line)
        {
            let message = format!("{severity}:  {message}");
            let notice = code.starts_with("00");
            let warning = is_warning(severity, code);
            self.warning = warning || notice;
            self.sqlstate = code.to_owned();
            self.lines = vec![(Part::Message, message.clone())];
            return warning.then_some(message);
        }
        if let Some(statement) = line.strip_prefix(STATEMENT)
            && !self.lines.is_empty()
        {
            self.add_to_statement(statement.trim_start());
            return None;
        }
        let part = part?;
        let label = LABELS.iter().find(|(label, _)| line.starts_with(label));
        let next = label.map_or(part, |it| it.1);
        if self.lines.len() < KEPT || next == Part::Location {
            self.lines.push((next, line.to_owned()));
        }
        None
    }

    fn farewell(&self) -> Option<String> {
        let said = self.lines.first().map(|(_, message)| message.clone());
        said.filter(|_| self.statement.is_empty() && !self.warning)
    }

    fn add_to_statement(&mut self, line: &str) {
        if self.statement.len() < KEPT {
            self.statement.push(line.to_owned());
        }
    }

    fn failure(&self) -> Option<Failure> {
        if self.statement.is_empty() {
            return None;
        }
        let statement = name_of(&self.statement.join("\n"));
        let mut words = statement.split_whitespace();
        let secretive = words.nth(1).is_some_and(|word| {
            let word = word.to_ascii_lowercase();
            SECRETIVE.contains(&word.as_str())
        });
        let lines = |wanted: Part| {
            let lines = self.lines.iter().filter(move |(part, _)| *part == wanted);
            lines.map(|(_, line)| line.as_str())
        };
        let message: Vec<&str> = lines(Part::Message).collect();
        let shown = self.lines.iter().filter(|(part, line)| match part {
            Part::Line => !secretive && !line.trim_matches([' ', '^']).is_empty(),
            Part::Detail | Part::Context => true,
            _ => false,
        });
        let location = lines(Part::Location).next().unwrap_or_default();
        let location = location.split_once(':').map_or("", |it| it.1);
        Some(Failure {
            sqlstate: self.sqlstate.clone(),
            message: message.join("\n"),
            details: shown.map(|(_, line)| line.trim().to_owned()).collect(),
            within: self
                .lines
                .iter()
                .any(|(part, _)| matches!(part, Part::Query | Part::Context)),
            location: location.trim().to_owned(),
            statement,
        })
    }
}

/// Whether a message is a warning, by its code or its severity.
pub(crate) fn is_warning(severity: &str, code: &str) -> bool {
    code.starts_with("01") || severity == "WARNING"
}

/// `ERROR:  42P01: relation "t" does not exist`, in any language: severity, code and message.
pub(crate) fn head(line: &str) -> Option<(&str, &str, &str)> {
    let (severity, rest) = line.split_once(":  ")?;
    let (code, message) = rest.split_once(':')?;
    let is_code = code.len() == 5
        && code
            .bytes()
            .all(|it| it.is_ascii_uppercase() || it.is_ascii_digit());
    let is_word = !severity.is_empty() && !severity.contains(':');
    (is_code && is_word).then(|| (severity, code, message.trim_start()))
}

/// What a statement is called for a person: its words up to what it says of its object.
fn name_of(statement: &str) -> String {
    let ends = |token: &Token| match token {
        Token::Text(_) | Token::Symbol(b'(' | b';' | b'=') => true,
        token => ["as", "is", "with"].iter().any(|word| token.is(word)),
    };
    let words = tokens(statement.as_bytes()).take_while(|it| !ends(&it.token));
    let mut name = String::new();
    let mut ended = 0;
    for word in words.take(NAME_WORDS) {
        let Some(text) = statement.get(word.at.clone()) else {
            break;
        };
        // There is nothing around the dot between two names.
        if ended > 0 && word.at.start > ended {
            name.push(' ');
        }
        name.push_str(text);
        ended = word.at.end;
    }
    match name.is_empty() {
        true => "a statement".into(),
        false => name,
    }
}

#[cfg(test)]
mod tests;
