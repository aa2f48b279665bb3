//! What the checks of a store measured, in numbers: for `--json` as they are, for the metrics.

use pg_text::PgText;
use serde::Serialize;

/// What one check measured. In a JSON document its keys stand beside the check's name and result.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(untagged)]
pub(crate) enum Figures {
    /// Of the newest backup.
    Age {
        age_seconds: i64,
        max_age_seconds: i64,
    },
    /// The newest backup in the file or blob, against those before it.
    Size(SizeFigures),
    /// What became of databases, each in bytes of SQL.
    Databases { databases: Vec<DatabaseFigures> },
    /// How full the store is.
    Room {
        used_bytes: u64,
        total_bytes: u64,
        used_ratio: f64,
        max_used_ratio: f64,
    },
    /// Until when the token is good (RFC 3339).
    Token { expires: String, days_left: i64 },
    /// What should have been deleted.
    Retention { overdue: Vec<String> },
    /// Which turns of the schedule have no backup.
    Gaps { missed: u32, gaps: Vec<Gap> },
}

/// The newest backup's size against the median of those before it.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(crate) struct SizeFigures {
    /// Bytes.
    pub(crate) newest_bytes: u64,
    /// Bytes; none while there are too few.
    pub(crate) median_bytes: Option<u64>,
    /// The one by the other.
    pub(crate) size_ratio: Option<f64>,
    /// How many backups the median is of.
    pub(crate) compared: usize,
}

/// A database in the newest backup against those before it.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(crate) struct DatabaseFigures {
    pub(crate) name: PgText,
    /// What became of it.
    pub(crate) change: Change,
    /// Bytes of SQL; 0 for one that is gone.
    pub(crate) sql_size: u64,
    /// Bytes of SQL; none for one that is new.
    pub(crate) median_sql_size: Option<u64>,
    /// The one by the other; 0 for one that is gone.
    pub(crate) size_ratio: Option<f64>,
}

/// What became of a size.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Change {
    /// About as before, or there is too little before it to tell.
    Steady,
    New,
    Gone,
    Shrunk,
    Grown,
}

/// Two neighbours in the series between which some are missing.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct Gap {
    /// The names of the backups before and behind it.
    pub(crate) after: String,
    pub(crate) before: String,
    /// How many turns of the schedule have no backup.
    pub(crate) missed: u32,
}
