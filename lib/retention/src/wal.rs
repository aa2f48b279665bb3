//! Which WAL may go: what no kept base backup needs.

use std::collections::BTreeSet;
use std::ops::RangeInclusive;

use chrono::{DateTime, TimeDelta, Utc};
use wal::{Holdings, Segment, SegmentSize, Stretch, WalName};

#[cfg(test)]
mod tests;

/// A base backup that stays.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeptBase {
    /// When it was whole: it leads back to later moments, not to earlier ones.
    pub finished: DateTime<Utc>,
    /// The WAL without which it cannot be restored, in order.
    pub wal: Vec<Stretch>,
}

/// The files of one cluster's archive that none of its kept base backups needs, oldest first.
///
/// Each kept base backup keeps the WAL that was written while it was made. From one of them on, all WAL stays that leads on
/// from there, on whatever timeline: from the oldest, or, with `days`, from the newest one that was whole that many days
/// ago, so that every moment of those days can be reached. Histories always stay, and so does all WAL
///
/// - where no base backup is kept: nobody knows what one that is being made needs;
/// - of a timeline that is newer than those of all kept base backups: one may be being made on it;
/// - of a timeline whose history is missing, from the oldest place on that is kept: nobody knows where it came from.
pub fn needless_wal(
    holdings: &Holdings,
    files: impl IntoIterator<Item = WalName>,
    bases: &[KeptBase],
    now: DateTime<Utc>,
    days: Option<u32>,
) -> Vec<WalName> {
    if bases.is_empty() {
        return Vec::new();
    }
    let needs = Needs::new(holdings, bases, now, days);
    let gone = files.into_iter().filter(|name| match name {
        WalName::History(_) => false,
        WalName::Segment(segment)
        | WalName::Backup(segment, _)
        | WalName::Partial(segment)
        | WalName::OtherPartial(segment, _) => !needs.include(*segment),
    });
    let mut gone: Vec<WalName> = gone.collect();
    gone.sort_by_key(|name| (place(*name, holdings.size()), *name));
    gone
}

/// When the base backup was whole from which on all WAL stays; none if there is none.
pub fn window_begin(
    bases: &[KeptBase],
    now: DateTime<Utc>,
    days: Option<u32>,
) -> Option<DateTime<Utc>> {
    let mut by_age: Vec<&KeptBase> = bases.iter().collect();
    by_age.sort_by_key(|base| base.finished);
    let first = by_age.get(first_open(&by_age, now, days))?;
    Some(first.finished)
}

/// What the kept base backups need.
#[derive(Debug)]
struct Needs {
    size: SegmentSize,
    /// Timelines and numbers of segments that base backups need to be restored at all.
    ranges: Vec<(u32, RangeInclusive<u64>)>,
    /// All that leads on from base backups.
    windows: Vec<OpenWindow>,
    /// The newest timeline of a kept base backup.
    newest: u32,
    /// The timelines after 1 whose history is missing.
    unknown: BTreeSet<u32>,
}

/// All WAL that leads on from a base backup.
#[derive(Debug)]
struct OpenWindow {
    /// The number of the first segment.
    first: u64,
    timelines: BTreeSet<u32>,
}

impl Needs {
    fn new(holdings: &Holdings, bases: &[KeptBase], now: DateTime<Utc>, days: Option<u32>) -> Self {
        let size = holdings.size();
        let mut by_age: Vec<&KeptBase> = bases.iter().collect();
        by_age.sort_by_key(|base| base.finished);
        let open = by_age.iter().skip(first_open(&by_age, now, days));
        let stretches = bases.iter().flat_map(|base| &base.wal);
        Self {
            size,
            ranges: stretches.clone().map(|it| range(it, size)).collect(),
            windows: open
                .filter_map(|base| OpenWindow::new(holdings, base))
                .collect(),
            newest: stretches.map(|it| it.timeline).max().unwrap_or(u32::MAX),
            unknown: holdings.without_history().into_iter().collect(),
        }
    }

    fn include(&self, segment: Segment) -> bool {
        // One of another size is no part of this cluster's WAL.
        let Some(number) = segment.number(self.size) else {
            return true;
        };
        let timeline = segment.timeline;
        let in_range = |(of, numbers): &(u32, RangeInclusive<u64>)| {
            *of == timeline && numbers.contains(&number)
        };
        let in_window = |window: &OpenWindow| {
            let leads_on = window.timelines.contains(&timeline) || self.unknown.contains(&timeline);
            leads_on && number >= window.first
        };
        timeline > self.newest
            || self.ranges.iter().any(in_range)
            || self.windows.iter().any(in_window)
    }
}

impl OpenWindow {
    fn new(holdings: &Holdings, base: &KeptBase) -> Option<Self> {
        let (first, last) = (base.wal.first()?, base.wal.last()?);
        let mut timelines = BTreeSet::new();
        for target in holdings.targets(last.timeline, last.to) {
            timelines.insert(target);
            // Those between, whose own histories may be missing.
            let history = holdings.history(target);
            let between = history.forks().iter().map(|fork| fork.timeline);
            timelines.extend(between.filter(|it| *it >= last.timeline));
        }
        Some(Self {
            first: first.from.0 / holdings.size().bytes(),
            timelines,
        })
    }
}

/// The first of these base backups, oldest first, from which on all WAL stays.
fn first_open(bases: &[&KeptBase], now: DateTime<Utc>, days: Option<u32>) -> usize {
    let Some(days) = days else { return 0 };
    let begin = now - TimeDelta::days(days.into());
    let whole_then = bases.iter().rposition(|base| base.finished <= begin);
    whole_then.unwrap_or(0)
}

/// The segments of a stretch.
fn range(stretch: &Stretch, size: SegmentSize) -> (u32, RangeInclusive<u64>) {
    let first = stretch.from.0 / size.bytes();
    // The byte at its end is not needed any more.
    let last = stretch.to.0.saturating_sub(1) / size.bytes();
    (stretch.timeline, first..=last.max(first))
}

/// Where a file is in the WAL.
fn place(name: WalName, size: SegmentSize) -> u64 {
    match name {
        WalName::History(_) => 0,
        WalName::Segment(segment)
        | WalName::Backup(segment, _)
        | WalName::Partial(segment)
        | WalName::OtherPartial(segment, _) => segment.number(size).unwrap_or(0),
    }
}
