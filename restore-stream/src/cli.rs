use std::ffi::OsString;

use azure_blob::Options;
use chrono::{DateTime, TimeDelta, Utc};
use clap::builder::{OsStringValueParser, TypedValueParser};
use clap::{Parser, ValueEnum};
use job::Error;
use pg_client::Account;
use pg_text::PgText;
use store::Store;

const EXAMPLES: &str = "\
BACKUP is a file, a blob's URL, or - for standard input. STORE is a directory or a container's \
URL; then --latest or --before says which of its backups. A newer one that is not good is passed \
over, which is said.

A database is restored beside its name, into restoring_…, and gets its name when every byte \
of it was checked and every statement has succeeded; until then nothing of that name is changed. \
Whoever else connects to it meanwhile is disconnected at the end. \
A database that is there and not empty is refused, unless --replace or --as says otherwise. \
postgres and template1 are restored in place, each in one transaction (their large objects, which take a lock each, \
beside it). Roles that are there are \
left as they are.

Backups of pg_dumpall | gzip are read through; those of pgdump-gz are entered where their index \
says, and --database reads that database only.

What cannot succeed is refused before anything is loaded. A connection pooler such as PgBouncer is \
refused too: connect to PostgreSQL itself.

If anything fails, what was begun is dropped, and nothing that was there is changed; only roles and \
tablespaces that were created stay. A store that has gone is given up after --deadline.

Examples:
  restore-stream \"$STORE\" --latest --list
  restore-stream \"$STORE\" --latest --database jupyterhub --as jupyterhub_check
  restore-stream \"$STORE\" --before '2025-11-23 02:00' --database shop --replace --yes
  restore-stream /backups/postgresql_backup_20251123_020000.sql.gz --jobs 4
  kubectl exec postgres-0 -- cat backup.sql.gz | restore-stream - -d 'host=new user=postgres'

Environment:
  PG…                                how the server is reached (see libpq)
  AZURE_STORAGE_SAS_TOKEN[_FILE]     the token for blobs, or the file that holds it
  TZ                                 the time zone of a TIME that names none";

/// Restores a backup, or one database of it, through psql; or feeds it to a command.
#[derive(Debug, Parser)]
#[command(version, after_help = format!("{EXAMPLES}\n\n{}", job::EXIT_CODES))]
pub(crate) struct Args {
    /// The backup (a file, a blob's URL, -), or the store that it is in
    #[arg(value_name = "BACKUP|STORE")]
    pub(crate) backup: String,

    /// Of a STORE, the newest backup that is good
    #[arg(long, conflicts_with = "before")]
    pub(crate) latest: bool,

    /// Of a STORE, the newest good backup that was started before this moment
    #[arg(long, value_name = "TIME", value_parser = job::time::parse)]
    pub(crate) before: Option<DateTime<Utc>>,

    /// List the backups of the STORE, or what the backup holds, and restore nothing
    #[arg(long, conflicts_with_all = ["command", "replace"])]
    pub(crate) list: bool,

    /// Restore this database only, and no roles
    #[arg(long, value_name = "DB", value_parser = text(), allow_hyphen_values = true)]
    pub(crate) database: Option<PgText>,

    /// Restore it under this name
    #[arg(
        long = "as",
        value_name = "NAME",
        value_parser = text(),
        requires = "database",
        allow_hyphen_values = true
    )]
    pub(crate) name: Option<PgText>,

    /// Leave this database out; may be repeated
    #[arg(
        long,
        value_name = "DB",
        value_parser = text(),
        conflicts_with = "database",
        allow_hyphen_values = true
    )]
    pub(crate) exclude_database: Vec<PgText>,

    /// Give this database its own name before it is filled, and fill it statement by statement as psql does: for an
    /// extension that insists on the name (pg_cron), or more locks than one transaction gets. It must not be there, or be
    /// empty; may be repeated
    #[arg(
        long,
        value_name = "DB",
        value_parser = text(),
        conflicts_with = "globals_only",
        allow_hyphen_values = true
    )]
    pub(crate) in_place: Vec<PgText>,

    /// What to do when a statement fails. After continue each that failed is listed, and the exit code is 1
    #[arg(long, value_name = "ACTION", value_enum, default_value_t = OnError::Stop)]
    pub(crate) on_error: OnError,

    /// Put restored databases in the place of those that are there, whose names are changed to NAME_replaced_…
    #[arg(long)]
    pub(crate) replace: bool,

    /// Close the connections to databases that are replaced
    #[arg(long)]
    pub(crate) force_disconnect: bool,

    /// Drop the databases that were replaced when all has succeeded
    #[arg(long, requires = "replace")]
    pub(crate) drop_old: bool,

    /// Restore so many databases at once
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..=64))]
    pub(crate) jobs: u16,

    /// Do not ask; --replace needs it where there is no terminal
    #[arg(long)]
    pub(crate) yes: bool,

    /// Restore roles and tablespaces only
    #[arg(long, conflicts_with_all = ["no_globals", "database", "exclude_database"])]
    pub(crate) globals_only: bool,

    /// Restore no roles and tablespaces
    #[arg(long)]
    pub(crate) no_globals: bool,

    /// Leave out owners, privileges and all else that names a role: everything belongs to whoever restores it
    #[arg(long)]
    pub(crate) no_owners: bool,

    /// Give roles that are there the attributes and passwords of the backup
    #[arg(long, conflicts_with_all = ["no_globals", "database"])]
    pub(crate) role_passwords: bool,

    /// Read the whole backup through and check it before anything is restored
    #[arg(long)]
    pub(crate) verify_first: bool,

    /// Restore into a server that is older than the backup's all the same
    #[arg(long)]
    pub(crate) older_server: bool,

    /// Say what was done as JSON on standard output
    #[arg(long)]
    pub(crate) json: bool,

    /// How to reach the server: 'host=… user=…', postgresql://…, or a database to connect to first
    /// (another is taken if that is the one to be replaced)
    #[arg(short, long, value_name = "CONNINFO", allow_hyphen_values = true)]
    pub(crate) dbname: Option<OsString>,

    /// Decompress with so many threads [default: the CPUs that this process may use]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=256))]
    threads: Option<u16>,

    /// Stop retrying a request to the service after TIME [default: 15m, 10s for a host that never
    /// answers]
    #[arg(long, value_name = "TIME", value_parser = job::time::parse_duration)]
    deadline: Option<TimeDelta>,

    /// Run psql as this user and group, which only root can ask for: backup-verify's restore test does
    #[arg(long, value_name = "UID:GID", hide = true)]
    pub(crate) psql_user: Option<Account>,

    /// Feed the SQL to this command's standard input instead of to psql; it does not get the variables that hold a
    /// SAS token
    #[arg(
        last = true,
        value_name = "COMMAND",
        conflicts_with_all = ["replace", "name", "in_place", "globals_only", "no_globals", "no_owners", "role_passwords", "dbname", "exclude_database", "json"]
    )]
    pub(crate) command: Vec<OsString>,
}

/// What is done when a statement fails.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum OnError {
    /// Undo what was begun
    Stop,
    /// Go on as psql does
    Continue,
}

/// Names are bytes, as they are typed.
fn text() -> impl TypedValueParser<Value = PgText> {
    OsStringValueParser::new().map(PgText::from)
}

impl Args {
    /// Whether it goes on after a statement that failed.
    pub(crate) fn continues(&self) -> bool {
        self.on_error == OnError::Continue
    }

    /// Whether the database that is to have this name gets it before it is filled.
    pub(crate) fn is_in_place(&self, name: &PgText) -> bool {
        self.in_place.iter().any(|it| name.is_meant_by(it))
    }

    /// How many threads decompress.
    pub(crate) fn threads(&self) -> usize {
        self.threads.map_or_else(job::cpus, usize::from)
    }

    /// What is to be restored, without the token that a URL may have.
    pub(crate) fn label(&self) -> &str {
        match self.backup.split_once('?') {
            Some((url, _)) if url.contains("://") => url,
            _ => &self.backup,
        }
    }

    /// How patient to be with the service.
    pub(crate) fn patience(&self) -> Options {
        let deadline = self.deadline.and_then(|deadline| deadline.to_std().ok());
        let options = match deadline {
            Some(deadline) => Options::default().within(deadline),
            None => Options::default(),
        };
        // Each job reads ranges ahead: together no more than one job alone, if each has two.
        let concurrency = options.concurrency / usize::from(self.jobs);
        Options {
            concurrency: concurrency.max(2),
            ..options
        }
    }

    /// Whether roles and tablespaces are restored.
    pub(crate) fn globals(&self) -> bool {
        !self.no_globals && self.database.is_none()
    }

    /// Whether any database is.
    pub(crate) fn databases(&self) -> bool {
        !self.globals_only
    }

    /// What the parser cannot see.
    pub(crate) fn check(&self) -> Result<(), Error> {
        let store = Store::is_store(&self.backup);
        let chosen = self.latest || self.before.is_some();
        match (store, chosen) {
            (true, false) if !self.list => Err(Error::usage(format!(
                "'{}' is a store: which of its backups?",
                self.label()
            ))
            .hint("say --latest, or --before TIME, or name the backup")),
            (false, true) => Err(Error::usage(format!(
                "--latest and --before choose from a store, and '{}' is one backup",
                self.label()
            ))
            .hint("name the directory or the container instead")),
            _ if self.continues() && self.replace => Err(Error::usage(
                "--replace puts a restored database in the place of another one, and with --on-error continue it may not be whole",
            )
            .hint("restore it beside, with --as NAME, and look at it first")),
            _ if self.continues() && !self.command.is_empty() => Err(Error::usage(
                "--on-error is about statements that psql runs, not a command",
            )),
            _ if self.verify_first && self.backup == "-" => Err(Error::usage(
                "standard input cannot be read twice, as --verify-first wants",
            )),
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_command_line_is_sound() {
        Args::command().debug_assert();
    }

    #[test]
    fn many_jobs_read_no_more_ahead_than_one() {
        let concurrency = |jobs: &str| {
            let args = ["restore-stream", "x.sql.gz", "--jobs", jobs];
            Args::try_parse_from(args).unwrap().patience().concurrency
        };
        assert_eq!(concurrency("1"), Options::default().concurrency);
        assert_eq!(concurrency("5") * 5, concurrency("1"));
        assert_eq!(concurrency("64"), 2);
    }

    #[test]
    fn what_does_not_go_together() {
        for options in [
            &["--as", "x"][..],
            &["--drop-old"],
            &["--latest", "--before", "2025-11-23"],
            &["--globals-only", "--database", "x"],
            &["--list", "--replace"],
            &["--replace", "--", "cat"],
            &["--jobs", "0"],
            &["--before", "yesterday"],
        ] {
            let words = ["restore-stream", "x.sql.gz"].iter().chain(options);
            assert!(Args::try_parse_from(words).is_err(), "{options:?}");
        }
    }

    #[test]
    fn a_store_needs_a_choice_and_a_backup_none() {
        let check = |words: &[&str]| {
            let all = ["restore-stream"].iter().chain(words);
            Args::try_parse_from(all).unwrap().check()
        };
        let directory = std::env::temp_dir();
        let directory = directory.to_str().unwrap();
        assert!(check(&[directory]).is_err());
        assert!(check(&[directory, "--latest"]).is_ok());
        assert!(check(&[directory, "--list"]).is_ok());
        assert!(check(&["x.sql.gz", "--latest"]).is_err());
        assert!(check(&["x.sql.gz"]).is_ok());
        assert!(check(&["-", "--verify-first"]).is_err());
        assert!(check(&["x.sql.gz", "--on-error", "continue"]).is_ok());
        assert!(check(&["x.sql.gz", "--on-error", "continue", "--replace"]).is_err());
        assert!(check(&["x.sql.gz", "--on-error", "continue", "--", "cat"]).is_err());
    }
}
