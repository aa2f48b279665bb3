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
