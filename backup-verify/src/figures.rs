//! What the checks measured, for programs: `--json` prints it as it is, the metrics take from it what they have.

use std::collections::BTreeMap;

use backup_file::About;
use chrono::{DateTime, Utc};
use pg_text::PgText;
use serde::Serialize;

/// What one check measured. In a JSON document its keys stand beside the check's name and result.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(untagged)]
pub(crate) enum Figures {
    /// Of a backup that was read.
    Contents(Box<Contents>),
    /// Of a restore that was tested.
    Restored(Restored),
    /// Of a cluster that was recovered to a moment.
    Recovered(Recovered),
    /// Of a database of it.
    Read(ReadDatabase),
    /// Of the newest backup: of its data, and since its dump was started.
    Age {
        age_seconds: i64,
        dump_age_seconds: i64,
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
    /// Which moments a cluster's base backups and its WAL lead back to.
    Wal(WalFigures),
    /// How far a WAL archive is behind the server.
    Lag {
        system: String,
        /// None without a server.
        lag_bytes: Option<u64>,
        lag_seconds: i64,
        max_lag_seconds: i64,
    },
    /// Which turns of the schedule have no backup.
    Gaps { missed: u32, gaps: Vec<Gap> },
}

/// What a backup holds.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(crate) struct Contents {
    pub(crate) name: String,
    /// Bytes.
    pub(crate) size: u64,
    /// Bytes.
    pub(crate) sql_size: u64,
    pub(crate) members: u64,
    /// Its SHA-256, where one was recorded when it was made, and it is that.
    pub(crate) sha256: Option<String>,
    /// Whether it ends in the marker, by which the program that made it says that it is whole.
    pub(crate) marker: bool,
    /// What its index says, where it has one.
    #[serde(flatten)]
    pub(crate) cluster: Option<Cluster>,
    /// What it needs, if it is a base backup.
    #[serde(flatten)]
    pub(crate) base: Option<BaseFigures>,
    /// What its index says of the dump.
    #[serde(skip)]
    pub(crate) about: Option<About>,
    /// How long reading it took.
    pub(crate) seconds: f64,
    /// What cannot be promised of it, or is odd.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) remarks: Vec<String>,
}

/// What a base backup is of, and which WAL it needs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct BaseFigures {
    /// In decimal digits.
    pub(crate) system_identifier: String,
    pub(crate) timeline: u32,
    pub(crate) start_lsn: String,
    pub(crate) stop_lsn: String,
}

/// The cluster that was dumped, as an index has it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct Cluster {
    pub(crate) server_version: String,
    pub(crate) started: String,
    pub(crate) finished: String,
    /// Whether it was a standby, where the index says so.
    pub(crate) in_recovery: Option<bool>,
    /// Of which moment its data are; none if a standby could not say.
    pub(crate) data_time: Option<String>,
    pub(crate) databases: Vec<Database>,
}

/// A database in a backup.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct Database {
    pub(crate) name: PgText,
    /// Bytes.
    pub(crate) size: u64,
    /// Bytes.
    pub(crate) sql_size: u64,
}

/// The databases of one backup, each with its bytes of SQL.
pub(crate) type SqlSizes = BTreeMap<PgText, u64>;

impl Contents {
    /// None without an index.
    pub(crate) fn sql_sizes(&self) -> Option<SqlSizes> {
        let databases = self.cluster.as_ref()?.databases.iter();
        Some(databases.map(|it| (it.name.clone(), it.sql_size)).collect())
    }
}

/// A cluster's WAL archive.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(crate) struct WalFigures {
    /// The system identifier, in decimal digits.
    pub(crate) system: String,
    pub(crate) files: usize,
    /// Of all files, as they are stored.
    pub(crate) archive_bytes: u64,
    /// The number of segments that are missing on the way of the base backups.
    pub(crate) missing_segments: u64,
    /// The moments that can be reached, oldest first.
    pub(crate) reachable: Vec<SpanFigures>,
}

/// Moments that can be reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub(crate) struct SpanFigures {
    pub(crate) from: DateTime<Utc>,
    pub(crate) until: DateTime<Utc>,
}

/// How long a restore took that was good: the measured RTO.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(crate) struct Restored {
    /// The database; none for all that was asked for, roles and tablespaces included.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) database: Option<PgText>,
    /// From the start of restore-stream to its end, in seconds; for several databases the sum.
    #[serde(rename = "restore_seconds")]
    pub(crate) seconds: f64,
    /// Rows that came by COPY.
    pub(crate) rows: u64,
}

/// How long a recovery to a moment took that was good, and where it led.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(crate) struct Recovered {
    /// The moment; none for the end of the archived WAL.
    pub(crate) moment: Option<DateTime<Utc>>,
    /// The base backup's name.
    pub(crate) base: String,
    /// The system identifier, in decimal digits.
    pub(crate) system: String,
    /// The timeline that was followed.
    pub(crate) timeline: u32,
    /// When the last transaction ended that was replayed; none if there was none, or the server does not say.
    pub(crate) last_commit: Option<DateTime<Utc>>,
    /// Behind the last record that was replayed; none if the server does not say.
    pub(crate) replay_lsn: Option<String>,
    /// The number of databases that were read.
    pub(crate) databases: usize,
    /// Until the base backup was unpacked and the WAL was there, in seconds.
    pub(crate) restore_seconds: f64,
    /// From then on until the server took connections, in seconds.
    pub(crate) replay_seconds: f64,
    /// Both together: the measured RTO, in seconds.
    #[serde(rename = "recovery_seconds")]
    pub(crate) seconds: f64,
}

/// A database that was read.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(crate) struct ReadDatabase {
    pub(crate) database: PgText,
    /// How long pg_dump took, in seconds.
    pub(crate) read_seconds: f64,
}

/// The newest backup's size against the median of those before it.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(crate) struct SizeFigures {
    /// Bytes.
    pub(crate) newest_bytes: u64,
    /// Bytes; none while there are too few.
    pub(crate) median_bytes: Option<u64>,
    /// The newest size divided by the median.
    pub(crate) size_ratio: Option<f64>,
    /// The number of backups that the median is of.
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
    /// Its size divided by the median; 0 for one that is gone.
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
    /// The names of the backups before it and after it.
    pub(crate) after: String,
    pub(crate) before: String,
    /// The number of turns of the schedule that have no backup.
    pub(crate) missed: u32,
}
