//! A throwaway PostgreSQL cluster: on a unix socket only, as an unprivileged user, without fsync.

mod initdb;
mod recovery;
mod replication;

use std::ffi::OsStr;
use std::fmt;
use std::fs::{self, File};
use std::io::Write;
use std::os::unix::fs::{MetadataExt, chown};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

pub use replication::REPLICATION;

use crate::watchdog::Watched;
use crate::{Scratch, tool, wait_for};

/// The user that a cluster is made by, and that the tests connect as.
pub const SUPERUSER: &str = "postgres";

/// For throwing away: no durability, little memory, nothing in the background that costs time.
const SETTINGS: &str = "
listen_addresses = ''
fsync = off
synchronous_commit = off
full_page_writes = off
wal_level = minimal
max_wal_senders = 0
max_wal_size = 2GB
shared_buffers = 64MB
autovacuum = off
logging_collector = off
log_checkpoints = off
timezone = 'UTC'
log_timezone = 'UTC'
";

/// The directory in that of a cluster that has locales of its own.
const LOCALES: &str = "locales";

/// A major version of PostgreSQL whose programs are installed.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Version {
    major: u32,
    bin: PathBuf,
}

impl Version {
    /// All that are installed, oldest first: Debian's, and those of `scripts/setup`.
    pub fn installed() -> Vec<Self> {
        let mut found: Vec<Self> = Vec::new();
        for (dir, prefix) in [
            (PathBuf::from("/usr/lib/postgresql"), ""),
            (tool::tools(), "postgresql-"),
        ] {
            for entry in fs::read_dir(dir).into_iter().flatten().flatten() {
                let name = entry.file_name().to_string_lossy().into_owned();
                let major = name.strip_prefix(prefix).and_then(|m| m.parse().ok());
                let bin = entry.path().join("bin");
                if let Some(major) = major
                    && bin.join("initdb").exists()
                    && found.iter().all(|version| version.major != major)
                {
                    found.push(Self { major, bin });
                }
            }
        }
        found.sort();
        found
    }

    /// The newest of Debian's.
    ///
    /// # Panics
    /// When there is none.
    pub fn debian() -> Self {
        Self::installed()
            .into_iter()
            .rfind(|version| version.bin.starts_with("/usr/lib"))
            .expect("PostgreSQL of Debian: run scripts/setup")
    }

    /// The one of this number.
    ///
    /// # Panics
    /// When it is not installed.
    pub fn of(major: u32) -> Self {
        Self::installed()
            .into_iter()
            .find(|version| version.major == major)
            .unwrap_or_else(|| panic!("PostgreSQL {major} is not installed: run scripts/setup"))
    }

    /// Its number: 15.
    pub fn major(&self) -> u32 {
        self.major
    }

    /// The directory of its programs.
    pub fn bin(&self) -> &Path {
        &self.bin
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PostgreSQL {}", self.major)
    }
}

/// A running cluster. It is stopped and removed when it is dropped.
#[derive(Debug)]
pub struct Cluster {
    // Dropped in this order: the server stops before its directory goes.
    server: Option<Watched>,
    version: Version,
    superuser: String,
    server_bin: PathBuf,
    /// What its clock is moved by, as faketime has it (`-121h`).
    clock: Option<&'static str>,
    scratch: Scratch,
}

impl Cluster {
    /// Makes and starts one of Debian's newest version: UTF-8, locale C.
    ///
    /// # Panics
    /// When that fails.
    pub fn start() -> Self {
        Self::of(Version::debian())
    }

    /// Makes and starts one of a version.
    ///
    /// # Panics
    /// When that fails.
    pub fn of(version: Version) -> Self {
        Self::with(version, &[], "")
    }

    /// Makes and starts one with options of its own for `initdb` and lines for `postgresql.conf`.
    ///
    /// # Panics
    /// When that fails.
    pub fn with(version: Version, initdb: &[&str], settings: &str) -> Self {
        Self::made_by(SUPERUSER, version, initdb, settings)
    }

    /// As [`Cluster::with`]; its first superuser has this name.
    ///
    /// # Panics
    /// When that fails.
    pub fn made_by(superuser: &str, version: Version, initdb: &[&str], settings: &str) -> Self {
        Self::made_in(Scratch::new(), superuser, version, initdb, settings)
    }

    /// Makes and starts one of Debian's newest version that says all it says in the language of a locale (`de_DE`), which is
    /// made for it.
    ///
    /// # Panics
    /// When that fails.
    pub fn speaking(locale: &str) -> Self {
        let scratch = Scratch::new();
        let made = Command::new("localedef")
            .args(["-i", locale, "-f", "UTF-8"])
            .arg(scratch.make(LOCALES).join(format!("{locale}.UTF-8")))
            .output()
            .expect("localedef");
        let said = String::from_utf8_lossy(&made.stderr);
        assert!(made.status.success(), "localedef: {}\n{said}", made.status);
        let settings = format!("lc_messages = '{locale}.UTF-8'");
        Self::made_in(scratch, SUPERUSER, Version::debian(), &[], &settings)
    }

    fn made_in(
        scratch: Scratch,
        superuser: &str,
        version: Version,
        initdb: &[&str],
        settings: &str,
    ) -> Self {
        own(&scratch.make("socket"));
        let data = scratch.join("data");
        let server_bin = for_server(&version.bin, &scratch);
        let mut arguments = vec!["--username", superuser, "--auth=trust"];
        arguments.extend(["--encoding=UTF8", "--no-locale"]);
        arguments.extend(initdb);
        initdb::initdb(&version, &server_bin, &arguments, &data);
        let conf = data.join("postgresql.conf");
        let lines = format!("{SETTINGS}{settings}\n");
        let mut conf = File::options()
            .append(true)
            .open(conf)
            .expect("postgresql.conf");
        conf.write_all(lines.as_bytes()).expect("postgresql.conf");
        let mut cluster = Self {
            server: None,
            version,
            superuser: superuser.to_owned(),
            server_bin,
            clock: None,
            scratch,
        };
        cluster.go();
        cluster
    }

    /// Starts the server (again), and waits until it answers.
    ///
    /// # Panics
    /// When it does not.
    pub fn go(&mut self) {
        let log = File::create(self.log()).expect("a log");
        let postgres = self.server_bin.join("postgres");
        let mut command = match self.clock {
            None => as_server(&postgres),
            Some(offset) => {
                // Not before it is the server's user, to whom what the library makes is to belong.
                let mut command = as_server(Path::new("env"));
                command.args(tool::moved_clock(offset)).arg(postgres);
                command
            }
        };
        command
            .arg("-D")
            .arg(self.scratch.join("data"))
            // Not in postgresql.conf, which a standby copies.
            .arg("-c")
            .arg(format!(
                "unix_socket_directories={}",
                self.socket().display()
            ))
            .current_dir("/")
            .stdin(Stdio::null())
            .stdout(log.try_clone().expect("a log"))
            .stderr(log);
        let locales = self.scratch.join(LOCALES);
        if locales.exists() {
            command.env("LOCPATH", locales);
        }
        // SIGQUIT: at once, nobody needs its data any more.
        let mut server = Watched::start(&mut command, "QUIT");
        wait_for("the server", || {
            if let Ok(Some(status)) = server.child().try_wait() {
                panic!("the server ended: {status}\n{}", self.server_log());
            }
            let answer = self.command("psql").args(["-XAtc", "select 1"]).output();
            answer.is_ok_and(|it| it.status.success()).then_some(())
        });
        self.server = Some(server);
    }

    /// Stops the server; the data stay.
    pub fn stop(&mut self) {
        if let Some(mut server) = self.server.take() {
            let pid = server.child().id();
            drop(server);
            tool::forget_moved_clock(pid);
        }
    }

    /// Moves the clock that its server sees when it is started the next time; none is the right time.
    pub fn set_clock(&mut self, offset: Option<&'static str>) {
        self.clock = offset;
    }

    /// What the server logged.
    pub fn server_log(&self) -> String {
        fs::read_to_string(self.log()).unwrap_or_default()
    }

    fn log(&self) -> PathBuf {
        self.scratch.join("log")
    }

    /// Its version.
    pub fn version(&self) -> &Version {
        &self.version
    }

    /// The directory of its socket: `PGHOST`.
    pub fn socket(&self) -> PathBuf {
        self.scratch.join("socket")
    }

    /// Replaces pg_hba.conf, which is read before this returns.
    ///
    /// # Panics
    /// When that fails.
    pub fn admit(&self, lines: &str) {
        fs::write(self.scratch.join("data/pg_hba.conf"), lines).expect("pg_hba.conf");
        let loaded = "select pg_conf_load_time()";
        let before = self.sql("postgres", loaded);
        self.sql("postgres", "select pg_reload_conf()");
        wait_for("the new pg_hba.conf", || {
            (self.sql("postgres", loaded) != before).then_some(())
        });
    }

    /// Its directory, for files that belong to it.
    pub fn scratch(&self) -> &Scratch {
        &self.scratch
    }

    /// Makes a directory that the server may write to (a tablespace).
    ///
    /// # Panics
    /// When that fails.
    pub fn server_dir(&self, name: &str) -> PathBuf {
        let dir = self.scratch.make(name);
        own(&dir);
        dir
    }

    /// The environment in which libpq programs reach it, and find their own version in `PATH` first.
    pub fn env(&self) -> Vec<(&'static str, std::ffi::OsString)> {
        vec![
            ("PGHOST", self.socket().into()),
            ("PGPORT", "5432".into()),
            ("PGUSER", self.superuser.as_str().into()),
            ("PGDATABASE", "postgres".into()),
            (
                "PATH",
                tool::path_with(&[tool::programs(), self.version.bin.clone()]),
            ),
        ]
    }

    /// The directory of its data.
    pub fn data(&self) -> PathBuf {
        self.scratch.join("data")
    }

    /// A line of `sh`, run as the server's user, who owns the data.
    pub fn as_owner(&self, line: &str) -> Command {
        let mut command = as_server(Path::new("sh"));
        command
            .args(["-euc", line])
            .envs(self.env())
            .current_dir("/");
        command
    }

    /// A PostgreSQL program (`psql`, `pg_dumpall`) of its version that reaches it.
    pub fn command(&self, program: &str) -> Command {
        let mut command = Command::new(self.version.bin.join(program));
        command.envs(self.env()).stdin(Stdio::null());
        command
    }

    /// Runs SQL in a database, and gives what psql prints, unaligned, without the last line's end.
    ///
    /// # Panics
    /// When the SQL fails.
    pub fn sql(&self, database: &str, sql: &str) -> String {
        let out = self
            .psql(database)
            .arg("-At")
            .stdin(as_stdin(sql.as_bytes()))
            .output();
        let out = out.expect("psql");
        assert!(
            out.status.success(),
            "psql in {database:?}: {}\n{}\n{sql:.2000}",
            out.status,
            String::from_utf8_lossy(&out.stderr)
        );
        let said = String::from_utf8(out.stdout).expect("UTF-8");
        said.trim_end_matches('\n').to_owned()
    }

    /// psql in a database, stopping at the first error.
    pub fn psql(&self, database: &str) -> Command {
        let mut command = self.command("psql");
        command
            .args(["-Xq", "-v", "ON_ERROR_STOP=1"])
            .env("PGDATABASE", database);
        command
    }

    /// What `pg_dumpall` prints, with the same restrict key each time.
    ///
    /// # Panics
    /// When it fails.
    pub fn dump_all<S: AsRef<OsStr>>(&self, args: &[S]) -> Vec<u8> {
        Self::dumped(self.command("pg_dumpall").args(args))
    }

    /// What `pg_dump` prints about one database, whose name is not in it.
    ///
    /// # Panics
    /// When it fails.
    pub fn dump_one(&self, database: &str) -> Vec<u8> {
        Self::dumped(self.command("pg_dump").env("PGDATABASE", database))
    }

    fn dumped(command: &mut Command) -> Vec<u8> {
        let command = command.args(["--restrict-key", RESTRICT_KEY]);
        let out = command.output().expect("a dump");
        let said = String::from_utf8_lossy(&out.stderr);
        assert!(out.status.success(), "{command:?}: {}\n{said}", out.status);
        out.stdout
    }

    /// Its databases, sorted, without the templates.
    pub fn databases(&self) -> Vec<String> {
        let names = self.sql(
            "postgres",
            "select encode(convert_to(datname, 'UTF8'), 'hex') from pg_database where not datistemplate order by datname",
        );
        names.lines().map(unhex).collect()
    }
}

/// The restrict key of all dumps that are compared.
pub const RESTRICT_KEY: &str = "e2e";

fn unhex(hex: &str) -> String {
    let bytes = (0..hex.len() / 2)
        .map(|at| u8::from_str_radix(&hex[2 * at..2 * at + 2], 16).expect("hex"))
        .collect();
    String::from_utf8(bytes).expect("UTF-8")
}

/// A pipe's worth of bytes and more, as a file that is gone already.
pub(crate) fn as_stdin(bytes: &[u8]) -> File {
    use std::io::Seek;
    let mut file = tempfile::tempfile().expect("a temporary file");
    file.write_all(bytes).expect("a temporary file");
    file.rewind().expect("a temporary file");
    file
}

/// The user that the server runs as: it refuses root.
fn server_user() -> Option<&'static (String, u32, u32)> {
    use std::sync::OnceLock;
    static USER: OnceLock<Option<(String, u32, u32)>> = OnceLock::new();
    USER.get_or_init(|| {
        if !rustix::process::geteuid().is_root() {
            return None;
        }
        let passwd = fs::read_to_string("/etc/passwd").expect("/etc/passwd");
        let user = |wanted: &str| {
            passwd.lines().find_map(|line| {
                let fields: Vec<&str> = line.split(':').collect();
                (fields[0] == wanted).then(|| {
                    let number = |at: usize| fields[at].parse().expect("a number");
                    (wanted.to_owned(), number(2), number(3))
                })
            })
        };
        user("postgres").or_else(|| user("nobody"))
    })
    .as_ref()
}

/// A program run as the server's user.
pub(crate) fn as_server(program: &Path) -> Command {
    let Some((user, _, group)) = server_user() else {
        return Command::new(program);
    };
    let mut command = Command::new("setpriv");
    command
        .args(["--reuid", user, "--regid", &group.to_string()])
        .args(["--clear-groups", "--"])
        .arg(program);
    command
}

/// Where the server's user finds the server's programs: the workspace may lie in a directory that nobody but
/// root may enter; then they are copied.
fn for_server(bin: &Path, scratch: &Scratch) -> PathBuf {
    let may_enter = |dir: &Path| fs::metadata(dir).is_ok_and(|it| it.mode() & 0o001 != 0);
    if server_user().is_none() || bin.ancestors().all(may_enter) {
        return bin.to_owned();
    }
    let copied = Command::new("cp")
        .arg("-R")
        .arg(bin.parent().expect("an installation"))
        .arg(scratch.join("postgresql"))
        .status();
    assert!(copied.is_ok_and(|status| status.success()), "cp");
    scratch.join("postgresql/bin")
}

/// Gives a directory to the server's user.
pub(crate) fn own(dir: &Path) {
    if let Some((_, user, group)) = server_user() {
        chown(dir, Some(*user), Some(*group)).expect("chown");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cluster_answers_and_is_gone_afterwards() {
        let cluster = Cluster::start();
        assert_eq!(cluster.sql("postgres", "select 6 * 7"), "42");
        cluster.sql("postgres", "create database \"a 'b\"");
        assert_eq!(cluster.databases(), ["a 'b", "postgres"]);
        assert!(
            cluster
                .dump_all::<&str>(&[])
                .ends_with(b"cluster dump complete\n--\n\n")
        );
        let dir = cluster.scratch().path().to_owned();
        drop(cluster);
        assert!(!dir.exists());
    }
}
