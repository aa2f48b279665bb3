//! Whether backups are dated in the future.

use chrono::{DateTime, TimeDelta, Utc};
use store::Backup;

use crate::finding::Finding;

/// Clocks differ a little; what is dated further ahead than this is dated wrongly.
const SKEW: TimeDelta = TimeDelta::hours(1);

/// Splits a store's backups, oldest first, into those that may have been made by now and those dated in the future.
pub(crate) fn split(backups: &[Backup], now: DateTime<Utc>) -> (&[Backup], &[Backup]) {
    let is_past = |backup: &Backup| backup.name.started() - now <= SKEW;
    let newest = backups.iter().rposition(is_past);
    backups.split_at(newest.map_or(0, |newest| newest + 1))
}

/// Warns of backups that are dated in the `future`, if there are any.
pub(crate) fn check(future: &[Backup]) -> Option<Finding> {
    let name = future.first()?.name;
    let (more, is) = match future.len() {
        1 => (String::new(), " is"),
        number => (format!(" and {} more are", number - 1), ""),
    };
    let words = format!("'{name}'{more}{is} dated in the future: a clock is or was wrong");
    Some(Finding::warning("clock", words))
}
