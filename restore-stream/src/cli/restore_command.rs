use std::path::PathBuf;

use wal::SystemId;

/// PostgreSQL's restore_command.
#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Write-ahead log (restore_command)")]
pub(crate) struct WalArgs {
    /// Get this file of the WAL archive: a segment or a history
    #[arg(
        long,
        value_name = "NAME",
        requires = "to",
        hide_short_help = true,
        conflicts_with_all = [
            "list", "yes", "json", "latest", "before", "verify_first", "database", "exclude_database", "globals_only",
            "no_globals", "no_owners", "role_passwords", "replace", "dbname", "jobs", "on_error", "in_place",
            "older_server", "command"
        ]
    )]
    pub(crate) wal: Option<String>,

    /// Where the file goes
    #[arg(long, value_name = "PATH", requires = "wal", hide_short_help = true)]
    pub(crate) to: Option<PathBuf>,

    /// Fetch up to N more segments, into restore-stream.spool
    ///
    /// That directory is beside PATH. Each segment is checked when it is handed over.
    #[arg(
        long,
        value_name = "N",
        requires = "wal",
        hide_short_help = true,
        value_parser = clap::value_parser!(u16).range(1..=64)
    )]
    pub(crate) ahead: Option<u16>,

    /// For a standby, which asks again: what is not there is absent
    ///
    /// Without it, a file is absent only if nothing later of its timeline is there.
    #[arg(long, requires = "wal", hide_short_help = true)]
    pub(crate) standby: bool,

    /// Refuse a segment in which a tablespace is created
    ///
    /// A server that replays it writes into the tablespace's directory, which may be in use.
    #[arg(long, requires = "wal", hide_short_help = true)]
    pub(crate) no_tablespaces: bool,

    /// The cluster's system identifier [default: PATH's data directory's, or the only one]
    #[arg(long, value_name = "ID", value_parser = system, hide_short_help = true)]
    pub(crate) system: Option<SystemId>,
}

fn system(text: &str) -> Result<SystemId, String> {
    text.parse()
        .map_err(|()| "it is a number, as pg_controldata shows it".into())
}
