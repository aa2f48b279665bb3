//! What may go and what stays: a pure function of names, states, the time and the policy.

use std::cmp::Reverse;
use std::collections::BTreeSet;
use std::fmt;

use backup_file::BackupName;
use chrono::{DateTime, Datelike, TimeDelta, Utc};

#[cfg(test)]
mod tests;

/// Clocks differ a little; what is dated further ahead than this is dated wrongly.
const SKEW: TimeDelta = TimeDelta::hours(1);

/// What is to be kept. Each rule keeps; what no rule keeps goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Policy {
    /// All that is not older than so many days.
    pub days: u32,
    /// At least so many of the newest.
    pub min: u32,
    /// The last backup of each of so many weeks (ISO 8601, UTC), the newest ones that have any.
    pub weekly: u32,
    /// The last backup of each of so many months (UTC), the newest ones that have any.
    pub monthly: u32,
}

/// What is known of a backup.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    /// Nothing yet; a rule may choose it for now.
    Unread,
    /// Its end says that its dump was whole.
    Good,
    /// Nothing can be known from its end (made by another program, not readable).
    Unknown,
    /// It is no whole backup: no rule chooses it, only its age may keep it.
    Bad,
}

/// One backup, as the rules see it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Candidate {
    /// Its name, which says its age.
    pub name: BackupName,
    /// Whether it is good.
    pub state: State,
}

/// Why a backup stays.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Rule {
    /// It is dated in the future: a clock is wrong, nobody knows its age.
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
    /// It is the newest of all. Whatever the policy says.
    Newest,
    /// It is the newest whose end says that it is whole. Whatever the policy says.
    NewestGood,
}

/// What becomes of a backup: it stays by some rules, or goes for want of any.
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

    /// Whether it counts on the backup's being good.
    fn relies_on_it(self) -> bool {
        !matches!(self, Self::Future | Self::Young(_))
    }
}

impl Decision {
    /// Whether it stays.
    pub fn keeps(&self) -> bool {
        !self.kept_by.is_empty()
    }

    /// Whether a rule has chosen it as a good one, so that it should be looked at.
    pub fn is_relied_on(&self) -> bool {
        self.kept_by.iter().any(|rule| rule.relies_on_it())
    }
}

/// Whether a policy would have deleted everything, but for the rules that always hold.
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
    let usable = backups.iter().filter(|it| it.state != State::Bad);
    let names = usable.map(|it| it.name);
    names.filter(|name| !is_future(*name, now)).max()
}

/// Decides about each backup, oldest first.
///
/// Every choice of a rule falls on the newest backups that are not known to be bad; what is dated in
/// the future is left alone and counts for nothing.
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

/// What the rules have chosen among the newer backups.
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
    if !chosen.good && matches!(backup.state, State::Good | State::Unread) {
        chosen.good = true;
        rules.insert(Rule::NewestGood);
    }
    if backup.state == State::Bad {
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

/// Whether `period` is a new one, and still one of the `wanted`.
fn choose(periods: &mut Vec<(i32, u32)>, period: (i32, u32), wanted: u32) -> bool {
    // Newest first: one that is not the last one is a new one.
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
