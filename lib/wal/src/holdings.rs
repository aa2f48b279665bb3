//! What an archive holds, and how far a recovery gets with it.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::RangeInclusive;

use crate::{History, Lsn, Segment, SegmentSize, WalName};

#[cfg(test)]
mod tests;

/// What a cluster's archive holds: its segments, and where its timelines came from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Holdings {
    size: SegmentSize,
    segments: BTreeSet<Segment>,
    histories: BTreeMap<u32, History>,
}

/// How far a recovery gets that begins at some place and goes to some timeline.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reach {
    /// The WAL that it can replay, without a hole, in order: one stretch for each timeline. Empty if not even the first
    /// segment is there.
    pub stretches: Vec<Stretch>,
    /// The first byte that it cannot replay: the end of the last stretch, or where it begins if there is none.
    pub until: Lsn,
    /// What is missing between that and the last segment of its way. Without a gap, what it reaches is the end.
    pub gaps: Vec<Gap>,
}

/// WAL of one timeline.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stretch {
    /// The timeline.
    pub timeline: u32,
    /// The first byte.
    pub from: Lsn,
    /// The byte after the last.
    pub to: Lsn,
}

/// Segments that are missing, although there are later ones.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Gap {
    /// The first.
    pub first: Segment,
    /// The last, perhaps on a later timeline.
    pub last: Segment,
    /// How many.
    pub count: u64,
}

/// Segments of a timeline after the place where it was last left for another one: two servers were primaries at once,
/// or a recovery to an earlier time left them behind.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Beyond {
    /// The timeline that they are of.
    pub timeline: u32,
    /// Where it was left.
    pub left_at: Lsn,
    /// For which timeline.
    pub left_for: u32,
    /// The first segment.
    pub first: Segment,
    /// The last.
    pub last: Segment,
    /// How many.
    pub count: u64,
}

impl Holdings {
    /// An empty archive of a cluster whose segments have this size.
    pub fn new(size: SegmentSize) -> Self {
        Self {
            size,
            segments: BTreeSet::new(),
            histories: BTreeMap::new(),
        }
    }

    /// Adds what the listing has. Only segments count; a history counts when it was read
    /// ([`add_history`](Self::add_history)).
    pub fn add(&mut self, name: WalName) {
        // A segment of another size is no part of this cluster's WAL.
        let segment = name.segment().filter(|it| it.number(self.size).is_some());
        self.segments.extend(segment);
    }

    /// Adds the history of a timeline.
    pub fn add_history(&mut self, history: History) {
        self.histories.insert(history.timeline(), history);
    }

    /// The size of the segments.
    pub fn size(&self) -> SegmentSize {
        self.size
    }

    /// The segments, by timeline and place.
    pub fn segments(&self) -> impl DoubleEndedIterator<Item = Segment> {
        self.segments.iter().copied()
    }

    /// Whether a segment is there.
    pub fn holds(&self, segment: Segment) -> bool {
        self.segments.contains(&segment)
    }

    /// The histories, by timeline.
    pub fn histories(&self) -> impl Iterator<Item = &History> {
        self.histories.values()
    }

    /// The history of a timeline; without parents, if there is none.
    pub fn history(&self, timeline: u32) -> History {
        let history = self.histories.get(&timeline).cloned();
        history.unwrap_or_else(|| History::alone(timeline))
    }

    /// The timelines that a recovery from `from` on `timeline` can go to: itself, and those that left it, directly or
    /// not, at `from` or later. In order.
    pub fn targets(&self, timeline: u32, from: Lsn) -> Vec<u32> {
        let later = self
            .histories
            .values()
            .filter(|history| history.left(timeline).is_some_and(|left| left >= from));
        let later = later.map(History::timeline);
        std::iter::once(timeline).chain(later).collect()
    }

    /// The timeline that PostgreSQL goes to with `recovery_target_timeline = 'latest'`: it asks for one history after
    /// the other until one is missing.
    pub fn latest(&self, timeline: u32) -> u32 {
        let later = timeline.checked_add(1).into_iter().flat_map(|next| next..);
        let found = later.take_while(|timeline| self.histories.contains_key(timeline));
        found.last().unwrap_or(timeline)
    }

    /// How far a recovery gets that begins at `from` on `timeline` and goes to `target`; none if `target` does not
    /// descend from there.
    ///
    /// Where one timeline was left for the next, PostgreSQL reads the next one's segment, whose beginning is a copy.
    pub fn reach(&self, timeline: u32, from: Lsn, target: u32) -> Option<Reach> {
        if !self.targets(timeline, from).contains(&target) {
            return None;
        }
        let path = self.path(timeline, from, target);
        let mut expected = from.0 / self.size.bytes();
        let mut gaps: Vec<Gap> = Vec::new();
        let mut until = None;
        for (number, segment) in path.iter().flat_map(|step| self.held(step)) {
            if number > expected {
                until.get_or_insert_with(|| self.until(&path, expected));
                gaps.push(self.gap(&path, expected..=number - 1));
            }
            debug_assert_eq!(segment.number(self.size), Some(number));
            expected = number + 1;
        }
        let until = until
            .unwrap_or_else(|| self.until(&path, expected))
            .max(from);
        let stretches = path.iter().filter_map(|step| {
            let (from, to) = (
                step.begins.max(from),
                step.ends.map_or(until, |it| it.min(until)),
            );
            let timeline = step.timeline;
            (from < to).then_some(Stretch { timeline, from, to })
        });
        Some(Reach {
            stretches: stretches.collect(),
            until,
            gaps,
        })
    }

    /// What is there of timelines after they were left.
    pub fn beyond(&self) -> Vec<Beyond> {
        let mut left: BTreeMap<u32, (Lsn, u32)> = BTreeMap::new();
        for history in self.histories.values() {
            for (fork, next) in history.forks().iter().zip(
                history
                    .forks()
                    .iter()
                    .skip(1)
                    .map(|fork| fork.timeline)
                    .chain([history.timeline()]),
            ) {
                let place = left.entry(fork.timeline).or_insert((fork.at, next));
                *place = (*place).max((fork.at, next));
            }
        }
        let beyond = left
            .into_iter()
            .filter_map(|(timeline, (left_at, left_for))| {
                // The segment in which it was left is its own; where it was left at a segment's beginning, that is not.
                let first = left_at.0.div_ceil(self.size.bytes());
                let after = Segment::numbered(timeline, first, self.size)..=last_of(timeline);
                let mut after = self.segments.range(after).copied();
                let first = after.next()?;
                let (last, count) = after.fold((first, 1), |(_, count), it| (it, count + 1));
                Some(Beyond {
                    timeline,
                    left_at,
                    left_for,
                    first,
                    last,
                    count,
                })
            });
        beyond.collect()
    }

    /// The timelines after 1 that there is WAL of and no history: PostgreSQL does not find them.
    pub fn without_history(&self) -> Vec<u32> {
        let mut timelines: Vec<u32> = self.segments.iter().map(|it| it.timeline).collect();
        timelines.dedup();
        timelines.retain(|it| *it > 1 && !self.histories.contains_key(it));
        timelines
    }

    /// The timelines of a recovery, and which segments it reads of each.
    fn path(&self, timeline: u32, from: Lsn, target: u32) -> Vec<Step> {
        let first = from.0 / self.size.bytes();
        let history = self.history(target);
        let path: Vec<_> = history.path().filter(|(it, ..)| *it >= timeline).collect();
        let next_begins = path
            .iter()
            .skip(1)
            .map(|(_, begins, _)| Some(begins.0 / self.size.bytes()));
        let steps = path.iter().zip(next_begins.chain([None]));
        let steps = steps.map(|((timeline, begins, ends), next)| Step {
            timeline: *timeline,
            begins: *begins,
            ends: *ends,
            first: first.max(begins.0 / self.size.bytes()),
            before: next,
        });
        steps.collect()
    }

    /// The segments that are there of those that a recovery reads of a timeline.
    fn held(&self, step: &Step) -> impl Iterator<Item = (u64, Segment)> {
        let first = Segment::numbered(step.timeline, step.first, self.size);
        let before = step.before;
        let segments = self.segments.range(first..=last_of(step.timeline));
        let numbered = segments.filter_map(|it| Some((it.number(self.size)?, *it)));
        numbered.take_while(move |(number, _)| before.is_none_or(|before| *number < before))
    }

    /// The first byte that cannot be replayed if the segment with this number is missing.
    fn until(&self, path: &[Step], missing: u64) -> Lsn {
        let start = Lsn(missing.saturating_mul(self.size.bytes()));
        // Where a timeline begins within it, the one before has the bytes up to there.
        let begun = path.windows(2).find_map(|steps| {
            let [before, step] = steps else { return None };
            let within = step.begins > start && step.begins.0 / self.size.bytes() == missing;
            let copy = Segment::numbered(before.timeline, missing, self.size);
            (within && self.holds(copy)).then_some(step.begins)
        });
        begun.unwrap_or(start)
    }

    fn gap(&self, path: &[Step], missing: RangeInclusive<u64>) -> Gap {
        let segment = |number: u64| {
            let step = path.iter().rfind(|step| step.first <= number);
            let timeline = step.or(path.first()).map_or(0, |step| step.timeline);
            Segment::numbered(timeline, number, self.size)
        };
        Gap {
            first: segment(*missing.start()),
            last: segment(*missing.end()),
            count: missing.end() - missing.start() + 1,
        }
    }
}

/// A timeline on the way of a recovery.
#[derive(Debug, Clone, Copy)]
struct Step {
    timeline: u32,
    begins: Lsn,
    /// The first byte that no longer belongs to it; none for the last one.
    ends: Option<Lsn>,
    /// The number of the first segment that is read of it.
    first: u64,
    /// The number of the first that is no longer.
    before: Option<u64>,
}

/// No segment of a timeline comes after it.
fn last_of(timeline: u32) -> Segment {
    Segment {
        timeline,
        log: u32::MAX,
        part: u32::MAX,
    }
}
