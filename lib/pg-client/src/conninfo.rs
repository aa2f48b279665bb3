use std::ffi::OsStr;
use std::fmt;
use std::os::unix::ffi::OsStrExt;
use std::process::Command;

use job::Error;
use pg_text::PgText;

use crate::{Account, Version, program};

/// Keywords whose values must not be seen, and which no environment variable can carry instead.
const SECRETS: [&str; 4] = [
    "sslpassword",
    "oauth_client_secret",
    "scram_client_key",
    "scram_server_key",
];
/// What of the environment would lead elsewhere, or be demanded of a server on a socket that asks for nothing
/// (PostgreSQL documentation, 34.15 Environment Variables).
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
/// The keyword for the encoding that a session speaks, and the one that every session of ours begins with: the server hands
/// on the bytes that it has, and takes those that may be in the database. Else settings of the server, a role or a database,
/// and what the environment says, would make other bytes of names.
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
        let uri = text
            .strip_prefix(b"postgresql://")
            .or_else(|| text.strip_prefix(b"postgres://"));
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
    pub fn named(mut self, application: &str) -> Self {
        const NAME: &str = "application_name";
        self.options.retain(|(keyword, _)| keyword != NAME);
        self.options.push((NAME.into(), application.into()));
        self
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
        let (keyword, encoding) = ENCODING;
        let mut speaking = self.clone();
        speaking.options.push((keyword.into(), encoding.into()));
        speaking.lead(command, database);
        command.arg("--no-password");
    }

    /// The client program `name` (psql, pg_dump, pg_dumpall), which connects as
    /// [`Conninfo::apply`] says.
    pub fn command(&self, name: &str, database: Option<&[u8]>) -> Command {
        let mut command = self.program(name);
        self.apply(&mut command, database);
        if !self.settings.is_empty() {
            let theirs = std::env::var_os("PGOPTIONS").filter(|_| !self.alone);
            let mut options = theirs.unwrap_or_default();
            options.push(self.settings.as_os_str());
            command.env("PGOPTIONS", options);
        }
        command
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
    Error::usage(format!(
        "'{keyword}' in a conninfo would be seen on the command lines of psql and pg_dump"
    ))
    .hint("put it into a connection service file (PGSERVICEFILE) and say 'service=NAME'")
}

fn wrong(what: impl fmt::Display) -> Error {
    Error::usage(format!("cannot read the conninfo: {what}"))
}

/// A keyword. It is ASCII: libpq knows no other.
fn keyword(bytes: &[u8]) -> Result<String, Error> {
    let bad = || wrong("a keyword is not of letters, digits and '_'");
    let text = std::str::from_utf8(bytes).map_err(|_| bad())?;
    Ok(text.to_owned())
}

/// The text before and behind the first `separator`.
fn split_once(text: &[u8], separator: u8) -> Option<(&[u8], &[u8])> {
    let at = text.iter().position(|byte| *byte == separator)?;
    Some((&text[..at], &text[at + 1..]))
}

/// `host=x dbname='a\'b'`, as libpq's `conninfo_parse` reads it.
fn keyword_pairs(text: &[u8]) -> Result<Vec<(String, PgText)>, Error> {
    let mut pairs = Vec::new();
    let mut rest = text.trim_ascii_start();
    while !rest.is_empty() {
        let (word, after) =
            split_once(rest, b'=').ok_or_else(|| wrong("a word at its end has no '=' after it"))?;
        let word = word.trim_ascii_end();
        if word.is_empty() || word.iter().any(u8::is_ascii_whitespace) {
            // Not shown: it may be the second word of a password that was not quoted.
            return Err(wrong(
                "a word has no '=' after it (a value with spaces needs '…')",
            ));
        }
        let word = keyword(word)?;
        let (value, after) = value(after.trim_ascii_start(), &word)?;
        pairs.push((word, value.into()));
        rest = after.trim_ascii_start();
    }
    Ok(pairs)
}

/// A value, perhaps quoted, and what comes after it.
fn value<'a>(text: &'a [u8], keyword: &str) -> Result<(Vec<u8>, &'a [u8]), Error> {
    let quoted = text.starts_with(b"'");
    let text = text.strip_prefix(b"'").unwrap_or(text);
    let mut value = Vec::new();
    let mut bytes = text.iter().copied().enumerate();
    while let Some((at, byte)) = bytes.next() {
        match byte {
            b'\\' => value.extend(bytes.next().map(|(_, byte)| byte)),
            b'\'' if quoted => return Ok((value, &text[at + 1..])),
            _ if !quoted && byte.is_ascii_whitespace() => return Ok((value, &text[at..])),
            _ => value.push(byte),
        }
    }
    if quoted {
        return Err(wrong(format_args!(
            "the value of '{keyword}' lacks its closing '"
        )));
    }
    Ok((value, b""))
}

/// `[user[:password]@][host[:port],…][/dbname][?keyword=value&…]`, as libpq's
/// `conninfo_uri_parse_options` reads it.
fn uri_pairs(rest: &[u8]) -> Result<Vec<(String, PgText)>, Error> {
    let mut pairs = Vec::new();
    let mut add = |keyword: &str, value: PgText| pairs.push((keyword.to_owned(), value));
    let is_end = |byte: &u8| matches!(byte, b'/' | b'?');
    let authority_end = rest.iter().position(is_end).unwrap_or(rest.len());
    let (authority, rest) = rest.split_at(authority_end);
    let hosts = match split_once(authority, b'@') {
        Some((user, hosts)) => {
            let (user, password) = split_once(user, b':').unwrap_or((user, b""));
            add("user", decoded(user, "user")?);
            add("password", decoded(password, "password")?);
            hosts
        }
        None => authority,
    };
    let (mut names, mut ports) = (Vec::new(), Vec::new());
    for host in hosts.split(|byte| *byte == b',') {
        let (name, port) = host_and_port(host)?;
        names.push(decoded(name, "host")?);
        ports.push(decoded(port, "port")?);
    }
    add("host", list(&names));
    add("port", list(&ports));
    let (path, query) = split_once(rest, b'?').unwrap_or((rest, b""));
    add(
        "dbname",
        decoded(path.strip_prefix(b"/").unwrap_or(path), "dbname")?,
    );
    let parameters = query.split(|byte| *byte == b'&');
    for parameter in parameters.filter(|parameter| !parameter.is_empty()) {
        let (word, value) = split_once(parameter, b'=')
            .ok_or_else(|| wrong("a query parameter of the URI has no '='"))?;
        let word = keyword(decoded(word, "keyword")?.as_bytes())?;
        match (word.as_str(), decoded(value, &word)?) {
            // For JDBC's sake, as libpq does.
            ("ssl", value) if value == "true" => add("sslmode", "require".into()),
            (word, value) => add(word, value),
        }
    }
    Ok(pairs)
}

fn host_and_port(host: &[u8]) -> Result<(&[u8], &[u8]), Error> {
    let Some(address) = host.strip_prefix(b"[") else {
        return Ok(split_once(host, b':').unwrap_or((host, b"")));
    };
    let (address, port) = split_once(address, b']')
        .ok_or_else(|| wrong("an IPv6 address of the URI lacks its ']'"))?;
    Ok((address, port.strip_prefix(b":").unwrap_or(port)))
}

/// Several hosts or ports in one value; nothing if none of them says anything.
fn list(values: &[PgText]) -> PgText {
    if values.iter().all(PgText::is_empty) {
        return PgText::default();
    }
    PgText::join(values, ",")
}

fn decoded(text: &[u8], what: &str) -> Result<PgText, Error> {
    let bad = || {
        wrong(format_args!(
            "a '%' in the {what} of the URI does not begin a valid %XX"
        ))
    };
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text;
    while let Some((&byte, after)) = rest.split_first() {
        rest = after;
        if byte != b'%' {
            bytes.push(byte);
            continue;
        }
        let digits = after.get(..2).ok_or_else(bad)?;
        let digits = std::str::from_utf8(digits).map_err(|_| bad())?;
        match u8::from_str_radix(digits, 16) {
            Ok(byte) if byte != 0 && !digits.starts_with('+') => bytes.push(byte),
            _ => return Err(bad()),
        }
        rest = &after[2..];
    }
    Ok(bytes.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with(text: &str) -> PgText {
        Conninfo::parse(text).unwrap().with_database("a'b\\c d=e")
    }

    #[test]
    fn the_environment_alone() {
        assert_eq!(Conninfo::default().with_database("x"), "dbname='x'");
    }

    #[test]
    fn any_form_leads_to_any_database() {
        let name = r"dbname='a\'b\\c d=e'";
        assert_eq!(with("mydb"), name);
        assert_eq!(
            with("host=/tmp/x port = 5433 dbname=y"),
            format!("host='/tmp/x' port='5433' {name}")
        );
        assert_eq!(
            with(r"user='o\'b\\x' dbname=''"),
            format!(r"user='o\'b\\x' {name}")
        );
        assert_eq!(with(r"user=a\ b"), format!("user='a b' {name}"));
        assert_eq!(
            with("postgresql://me:pw@h1:1,[::1]:2/db?sslmode=require&ssl=true"),
            format!(
                "user='me' host='h1,::1' port='1,2' sslmode='require' sslmode='require' {name}"
            )
        );
        assert_eq!(
            with("postgres:///db?host=%2Fvar%2Frun"),
            format!("host='/var/run' {name}")
        );
        assert_eq!(with("postgres://"), name);
        assert_eq!(
            with("postgresql://h?application_name=a%20b"),
            format!("host='h' application_name='a b' {name}")
        );
    }

    #[test]
    fn a_name_of_ours_is_the_only_one() {
        let conninfo = Conninfo::parse("host=h application_name=theirs").unwrap();
        assert_eq!(
            conninfo.named("ours").with_database("x"),
            "host='h' application_name='ours' dbname='x'"
        );
    }

    #[test]
    fn its_own_database() {
        for text in [
            "x y",
            "dbname='x y' host=h",
            "postgresql://h/x%20y",
            "postgresql://h?dbname=x%20y",
        ] {
            assert_eq!(
                Conninfo::parse(text).unwrap().database(),
                Some(&"x y".into()),
                "{text}"
            );
        }
        assert_eq!(Conninfo::parse("postgresql://h").unwrap().database(), None);
    }

    #[test]
    fn a_password_goes_by_the_environment() {
        for text in [
            "user=me password=s3cret",
            "password = 's3cret'",
            "postgresql://me:s3cret@h/db",
            "postgresql://me:s3%63ret@h/db",
            "postgresql://h/db?password=s3cret",
        ] {
            let conninfo = Conninfo::parse(text).unwrap();
            let mut command = Command::new("psql");
            conninfo.apply(&mut command, Some(b"x"));
            let shown = format!(
                "{conninfo:?} {} {:?}",
                conninfo.with_database("x"),
                command.get_args()
            );
            assert!(!shown.contains("s3cret"), "{shown}");
            let environment: Vec<_> = command.get_envs().collect();
            assert!(
                environment.contains(&("PGPASSWORD".as_ref(), Some("s3cret".as_ref()))),
                "{text}"
            );
        }
    }

    #[test]
    fn what_cannot_be_read_is_said_without_the_password() {
        for (text, words) in [
            ("password=s3cret s3cret2", "no '='"),
            ("password=s3cret s3cret2 host=x", "no '='"),
            ("password='s3cret", "closing"),
            ("postgresql://me:s3cret%zz@h", "password"),
            ("postgresql://me:s3cret@[::1", "IPv6"),
            ("postgresql://me:s3cret@h?x", "'='"),
            ("sslpassword=s3cret", "sslpassword"),
            ("PASSWORD=s3cret", "PASSWORD"),
            ("host=h pgpasswd=s3cret", "pgpasswd"),
            ("postgresql://h?sslpassword=s3cret", "sslpassword"),
            ("postgresql://h/%00", "dbname"),
            ("postgresql://h/%+1", "dbname"),
            ("postgresql://h/%é", "dbname"),
        ] {
            let error = Conninfo::parse(text).unwrap_err();
            assert!(error.to_string().contains(words), "{text}: {error}");
            assert!(!error.to_string().contains("s3cret"), "{error}");
            assert_eq!(error.exit().code(), 2);
        }
    }

    #[test]
    fn on_a_socket_of_one_s_own_the_environment_has_no_say() {
        let mut command = Command::new("psql");
        Conninfo::socket("/tmp/a b", &"o'b".into()).lead(&mut command, Some(b"x"));
        let told: Vec<_> = command.get_args().collect();
        assert_eq!(told, [r"--dbname=host='/tmp/a b' user='o\'b' dbname='x'"]);
        let gone = |name: &str| command.get_envs().any(|it| it == (name.as_ref(), None));
        assert!(gone("PGHOSTADDR") && gone("PGSERVICE") && gone("PGPASSWORD"));
    }

    #[test]
    fn sessions_begin_with_settings() {
        let options = |conninfo: Conninfo| {
            let command = conninfo.command("psql", Some(b"x"));
            let mut found = command.get_envs().filter(|it| it.0 == "PGOPTIONS");
            found.next().and_then(|it| Some(it.1?.to_owned()))
        };
        let socket = Conninfo::socket("/tmp", &"me".into());
        assert_eq!(options(socket.clone()), None);
        let settings = [("search_path", r"a\ b".into()), ("role", "none".into())];
        assert_eq!(
            options(socket.with_settings(&settings)),
            Some(r" -c search_path=a\\\ b -c role=none".into())
        );
        let named = Conninfo::parse("options='-c role=x' host=h").unwrap();
        let named = named.with_settings(&settings[1..]);
        assert_eq!(
            named.with_database("x"),
            "options='-c role=x -c role=none' host='h' dbname='x'"
        );
        assert_eq!(options(named), None);
    }

    #[test]
    fn an_environment_needs_no_argument() {
        let mut command = Command::new("psql");
        Conninfo::default().lead(&mut command, None);
        assert_eq!(command.get_args().count(), 0);
    }

    #[test]
    fn names_are_bytes() {
        let name = PgText::from(&b"gr\xf6\xdfe"[..]);
        for text in [
            &b"gr\xf6\xdfe"[..],
            b"host=h dbname=gr\xf6\xdfe",
            b"dbname='gr\xf6\\\xdfe' host=h",
            b"postgresql://h/gr\xf6%DFe",
        ] {
            let conninfo = Conninfo::parse(OsStr::from_bytes(text)).unwrap();
            assert_eq!(conninfo.database(), Some(&name), "{name}");
            let mut command = Command::new("psql");
            conninfo.lead(&mut command, None);
            let given = command.get_args().next().unwrap().as_bytes().to_vec();
            assert!(given.ends_with(b"dbname='gr\xf6\xdfe'"), "{given:?}");
        }
    }

    #[test]
    fn the_server_hands_on_the_bytes_that_it_has() {
        for text in ["client_encoding=UTF8 host=h", "host=h"] {
            let mut command = Command::new("psql");
            Conninfo::parse(text).unwrap().apply(&mut command, None);
            let told: Vec<_> = command.get_args().collect();
            assert_eq!(
                told,
                [
                    "--dbname=host='h' client_encoding='SQL_ASCII'",
                    "--no-password"
                ]
            );
        }
    }
}
