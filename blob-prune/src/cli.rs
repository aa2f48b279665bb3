use std::time::Duration;

use azure_blob::Options;
use backup_file::BackupKind;
use chrono::{DateTime, TimeDelta, Utc};
use clap::{ArgGroup, Parser};
use job::time::{parse, parse_duration, parse_wait};

use retention::Policy;

/// Deletes old backups from a directory or a container.
///
/// A backup's age is the time in its name (postgresql_backup_YYYYMMDD_HHMMSS.sql.gz, UTC). What no
/// --keep option keeps is deleted, in a directory together with its .sha256. Files with other names are
/// never touched. The newest backup always stays, and so do the newest one whose end shows that it is
/// whole and those dated in the future. Base backups (postgresql_base_YYYYMMDD_HHMMSS.tar.gz) are kept by
/// the same rules, by themselves. Then the WAL goes that no base backup needs any more.
#[derive(Debug, Parser)]
#[command(
    name = "blob-prune",
    version = version::VERSION,
    max_term_width = 100,
    after_help = "More options, examples, environment and exit codes: --help",
    after_long_help = after_help(),
    group = ArgGroup::new("policy")
        .args(["keep_days", "keep_weekly", "keep_monthly"])
        .required(true)
        .multiple(true)
)]
pub(crate) struct Args {
    /// Directory, or a container's URL (with a prefix if need be)
    #[arg(value_name = "STORE")]
    pub(crate) store: String,

    /// Delete nothing; print what would be deleted
    #[arg(long)]
    pub(crate) dry_run: bool,

    /// Print one JSON document instead of lines
    #[arg(long)]
    pub(crate) json: bool,

    /// Keep backups of the last N days
    #[arg(long, value_name = "N", help_heading = "Retention")]
    pub(crate) keep_days: Option<u32>,

    /// Keep the last backup of each of the newest N weeks
    ///
    /// Weeks are those of ISO 8601, in UTC; only weeks that have a backup count.
    #[arg(long, value_name = "N", help_heading = "Retention")]
    pub(crate) keep_weekly: Option<u32>,

    /// Keep the last backup of each of the newest N months
    ///
    /// In UTC; only months that have a backup count.
    #[arg(long, value_name = "N", help_heading = "Retention")]
    pub(crate) keep_monthly: Option<u32>,

    /// Keep at least the newest N, however old
    #[arg(
        long,
        value_name = "N",
        default_value_t = 3,
        help_heading = "Retention"
    )]
    pub(crate) keep_min: u32,

    /// Keep WAL to reach every moment of the last N days
    ///
    /// From the newest base backup on that was whole N days ago. An older one keeps the WAL without which it cannot be restored.
    /// [default: all WAL from the oldest base backup that is kept]
    #[arg(long, value_name = "N", help_heading = "Retention")]
    pub(crate) wal_days: Option<u32>,

    /// Delete no dump if the newest one is older than this
    ///
    /// New dumps have stopped coming then.
    #[arg(
        long,
        value_name = "AGE",
        default_value = "36h",
        value_parser = parse_duration,
        help_heading = "Safety"
    )]
    pub(crate) max_age: TimeDelta,

    /// Delete no base backup, and no WAL, if the newest base backup is older than this
    #[arg(
        long,
        value_name = "AGE",
        default_value = "9d",
        value_parser = parse_duration,
        hide_short_help = true,
        help_heading = "Safety"
    )]
    pub(crate) max_base_age: TimeDelta,

    /// Delete even if the newest backup is older than that
    #[arg(long, help_heading = "Safety")]
    pub(crate) even_if_stale: bool,

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
    /// How patient to be with the service.
    pub(crate) fn patience(&self) -> Options {
        Options::default().within(self.deadline)
    }

    /// How old the newest backup of a kind may be.
    pub(crate) fn max_age(&self, kind: BackupKind) -> TimeDelta {
        match kind {
            BackupKind::Dump => self.max_age,
            BackupKind::Base => self.max_base_age,
        }
    }

    pub(crate) fn policy(&self) -> Policy {
        Policy {
            days: self.keep_days.unwrap_or(0),
            min: self.keep_min,
            weekly: self.keep_weekly.unwrap_or(0),
            monthly: self.keep_monthly.unwrap_or(0),
        }
    }
}

// Each paragraph is one line, which clap wraps to the terminal's width; other lines fit in 80 columns.
fn after_help() -> String {
    format!(
        "\
Standard output says for each backup why it stays or goes. A backup that an immutability policy, a legal \
hold or a lease protects is no failure. A container's token needs the permissions d and l, an identity a \
role with blobs/delete and blobs/read. With r too, blob-prune reads the ends of the backups that it \
counts on.

WAL in STORE/wal/SYSTEM goes only if the whole archive could be listed, and no base backup that is there needs it. Each of them keeps the WAL from its start to its end; from the oldest one on, or as --wal-days says, all WAL stays. Histories of timelines stay, and so does the WAL of clusters of which no base backup is kept. Base backups go first, then WAL, oldest first. This needs the permission r.

Examples:
  blob-prune /backups --keep-days 7 --keep-min 3
  blob-prune \"$STORE\" --keep-days 30 --keep-weekly 8 --keep-monthly 12 --dry-run
  blob-prune \"$STORE\" --keep-days 35 --wal-days 8

Environment:
  AZURE_STORAGE_SAS_TOKEN_FILE  file with the container's SAS token
  AZURE_STORAGE_SAS_TOKEN       the SAS token, where there is no such file
  AZURE_FEDERATED_TOKEN_FILE, AZURE_CLIENT_ID, AZURE_TENANT_ID
                                workload identity, where there is no token
  AZURE_STORAGE_AUTH            sas, workload-identity or managed-identity: use
                                that and nothing else

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

    #[test]
    fn an_empty_policy_is_no_policy() {
        assert!(Args::try_parse_from(["blob-prune", "/backups"]).is_err());
        assert!(Args::try_parse_from(["blob-prune", "/backups", "--keep-min", "3"]).is_err());
        let args = Args::try_parse_from(["blob-prune", "/backups", "--keep-weekly", "3"]).unwrap();
        let policy = args.policy();
        assert_eq!((policy.days, policy.min, policy.weekly), (0, 3, 3));
    }
}
