//! The name of a backup.

use std::fmt;

use chrono::{DateTime, NaiveDateTime, SubsecRound, Timelike, Utc};

use super::kind::BackupKind;

const DUMP: &str = "postgresql_backup_%Y%m%d_%H%M%S.sql.gz";
const BASE: &str = "postgresql_base_%Y%m%d_%H%M%S.tar.gz";

/// The name of a backup, by the moment (UTC) when it was started: `postgresql_backup_YYYYMMDD_HHMMSS.sql.gz` is a dump,
/// `postgresql_base_YYYYMMDD_HHMMSS.tar.gz` a base backup. Names are ordered by that moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct BackupName {
    started: DateTime<Utc>,
    kind: BackupKind,
}

impl BackupName {
    /// The name of a dump that was started at `moment`, without fractions of a second.
    pub fn new(moment: DateTime<Utc>) -> Self {
        Self::of(BackupKind::Dump, moment)
    }

    /// The name of a backup of this kind that was started at `moment`, without fractions of a second.
    pub fn of(kind: BackupKind, moment: DateTime<Utc>) -> Self {
        let started = moment.trunc_subsecs(0);
        Self { started, kind }
    }

    /// Reads a name without a directory; none if it is not exactly of one of the two forms.
    pub fn parse(name: &str) -> Option<Self> {
        BackupKind::ALL
            .into_iter()
            .find_map(|kind| Self::parse_as(kind, name))
    }

    fn parse_as(kind: BackupKind, name: &str) -> Option<Self> {
        // The parser also takes fewer digits, a sign and a leap second, but a name is written in one way only.
        let moment = NaiveDateTime::parse_from_str(name, pattern(kind)).ok()?;
        let is_leap = moment.nanosecond() >= 1_000_000_000;
        let parsed = Self::of(kind, moment.and_utc());
        (!is_leap && parsed.to_string() == name).then_some(parsed)
    }

    /// When the backup was started.
    pub fn started(self) -> DateTime<Utc> {
        self.started
    }

    /// What the backup is.
    pub fn kind(self) -> BackupKind {
        self.kind
    }
}

impl fmt::Display for BackupName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.started.format(pattern(self.kind)))
    }
}

fn pattern(kind: BackupKind) -> &'static str {
    match kind {
        BackupKind::Dump => DUMP,
        BackupKind::Base => BASE,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_and_back() {
        let name = "postgresql_backup_20251123_020000.sql.gz";
        let parsed = BackupName::parse(name).unwrap();
        assert_eq!(parsed.to_string(), name);
        assert_eq!(parsed.started().to_rfc3339(), "2025-11-23T02:00:00+00:00");
        assert_eq!(BackupName::new(parsed.started()), parsed);
        let name = "postgresql_base_20251123_020000.tar.gz";
        let base = BackupName::parse(name).unwrap();
        assert_eq!(base.to_string(), name);
        assert_eq!(base.kind(), BackupKind::Base);
        assert_eq!(base.started(), parsed.started());
        assert_ne!(base, parsed);
    }

    #[test]
    fn no_other_name_is_a_backup_s() {
        for name in [
            "",
            "postgresql_backup_20251123_020000.sql",
            "postgresql_backup_20251123_020000.sql.gz.sha256",
            ".postgresql_backup_20251123_020000.sql.gz",
            "postgresql_backup_20251123_20000.sql.gz",
            "postgresql_backup_20251323_020000.sql.gz",
            "postgresql_backup_20251123_025960.sql.gz",
            "postgresql_backup_20251123-020000.sql.gz",
            "Postgresql_backup_20251123_020000.sql.gz",
            "dir/postgresql_backup_20251123_020000.sql.gz",
            "postgresql_backup_+0251123_020000.sql.gz",
            "postgresql_backup_+20251123_020000.sql.gz",
            "postgresql_backup_-20251123_020000.sql.gz",
            "postgresql_backup_-0251123_020000.sql.gz",
            "postgresql_backup_0251123_020000.sql.gz",
            "postgresql_backup_20251123_020000.tar.gz",
            "postgresql_base_20251123_020000.sql.gz",
            "postgresql_base_20251123_025960.tar.gz",
        ] {
            assert_eq!(BackupName::parse(name), None, "{name}");
        }
    }
}
