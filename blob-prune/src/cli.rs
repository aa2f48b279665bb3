use azure_blob::Options;
use chrono::{DateTime, TimeDelta, Utc};
use clap::{ArgGroup, Parser};
use job::time::{parse, parse_duration};

use retention::Policy;

/// Deletes old backups from a directory or a container.
///
/// A backup's age is the time in its name (postgresql_backup_YYYYMMDD_HHMMSS.sql.gz, UTC). What no
/// --keep option keeps is deleted, in a directory with its .sha256. Other names are never touched. The
/// newest backup always stays, and so does the newest one whose end says that it is whole, and what is
/// dated in the future.
#[derive(Debug, Parser)]
#[command(
    name = "blob-prune",
    version,
    max_term_width = 100,
    after_help = after_help(),
    group = ArgGroup::new("policy")
        .args(["keep_days", "keep_weekly", "keep_monthly"])
        .required(true)
        .multiple(true)
)]
pub(crate) struct Args {
    /// A directory, or a container's URL with a prefix perhaps
    #[arg(value_name = "STORE")]
    pub(crate) store: String,

    /// Keep what is not older than N days
    #[arg(long, value_name = "N")]
    pub(crate) keep_days: Option<u32>,

    /// Keep at least the newest N, however old
    #[arg(long, value_name = "N", default_value_t = 3)]
    pub(crate) keep_min: u32,

    /// Keep the last backup of each of the newest N weeks (ISO 8601, UTC) that have any
    #[arg(long, value_name = "N")]
    pub(crate) keep_weekly: Option<u32>,

    /// Keep the last backup of each of the newest N months (UTC) that have any
    #[arg(long, value_name = "N")]
    pub(crate) keep_monthly: Option<u32>,

    /// Delete nothing, say what would be deleted
    #[arg(long)]
    pub(crate) dry_run: bool,

    /// Delete nothing when the newest backup is older than this: new ones have stopped coming
    #[arg(long, value_name = "AGE", default_value = "36h", value_parser = parse_duration)]
    pub(crate) max_age: TimeDelta,

    /// Delete although the newest backup is older than --max-age
    #[arg(long)]
    pub(crate) even_if_stale: bool,

    /// Stop retrying a request to the service after TIME [default: 15m, 10s for a host that never
    /// answers]
    #[arg(long, value_name = "TIME", value_parser = parse_duration)]
    pub(crate) deadline: Option<TimeDelta>,

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

    pub(crate) fn policy(&self) -> Policy {
        Policy {
            days: self.keep_days.unwrap_or(0),
            min: self.keep_min,
            weekly: self.keep_weekly.unwrap_or(0),
            monthly: self.keep_monthly.unwrap_or(0),
        }
    }
}

fn after_help() -> String {
    format!(
        "\
Standard output says for each backup why it stays or goes. A backup that an immutability policy,
a legal hold or a lease retains is no failure. A container's token needs the permissions d and l;
with r too, the ends of the backups that are counted on are looked at.

Environment:
  AZURE_STORAGE_SAS_TOKEN_FILE  a file with the container's SAS token
  AZURE_STORAGE_SAS_TOKEN       the token itself, where there is no such file

{}

Examples:
  blob-prune /backups --keep-days 7 --keep-min 3
  blob-prune \"$STORE\" --keep-days 30 --keep-weekly 8 --keep-monthly 12 --dry-run",
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
