use std::ffi::OsString;
use std::time::Duration;

use azure_blob::Options;
use chrono::{DateTime, Utc};
use clap::builder::{OsStringValueParser, TypedValueParser};
use clap::{ArgGroup, Parser, ValueEnum};
use job::Error;
use pg_client::Account;
use pg_text::PgText;
use store::Store;

use recovery::RecoveryArgs;
use restore_command::WalArgs;

// The paths are the same for the crate that makes the man pages.
#[path = "cli/recovery.rs"]
pub(crate) mod recovery;
#[path = "cli/restore_command.rs"]
mod restore_command;

// Each paragraph is one line, which clap wraps to the terminal's width; other lines fit in 80 columns.
const MORE: &str = "\
BACKUP is a file, a blob's URL, or - for standard input. STORE is a directory or a container's URL; \
--latest or --before chooses one of its backups. A newer backup that is not good is passed over, with a \
warning.

Each database is restored beside its name, into restoring_…, and gets its name once every byte was \
checked and every statement succeeded. Until then no database of that name is changed; whoever else \
connects to restoring_… is disconnected at the end. A database that exists and is not empty is refused, \
unless --replace or --as is given. postgres and template1 are restored in place, each in one transaction \
(their large objects, which take a lock each, outside of it). Roles that exist are left as they are.

Backups of pg_dumpall | gzip are read from the beginning. Those of pgdump-gz have an index: --database \
reads that database only, --table that table and the definitions.

What cannot succeed is refused before anything is loaded. A connection pooler such as PgBouncer is \
refused too: connect to PostgreSQL itself.

If anything fails, what was begun is dropped, and nothing that existed before is changed; only roles and \
tablespaces that were created stay. A store that stops answering is given up after --deadline.

With --at, the cluster comes back as it was at that moment: from the newest base backup (pgdump-gz --base) that \
was whole before, and the WAL that was archived after it. Whether it leads there is checked before anything is \
written; if not, the exit code is 3, and the moments that can be reached are said. Each file is checked against the \
base backup's manifest. The token needs sp=rl.

--at with --database restores one database of that moment, as one of a dump is restored. A private server of the base \
backup's major version recovers the cluster in --work-dir, the database is dumped from it (by pgdump-gz), and the \
server is gone. With --data-dir the whole cluster comes into a data directory. The server replays the WAL when it is \
started, and does not archive.

With --wal, restore-stream is PostgreSQL's restore_command. PostgreSQL takes exit codes 1 to 125 for the end \
of the WAL, and stops at any above. So --wal has exit codes of its own: 0 the file is there, whole; 1 it is \
absent, which the store itself said; 201 failed; 202 wrong usage; 203 damaged, or a hole: later WAL of the \
timeline is there; 204 refused. The token needs sp=rl.

Examples:
  restore-stream \"$STORE\" --latest --list
  restore-stream \"$STORE\" --latest --database jupyterhub --as jupyterhub_check
  restore-stream \"$STORE\" --before '2025-11-23 02:00' --database shop --replace
  restore-stream \"$STORE\" --latest --database shop --table log --into-table old
  restore-stream /backups/postgresql_backup_20251123_020000.sql.gz --jobs 4
  restore-stream \"$STORE\" --at '2025-11-23 01:59:30Z' --database shop --as shop_0159
  restore-stream \"$STORE\" --at '2025-11-23 01:59:30Z' --data-dir /srv/pgdata
  restore_command = 'restore-stream https://…/backups --wal \"%f\" --to \"%p\"'
  kubectl exec postgres-0 -- cat backup.sql.gz | restore-stream - -d 'host=new'

Environment:
  PG…                             how to reach the server (libpq)
  AZURE_STORAGE_SAS_TOKEN[_FILE]  the SAS token, or the file that holds it
  AZURE_FEDERATED_TOKEN_FILE, AZURE_CLIENT_ID, AZURE_TENANT_ID
                                  workload identity, where there is no token
  AZURE_STORAGE_AUTH              sas, workload-identity or managed-identity:
                                  use that and nothing else
  TZ                              time zone of a TIME that names none";

/// Restores a backup, or one database of it, through psql; or feeds it to a command.
#[derive(Debug, Parser)]
#[command(
    name = "restore-stream",
    version = version::VERSION,
    max_term_width = 100,
    // Where a recovery goes.
    group = ArgGroup::new("recovered").args(["data_dir", "database"]),
    after_help = "More options, examples, environment and exit codes: --help",
    after_long_help = format!("{MORE}\n\n{}", job::EXIT_CODES)
)]
pub(crate) struct Args {
    /// Backup (a file, a blob's URL, -), or the store that holds it
    #[arg(value_name = "BACKUP|STORE")]
    pub(crate) backup: String,

    /// List a store's backups, or a backup's contents; restore nothing
    #[arg(long, conflicts_with_all = ["command", "replace"])]
    pub(crate) list: bool,

    /// Do not ask; needed by --replace where there is no terminal
    #[arg(long)]
    pub(crate) yes: bool,

    /// Print a JSON report on standard output
    #[arg(long)]
    pub(crate) json: bool,

    /// Newest good backup of the store
    #[arg(long, conflicts_with = "before", help_heading = "Which backup")]
    pub(crate) latest: bool,

    /// Newest good backup started before TIME
    #[arg(
        long,
        value_name = "TIME",
        value_parser = job::time::parse,
        help_heading = "Which backup"
    )]
    pub(crate) before: Option<DateTime<Utc>>,

    /// Check the whole backup before restoring anything
    #[arg(long, hide_short_help = true, help_heading = "Which backup")]
    pub(crate) verify_first: bool,

    /// Restore this database only, without roles
    #[arg(
        long,
        value_name = "DB",
        value_parser = text(),
        allow_hyphen_values = true,
        help_heading = "What to restore"
    )]
    pub(crate) database: Option<PgText>,

    /// With --database: restore it under this name
    #[arg(
        long = "as",
        value_name = "NAME",
        value_parser = text(),
        requires = "database",
        allow_hyphen_values = true,
        help_heading = "What to restore"
    )]
    pub(crate) name: Option<PgText>,

    /// With --database: this table's rows only
    ///
    /// May be repeated. With --as, the new database has the whole schema, and rows in these tables. A foreign key to a
    /// table without all its rows is left out, and said. With a command, it gets the tables' COPY statements and rows. A
    /// partitioned table stands for its partitions. Patterns are those of pg_dump: schema.table, *, ?, "Quoted".
    #[arg(
        long,
        value_name = "NAME",
        value_parser = text(),
        requires = "database",
        conflicts_with = "replace",
        allow_hyphen_values = true,
        help_heading = "What to restore"
    )]
    pub(crate) table: Vec<PgText>,

    /// With --table: into this new table, beside it
    ///
    /// The table is created beside the others, as the backup has it, but without indexes, foreign keys, defaults from
    /// sequences and privileges; all in one transaction. The rows of all partitions go into one table. The schema is
    /// that of the backup's table, if none is said.
    #[arg(
        long,
        value_name = "NAME",
        value_parser = text(),
        requires = "table",
        conflicts_with_all = ["name", "replace", "in_place", "json"],
        allow_hyphen_values = true,
        help_heading = "What to restore"
    )]
    pub(crate) into_table: Option<PgText>,

    /// With --database: definitions only, no rows
    #[arg(
        long,
        requires = "database",
        conflicts_with_all = ["table", "exclude_table_data", "replace"],
        hide_short_help = true,
        help_heading = "What to restore"
    )]
    pub(crate) schema_only: bool,

    /// With --database: all but the rows of this table; may be repeated
    #[arg(
        long,
        value_name = "PATTERN",
        value_parser = text(),
        requires = "database",
        conflicts_with_all = ["table", "globals_only"],
        hide_short_help = true,
        allow_hyphen_values = true,
        help_heading = "What to restore"
    )]
    pub(crate) exclude_table_data: Vec<PgText>,

    /// Leave this database out; may be repeated
    #[arg(
        long,
        value_name = "DB",
        value_parser = text(),
        conflicts_with = "database",
        allow_hyphen_values = true,
        help_heading = "What to restore"
    )]
    pub(crate) exclude_database: Vec<PgText>,

    /// Restore roles and tablespaces only
    #[arg(
        long,
        conflicts_with_all = ["no_globals", "database", "exclude_database"],
        help_heading = "What to restore"
    )]
    pub(crate) globals_only: bool,

    /// Leave out roles and tablespaces
    #[arg(long, help_heading = "What to restore")]
    pub(crate) no_globals: bool,

    /// Leave out owners and privileges
    ///
    /// All else that names a role is left out too. Everything belongs to whoever restores it.
    #[arg(long, hide_short_help = true, help_heading = "What to restore")]
    pub(crate) no_owners: bool,

    /// Give existing roles the backup's attributes and passwords
    #[arg(
        long,
        conflicts_with_all = ["no_globals", "database"],
        hide_short_help = true,
        help_heading = "What to restore"
    )]
    pub(crate) role_passwords: bool,

    /// Replace databases; the old ones become NAME_replaced_…
    #[arg(long, help_heading = "Existing databases")]
    pub(crate) replace: bool,

    /// With --replace: drop the old databases after success
    #[arg(
        long,
        requires = "replace",
        hide_short_help = true,
        help_heading = "Existing databases"
    )]
    pub(crate) drop_old: bool,

    /// Close connections to databases that are replaced
    #[arg(long, help_heading = "Existing databases")]
    pub(crate) force_disconnect: bool,

    /// Server: 'host=…', postgresql://…, or a database
    ///
    /// A database is the one to connect to first; another one is taken if it is to be replaced.
    #[arg(
        short,
        long,
        value_name = "CONNINFO",
        allow_hyphen_values = true,
        help_heading = "How to restore"
    )]
    pub(crate) dbname: Option<OsString>,

    /// Restore with N sessions at once
    ///
    /// They share the databases, and the tables and indexes of each, if the backup has an index and maps. Each takes 3 MiB of
    /// memory and a connection.
    #[arg(
        long,
        value_name = "N",
        default_value_t = 1,
        value_parser = clap::value_parser!(u16).range(1..=64),
        help_heading = "How to restore"
    )]
    pub(crate) jobs: u16,

    /// On a failed statement: stop, continue
    ///
    /// With continue, psql goes on; each statement that failed is listed, and the exit code is 1.
    #[arg(
        long,
        value_name = "ACTION",
        value_enum,
        hide_possible_values = true,
        default_value_t = OnError::Stop,
        help_heading = "How to restore"
    )]
    pub(crate) on_error: OnError,

    /// Fill this database under its own name
    ///
    /// It is filled statement by statement: for an extension that insists on the database's name (pg_cron), or a database that needs more locks
    /// than one transaction gets. The database must not exist, or be empty. May be repeated.
    #[arg(
        long,
        value_name = "DB",
        value_parser = text(),
        conflicts_with = "globals_only",
        allow_hyphen_values = true,
        hide_short_help = true,
        help_heading = "How to restore"
    )]
    pub(crate) in_place: Vec<PgText>,

    /// Restore even if the server is older than the backup's
    #[arg(long, hide_short_help = true, help_heading = "How to restore")]
    pub(crate) older_server: bool,

    /// Decompress with N threads [default: the CPUs available]
    #[arg(
        long,
        value_name = "N",
        value_parser = clap::value_parser!(u16).range(1..=256),
        hide_short_help = true,
        help_heading = "How to restore"
    )]
    threads: Option<u16>,

    /// Stop retrying a request after this long [default: 15m]
    ///
    /// A host that has never answered is given up after 10s.
    #[arg(
        long,
        value_name = "TIME",
        value_parser = job::time::parse_wait,
        hide_short_help = true,
        help_heading = "How to restore"
    )]
    deadline: Option<Duration>,

    /// What N sessions share, in an order that comes of this number: for tests
    #[arg(long, value_name = "SEED", hide = true)]
    pub(crate) unit_order: Option<u64>,

    /// Run psql as this user and group, which only root can: for backup-verify's restore test
    #[arg(long, value_name = "UID:GID", hide = true)]
    pub(crate) psql_user: Option<Account>,

    /// Feed the SQL to this command instead of psql
    ///
    /// The SQL is its standard input. It does not get the variables that hold a store's credential.
    #[arg(
        last = true,
        value_name = "COMMAND",
        conflicts_with_all = ["replace", "name", "in_place", "schema_only", "exclude_table_data", "into_table", "globals_only", "no_globals", "no_owners", "role_passwords", "dbname", "exclude_database", "json"]
    )]
    pub(crate) command: Vec<OsString>,

    // Last: their headings are for all that follows.
    #[command(flatten)]
    pub(crate) recovery: RecoveryArgs,

    #[command(flatten)]
    pub(crate) wal: WalArgs,
}

/// What is done when a statement fails.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum OnError {
    /// Undo everything and stop
    Stop,
    /// Go on, as psql does
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
        let options = Options::default().within(self.deadline);
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
        if self.recovery.data_dir.is_some() {
            return Err(Error::usage("--data-dir does not say to which moment")
                .hint("say --at TIME, --at end, or --target"));
        }
        let recovers = self.recovery.target().is_some();
        if !recovers && (self.recovery.exclusive || self.recovery.timeline.is_some()) {
            return Err(Error::usage(
                "--exclusive and --timeline are for --at and --target",
            ));
        }
        if !recovers && (self.recovery.work_dir.is_some() || self.recovery.pg_bindir.is_some()) {
            return Err(Error::usage(
                "--work-dir and --pg-bindir are for --at and --target",
            ));
        }
        if self.wal.system.is_some() && self.wal.wal.is_none() && !recovers {
            return Err(Error::usage("--system is for --at, --target and --wal"));
        }
        let goes_somewhere =
            self.name.is_some() || self.into_table.is_some() || !self.command.is_empty();
        if !self.table.is_empty() && !goes_somewhere {
            return Err(Error::usage("--table does not say where its rows go").hint(
                "name a new database with --as, a new table with --into-table, or a command after --",
            ));
        }
        if self.into_table.is_some() && self.table.len() > 1 {
            return Err(Error::usage("--into-table takes the rows of one --table"));
        }
        let store = Store::is_store(&self.backup);
        let chosen = self.latest || self.before.is_some() || recovers;
        match (store, chosen) {
            (true, false) if !self.list => Err(Error::usage(format!(
                "'{}' is a store: which of its backups?",
                self.label()
            ))
            .hint("say --latest, or --before TIME, or name the backup")),
            (false, true) if recovers => Err(Error::usage(format!(
                "'{}' is no store: base backups and WAL come from a directory or a container",
                self.label()
            ))),
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
            &["--table", "t"],
            &["--schema-only"],
            &["--database", "x", "--table", "t", "--schema-only"],
            &["--database", "x", "--table", "t", "--replace"],
            &[
                "--database",
                "x",
                "--table",
                "t",
                "--exclude-table-data",
                "u",
            ],
            &["--list", "--replace"],
            &["--replace", "--", "cat"],
            &["--jobs", "0"],
            &["--at", "end"],
            &["--target", "lsn:0/1"],
            &["--with-wal"],
            &["--at", "end", "--database", "x", "--with-wal"],
            &["--at", "end", "--database", "x", "--latest"],
            &["--at", "end", "--database", "x", "--list"],
            &["--at", "end", "--data-dir", "d", "--work-dir", "d"],
            &["--at", "end", "--data-dir", "d", "--target", "lsn:0/1"],
            &["--at", "end", "--data-dir", "d", "--latest"],
            &["--at", "end", "--data-dir", "d", "--database", "x"],
            &["--at", "end", "--data-dir", "d", "--timeline", "0"],
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
        assert!(check(&[directory, "--data-dir", "d"]).is_err());
        let moment = [directory, "--at", "end", "--database", "d"];
        assert!(check(&moment).is_ok());
        assert!(check(&[&moment[..], &["--timeline", "2", "--system", "7"]].concat()).is_ok());
        assert!(check(&["x.sql.gz", "--at", "end", "--database", "d"]).is_err());
        for option in ["--timeline=2", "--exclusive", "--work-dir=d"] {
            assert!(check(&[directory, "--latest", "--database", "d", option]).is_err());
        }
        assert!(check(&[directory, "--latest", "--system", "7"]).is_err());
        assert!(check(&["x.sql.gz", "--latest"]).is_err());
        assert!(check(&["x.sql.gz"]).is_ok());
        assert!(check(&["-", "--verify-first"]).is_err());
        let one_table = ["x.sql.gz", "--database", "x", "--table", "t"];
        assert!(check(&one_table).is_err());
        assert!(check(&[&one_table[..], &["--as", "y"]].concat()).is_ok());
        assert!(check(&[&one_table[..], &["--", "cat"]].concat()).is_ok());
        assert!(check(&[&one_table[..], &["--into-table", "u"]].concat()).is_ok());
        assert!(check(&[&one_table[..], &["--table", "v", "--into-table", "u"]].concat()).is_err());
        assert!(check(&["x.sql.gz", "--on-error", "continue"]).is_ok());
        assert!(check(&["x.sql.gz", "--on-error", "continue", "--replace"]).is_err());
        assert!(check(&["x.sql.gz", "--on-error", "continue", "--", "cat"]).is_err());
    }
}
