use proptest::collection::vec;
use proptest::prelude::*;
use wal::{History, Lsn, Reach};

use super::*;

const MIB: u64 = 1 << 20;
const SIZE: SegmentSize = SegmentSize::SMALLEST;

/// Something that happens to a cluster.
#[derive(Debug, Clone)]
enum Step {
    /// It writes WAL.
    Write(u64),
    /// A base backup is made while it writes.
    Base(u64),
    /// A standby is promoted, and the old primary goes on for a while.
    Promote { beyond: u64 },
    /// It is recovered to an earlier place.
    Rewind(u64),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        4 => (0..5 * MIB).prop_map(Step::Write),
        3 => (1..3 * MIB).prop_map(Step::Base),
        1 => (0..3 * MIB).prop_map(|beyond| Step::Promote { beyond }),
        1 => (0..9 * MIB).prop_map(Step::Rewind),
    ];
    vec(step, 1..30)
}

/// What a cluster leaves behind: an archive, and base backups, one a day.
struct Past {
    holdings: Holdings,
    names: Vec<WalName>,
    bases: Vec<KeptBase>,
    now: DateTime<Utc>,
}

impl Past {
    fn of(steps: &[Step]) -> Self {
        let mut past = Self {
            holdings: Holdings::new(SIZE),
            names: Vec::new(),
            bases: Vec::new(),
            now: DateTime::UNIX_EPOCH,
        };
        let (mut timeline, mut newest, mut at) = (1, 1, MIB + 40);
        let mut history = String::new();
        let mut forks: Vec<(u32, u64)> = Vec::new();
        past.write(timeline, at, at);
        for step in steps {
            past.now += TimeDelta::days(1);
            let left = match step {
                Step::Write(more) => {
                    past.write(timeline, at, at + more);
                    at += more;
                    continue;
                }
                Step::Base(more) => {
                    past.write(timeline, at, at + more);
                    past.bases.push(KeptBase {
                        finished: past.now,
                        wal: vec![Stretch {
                            timeline,
                            from: Lsn(at),
                            to: Lsn(at + more),
                        }],
                    });
                    at += more;
                    continue;
                }
                Step::Promote { beyond } => {
                    past.write(timeline, at, at + beyond);
                    at
                }
                // Not before its timeline began.
                Step::Rewind(less) => {
                    let begin = forks.last().map_or(MIB + 40, |(_, at)| *at);
                    at.saturating_sub(*less).max(begin)
                }
            };
            history += &format!("{timeline}\t{}\tx\n", Lsn(left));
            forks.push((timeline, left));
            newest += 1;
            (timeline, at) = (newest, left);
            let parsed = History::parse(timeline, history.as_bytes()).unwrap();
            past.holdings.add_history(parsed);
            past.names.push(WalName::History(timeline));
            past.write(timeline, at, at + 1);
        }
        past
    }

    /// The segments from one place to another are archived.
    fn write(&mut self, timeline: u32, from: u64, to: u64) {
        for number in from / MIB..=to / MIB {
            let name = WalName::Segment(Segment::numbered(timeline, number, SIZE));
            if !self.names.contains(&name) {
                self.names.push(name);
                self.holdings.add(name);
            }
        }
    }

    fn without(&self, gone: &[WalName]) -> Holdings {
        let mut left = Holdings::new(SIZE);
        let stays = self.names.iter().filter(|name| !gone.contains(name));
        stays.for_each(|name| left.add(*name));
        for history in self.holdings.histories() {
            left.add_history(history.clone());
        }
        left
    }
}

/// All that a recovery from a base backup gets to.
fn reaches(base: &KeptBase, holdings: &Holdings) -> Vec<Option<Reach>> {
    let (first, last) = (base.wal[0], base.wal[base.wal.len() - 1]);
    let targets = holdings.targets(last.timeline, last.to).into_iter();
    targets
        .map(|target| holdings.reach(first.timeline, first.from, target))
        .collect()
}

/// Whether it can be restored at all.
fn is_restorable(base: &KeptBase, holdings: &Holdings) -> bool {
    let (first, last) = (base.wal[0], base.wal[base.wal.len() - 1]);
    let reach = holdings.reach(first.timeline, first.from, last.timeline);
    reach.is_some_and(|reach| reach.until >= last.to)
}

/// Whether all that was promised of these base backups holds with `left` of the archive.
fn holds(past: &Past, kept: &[KeptBase], days: Option<u32>, left: &Holdings) -> bool {
    // The days that must be reached, reckoned here by themselves: all of what the newest base backup before them reaches.
    let begin = days.map(|days| past.now - TimeDelta::days(days.into()));
    let before = |base: &KeptBase| begin.is_none_or(|begin| base.finished > begin);
    let newest_before = kept
        .iter()
        .filter(|it| !before(it))
        .map(|it| it.finished)
        .max();
    kept.iter().all(|base| {
        let is_open = before(base) || Some(base.finished) == newest_before;
        match is_open {
            true => reaches(base, left) == reaches(base, &past.holdings),
            false => is_restorable(base, left),
        }
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn what_is_kept_can_be_restored_and_nothing_needless_stays(
        steps in steps(),
        kept in vec(any::<bool>(), 30),
        days in proptest::option::of(0_u32..30),
    ) {
        let past = Past::of(&steps);
        let bases = past.bases.iter().zip(kept).filter(|(_, stays)| *stays);
        let kept: Vec<KeptBase> = bases.map(|(base, _)| base.clone()).collect();
        let gone = needless_wal(&past.holdings, past.names.iter().copied(), &kept, past.now, days);
        let left = past.without(&gone);
        prop_assert!(gone.iter().all(|name| name.segment().is_some()));
        prop_assert!(kept.is_empty() == gone.is_empty() || !kept.is_empty());
        prop_assert!(holds(&past, &kept, days, &left));
        // Each of the others is needed, but for timelines on which the next base backup may be being made.
        let newest = kept.iter().map(|base| base.wal[0].timeline).max().unwrap_or(0);
        for segment in left.segments().filter(|it| it.timeline <= newest) {
            let mut more = gone.clone();
            more.push(WalName::Segment(segment));
            prop_assert!(!holds(&past, &kept, days, &past.without(&more)), "{segment} of {past:?}", past = past.names);
        }
    }

    #[test]
    fn what_goes_first_is_oldest(steps in steps()) {
        let past = Past::of(&steps);
        let kept: Vec<KeptBase> = past.bases.last().cloned().into_iter().collect();
        let gone = needless_wal(&past.holdings, past.names.iter().copied(), &kept, past.now, None);
        let places: Vec<u64> = gone.iter().map(|name| place(*name, SIZE)).collect();
        prop_assert!(places.is_sorted());
    }
}

fn base(day: i64, timeline: u32, from: u64, to: u64) -> KeptBase {
    KeptBase {
        finished: DateTime::UNIX_EPOCH + TimeDelta::days(day),
        wal: vec![Stretch {
            timeline,
            from: Lsn(from * MIB + 40),
            to: Lsn(to * MIB + 40),
        }],
    }
}

/// The numbers of the segments of timeline 1 that stay of 20, on day 20.
fn stays(bases: &[KeptBase], days: Option<u32>) -> Vec<u64> {
    let mut holdings = Holdings::new(SIZE);
    let names = (0..20).map(|number| WalName::Segment(Segment::numbered(1, number, SIZE)));
    let names: Vec<WalName> = names.collect();
    names.iter().for_each(|name| holdings.add(*name));
    let now = DateTime::UNIX_EPOCH + TimeDelta::days(20);
    let gone = needless_wal(&holdings, names.iter().copied(), bases, now, days);
    let left = names.iter().filter(|name| !gone.contains(name));
    left.map(|name| place(*name, SIZE)).collect()
}

#[test]
fn days_are_reached_from_the_base_backup_before_them() {
    let bases = [base(2, 1, 2, 3), base(9, 1, 9, 10), base(16, 1, 16, 17)];
    assert_eq!(stays(&bases, None), (2..20).collect::<Vec<_>>());
    let window = |first: u64, old: &[u64]| {
        let all = old.iter().copied().chain(first..20);
        all.collect::<Vec<_>>()
    };
    // Day 17 on: the base backup of day 16.
    assert_eq!(stays(&bases, Some(3)), window(16, &[2, 3, 9, 10]));
    // Day 15 on: the one of day 9.
    assert_eq!(stays(&bases, Some(5)), window(9, &[2, 3]));
    assert_eq!(stays(&bases, Some(100)), window(2, &[]));
    assert_eq!(stays(&bases[2..], Some(5)), window(16, &[]));
}

#[test]
fn without_a_base_backup_all_stays() {
    assert_eq!(stays(&[], None).len(), 20);
}

#[test]
fn what_nobody_knows_stays() {
    let mut holdings = Holdings::new(SIZE);
    let segment = |timeline, number| WalName::Segment(Segment::numbered(timeline, number, SIZE));
    let mut names: Vec<WalName> = (0..9).map(|number| segment(1, number)).collect();
    // Timeline 2 has no history.
    names.extend((3..9).map(|number| segment(2, number)));
    names.extend((5..9).map(|number| segment(3, number)));
    names.push(WalName::Partial(Segment::numbered(1, 2, SIZE)));
    names.push(WalName::Backup(Segment::numbered(1, 6, SIZE), 40));
    names.push(WalName::History(3));
    names.iter().for_each(|name| holdings.add(*name));
    holdings.add_history(History::parse(3, b"1\t0/500000\tx\n").unwrap());
    let now = DateTime::UNIX_EPOCH + TimeDelta::days(20);
    let gone = needless_wal(&holdings, names, &[base(1, 3, 6, 7)], now, None);
    let text: Vec<String> = gone.iter().map(ToString::to_string).collect();
    let gone = |timeline, number: u64| gone.contains(&segment(timeline, number));
    assert!((0..9).all(|number| gone(1, number)), "{text:?}");
    assert!(gone(2, 5) && !gone(2, 6) && !gone(2, 8), "{text:?}");
    assert!(gone(3, 5) && !gone(3, 6), "{text:?}");
    assert!(text.contains(&"000000010000000000000002.partial".to_owned()));
    assert!(text.contains(&"000000010000000000000006.00000028.backup".to_owned()));
    assert!(!text.contains(&"00000003.history".to_owned()));
}
