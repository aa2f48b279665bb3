//! Of which moment the data of a dump were: a standby's are older than its dump.

use chrono::{DateTime, SecondsFormat, Utc};
use serde::{Deserialize, Serialize};

/// What the dumped server was in its replication.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ServerRole {
    /// Its data were those of the moment at which each dump began.
    Primary,
    /// It was in recovery: its data were those that it had replayed by then.
    Standby(Box<Standby>),
}

impl ServerRole {
    /// Whether it was in recovery.
    pub fn is_standby(&self) -> bool {
        matches!(self, Self::Standby(_))
    }
}

/// A standby, as it was before its dump started. Times are by the primary's clock, in UTC.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "StandbyLine", into = "StandbyLine")]
pub struct Standby {
    /// Whatever was committed until this moment is in the dump. None if the standby could not say.
    pub data_time: Option<DateTime<Utc>>,
    /// When the last transaction that it had replayed was committed (`pg_last_xact_replay_timestamp`). None if it had
    /// replayed none since it was started.
    pub replay_time: Option<DateTime<Utc>>,
    /// How far it had replayed (`pg_last_wal_replay_lsn`): `0/3000148`.
    pub replay_lsn: Option<String>,
    /// Whether its WAL receiver was streaming (`pg_stat_wal_receiver`).
    pub receiver_connected: bool,
    /// How far the WAL went by then as far as the receiver had heard, received or not.
    pub received_lsn: Option<String>,
    /// When the receiver had last heard of its primary, even if that had nothing new. None if it never had, or if the
    /// role that asked may not know.
    pub last_message_time: Option<DateTime<Utc>>,
}

/// The same as it stands in the index.
#[derive(Serialize, Deserialize)]
struct StandbyLine {
    data_time: Option<String>,
    replay_time: Option<String>,
    replay_lsn: Option<String>,
    receiver_connected: bool,
    received_lsn: Option<String>,
    last_message_time: Option<String>,
}

impl From<Standby> for StandbyLine {
    fn from(standby: Standby) -> Self {
        Self {
            data_time: standby.data_time.map(rfc3339),
            replay_time: standby.replay_time.map(rfc3339),
            replay_lsn: standby.replay_lsn,
            receiver_connected: standby.receiver_connected,
            received_lsn: standby.received_lsn,
            last_message_time: standby.last_message_time.map(rfc3339),
        }
    }
}

impl TryFrom<StandbyLine> for Standby {
    type Error = String;

    fn try_from(line: StandbyLine) -> Result<Self, String> {
        let time = |text: Option<String>| text.as_deref().map(moment).transpose();
        Ok(Self {
            data_time: time(line.data_time)?,
            replay_time: time(line.replay_time)?,
            replay_lsn: line.replay_lsn,
            receiver_connected: line.receiver_connected,
            received_lsn: line.received_lsn,
            last_message_time: time(line.last_message_time)?,
        })
    }
}

/// A moment as the index has it.
pub(super) fn rfc3339(moment: DateTime<Utc>) -> String {
    moment.to_rfc3339_opts(SecondsFormat::AutoSi, true)
}

/// Reads a moment of the index.
pub(super) fn moment(text: &str) -> Result<DateTime<Utc>, String> {
    DateTime::parse_from_rfc3339(text)
        .map(|moment| moment.to_utc())
        .map_err(|_| format!("'{text}' is no time"))
}
