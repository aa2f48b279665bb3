//! Whether the backups that should have been deleted are gone.

use std::collections::BTreeSet;

use backup_file::BackupName;
use chrono::{DateTime, TimeDelta, Utc};
use job::Error;
use job::text::count;
use retention::{Candidate, Decision, Policy, Soundness, decide, newest};
use store::{Backup, QuickCheck, Store};

use crate::figures::Figures;
use crate::finding::Finding;

/// A backup is overdue two days after it should have gone: blob-prune may miss a night.
const GRACE: TimeDelta = TimeDelta::days(2);
/// blob-prune deletes nothing while the newest backup is older than this (its `--max-age`).
const STALE: TimeDelta = TimeDelta::hours(36);

/// Judges the backups that are still there by what blob-prune is said to keep.
///
/// # Errors
/// The service does not answer.
pub(crate) fn check(
    store: &Store,
    backups: &[Backup],
    now: DateTime<Utc>,
    policy: &Policy,
) -> Result<Finding, Error> {
    let mut backups: Vec<&Backup> = backups.iter().collect();
    let mut candidates: Vec<Candidate> = backups
        .iter()
        .map(|backup| Candidate {
            name: backup.name,
            soundness: Soundness::Unread,
        })
        .collect();
    loop {
        let decisions = decide(&candidates, now - GRACE, policy);
        let overdue = overdue(&candidates, &decisions, now);
        // blob-prune looks at the backups that its rules rely on, and so does this: a bad one must not stand in for an
        // older one.
        if overdue.is_empty() || !look(store, &mut backups, &mut candidates, &decisions)? {
            return Ok(finding(&still_there(store, overdue)?));
        }
    }
}

/// The overdue backups, without those that a prune has deleted since the store was listed.
fn still_there(store: &Store, mut overdue: Vec<BackupName>) -> Result<Vec<BackupName>, Error> {
    if !overdue.is_empty() {
        let there: BTreeSet<BackupName> = store.list()?.all().map(|it| it.name).collect();
        overdue.retain(|name| there.contains(name));
    }
    Ok(overdue)
}

/// The backups that should not be there any more.
fn overdue(
    candidates: &[Candidate],
    decisions: &[Decision],
    now: DateTime<Utc>,
) -> Vec<BackupName> {
    let then = now - GRACE;
    let prunes = newest(candidates, then).is_some_and(|newest| then - newest.started() <= STALE);
    let gone = decisions
        .iter()
        .filter(|decision| prunes && !decision.keeps());
    gone.map(|decision| decision.name).collect()
}

/// Looks at the ends of the backups that the rules count on and that are unread; returns whether there were any. One
/// that is gone is taken out of the lists.
fn look(
    store: &Store,
    backups: &mut Vec<&Backup>,
    candidates: &mut Vec<Candidate>,
    decisions: &[Decision],
) -> Result<bool, Error> {
    let mut looked = false;
    for (at, decision) in decisions.iter().enumerate() {
        if candidates[at].soundness != Soundness::Unread || !decision.is_relied_on() {
            continue;
        }
        looked = true;
        candidates[at].soundness = match store.quick_check(backups[at])? {
            QuickCheck::Whole(_) => Soundness::Good,
            QuickCheck::NotGood(_) => Soundness::Bad,
            QuickCheck::Foreign | QuickCheck::Archived | QuickCheck::NotAllowed(_) => {
                Soundness::Unknown
            }
            QuickCheck::Gone => {
                backups.remove(at);
                candidates.remove(at);
                break;
            }
        };
    }
    Ok(looked)
}

fn finding(overdue: &[BackupName]) -> Finding {
    let figures = Figures::Retention {
        overdue: overdue.iter().map(ToString::to_string).collect(),
    };
    let finding = match overdue {
        [] => Finding::ok("pruning", "nothing is there that should be deleted"),
        [oldest, ..] => Finding::bad(
            "pruning",
            Error::not_good(format!(
                "{} still there that should have been deleted two days ago, the oldest is '{oldest}'",
                match overdue.len() {
                    1 => "1 backup is".to_owned(),
                    number => count(number, "backup") + " are",
                }
            ))
            .hint("look at the log of the job that runs blob-prune; an immutability policy or a legal hold may retain them"),
        ),
    };
    finding.figures(figures)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn utc(text: &str) -> DateTime<Utc> {
        DateTime::parse_from_rfc3339(text).unwrap().to_utc()
    }

    /// Nightly backups, one for each of these numbers of days ago.
    fn nightly(days: std::ops::Range<i64>) -> Vec<Candidate> {
        days.rev()
            .map(|back| Candidate {
                name: BackupName::new(utc("2025-11-23T02:00:00Z") - TimeDelta::days(back)),
                soundness: Soundness::Unread,
            })
            .collect()
    }

    fn overdue_days(candidates: &[Candidate], days: u32, min: u32) -> usize {
        let policy = Policy {
            days,
            min,
            ..Policy::default()
        };
        let now = utc("2025-11-23T06:00:00Z");
        let decisions = decide(candidates, now - GRACE, &policy);
        overdue(candidates, &decisions, now).len()
    }

    #[test]
    fn a_prune_that_runs_leaves_nothing() {
        // Before and after the run of today.
        assert_eq!(overdue_days(&nightly(0..9), 7, 3), 0);
        assert_eq!(overdue_days(&nightly(0..8), 7, 3), 0);
    }

    #[test]
    fn what_two_nights_have_left_is_overdue() {
        assert_eq!(overdue_days(&nightly(0..10), 7, 3), 1);
        assert_eq!(overdue_days(&nightly(0..30), 7, 3), 21);
    }

    #[test]
    fn what_the_minimum_keeps_is_no_excess() {
        assert_eq!(overdue_days(&nightly(0..14), 1, 20), 0);
        assert_eq!(overdue_days(&[], 7, 3), 0);
    }

    #[test]
    fn a_prune_that_refuses_is_not_blamed() {
        // Nothing new came for a week: blob-prune deletes nothing, and the check of the age says so.
        assert_eq!(overdue_days(&nightly(7..30), 7, 3), 0);
    }
}
