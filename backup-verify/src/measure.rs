//! What the metrics take from what was found.

use std::time::Duration;

use chrono::{DateTime, Utc};
use store::Backup;

use crate::backup::Contents;
use crate::metrics::{Family, Metrics};

impl Metrics {
    /// The run itself.
    pub(crate) fn run(&mut self, now: DateTime<Utc>, took: Duration, good: bool) {
        self.set_moment(Family::VerifyTimestamp, now);
        self.set(Family::VerifySuccess, f64::from(u8::from(good)));
        self.set(Family::VerifyDuration, took.as_secs_f64());
    }

    /// All backups of the store.
    pub(crate) fn stored(&mut self, backups: &[Backup]) {
        let bytes: u64 = backups.iter().map(|backup| backup.size).sum();
        self.set(Family::Stored, backups.len() as f64);
        self.set(Family::StoredBytes, bytes as f64);
    }

    /// What the newest backup holds.
    pub(crate) fn newest(&mut self, contents: &Contents) {
        self.set(Family::Size, contents.size as f64);
        self.set(Family::SqlSize, contents.sql_size as f64);
        let cluster = contents.cluster.iter();
        for database in cluster.flat_map(|cluster| &cluster.databases) {
            let mut add = |family, size| self.add(family, "database", &database.name, size as f64);
            add(Family::DatabaseSize, database.size);
            add(Family::DatabaseSqlSize, database.sql_size);
        }
    }

    /// How old the newest backup is, be it good or not.
    pub(crate) fn age(&mut self, started: DateTime<Utc>, now: DateTime<Utc>) {
        self.set(Family::Age, (now - started).num_seconds() as f64);
    }
}
