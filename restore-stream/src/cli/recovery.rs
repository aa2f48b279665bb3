use std::fmt;
use std::path::PathBuf;

use chrono::{DateTime, Utc};
use clap::ValueEnum;
use wal::Lsn;

/// Back to a moment: a base backup, and the WAL after it.
#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Back to a moment (base backup and WAL)")]
pub(crate) struct RecoveryArgs {
    /// As it was at TIME, or at the end of the WAL
    ///
    /// One --database of the cluster, or all of it, into --data-dir. All transactions that ended until then are there, and
    /// no later ones. `end` is the last one that is archived.
    #[arg(
        long,
        value_name = "TIME|end",
        value_parser = Target::parse_moment,
        requires = "recovered",
        conflicts_with_all = ["list", "latest", "before", "verify_first"],
        help_heading = "Which backup"
    )]
    pub(crate) at: Option<Target>,

    /// With --at: into this empty directory
    ///
    /// It becomes the server's data directory, and is made if it is not there.
    #[arg(
        long,
        value_name = "DIR",
        help_heading = "Which backup",
        conflicts_with_all = [
            "list", "yes", "latest", "before", "verify_first", "database", "exclude_database", "globals_only",
            "no_globals", "no_owners", "role_passwords", "replace", "force_disconnect", "dbname", "jobs", "on_error",
            "in_place", "older_server", "command", "wal"
        ]
    )]
    pub(crate) data_dir: Option<PathBuf>,

    /// Instead of --at: lsn:LSN, xid:NUMBER, or name:RESTORE_POINT
    #[arg(
        long,
        value_name = "KIND:VALUE",
        value_parser = Target::parse_kind,
        requires = "recovered",
        conflicts_with_all = ["at", "list", "latest", "before", "verify_first"],
        hide_short_help = true
    )]
    pub(crate) target: Option<Target>,

    /// Stop just before the moment or the target, not after it
    #[arg(long, requires = "recovered", hide_short_help = true)]
    pub(crate) exclusive: bool,

    /// Follow this timeline [default: the newest that there is WAL of]
    #[arg(
        long,
        value_name = "N",
        requires = "recovered",
        value_parser = clap::value_parser!(u32).range(1..),
        hide_short_help = true
    )]
    pub(crate) timeline: Option<u32>,

    /// Fetch the WAL too, so that the server needs no restore-stream
    #[arg(long, requires = "data_dir", hide_short_help = true)]
    pub(crate) with_wal: bool,

    /// What the server does then: promote, pause, shutdown
    #[arg(
        long,
        value_name = "ACTION",
        value_enum,
        hide_possible_values = true,
        default_value_t = TargetAction::Promote,
        requires = "data_dir",
        hide_short_help = true
    )]
    pub(crate) target_action: TargetAction,

    /// Leave WAL archiving as the cluster had it
    ///
    /// Without it archive_mode is off, so that the recovered server does not archive into the store that it came from.
    #[arg(long, requires = "data_dir", hide_short_help = true)]
    pub(crate) rejoin: bool,

    /// Replay the creation of tablespaces, into the directories that the WAL names
    ///
    /// Without it such a recovery is refused: beside the server that the WAL is of it would overwrite that one's tables.
    #[arg(long, requires = "data_dir", hide_short_help = true)]
    pub(crate) allow_tablespaces: bool,

    /// With --database: the private server's directory [default: TMPDIR, /tmp]
    ///
    /// It needs room for the whole cluster, the WAL up to the moment, and a dump of the database. All is removed afterwards.
    #[arg(
        long,
        value_name = "DIR",
        conflicts_with = "data_dir",
        hide_short_help = true
    )]
    pub(crate) work_dir: Option<PathBuf>,

    /// With --database: the directory of postgres
    ///
    /// [default: on the PATH or in /usr/lib/postgresql/*/bin, the base backup's major version]
    #[arg(
        long,
        value_name = "DIR",
        conflicts_with = "data_dir",
        hide_short_help = true
    )]
    pub(crate) pg_bindir: Option<PathBuf>,
}

/// Where a recovery stops.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Target {
    /// After the last transaction that ended until then.
    Time(DateTime<Utc>),
    /// At the first record from there on.
    Lsn(Lsn),
    /// At the end of a transaction.
    Xid(u32),
    /// At a restore point.
    Name(String),
    /// Where the archived WAL ends.
    End,
}

/// What the server does when it has reached the target.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum TargetAction {
    /// It takes up its work, on a timeline of its own
    Promote,
    /// It waits, and may be read
    Pause,
    /// It stops
    Shutdown,
}

impl RecoveryArgs {
    /// Where the recovery is to stop, if one is asked for.
    pub(crate) fn target(&self) -> Option<&Target> {
        self.at.as_ref().or(self.target.as_ref())
    }
}

impl Target {
    fn parse_moment(text: &str) -> Result<Self, String> {
        match text {
            "end" => Ok(Self::End),
            _ => job::time::parse(text).map(Self::Time),
        }
    }

    fn parse_kind(text: &str) -> Result<Self, String> {
        let (kind, value) = text.split_once(':').unwrap_or((text, ""));
        let wrong = |what: &str| format!("'{value}' is no {what}");
        match kind {
            "lsn" => value
                .parse()
                .map(Self::Lsn)
                .map_err(|()| wrong("place in the WAL, as pg_current_wal_lsn() gives it")),
            // With its epoch or without.
            "xid" => value
                .parse::<u64>()
                .map(|xid| Self::Xid((xid & 0xffff_ffff) as u32))
                .map_err(|_| wrong("number of a transaction, as pg_current_xact_id() gives it")),
            "name" if (1..64).contains(&value.len()) => Ok(Self::Name(value.to_owned())),
            "name" => Err(wrong("name of a restore point: it has 1 to 63 bytes")),
            _ => Err(format!(
                "'{kind}' is none of lsn:, xid: and name:; a moment is given by --at"
            )),
        }
    }
}

impl TargetAction {
    /// As the setting has it.
    pub(crate) fn word(self) -> &'static str {
        match self {
            Self::Promote => "promote",
            Self::Pause => "pause",
            Self::Shutdown => "shutdown",
        }
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Time(time) => write!(f, "{}", time.format("%Y-%m-%d %H:%M:%S%.f UTC")),
            Self::Lsn(lsn) => write!(f, "LSN {lsn}"),
            Self::Xid(xid) => write!(f, "transaction {xid}"),
            Self::Name(name) => write!(f, "restore point '{}'", job::shown(name)),
            Self::End => f.write_str("the end of the archived WAL"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn targets_are_read() {
        assert_eq!(Target::parse_moment("end"), Ok(Target::End));
        let moment = Target::parse_moment("2025-11-23 01:59:30.25Z").unwrap();
        assert_eq!(moment.to_string(), "2025-11-23 01:59:30.250 UTC");
        for (text, wanted) in [
            ("lsn:1/A", Target::Lsn(Lsn(0x1_0000_000A))),
            ("xid:4294967301", Target::Xid(5)),
            ("name:before: it", Target::Name("before: it".into())),
        ] {
            assert_eq!(Target::parse_kind(text), Ok(wanted));
        }
        for wrong in [
            "lsn:", "lsn:x", "xid:-1", "xid:", "name:", "time:now", "1/A", "",
        ] {
            assert!(Target::parse_kind(wrong).is_err(), "{wrong}");
        }
    }
}
