//! What an archive holds, and how far a recovery gets with it.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::RangeInclusive;

use crate::{History, Lsn, Segment, SegmentSize, WalName};

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

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const SIZE: SegmentSize = SegmentSize::SMALLEST;
    const MIB: u64 = 1 << 20;

    fn holdings(segments: &[(u32, u64)], histories: &[(u32, &[(u32, u64)])]) -> Holdings {
        let mut all = Holdings::new(SIZE);
        for (timeline, number) in segments {
            all.add(WalName::Segment(Segment::numbered(
                *timeline, *number, SIZE,
            )));
        }
        for (timeline, forks) in histories {
            let lines = forks
                .iter()
                .map(|(timeline, at)| format!("{timeline}\t{}\tx\n", Lsn(*at)));
            let text: String = lines.collect();
            all.add_history(History::parse(*timeline, text.as_bytes()).unwrap());
        }
        all
    }

    fn stretch(timeline: u32, from: u64, to: u64) -> Stretch {
        Stretch {
            timeline,
            from: Lsn(from),
            to: Lsn(to),
        }
    }

    #[test]
    fn one_timeline_without_a_hole() {
        let all = holdings(&[(1, 3), (1, 4), (1, 5)], &[]);
        let reach = all.reach(1, Lsn(3 * MIB + 40), 1).unwrap();
        assert_eq!(reach.stretches, [stretch(1, 3 * MIB + 40, 6 * MIB)]);
        assert_eq!((reach.until, reach.gaps), (Lsn(6 * MIB), vec![]));
        // Nothing at all is there of what it needs.
        let reach = all.reach(1, Lsn(6 * MIB), 1).unwrap();
        assert_eq!((reach.stretches, reach.until), (vec![], Lsn(6 * MIB)));
    }

    #[test]
    fn a_hole_ends_it() {
        let all = holdings(&[(1, 3), (1, 6), (1, 9)], &[]);
        let reach = all.reach(1, Lsn(3 * MIB), 1).unwrap();
        assert_eq!(reach.until, Lsn(4 * MIB));
        let gaps: Vec<_> = reach
            .gaps
            .iter()
            .map(|gap| (gap.first.part, gap.last.part, gap.count))
            .collect();
        assert_eq!(gaps, [(4, 5, 2), (7, 8, 2)]);
        let reach = all.reach(1, Lsn(2 * MIB), 1).unwrap();
        assert_eq!((reach.until, reach.gaps.len()), (Lsn(2 * MIB), 3));
    }

    #[test]
    fn a_switch_of_timelines_is_followed() {
        let fork = 5 * MIB + 100;
        let all = holdings(
            &[(1, 3), (1, 4), (1, 5), (1, 6), (2, 5), (2, 6)],
            &[(2, &[(1, fork)])],
        );
        let reach = all.reach(1, Lsn(3 * MIB), 2).unwrap();
        assert_eq!(
            reach.stretches,
            [stretch(1, 3 * MIB, fork), stretch(2, fork, 7 * MIB)]
        );
        assert!(reach.gaps.is_empty());
        assert_eq!(all.reach(1, Lsn(3 * MIB), 1).unwrap().until, Lsn(7 * MIB));
        // A base backup that began after the fork cannot go there.
        assert_eq!(all.reach(1, Lsn(fork + 1), 2), None);
        assert_eq!(all.targets(1, Lsn(3 * MIB)), [1, 2]);
        assert_eq!((all.latest(1), all.latest(2)), (2, 2));
        let beyond = all.beyond();
        assert_eq!(beyond.len(), 1);
        assert_eq!(
            (beyond[0].first.part, beyond[0].count, beyond[0].left_for),
            (6, 1, 2)
        );
    }

    #[test]
    fn the_segment_of_a_switch_may_be_missing() {
        let fork = 5 * MIB + 100;
        let histories: &[(u32, &[(u32, u64)])] = &[(2, &[(1, fork)])];
        let all = holdings(&[(1, 4), (1, 5), (2, 6)], histories);
        let reach = all.reach(1, Lsn(4 * MIB), 2).unwrap();
        assert_eq!((reach.until, reach.gaps.len()), (Lsn(fork), 1));
        assert_eq!(reach.gaps[0].first, Segment::numbered(2, 5, SIZE));
        let all = holdings(&[(1, 4), (2, 6)], histories);
        assert_eq!(all.reach(1, Lsn(4 * MIB), 2).unwrap().until, Lsn(5 * MIB));
    }

    #[test]
    fn three_switches_in_one_segment() {
        let at = |offset: u64| 5 * MIB + offset;
        let all = holdings(
            &[(1, 4), (4, 5), (4, 6)],
            &[(4, &[(1, at(100)), (2, at(200)), (3, at(300))])],
        );
        let reach = all.reach(1, Lsn(4 * MIB), 4).unwrap();
        let timelines: Vec<_> = reach.stretches.iter().map(|it| it.timeline).collect();
        assert_eq!(timelines, [1, 2, 3, 4]);
        assert_eq!((reach.until, reach.gaps), (Lsn(7 * MIB), vec![]));
        assert_eq!(all.without_history(), [0; 0]);
    }

    #[test]
    fn a_switch_at_the_beginning_of_a_segment() {
        let all = holdings(&[(1, 4), (2, 5)], &[(2, &[(1, 5 * MIB)])]);
        let reach = all.reach(1, Lsn(4 * MIB), 2).unwrap();
        assert_eq!((reach.until, reach.gaps), (Lsn(6 * MIB), vec![]));
        assert!(all.beyond().is_empty());
        let all = holdings(&[(1, 4), (1, 5), (2, 5)], &[(2, &[(1, 5 * MIB)])]);
        assert_eq!(all.beyond()[0].first, Segment::numbered(1, 5, SIZE));
    }

    #[test]
    fn a_lost_history_is_told() {
        let all = holdings(
            &[(1, 4), (2, 5), (3, 6)],
            &[(3, &[(1, 5 * MIB), (2, 6 * MIB)])],
        );
        assert_eq!(all.without_history(), [2]);
        assert_eq!(all.latest(1), 1);
        assert_eq!(all.targets(1, Lsn(4 * MIB)), [1, 3]);
    }

    #[test]
    fn a_segment_of_another_size_is_no_part_of_it() {
        let mut all = Holdings::new(SegmentSize::default());
        all.add(WalName::parse("000000010000000000000FFF").unwrap());
        assert_eq!(all.segments().count(), 0);
    }

    proptest! {
        /// Against a server that reads one segment after the other.
        #[test]
        fn it_reaches_what_a_server_replays(
            missing in proptest::collection::btree_set(0..40_u64, 0..4),
            forks in proptest::collection::btree_set(1..40 * MIB, 0..4),
            last in 1..40_u64,
            begin in 0..10 * MIB,
        ) {
            let forks: Vec<u64> = forks.into_iter().collect();
            let target = u32::try_from(forks.len()).unwrap() + 1;
            let lines: Vec<(u32, u64)> = (1..).zip(forks.iter().copied()).collect();
            let histories: Vec<_> = (2..=target).map(|it| (it, &lines[..it as usize - 1])).collect();
            let owner = |number: u64| {
                let begun = forks.iter().filter(|fork| **fork / MIB <= number).count();
                u32::try_from(begun).unwrap() + 1
            };
            let held: Vec<_> = (0..=last).filter(|it| !missing.contains(it)).map(|it| (owner(it), it)).collect();
            let all = holdings(&held, &histories);
            let first_left = forks.first().copied().unwrap_or(u64::MAX);
            let reach = all.reach(1, Lsn(begin), target);
            prop_assert_eq!(reach.is_some(), begin <= first_left);
            let Some(reach) = reach else { return Ok(()) };
            let mut number = begin / MIB;
            while all.holds(Segment::numbered(owner(number), number, SIZE)) {
                number += 1;
            }
            prop_assert_eq!(reach.until, Lsn(begin.max(number * MIB)));
            prop_assert_eq!(reach.gaps.is_empty(), (number..=last).all(|it| missing.contains(&it)));
            let lost: u64 = reach.gaps.iter().map(|gap| gap.count).sum();
            let newest = (begin / MIB..=last).rfind(|it| !missing.contains(it));
            let wanted = (number..newest.unwrap_or(number)).filter(|it| missing.contains(it)).count();
            prop_assert_eq!(lost, wanted as u64);
            let mut at = Lsn(begin);
            for stretch in &reach.stretches {
                prop_assert_eq!(stretch.from, at);
                at = stretch.to;
            }
            prop_assert_eq!(at, reach.until);
        }
    }
}
