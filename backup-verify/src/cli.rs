use std::ffi::OsString;
use std::path::PathBuf;

use azure_blob::Options;
use chrono::{DateTime, TimeDelta, Utc};
use clap::Parser;
use clap::builder::{OsStringValueParser, TypedValueParser};
use job::time::{parse, parse_duration};
use pg_text::PgText;

use crate::limits::Limits;

/// Checks a backup, or a store of backups.
///
/// A backup is read through: every gzip member's CRC and length, the end-of-file marker, the index
/// against the members, the SHA-256 where one was recorded, the completion line of its dump. Of a store,
/// the newest backup is read; its age, its size and its databases are held against those before it; the
/// store's room, its series, what blob-prune should have deleted and the token are looked at.
#[derive(Debug, Parser)]
#[command(
    name = "backup-verify",
    version,
    max_term_width = 100,
    after_help = after_help()
)]
pub(crate) struct Args {
    /// A backup (a file, a blob's URL, - for standard input) or a store (a directory, a container's
    /// URL with a prefix perhaps)
    #[arg(value_name = "BACKUP | STORE")]
    pub(crate) target: String,

    /// Check every backup of the store, not only the newest
    #[arg(long)]
    pub(crate) all: bool,

    /// With --all: how many backups are read at once [default: as many as there are CPUs]
    #[arg(long, value_name = "N", requires = "all", value_parser = clap::value_parser!(u16).range(1..=64))]
    pub(crate) jobs: Option<u16>,

    /// With --all: remember in this file which backups were good; those that have not changed since are
    /// not read again, so that an interrupted run goes on where it stopped
    #[arg(long, value_name = "FILE", requires = "all")]
    pub(crate) state: Option<PathBuf>,

    /// With --state: read a backup again if it was last read more than AGE ago
    #[arg(long, value_name = "AGE", default_value = "30d", requires = "state", value_parser = parse_duration)]
    pub(crate) again_after: TimeDelta,

    #[command(flatten)]
    pub(crate) limits: Limits,

    /// Restore the backup (of a store, the newest), and compare what came of it with what its index says
    ///
    /// Into a server of its own, which is made for it and gone afterwards; or into databases of a given
    /// server (--into) that are dropped afterwards. One database after the other, each timed.
    #[arg(long)]
    pub(crate) restore_test: bool,

    /// Restore into this server, into databases named backup_verify_…, which are dropped; its roles are
    /// not touched, and owners and privileges are left out: 'host=… user=…', postgresql://…
    #[arg(
        long,
        value_name = "CONNINFO",
        requires = "restore_test",
        allow_hyphen_values = true
    )]
    pub(crate) into: Option<OsString>,

    /// Restore this database only
    #[arg(
        long,
        value_name = "DB",
        value_parser = text(),
        requires = "restore_test",
        allow_hyphen_values = true
    )]
    pub(crate) database: Option<PgText>,

    /// Where initdb and postgres are [default: on the PATH, in /usr/lib/postgresql/*/bin: of those the
    /// backup's major version, or the next one]
    #[arg(
        long,
        value_name = "DIR",
        requires = "restore_test",
        conflicts_with = "into"
    )]
    pub(crate) pg_bindir: Option<PathBuf>,

    /// Where the server that is made has its data: room for the largest database [default: TMPDIR, /tmp]
    #[arg(
        long,
        value_name = "DIR",
        requires = "restore_test",
        conflicts_with = "into"
    )]
    pub(crate) work_dir: Option<PathBuf>,

    /// How many threads decompress [default: as many as there are CPUs]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=256))]
    pub(crate) threads: Option<u16>,

    /// Stop retrying a request to the service after TIME [default: 15m, 10s for a host that never
    /// answers]
    #[arg(long, value_name = "TIME", value_parser = parse_duration)]
    pub(crate) deadline: Option<TimeDelta>,

    /// Write Prometheus metrics of a store into this file (- for standard output, which then has no
    /// lines)
    #[arg(long, value_name = "FILE")]
    pub(crate) metrics: Option<PathBuf>,

    /// Push the metrics of a store to this Pushgateway
    #[arg(long, value_name = "URL")]
    pub(crate) push: Option<String>,

    /// Tell this dead-man's switch: URL if all is good, URL/fail otherwise
    #[arg(long, value_name = "URL")]
    pub(crate) ping: Option<String>,

    /// Print one JSON document instead of lines
    #[arg(long)]
    pub(crate) json: bool,

    /// The moment that ages are reckoned from [default: now]
    #[arg(long, value_name = "TIME", value_parser = parse)]
    pub(crate) now: Option<DateTime<Utc>>,
}

impl Args {
    /// How patient to be with the service.
    pub(crate) fn patience(&self) -> Options {
        let deadline = self.deadline.and_then(|deadline| deadline.to_std().ok());
        match deadline {
            Some(deadline) => Options::default().within(deadline),
            None => Options::default(),
        }
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

fn after_help() -> String {
    format!(
        "\
Standard output has a line for each check: ok, warning or bad, what was checked, what was found. On a
terminal a table of a store's backups follows; those that were not read are judged by their ends.
A backup of another program (pg_dumpall | gzip) has no end-of-file marker: that its last member is
there cannot be known; a dump's completion line is demanded of it. A container's token needs the
permissions r and l.

The metrics' file is replaced at once, readable for all: give a name that ends in .prom in the
directory of the node exporter's textfile collector, one for each store. It is written too when the
store is not good or cannot be reached; what could not be measured then stays as it was. A push or a
ping that does not arrive is a warning: it is tried three times, in half a minute at most.

Environment:
  AZURE_STORAGE_SAS_TOKEN_FILE  a file with the container's SAS token
  AZURE_STORAGE_SAS_TOKEN       the token itself, where there is no such file
  BACKUP_VERIFY_PING_URL_FILE   a file with the URL of --ping, which may be a secret
  BACKUP_VERIFY_PING_URL        the URL itself, where there is no such file
  BACKUP_VERIFY_PUSH_URL[_FILE] the same of --push
  HTTPS_PROXY, ALL_PROXY, NO_PROXY, SSL_CERT_FILE, SSL_CERT_DIR
  TMPDIR                        where --restore-test makes its server
  PG…                           how the server of --into is reached, beside what CONNINFO says (libpq)

--restore-test runs restore-stream (beside this program, or on the PATH) and psql, and for a server of
its own initdb and postgres. A backup is code: as root, psql and postgres run as a user that nothing else
on the machine is; otherwise as this user.

{}

Examples:
  backup-verify /backups/postgresql_backup_20251123_020000.sql.gz
  backup-verify \"$STORE\" --max-age 36h --json
  backup-verify \"$STORE\" --quota 500G --max-used 80% --keep-days 30 --keep-min 7
  backup-verify /backups --all --jobs 4 --state /var/lib/backup-verify.state
  backup-verify /backups --metrics /var/lib/prometheus/node-exporter/backup.prom
  backup-verify \"$STORE\" --ping https://hc-ping.com/UUID
  backup-verify \"$STORE\" --restore-test
  backup-verify \"$STORE\" --restore-test --into 'host=postgresql-test user=postgres' --database shop
  kubectl exec postgresql-0 -- pgdump-gz | backup-verify -",
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
