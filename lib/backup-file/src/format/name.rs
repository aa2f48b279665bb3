//! The name of a backup.

use std::fmt;

use chrono::{DateTime, NaiveDateTime, SubsecRound, Timelike, Utc};

const PATTERN: &str = "postgresql_backup_%Y%m%d_%H%M%S.sql.gz";
const LENGTH: usize = "postgresql_backup_YYYYMMDD_HHMMSS.sql.gz".len();

/// The name of a backup: `postgresql_backup_YYYYMMDD_HHMMSS.sql.gz`, by the moment (UTC) when the dump started. Names are
/// ordered by that moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct BackupName(DateTime<Utc>);

impl BackupName {
    /// The name of a backup that was started at `moment`, without fractions of a second.
    pub fn new(moment: DateTime<Utc>) -> Self {
        Self(moment.trunc_subsecs(0))
    }

    /// Reads a name without a directory; none if it is not exactly of this form.
    pub fn parse(name: &str) -> Option<Self> {
        // The parser also takes fewer digits, a sign and a leap second, but a name is written in one way only.
        let moment = NaiveDateTime::parse_from_str(name, PATTERN).ok()?;
        let leap = moment.nanosecond() >= 1_000_000_000;
        if leap || name.len() != LENGTH {
            return None;
        }
        let parsed = Self::new(moment.and_utc());
        (parsed.to_string() == name).then_some(parsed)
    }

    /// When the dump started.
    pub fn started(self) -> DateTime<Utc> {
        self.0
    }
}

impl fmt::Display for BackupName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0.format(PATTERN))
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
        ] {
            assert_eq!(BackupName::parse(name), None, "{name}");
        }
    }
}
