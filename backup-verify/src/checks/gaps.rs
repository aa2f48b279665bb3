//! Whether each turn of the schedule has its backup.

use backup_file::BackupName;
use chrono::TimeDelta;
use job::Error;
use job::text::count;

use crate::figures::{Figures, Gap};
use crate::finding::Finding;

/// How many turns of the schedule before the newest backup are looked at: earlier gaps have been reported already.
const TURNS: i32 = 7;

/// Judges the series of the backups that are there, oldest first; whether one is missing after the newest, its age tells.
/// A past night cannot be mended, so a gap is a warning, unless `max` says how many backups may be missing.
pub(crate) fn check(backups: &[BackupName], every: TimeDelta, max: Option<u32>) -> Finding {
    let gaps = gaps(backups, every);
    let missed: u32 = gaps.iter().map(|gap| gap.missed).sum();
    let words = match gaps.last() {
        None => "no backup is missing in the last 7 turns".to_owned(),
        Some(last) => format!(
            "{} missing in the last 7 turns, the last between '{}' and '{}'",
            match missed {
                1 => "1 backup is".to_owned(),
                _ => count(missed as usize, "backup") + " are",
            },
            last.after,
            last.before
        ),
    };
    let finding = match missed {
        0 => Finding::ok("gaps", words),
        _ => match max.filter(|max| missed > *max) {
            None => Finding::warning("gaps", words),
            Some(max) => Finding::bad(
                "gaps",
                Error::not_good(format!("{words}; {max} may be")).hint(
                    "look at the jobs of those nights; --every says how often a backup is made",
                ),
            ),
        },
    };
    finding.figures(Figures::Gaps { missed, gaps })
}

/// The gaps that reach into the last turns. A backup that is late by less than half a turn counts for its turn.
fn gaps(backups: &[BackupName], every: TimeDelta) -> Vec<Gap> {
    let Some(newest) = backups.last() else {
        return Vec::new();
    };
    let begin = newest.started() - every * TURNS;
    let gap = |pair: &[BackupName]| {
        let [after, before] = pair else {
            return None;
        };
        let from = after.started().max(begin);
        let turns = (before.started() - from).as_seconds_f64() / every.as_seconds_f64();
        let missed = turns.round() - 1.0;
        (missed >= 1.0).then(|| Gap {
            after: after.to_string(),
            before: before.to_string(),
            // At most TURNS.
            missed: missed as u32,
        })
    };
    backups.windows(2).filter_map(gap).collect()
}

#[cfg(test)]
mod tests {
    use chrono::DateTime;
    use proptest::prelude::*;

    use super::*;
    use crate::finding::Grade;

    /// Backups that were made these hours after a beginning.
    fn at(hours: &[i64]) -> Vec<BackupName> {
        let beginning = DateTime::parse_from_rfc3339("2025-11-01T02:00:00Z").unwrap();
        hours
            .iter()
            .map(|hours| BackupName::new(beginning.to_utc() + TimeDelta::hours(*hours)))
            .collect()
    }

    fn missed(hours: &[i64]) -> u32 {
        let gaps = gaps(&at(hours), TimeDelta::days(1));
        gaps.iter().map(|gap| gap.missed).sum()
    }

    #[test]
    fn a_night_that_is_missing() {
        assert_eq!(missed(&[0, 24, 48, 72]), 0);
        assert_eq!(missed(&[0, 24, 72, 96]), 1);
        assert_eq!(missed(&[0, 72, 96, 168]), 4);
        // Late, early, twice.
        assert_eq!(missed(&[0, 35, 48, 50, 72]), 0);
        assert_eq!(missed(&[0, 36]), 1);
    }

    #[test]
    fn few_backups_have_no_gaps() {
        assert_eq!(missed(&[]), 0);
        assert_eq!(missed(&[0]), 0);
        assert_eq!(missed(&[0, 24]), 0);
    }

    #[test]
    fn what_was_missed_long_ago_is_forgotten() {
        assert_eq!(missed(&[0, 240, 264, 288, 312, 336, 360, 384, 408]), 0);
        // A backup a year ago and one today: that is seven turns.
        assert_eq!(missed(&[0, 8760]), 6);
    }

    #[test]
    fn another_schedule() {
        let hours = at(&[0, 6, 18, 24]);
        assert_eq!(gaps(&hours, TimeDelta::hours(6)).len(), 1);
        assert_eq!(gaps(&hours, TimeDelta::hours(12)).len(), 0);
    }

    #[test]
    fn how_many_may_be_missing() {
        let backups = at(&[0, 24, 72, 120]);
        let grade = |max| check(&backups, TimeDelta::days(1), max).grade;
        assert!(matches!(grade(Some(1)), Grade::Bad(_)));
        assert!(matches!(grade(Some(2)), Grade::Warning));
        assert!(matches!(grade(None), Grade::Warning));
        let whole = check(&backups[..2], TimeDelta::days(1), Some(0)).grade;
        assert!(matches!(whole, Grade::Ok));
    }

    proptest! {
        #[test]
        fn as_many_as_were_taken_out(days in proptest::collection::btree_set(1..7_i64, 0..6)) {
            let hours: Vec<i64> = (0..=7).filter(|day| !days.contains(day)).map(|day| day * 24).collect();
            prop_assert_eq!(missed(&hours) as usize, days.len());
        }
    }
}
