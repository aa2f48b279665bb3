//! What the metrics take from a run and from what it found.

use std::collections::BTreeMap;
use std::time::Duration;

use chrono::{DateTime, Utc};
use store::{Listing, total_size};

use super::metrics::{Family, Metrics};
use crate::checks::age::Moments;
use crate::figures::{Contents, Figures, Recovered, Restored, WalFigures};
use crate::finding::Finding;

impl Metrics {
    /// The run itself.
    pub(crate) fn run(&mut self, now: DateTime<Utc>, took: Duration, good: bool) {
        self.set_moment(Family::VerifyTimestamp, now);
        self.set(Family::VerifySuccess, f64::from(u8::from(good)));
        self.set(Family::VerifyDuration, took.as_secs_f64());
    }

    /// All backups of the store.
    pub(crate) fn stored(&mut self, listing: &Listing) {
        let bytes = total_size(listing.all());
        self.set(Family::Stored, listing.all().count() as f64);
        self.set(Family::StoredBytes, bytes as f64);
    }

    /// What the newest backup holds.
    pub(crate) fn newest(&mut self, contents: &Contents) {
        self.set(Family::Size, contents.size as f64);
        self.set(Family::SqlSize, contents.sql_size as f64);
        let cluster = contents.cluster.iter();
        for database in cluster.flat_map(|cluster| &cluster.databases) {
            let mut add = |family, size| {
                self.add(family, "database", &database.name.to_string(), size as f64);
            };
            add(Family::DatabaseSize, database.size);
            add(Family::DatabaseSqlSize, database.sql_size);
        }
    }

    /// A restore was tried; `all` is how long it took, if it was good.
    pub(crate) fn restore_tried(&mut self, now: DateTime<Utc>, all: Option<&Restored>) {
        self.set_moment(Family::RestoreTimestamp, now);
        self.set(Family::RestoreSuccess, f64::from(u8::from(all.is_some())));
        if let Some(all) = all {
            self.set(Family::RestoreDuration, all.seconds);
        }
    }

    /// A recovery to a moment was tried; `all` is what it took, if it was good.
    pub(crate) fn recovery_tried(&mut self, now: DateTime<Utc>, all: Option<&Recovered>) {
        self.set_moment(Family::RecoveryTimestamp, now);
        self.set(Family::RecoverySuccess, f64::from(u8::from(all.is_some())));
        if let Some(all) = all {
            self.set(Family::RecoveryDuration, all.seconds);
        }
    }

    /// The grade of each check, and what it measured.
    pub(crate) fn findings(&mut self, findings: &[Finding]) {
        let mut grades: BTreeMap<&str, u8> = BTreeMap::new();
        for finding in findings {
            let worst = grades.entry(finding.check).or_default();
            *worst = finding.grade.number().max(*worst);
            if let Some(figures) = &finding.figures {
                self.figures(figures);
            }
        }
        for (check, grade) in grades {
            self.add(Family::CheckGrade, "check", check, f64::from(grade));
        }
    }

    fn figures(&mut self, figures: &Figures) {
        match figures {
            Figures::Restored(restored) => {
                if let Some(database) = &restored.database {
                    let family = Family::DatabaseRestoreDuration;
                    self.add(family, "database", &database.to_string(), restored.seconds);
                }
            }
            Figures::Size(size) => {
                if let Some(ratio) = size.size_ratio {
                    self.set(Family::SizeRatio, ratio);
                }
            }
            Figures::Databases { databases } => {
                for database in databases {
                    if let Some(ratio) = database.size_ratio {
                        self.add(
                            Family::DatabaseSizeRatio,
                            "database",
                            &database.name.to_string(),
                            ratio,
                        );
                    }
                }
            }
            Figures::Room { used_ratio, .. } => self.set(Family::UsedRatio, *used_ratio),
            Figures::Wal(wal) => self.wal(wal),
            Figures::Lag {
                system,
                lag_bytes: Some(bytes),
                lag_seconds,
                ..
            } => {
                self.add(Family::WalLag, "system", system, *lag_seconds as f64);
                self.add(Family::WalLagBytes, "system", system, *bytes as f64);
            }
            // Without a server nobody knows how far it is behind.
            Figures::Lag { .. } => {}
            // The run sets these, of the newest backup, of the token and of a recovery, checked or not.
            Figures::Contents(_)
            | Figures::Age { .. }
            | Figures::Recovered(_)
            | Figures::Token { .. } => {}
            // Their grade is all that is of use.
            Figures::Retention { .. } | Figures::Gaps { .. } | Figures::Read(_) => {}
        }
    }

    fn wal(&mut self, wal: &WalFigures) {
        let mut add = |family, value| self.add(family, "system", &wal.system, value);
        add(Family::WalArchiveBytes, wal.archive_bytes as f64);
        add(Family::WalMissing, wal.missing_segments as f64);
        if let Some(newest) = wal.reachable.last() {
            add(Family::RecoverableFrom, newest.from.timestamp() as f64);
            add(Family::RecoverableUntil, newest.until.timestamp() as f64);
        }
    }

    /// How old the newest backup's data are, good or not. Where nobody knows, the check says so.
    pub(crate) fn age(&mut self, newest: Moments, now: DateTime<Utc>) {
        if let Some(data) = newest.data {
            self.set(Family::Age, (now - data).num_seconds() as f64);
        }
    }

    /// When the newest good backup was made, and until when it has the data.
    pub(crate) fn last_success(&mut self, good: Moments) {
        self.set_moment(Family::LastSuccess, good.dumped);
        if let Some(data) = good.data {
            self.set_moment(Family::LastSuccessData, data);
        }
    }
}
