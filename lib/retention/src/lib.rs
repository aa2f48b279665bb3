//! Which backups stay and which may go: a pure function of their names, what is known of them, the time and the policy.

mod wal;

use std::cmp::Reverse;
use std::collections::BTreeSet;
use std::fmt;

use backup_file::BackupName;
use chrono::{DateTime, Datelike, TimeDelta, Utc};

pub use crate::wal::{KeptBase, needless_wal, window_begin};

#[cfg(test)]
mod tests;

/// Clocks differ a little. A backup that is dated further ahead than this is dated wrongly.
const SKEW: TimeDelta = TimeDelta::hours(1);

/// What to keep. Each rule keeps some backups; those that no rule keeps may go.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Policy {
    /// Every backup that is not older than this many days.
    pub days: u32,
    /// At least this many of the newest.
    pub min: u32,
    /// The last backup of each week (ISO 8601, UTC), for this many of the newest weeks that have any.
    pub weekly: u32,
    /// The last backup of each month (UTC), for this many of the newest months that have any.
    pub monthly: u32,
}

/// What is known of a backup's being whole.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Soundness {
    /// Nothing yet. A rule may choose it for now.
    Unread,
    /// Its end says that its dump was whole.
    Good,
    /// Its end cannot tell (another program made it), or cannot be read.
    Unknown,
    /// It is no whole backup. No rule chooses it; only its age may keep it.
    Bad,
}

/// One backup, as the rules see it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Candidate {
    /// Its name, which says its age.
    pub name: BackupName,
    /// Whether it is good.
    pub soundness: Soundness,
}

/// Why a backup stays.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Rule {
    /// It is dated in the future: a clock is wrong, and nobody knows its age.
    Future,
    /// It is not older than `days`.
    Young(u32),
    /// It is among the newest `min`.
    Minimum(u32),
    /// It is the last of its week.
    #[expect(missing_docs, reason = "ISO 8601's")]
    Week { year: i32, week: u32 },
    /// It is the last of its month.
    #[expect(missing_docs, reason = "the calendar's")]
    Month { year: i32, month: u32 },
    /// It is the newest of all, which stays whatever the policy says.
    Newest,
    /// It is the newest whose end says that it is whole, which stays whatever the policy says.
    NewestGood,
}

/// What becomes of a backup: it stays if any rule keeps it, and goes otherwise.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Decision {
    /// The backup.
    pub name: BackupName,
    /// The rules that keep it.
    pub kept_by: BTreeSet<Rule>,
}

impl Policy {
    /// Whether it keeps nothing at all.
    pub fn is_empty(self) -> bool {
        self == Self::default()
    }
}

impl Rule {
    /// Whether the policy keeps it, not only the rules that always hold.
    fn is_of_policy(self) -> bool {
        !matches!(self, Self::Future | Self::Newest | Self::NewestGood)
    }

    /// Whether it relies on the backup being good.
    fn relies_on_it(self) -> bool {
        !matches!(self, Self::Future | Self::Young(_))
    }
}

impl Decision {
    /// Whether it stays.
    pub fn keeps(&self) -> bool {
        !self.kept_by.is_empty()
    }

    /// Whether a rule relies on it being good, so that somebody should look.
    pub fn is_relied_on(&self) -> bool {
        self.kept_by.iter().any(|rule| rule.relies_on_it())
    }
}

/// Whether only the rules that always hold keep the policy from deleting everything.
pub fn deletes_everything(decisions: &[Decision]) -> bool {
    let deletes = decisions.iter().any(|decision| !decision.keeps());
    let keeps = decisions
        .iter()
        .flat_map(|decision| &decision.kept_by)
        .any(|rule| rule.is_of_policy());
    deletes && !keeps
}

/// The newest backup that counts: not dated in the future, not known to be bad.
pub fn newest(backups: &[Candidate], now: DateTime<Utc>) -> Option<BackupName> {
    let usable = backups.iter().filter(|it| it.soundness != Soundness::Bad);
    let names = usable.map(|it| it.name);
    names.filter(|name| !is_future(*name, now)).max()
}

/// Decides about each backup, oldest first.
///
/// Rules choose the newest backups that are not known to be bad. Backups that are dated in the future stay, and count
/// for nothing.
pub fn decide(backups: &[Candidate], now: DateTime<Utc>, policy: &Policy) -> Vec<Decision> {
    let mut newest_first = backups.to_vec();
    newest_first.sort_by_key(|backup| Reverse(backup.name));
    let mut chosen = Chosen::default();
    let mut decisions: Vec<Decision> = newest_first
        .into_iter()
        .map(|backup| Decision {
            name: backup.name,
            kept_by: rules(backup, now, policy, &mut chosen),
        })
        .collect();
    decisions.reverse();
    decisions
}

/// What the rules have already chosen, going from the newest backup to the oldest.
#[derive(Default)]
struct Chosen {
    newest: bool,
    good: bool,
    usable: u32,
    weeks: Vec<(i32, u32)>,
    months: Vec<(i32, u32)>,
}

fn rules(
    backup: Candidate,
    now: DateTime<Utc>,
    policy: &Policy,
    chosen: &mut Chosen,
) -> BTreeSet<Rule> {
    let started = backup.name.started();
    let mut rules = BTreeSet::new();
    if is_future(backup.name, now) {
        rules.insert(Rule::Future);
        return rules;
    }
    if policy.days > 0 && now - started <= TimeDelta::days(policy.days.into()) {
        rules.insert(Rule::Young(policy.days));
    }
    if !chosen.newest {
        chosen.newest = true;
        rules.insert(Rule::Newest);
    }
    if !chosen.good && matches!(backup.soundness, Soundness::Good | Soundness::Unread) {
        chosen.good = true;
        rules.insert(Rule::NewestGood);
    }
    if backup.soundness == Soundness::Bad {
        return rules;
    }
    if chosen.usable < policy.min {
        chosen.usable += 1;
        rules.insert(Rule::Minimum(policy.min));
    }
    let iso = started.iso_week();
    if choose(&mut chosen.weeks, (iso.year(), iso.week()), policy.weekly) {
        let (year, week) = (iso.year(), iso.week());
        rules.insert(Rule::Week { year, week });
    }
    let (year, month) = (started.year(), started.month());
    if choose(&mut chosen.months, (year, month), policy.monthly) {
        rules.insert(Rule::Month { year, month });
    }
    rules
}

/// Whether `period` is not among `periods` yet, and one of the first `wanted`.
fn choose(periods: &mut Vec<(i32, u32)>, period: (i32, u32), wanted: u32) -> bool {
    // They come in order, so a new one differs from the last.
    let new = periods.last() != Some(&period) && periods.len() < wanted as usize;
    if new {
        periods.push(period);
    }
    new
}

fn is_future(name: BackupName, now: DateTime<Utc>) -> bool {
    name.started() - now > SKEW
}

impl fmt::Display for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Future => f.write_str("dated in the future"),
            Self::Young(1) => f.write_str("not older than 1 day"),
            Self::Young(days) => write!(f, "not older than {days} days"),
            Self::Minimum(1) => f.write_str("the newest 1"),
            Self::Minimum(min) => write!(f, "among the newest {min}"),
            Self::Week { year, week } => write!(f, "last of week {year}-W{week:02}"),
            Self::Month { year, month } => write!(f, "last of month {year}-{month:02}"),
            Self::Newest => f.write_str("the newest"),
            Self::NewestGood => f.write_str("the newest good one"),
        }
    }
}
