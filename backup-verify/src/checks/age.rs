//! Whether the data of the newest backup are young enough.

use backup_file::{About, BackupName, ServerRole};
use chrono::{DateTime, SecondsFormat, TimeDelta, Utc};
use job::Error;
use job::text::age as words;

use crate::figures::Figures;
use crate::finding::Finding;

/// When a backup was made, and of which moment its data are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Moments {
    /// When it was started.
    pub(crate) dumped: DateTime<Utc>,
    /// Until when it has what was committed. None for a standby's, if the standby could not say.
    pub(crate) data: Option<DateTime<Utc>>,
    /// Whether it is of a standby.
    pub(crate) from_standby: bool,
}

impl Moments {
    /// By its name, and by its index where it has one: an old backup under a new name is old, and so is a new dump of old
    /// data.
    pub(crate) fn of(name: BackupName, about: Option<&About>) -> Self {
        let named = name.started();
        let data = about.map_or(Some(named), About::data_time);
        let role = about.and_then(|about| about.server_role.as_ref());
        Self {
            dumped: about.map_or(named, |about| about.started.min(named)),
            data: data.map(|data| data.min(named)),
            from_standby: role.is_some_and(ServerRole::is_standby),
        }
    }
}

/// Judges the newest backup by its data's age.
pub(crate) fn check(
    newest: BackupName,
    moments: Moments,
    now: DateTime<Utc>,
    max: TimeDelta,
) -> Finding {
    let most = format!("at most {} are allowed", words(max));
    let dump_age = now - moments.dumped;
    let Some(data) = moments.data else {
        return Finding::bad(
            "age",
            Error::not_good(format!(
                "nobody knows how old the data in the newest backup '{newest}' are: it was dumped {} ago, from a standby that could not say; {most}",
                words(dump_age)
            ))
            .hint(STANDBY),
        );
    };
    let age = now - data;
    let finding = match (age <= max, moments.from_standby) {
        (true, false) => Finding::ok("age", format!("{}; {most}", words(age))),
        (true, true) => Finding::ok(
            "age",
            format!(
                "{}; dumped {} ago, from a standby; {most}",
                words(age),
                words(dump_age)
            ),
        ),
        (false, false) => Finding::bad(
            "age",
            Error::not_good(format!(
                "the newest backup '{newest}' is {} old; {most}",
                words(age)
            ))
            .hint(JOB),
        ),
        (false, true) => Finding::bad(
            "age",
            Error::not_good(format!(
                "the data in the newest backup '{newest}' are {} old, of {}: it was dumped {} ago, from a standby that was {} behind; {most}",
                words(age),
                data.to_rfc3339_opts(SecondsFormat::Secs, true),
                words(dump_age),
                words(moments.dumped - data)
            ))
            .hint(match dump_age > max {
                true => JOB,
                false => STANDBY,
            }),
        ),
    };
    finding.figures(Figures::Age {
        age_seconds: age.num_seconds(),
        dump_age_seconds: dump_age.num_seconds(),
        max_age_seconds: max.num_seconds(),
    })
}

const JOB: &str = "look at the job that makes them: its schedule, its last log";
/// Where to look for why a standby is behind.
pub(super) const STANDBY: &str = "look at the standby's replication: pg_stat_wal_receiver there, pg_stat_replication on its primary, its log";

#[cfg(test)]
mod tests {
    use backup_file::Standby;

    use super::*;

    fn at(text: &str) -> DateTime<Utc> {
        DateTime::parse_from_rfc3339(text).unwrap().to_utc()
    }

    fn name() -> BackupName {
        BackupName::new(at("2025-11-23T02:00:00Z"))
    }

    fn about(server_role: Option<ServerRole>) -> About {
        About {
            server_version: "15.18".into(),
            client_version: "15.18".into(),
            encoding: None,
            server_role,
            excluded: backup_file::Excluded::default(),
            started: at("2025-11-23T02:00:00.5Z"),
            finished: at("2025-11-23T02:10:00Z"),
        }
    }

    fn standby(data_time: Option<&str>) -> About {
        about(Some(ServerRole::Standby(Box::new(Standby {
            data_time: data_time.map(at),
            ..Standby::default()
        }))))
    }

    fn found(about: Option<&About>, max: TimeDelta) -> Finding {
        let moments = Moments::of(name(), about);
        check(name(), moments, at("2025-11-23T03:00:00Z"), max)
    }

    #[test]
    fn a_primary_s_data_are_as_old_as_its_dump() {
        for about in [
            None,
            Some(about(None)),
            Some(about(Some(ServerRole::Primary))),
        ] {
            let finding = found(about.as_ref(), TimeDelta::hours(1));
            assert_eq!(finding.words, "60 min; at most 60 min are allowed");
            assert!(!finding.is_bad());
            let finding = found(about.as_ref(), TimeDelta::minutes(59));
            assert!(finding.is_bad());
            assert!(finding.words.contains("is 60 min old"), "{}", finding.words);
        }
    }

    #[test]
    fn a_standby_s_data_may_be_older() {
        let behind = standby(Some("2025-11-18T02:00:00Z"));
        let finding = found(Some(&behind), TimeDelta::hours(36));
        assert!(finding.is_bad());
        assert_eq!(
            finding.words,
            "the data in the newest backup 'postgresql_backup_20251123_020000.sql.gz' are 5 days old, of 2025-11-18T02:00:00Z: it was dumped 60 min ago, from a standby that was 5 days behind; at most 36 h are allowed"
        );
        assert_eq!(
            finding.figures,
            Some(Figures::Age {
                age_seconds: 5 * 86_400 + 3600,
                dump_age_seconds: 3600,
                max_age_seconds: 36 * 3600,
            })
        );
        let finding = found(Some(&behind), TimeDelta::days(6));
        assert!(!finding.is_bad());
        assert_eq!(
            finding.words,
            "5 days; dumped 60 min ago, from a standby; at most 6 days are allowed"
        );
    }

    #[test]
    fn what_a_standby_could_not_say_is_not_taken_for_young() {
        let finding = found(Some(&standby(None)), TimeDelta::days(9999));
        assert!(finding.is_bad());
        assert!(finding.words.contains("nobody knows"), "{}", finding.words);
    }

    #[test]
    fn nothing_is_younger_than_its_name() {
        let ahead = standby(Some("2025-11-24T02:00:00Z"));
        let named = name().started();
        assert_eq!(Moments::of(name(), Some(&ahead)).data, Some(named));
    }
}
