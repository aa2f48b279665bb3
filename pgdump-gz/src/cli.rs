use std::ffi::OsString;
use std::time::Duration;

use backup_file::{BackupKind, DEFAULT_LEVEL, Excluded, LEVELS, Options};
use chrono::TimeDelta;
use clap::builder::{OsStringValueParser, TypedValueParser};
use clap::{Parser, ValueEnum};
use pg_text::PgText;
use rate_limit::Rate;

// Each paragraph is one line, which clap wraps to the terminal's width; other lines fit in 80 columns.
const MORE: &str = "\
The dump is what pg_dumpall writes, compressed, with an index of its databases at the end, as SQL \
comments. The end-of-file marker is written only when every dump command has succeeded and has \
written its closing line. Any gunzip and psql restore the file; backup-verify and restore-stream do \
more with it.

In DIR the backup is named postgresql_backup_YYYYMMDD_HHMMSS.sql.gz (UTC, when the dump started), \
with its SHA-256 beside it. It is written under a hidden name and renamed once it is whole; the next \
run removes what a killed one left. A lock on DIR/.pgdump-gz.lock keeps a second pgdump-gz out (exit \
code 4) and goes with the program. A DIR with less free space than its newest backup takes is \
refused at once (exit code 1).

The server is reached as pg_dump reaches it: through PGHOST, PGPORT, PGUSER, PGPASSWORD, PGPASSFILE, \
PGSSLMODE, PGSERVICE and libpq's other variables, or through -d. A role that may not read pg_authid \
(on managed servers none may) needs --no-role-passwords. psql, pg_dump and pg_dumpall must not be \
older than the server. A connection pooler such as PgBouncer is refused (exit code 4): pg_dump's \
settings could reach another session than its queries. Each database is dumped in its own encoding, \
whatever client_encoding and PGCLIENTENCODING say.

A standby's backup has what the standby had replayed. Its age is in the last line and in the index, and \
backup-verify judges the backup by it. A standby that cannot be shown to be within --max-lag is \
refused (exit code 4).

COMMAND gets no terminal, and none of the variables that hold a store's credential. The backup fails if \
COMMAND exits with a code other than 0, is killed, writes nothing, or writes a dump that is \
incomplete or that psql cannot read (UTF-16). A dump by pg_dumpall gets an index; any other output \
gets the marker only, and so does a dump that was changed on the way (CRLF, a greeting before it), \
with a warning.

With --base the backup is a copy of the data directory (pg_basebackup), as one tar archive with an \
index behind its end; in DIR it is named postgresql_base_YYYYMMDD_HHMMSS.tar.gz. Any tar -xzf \
unpacks it. The role needs REPLICATION, and pg_hba.conf must admit it to the database \
'replication'. The server must archive its WAL, without which a base backup cannot be restored: \
archiving that is off or fails is an error before anything is sent, and pg_basebackup waits at the \
end until the WAL of the backup is archived. A page whose checksum is wrong, or a standby that is \
promoted meanwhile, makes it fail. More tablespaces than one are refused (exit code 4).

Examples:
  pgdump-gz --dir /backups && backup-verify /backups
  pgdump-gz --exclude-database 'test*' | blob-put - \"$STORE/\"
  pgdump-gz --base | blob-put - \"$STORE/\"
  pgdump-gz -- kubectl exec postgres-0 -- pg_dumpall -U postgres > all.sql.gz

Environment:
  PG…     how to reach the server (PostgreSQL manual, \"Environment Variables\")
  TMPDIR  where databases wait for their turn with --jobs, compressed";

/// Dumps a PostgreSQL cluster into a backup file, on standard output or in a directory.
///
/// Or copies its data directory (--base).
#[derive(Debug, Parser)]
#[command(
    name = "pgdump-gz",
    version = version::VERSION,
    max_term_width = 100,
    after_help = "More options, examples, environment and exit codes: --help",
    after_long_help = format!("{MORE}\n\n{}", job::EXIT_CODES)
)]
pub(crate) struct Args {
    /// Write into this directory, and print the backup's path
    #[arg(long, value_name = "DIR")]
    pub(crate) dir: Option<String>,

    /// Take a base backup: a copy of the data directory, as one tar
    ///
    /// With the archived WAL it brings the cluster back to any later moment.
    #[arg(
        long,
        conflicts_with_all = [
            "command", "exclude_database", "exclude_table", "exclude_table_data", "exclude_schema", "no_role_passwords",
            "restrict_key", "lock_wait_timeout", "jobs",
        ],
        help_heading = "What to back up"
    )]
    pub(crate) base: bool,

    /// Checkpoint that a base backup begins with: fast or spread
    ///
    /// A fast one takes all of the server's disk for some seconds, a spread one minutes, and disturbs nobody.
    #[arg(
        long,
        value_name = "HOW",
        value_enum,
        default_value_t = Checkpoint::Spread,
        requires = "base",
        hide_possible_values = true,
        hide_short_help = true,
        help_heading = "What to back up"
    )]
    pub(crate) checkpoint: Checkpoint,

    /// Leave out databases whose name matches; may be repeated
    ///
    /// Patterns are those of pg_dumpall: *, ?, "Quoted".
    #[arg(
        long,
        value_name = "PATTERN",
        value_parser = text(),
        allow_hyphen_values = true,
        conflicts_with = "command",
        help_heading = "What to back up"
    )]
    pub(crate) exclude_database: Vec<PgText>,

    /// Leave out tables whose name matches; may be repeated
    ///
    /// In all databases; also views and sequences. Patterns are those of pg_dump: schema.table, *, ?, "Quoted". A dump
    /// that lacks what others need (a foreign key's table, a view's) does not restore as it is.
    #[arg(
        long,
        value_name = "PATTERN",
        value_parser = text(),
        allow_hyphen_values = true,
        conflicts_with = "command",
        help_heading = "What to back up"
    )]
    pub(crate) exclude_table: Vec<PgText>,

    /// Leave out the rows of tables whose name matches; may be repeated
    #[arg(
        long,
        value_name = "PATTERN",
        value_parser = text(),
        allow_hyphen_values = true,
        conflicts_with = "command",
        hide_short_help = true,
        help_heading = "What to back up"
    )]
    pub(crate) exclude_table_data: Vec<PgText>,

    /// Leave out schemas whose name matches; may be repeated
    #[arg(
        long,
        value_name = "PATTERN",
        value_parser = text(),
        allow_hyphen_values = true,
        conflicts_with = "command",
        hide_short_help = true,
        help_heading = "What to back up"
    )]
    pub(crate) exclude_schema: Vec<PgText>,

    /// Leave out the roles' passwords, which only a superuser can read
    #[arg(long, conflicts_with = "command", help_heading = "What to back up")]
    pub(crate) no_role_passwords: bool,

    /// Key of the \restrict lines, so that two dumps can be compared
    #[arg(
        long,
        value_name = "KEY",
        value_parser = restrict_key,
        conflicts_with = "command",
        hide_short_help = true,
        help_heading = "What to back up"
    )]
    pub(crate) restrict_key: Option<String>,

    /// Server: 'host=…', postgresql://…, or a database
    ///
    /// A database is the one to connect to first.
    #[arg(
        short,
        long,
        value_name = "CONNINFO",
        allow_hyphen_values = true,
        conflicts_with = "command",
        help_heading = "Connection"
    )]
    pub(crate) dbname: Option<OsString>,

    /// Wait up to TIME for a server that is starting
    #[arg(
        long,
        value_name = "TIME",
        default_value = "60s",
        value_parser = job::time::parse_wait,
        conflicts_with = "command",
        help_heading = "Connection"
    )]
    pub(crate) wait: Duration,

    /// Fail if a table stays locked for this long
    ///
    /// Milliseconds, or a time such as '10s' or '5min'.
    #[arg(
        long,
        value_name = "TIME",
        conflicts_with = "command",
        hide_short_help = true,
        help_heading = "Connection"
    )]
    pub(crate) lock_wait_timeout: Option<String>,

    /// Refuse a standby that is further behind its primary
    ///
    /// By its data: a primary that is idle makes no standby late, but is heard of only every half minute. Without this
    /// option the age of the data is said, and kept in the index.
    #[arg(
        long,
        value_name = "TIME",
        value_parser = job::time::parse_duration,
        conflicts_with = "command",
        help_heading = "Connection"
    )]
    pub(crate) max_lag: Option<TimeDelta>,

    /// Dump N databases at once; the SQL does not change
    #[arg(
        long,
        value_name = "N",
        default_value_t = 1,
        value_parser = clap::value_parser!(u16).range(1..=64),
        conflicts_with = "command",
        help_heading = "Speed"
    )]
    pub(crate) jobs: u16,

    /// Read at most RATE bytes a second, e.g. 500K or 20M
    ///
    /// Before compression: SQL of all databases that are dumped at once, a base backup, COMMAND's output. The server then
    /// has time for its users; for a link, see blob-put's --max-rate.
    #[arg(
        long,
        value_name = "RATE",
        value_parser = Rate::parse,
        help_heading = "Speed"
    )]
    pub(crate) max_rate: Option<Rate>,

    /// Compression level, 1 (fastest) to 9 (smallest)
    #[arg(
        long,
        value_name = "L",
        default_value_t = DEFAULT_LEVEL,
        value_parser = level(),
        help_heading = "Speed"
    )]
    level: u8,

    /// Compress with N threads [default: the CPUs available]
    #[arg(
        long,
        value_name = "N",
        value_parser = clap::value_parser!(u16).range(1..=256),
        help_heading = "Speed"
    )]
    threads: Option<u16>,

    /// Back up the output of this command instead of a server
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

/// How the server makes the checkpoint that a base backup begins with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Checkpoint {
    Fast,
    Spread,
}

impl Checkpoint {
    /// As pg_basebackup has it.
    pub(crate) fn word(self) -> &'static str {
        match self {
            Self::Fast => "fast",
            Self::Spread => "spread",
        }
    }
}

impl Args {
    /// What pg_dump leaves out.
    pub(crate) fn excluded(&self) -> Excluded {
        Excluded {
            tables: self.exclude_table.clone(),
            table_data: self.exclude_table_data.clone(),
            schemas: self.exclude_schema.clone(),
        }
    }

    /// What kind of backup is made.
    pub(crate) fn kind(&self) -> BackupKind {
        match self.base {
            true => BackupKind::Base,
            false => BackupKind::Dump,
        }
    }

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
            "{} (fastest) to {} (smallest)",
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
            "--exclude-table=x",
            "--exclude-table-data=x",
            "--exclude-schema=x",
            "--wait=1s",
            "--no-role-passwords",
            "--max-lag=1h",
        ] {
            assert!(
                Args::try_parse_from(["pgdump-gz", option, "--", "true"]).is_err(),
                "{option}"
            );
        }
        assert!(Args::try_parse_from(["pgdump-gz", "--level=1", "--", "true"]).is_ok());
    }

    #[test]
    fn a_base_backup_is_of_all_there_is() {
        let args = Args::parse_from(["pgdump-gz", "--base", "--checkpoint", "fast", "-dx"]);
        assert_eq!(args.kind(), BackupKind::Base);
        assert_eq!(args.checkpoint, Checkpoint::Fast);
        for option in ["--jobs=2", "--exclude-database=x", "--no-role-passwords"] {
            assert!(Args::try_parse_from(["pgdump-gz", "--base", option]).is_err());
        }
        assert!(Args::try_parse_from(["pgdump-gz", "--checkpoint=fast"]).is_err());
        assert!(Args::try_parse_from(["pgdump-gz", "--base", "--", "true"]).is_err());
    }

    #[test]
    fn restrict_keys() {
        assert!(restrict_key("aB9").is_ok());
        assert!(restrict_key("").is_err());
        assert!(restrict_key("a b").is_err());
    }
}
