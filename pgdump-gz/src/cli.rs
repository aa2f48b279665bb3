use std::ffi::OsString;
use std::time::Duration;

use backup_file::{DEFAULT_LEVEL, LEVELS, Options};
use clap::Parser;
use clap::builder::{OsStringValueParser, TypedValueParser};
use pg_text::PgText;

// Paragraphs are one line each: clap breaks them to the terminal's width.
const MORE: &str = "\
The dump is what pg_dumpall writes, compressed, with an index of its databases as SQL comments at \
its end. It ends in a marker that is written only when every dump command has succeeded and has \
written its closing line. Any gunzip and psql restore it; backup-verify and restore-stream do more \
with it.

In DIR the backup is called postgresql_backup_YYYYMMDD_HHMMSS.sql.gz (UTC, when the dump started), \
with its SHA-256 beside it. It is written under a hidden name that is changed when it is whole; what \
a killed run has left is removed by the next one. A second pgdump-gz on the same DIR is refused (exit \
code 4), by a lock on .pgdump-gz.lock in it that goes with the program. A DIR with less room than its \
newest backup takes is refused at once (exit code 1).

The server is reached as pg_dump reaches it: by PGHOST, PGPORT, PGUSER, PGPASSWORD, PGPASSFILE, \
PGSSLMODE, PGSERVICE and libpq's other variables, or by -d. A role that may not read pg_authid (on \
managed servers none may) needs --no-role-passwords. The clients (psql, pg_dump, pg_dumpall) may not \
be older than the server. A connection pooler such as PgBouncer is refused (exit code 4): what pg_dump \
sets at its beginning may reach another session than its queries. Each database is dumped in its own \
encoding, whatever client_encoding and PGCLIENTENCODING say.

COMMAND gets no terminal. It fails the backup if it ends with another code than 0, is killed, writes \
nothing, writes a dump whose last line does not say that it is complete, or one that psql cannot read \
(UTF-16). A dump by pg_dumpall gets an index, whatever else it is gets the marker only, and so does a \
dump that was changed on the way (CRLF, a greeting before it), with a warning.

Examples:
  pgdump-gz --dir /backups && backup-verify /backups
  pgdump-gz --exclude-database 'test*' | blob-put - \"$STORE/\"
  pgdump-gz -- kubectl exec postgres-0 -- pg_dumpall -U postgres > cluster.sql.gz

Environment:
  PG…     how the server is reached (PostgreSQL documentation, 34.15 Environment Variables)
  TMPDIR  where databases wait for their turn with --jobs, compressed";

/// Dumps a PostgreSQL cluster into a backup file, on standard output or in a directory.
#[derive(Debug, Parser)]
#[command(version, after_help = format!("{MORE}\n\n{}", job::EXIT_CODES))]
pub(crate) struct Args {
    /// Write into this directory, under the backup's proper name, and print its path
    #[arg(long, value_name = "DIR")]
    pub(crate) dir: Option<String>,

    /// Leave out the databases whose name matches (as pg_dumpall: *, ?, "Quoted"); may be repeated
    #[arg(
        long,
        value_name = "PATTERN",
        value_parser = text(),
        allow_hyphen_values = true,
        conflicts_with = "command"
    )]
    pub(crate) exclude_database: Vec<PgText>,

    /// Leave out the roles' passwords, which only a superuser may read
    #[arg(long, conflicts_with = "command")]
    pub(crate) no_role_passwords: bool,

    /// Dump so many databases at once; the bytes written are the same
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..=64), conflicts_with = "command")]
    pub(crate) jobs: u16,

    /// Compress so hard, from 1 (fastest) to 8 (smallest)
    #[arg(long, value_name = "L", default_value_t = DEFAULT_LEVEL, value_parser = level())]
    level: u8,

    /// Compress with so many threads [default: the CPUs that this process may use]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=256))]
    threads: Option<u16>,

    /// How to reach the server: 'host=… user=…', postgresql://…, or a database to connect to first
    #[arg(
        short,
        long,
        value_name = "CONNINFO",
        allow_hyphen_values = true,
        conflicts_with = "command"
    )]
    pub(crate) dbname: Option<OsString>,

    /// Wait so long for a server that is starting
    #[arg(long, value_name = "TIME", default_value = "60s", value_parser = duration, conflicts_with = "command")]
    pub(crate) wait: Duration,

    /// Fail if a table's lock is not got within this time (milliseconds, or '10s', '5min')
    #[arg(long, value_name = "TIME", conflicts_with = "command")]
    pub(crate) lock_wait_timeout: Option<String>,

    /// Use this key in \restrict lines, so that two dumps can be compared
    #[arg(long, value_name = "KEY", value_parser = restrict_key, conflicts_with = "command")]
    pub(crate) restrict_key: Option<String>,

    /// Run this command instead, and make a backup of what it writes to standard output; it does not get the
    /// variables that hold a SAS token (AZURE_STORAGE_SAS_TOKEN, …)
    #[arg(last = true, value_name = "COMMAND")]
    pub(crate) command: Vec<OsString>,

    /// Print one JSON document instead of the path; needs --dir
    #[arg(long)]
    pub(crate) json: bool,

    /// Keep the system's default scheduling
    ///
    /// By default pgdump-gz and pg_dump run as batch work (SCHED_BATCH), which does not interrupt a server on the same
    /// machine.
    #[arg(long, hide_short_help = true, help_heading = "Speed")]
    pub(crate) no_sched_batch: bool,
}

impl Args {
    /// How to compress.
    pub(crate) fn options(&self) -> Options {
        Options {
            level: self.level,
            threads: self.threads.map_or_else(job::cpus, usize::from),
        }
    }
}

/// Names are bytes, as they are typed.
fn text() -> impl TypedValueParser<Value = PgText> {
    OsStringValueParser::new().map(PgText::from)
}

fn level() -> clap::builder::RangedI64ValueParser<u8> {
    clap::value_parser!(u8).range(i64::from(*LEVELS.start())..=i64::from(*LEVELS.end()))
}

fn duration(text: &str) -> Result<Duration, String> {
    let duration = job::time::parse_duration(text)?;
    duration.to_std().map_err(|error| error.to_string())
}

/// As pg_dump's `valid_restrict_key`; the bound lets the completion be seen in a dump's tail.
fn restrict_key(text: &str) -> Result<String, String> {
    match text.len() {
        1..=1000 if text.bytes().all(|byte| byte.is_ascii_alphanumeric()) => Ok(text.to_owned()),
        _ => Err("a restrict key is made of 1 to 1000 letters and digits".into()),
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
    fn the_help_names_the_levels() {
        let help = Args::command().render_long_help().to_string();
        assert!(help.contains(&format!(
            "from {} (fastest) to {} (smallest)",
            LEVELS.start(),
            LEVELS.end()
        )));
    }

    #[test]
    fn values_may_begin_with_a_dash() {
        let args = Args::parse_from(["pgdump-gz", "--exclude-database", "-x*", "-d", "-dash"]);
        assert_eq!(args.exclude_database, ["-x*"]);
        assert_eq!(args.dbname, Some("-dash".into()));
        let args = Args::parse_from(["pgdump-gz", "--", "sh", "-c", "true"]);
        assert_eq!(args.command, ["sh", "-c", "true"]);
    }

    #[test]
    fn a_command_is_not_told_what_to_dump() {
        for option in [
            "--jobs=2",
            "-dx",
            "--exclude-database=x",
            "--wait=1s",
            "--no-role-passwords",
        ] {
            assert!(
                Args::try_parse_from(["pgdump-gz", option, "--", "true"]).is_err(),
                "{option}"
            );
        }
        assert!(Args::try_parse_from(["pgdump-gz", "--level=1", "--", "true"]).is_ok());
    }

    #[test]
    fn restrict_keys() {
        assert!(restrict_key("aB9").is_ok());
        assert!(restrict_key("").is_err());
        assert!(restrict_key("a b").is_err());
    }
}
