use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

use azure_blob::Options;
use chrono::{DateTime, TimeDelta, Utc};
use clap::builder::{OsStringValueParser, TypedValueParser};
use clap::{ArgGroup, Parser};
use job::Error;
use job::time::{parse, parse_duration, parse_wait};
use pg_text::PgText;

use crate::limits::Limits;
use crate::moment::Moment;

/// Checks a backup, or a store of backups.
///
/// A backup is read through: every gzip member's CRC and length, the end-of-file marker, the index
/// against the members, the SHA-256 where one was recorded, and the closing line of its dump. Of a
/// store, the newest backup is read, and its age, its size and its databases are compared with those of
/// the backups before it. The store's free space, gaps in its series, backups that blob-prune should
/// have deleted and the token are checked too; and of base backups and WAL, which moments can be reached
/// with them and how far they are behind the server.
#[derive(Debug, Parser)]
#[command(
    name = "backup-verify",
    version = version::VERSION,
    max_term_width = 100,
    group = ArgGroup::new("several").args(["all", "restore_test"]).multiple(true),
    after_help = "More options, examples, environment and exit codes: --help",
    after_long_help = after_help()
)]
pub(crate) struct Args {
    /// Backup (file, URL, -) or store (directory, container's URL)
    ///
    /// A container's URL may have a prefix; - is standard input.
    #[arg(value_name = "BACKUP | STORE")]
    pub(crate) target: String,

    /// Print one JSON document instead of lines
    #[arg(long)]
    pub(crate) json: bool,

    /// Check every backup of the store, not only the newest
    #[arg(long, help_heading = "All backups")]
    pub(crate) all: bool,

    /// With --all: file of backups found good, which are skipped
    ///
    /// A backup that was good and has not changed since is not read again, so that an interrupted run
    /// resumes where it stopped.
    #[arg(
        long,
        value_name = "FILE",
        requires = "all",
        hide_short_help = true,
        help_heading = "All backups"
    )]
    pub(crate) state: Option<PathBuf>,

    /// With --state: read a backup again if it was last read more than AGE ago
    #[arg(
        long,
        value_name = "AGE",
        default_value = "30d",
        requires = "state",
        value_parser = parse_duration,
        hide_short_help = true,
        help_heading = "All backups"
    )]
    pub(crate) again_after: TimeDelta,

    #[command(flatten)]
    pub(crate) limits: Limits,

    /// Check base backups and WAL only
    ///
    /// For every few minutes. What can be reached, and how far the archive is behind. Of the base backups only the ends
    /// are read, and the dumps are not looked at.
    #[arg(long, conflicts_with = "all", help_heading = "WAL archive")]
    pub(crate) wal_only: bool,

    /// Compare the WAL archive with this server
    ///
    /// 'host=…' or postgresql://…
    #[arg(
        short,
        long,
        value_name = "CONNINFO",
        allow_hyphen_values = true,
        help_heading = "WAL archive"
    )]
    pub(crate) dbname: Option<OsString>,

    /// Restore the backup, compare the data with its index
    ///
    /// Of a store, the newest backup. It goes into a server of its own, made for the test and removed afterwards, or with --into
    /// into databases of a given server, dropped afterwards. Databases are restored one after the other,
    /// and each is timed.
    #[arg(long, help_heading = "Restore test")]
    pub(crate) restore_test: bool,

    /// Restore into this server: 'host=…' or postgresql://…
    ///
    /// The databases are named backup_verify_… and are dropped afterwards. Roles are not touched; owners
    /// and privileges are left out.
    #[arg(
        long,
        value_name = "CONNINFO",
        requires = "restore_test",
        allow_hyphen_values = true,
        help_heading = "Restore test"
    )]
    pub(crate) into: Option<OsString>,

    /// Recover the cluster instead: to TIME, random or end
    ///
    /// From a base backup and the WAL of the store, into a server of its own. The server must reach that moment; then pg_dump
    /// reads every database, and pg_amcheck looks into it. `random` is any moment that can be reached, `end` is the last
    /// transaction that is archived.
    #[arg(
        long,
        value_name = "TIME",
        value_parser = Moment::parse,
        requires = "restore_test",
        conflicts_with_all = ["into", "database"],
        help_heading = "Restore test"
    )]
    pub(crate) at: Option<Moment>,

    /// Restore this database only
    #[arg(
        long,
        value_name = "DB",
        value_parser = text(),
        requires = "restore_test",
        allow_hyphen_values = true,
        hide_short_help = true,
        help_heading = "Restore test"
    )]
    pub(crate) database: Option<PgText>,

    /// Directory of initdb and postgres
    ///
    /// [default: on the PATH or in /usr/lib/postgresql/*/bin, the backup's major version or the next one; with --at, that
    /// version and no other]
    #[arg(
        long,
        value_name = "DIR",
        requires = "restore_test",
        conflicts_with = "into",
        hide_short_help = true,
        help_heading = "Restore test"
    )]
    pub(crate) pg_bindir: Option<PathBuf>,

    /// Directory for the test server's data [default: TMPDIR, /tmp]
    ///
    /// It needs room for the largest database; with --at, for the whole cluster and the WAL.
    #[arg(
        long,
        value_name = "DIR",
        requires = "restore_test",
        conflicts_with = "into",
        hide_short_help = true,
        help_heading = "Restore test"
    )]
    pub(crate) work_dir: Option<PathBuf>,

    /// Write a store's Prometheus metrics to this file
    ///
    /// With - they go to standard output, instead of the lines.
    #[arg(long, value_name = "FILE", help_heading = "Monitoring")]
    pub(crate) metrics: Option<PathBuf>,

    /// Push a store's metrics to this Pushgateway
    #[arg(long, value_name = "URL", help_heading = "Monitoring")]
    pub(crate) push: Option<String>,

    /// Dead-man's switch: URL if all is good, else URL/fail
    #[arg(long, value_name = "URL", help_heading = "Monitoring")]
    pub(crate) ping: Option<String>,

    /// With --all: N backups at once; --restore-test: N sessions
    ///
    /// [default: number of CPUs for --all, 1 for --restore-test]
    #[arg(
        long,
        value_name = "N",
        requires = "several",
        value_parser = clap::value_parser!(u16).range(1..=64)
    )]
    pub(crate) jobs: Option<u16>,

    /// Also tell the switch when work begins: URL/start
    ///
    /// The switch then measures how long it takes, and raises the alarm if it does not end.
    #[arg(long, hide_short_help = true, help_heading = "Monitoring")]
    pub(crate) ping_start: bool,

    /// Decompress with N threads [default: number of CPUs]
    #[arg(
        long,
        value_name = "N",
        value_parser = clap::value_parser!(u16).range(1..=256),
        hide_short_help = true,
        help_heading = "Other"
    )]
    pub(crate) threads: Option<u16>,

    /// Stop retrying a request after this long [default: 15m]
    ///
    /// A host that has never answered is given up after 10s.
    #[arg(
        long,
        value_name = "TIME",
        value_parser = parse_wait,
        hide_short_help = true,
        help_heading = "Other"
    )]
    pub(crate) deadline: Option<Duration>,

    /// Time that ages are counted from [default: now]
    #[arg(
        long,
        value_name = "TIME",
        value_parser = parse,
        hide_short_help = true,
        help_heading = "Other"
    )]
    pub(crate) now: Option<DateTime<Utc>>,
}

impl Args {
    /// # Errors
    /// Options that do not go together.
    pub(crate) fn check(&self) -> Result<(), Error> {
        if self.wal_only && self.restore_test && self.at.is_none() {
            return Err(Error::usage(
                "--wal-only leaves out the dumps, one of which --restore-test restores",
            )
            .hint("with --at TIME, the restore test is one of base backups and WAL"));
        }
        Ok(())
    }

    /// How patient to be with the service.
    pub(crate) fn patience(&self) -> Options {
        Options::default().within(self.deadline)
    }

    pub(crate) fn threads(&self) -> usize {
        self.threads.map_or_else(job::cpus, usize::from)
    }

    /// How many backups are read at once.
    pub(crate) fn jobs(&self) -> usize {
        self.jobs.map_or_else(job::cpus, usize::from)
    }

    pub(crate) fn now(&self) -> DateTime<Utc> {
        self.now.unwrap_or_else(Utc::now)
    }
}

/// Names are bytes, as they are typed.
fn text() -> impl TypedValueParser<Value = PgText> {
    OsStringValueParser::new().map(PgText::from)
}

// Each paragraph is one line, which clap wraps to the terminal's width; other lines fit in 80 columns.
fn after_help() -> String {
    format!(
        "\
Standard output has a line for each check: ok, warning or bad, what was checked, and what was found. On \
a terminal, a table of the store's backups follows; those that were not read are judged by their ends. A \
backup of another program (pg_dumpall | gzip) has no end-of-file marker, so a missing last member goes \
unnoticed, but the dump's closing line must be there. A container's token needs the permissions r and l, \
an identity the role 'Storage Blob Data Reader'.

The metrics file is replaced in one step and can be read by all. Put it into the directory of the node \
exporter's textfile collector, one for each store, with a name that ends in .prom. It is written too \
when the store is not good or cannot be reached; what could not be measured then keeps its last value. \
A push or a ping is tried three times, in half a minute at most; if it does not arrive, that is a \
warning.

--restore-test runs restore-stream (found beside this program or on the PATH) and psql, and for a server \
of its own initdb and postgres; with --at pg_dump, and pg_amcheck where it is there. A backup is code: if run as root, psql and postgres run as a user that \
nothing else on the machine uses; otherwise they run as this user.

Examples:
  backup-verify /backups/postgresql_backup_20251123_020000.sql.gz
  backup-verify \"$STORE\" --max-age 36h --json
  backup-verify \"$STORE\" --quota 500G --max-used 80% --keep-days 30 --keep-min 7
  backup-verify /backups --all --jobs 4 --state /var/lib/backup-verify.state
  backup-verify /backups --metrics /var/lib/prometheus/node-exporter/backup.prom
  backup-verify \"$STORE\" --ping https://hc-ping.com/UUID
  backup-verify \"$STORE\" --restore-test
  backup-verify \"$STORE\" --restore-test --at random
  backup-verify \"$STORE\" --wal-only -d 'host=primary user=monitor' --max-lag 5m
  backup-verify \"$STORE\" --restore-test --into 'host=test user=postgres'
  kubectl exec postgresql-0 -- pgdump-gz | backup-verify -

Environment:
  AZURE_STORAGE_SAS_TOKEN_FILE    file with the container's SAS token
  AZURE_STORAGE_SAS_TOKEN         the SAS token, where there is no such file
  AZURE_FEDERATED_TOKEN_FILE, AZURE_CLIENT_ID, AZURE_TENANT_ID
                                  workload identity, where there is no token
  AZURE_STORAGE_AUTH              sas, workload-identity or managed-identity:
                                  use that and nothing else
  BACKUP_VERIFY_PING_URL_FILE     file with --ping's URL, which may be secret
  BACKUP_VERIFY_PING_URL          the URL, where there is no such file
  BACKUP_VERIFY_PUSH_URL[_FILE]   the same for --push
  HTTPS_PROXY, ALL_PROXY, NO_PROXY, SSL_CERT_FILE, SSL_CERT_DIR
  TMPDIR                          where --restore-test makes its server
  PG…                             the server of --into or of -d (libpq);
                                  CONNINFO comes first

{}",
        job::EXIT_CODES
    )
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Args::command().debug_assert();
    }
}
