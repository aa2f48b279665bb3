//! Which units may run now, so that whatever two of them must not do at once is done in the dump's order.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap};
use std::hash::Hash;

/// How a unit uses a resource.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Use {
    /// Beside others that share it.
    Shared,
    /// Alone.
    Exclusive,
}

/// Units that wait and units that run.
///
/// Each unit says what it uses when it is added, in the dump's order. For each resource it gets in line behind the units
/// before it, and runs when it has come to the front everywhere. So a unit waits only for earlier ones, and there is always
/// one that can run.
#[derive(Debug)]
pub(super) struct Schedule<R> {
    lines: HashMap<R, Line>,
    units: HashMap<usize, Waiting<R>>,
    /// Units that can run: the heaviest first; of equal ones, the first of the dump.
    ready: BinaryHeap<(u64, Reverse<usize>)>,
    next: usize,
}

/// The units that use a resource and are not done, in the dump's order.
#[derive(Debug, Default)]
struct Line {
    /// In the order of their numbers.
    units: Vec<Place>,
    exclusive: usize,
}

#[derive(Debug)]
struct Place {
    unit: usize,
    how: Use,
    /// Whether the unit has its turn.
    granted: bool,
}

#[derive(Debug)]
struct Waiting<R> {
    weight: u64,
    uses: Vec<R>,
    /// How many of these it waits for.
    missing: usize,
}

impl<R: Hash + Eq + Ord + Clone> Schedule<R> {
    pub(super) fn new() -> Self {
        Self {
            lines: HashMap::new(),
            units: HashMap::new(),
            ready: BinaryHeap::new(),
            next: 0,
        }
    }

    /// Adds the next unit of the dump, and returns its number. Heavy units go first.
    pub(super) fn add(&mut self, weight: u64, uses: impl IntoIterator<Item = (R, Use)>) -> usize {
        let unit = self.next;
        self.next += 1;
        let mut all: Vec<(R, Use)> = uses.into_iter().collect();
        // Of the uses of one resource, the exclusive one counts.
        all.sort_by(|a, b| (&a.0, Reverse(a.1)).cmp(&(&b.0, Reverse(b.1))));
        all.dedup_by(|later, first| later.0 == first.0);
        let mut missing = 0;
        for (resource, how) in &all {
            let line = self.lines.entry(resource.clone()).or_default();
            let granted = match how {
                Use::Shared => line.exclusive == 0,
                Use::Exclusive => line.units.is_empty(),
            };
            missing += usize::from(!granted);
            line.exclusive += usize::from(*how == Use::Exclusive);
            line.units.push(Place {
                unit,
                how: *how,
                granted,
            });
        }
        if missing == 0 {
            self.ready.push((weight, Reverse(unit)));
        }
        let uses = all.into_iter().map(|(resource, _)| resource).collect();
        let waiting = Waiting {
            weight,
            uses,
            missing,
        };
        self.units.insert(unit, waiting);
        unit
    }

    /// The heaviest unit that can run now. It runs until it is [done](Self::done).
    pub(super) fn take(&mut self) -> Option<usize> {
        self.ready.pop().map(|(_, Reverse(unit))| unit)
    }

    /// Whether any unit can run now.
    pub(super) fn has_ready(&self) -> bool {
        !self.ready.is_empty()
    }

    /// A unit that was taken has ended.
    pub(super) fn done(&mut self, unit: usize) {
        let uses = self.units.remove(&unit).map(|it| it.uses);
        for resource in uses.unwrap_or_default() {
            let Some(line) = self.lines.get_mut(&resource) else {
                continue;
            };
            let granted = line.leave(unit);
            if line.units.is_empty() {
                self.lines.remove(&resource);
            }
            for unit in granted {
                self.grant(unit);
            }
        }
    }

    /// Whether no unit waits or runs.
    pub(super) fn is_empty(&self) -> bool {
        self.units.is_empty()
    }

    fn grant(&mut self, unit: usize) {
        if let Some(waiting) = self.units.get_mut(&unit) {
            waiting.missing -= 1;
            if waiting.missing == 0 {
                self.ready.push((waiting.weight, Reverse(unit)));
            }
        }
    }
}

impl Line {
    /// Takes a unit out. Returns those that have their turn now.
    fn leave(&mut self, unit: usize) -> Vec<usize> {
        let Ok(at) = self.units.binary_search_by_key(&unit, |it| it.unit) else {
            return Vec::new();
        };
        let was_exclusive = self.units.remove(at).how == Use::Exclusive;
        self.exclusive -= usize::from(was_exclusive);
        let mut turns = Vec::new();
        for (at, place) in self.units.iter_mut().enumerate() {
            match place.how {
                Use::Exclusive if at == 0 && !place.granted => {
                    place.granted = true;
                    turns.push(place.unit);
                    break;
                }
                // All that share it and stand before the first exclusive one had their turn before, unless that was the
                // one that has left.
                Use::Shared if was_exclusive => {
                    place.granted = true;
                    turns.push(place.unit);
                }
                _ => break,
            }
        }
        turns
    }
}

#[cfg(test)]
mod tests {
    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::*;

    const A: char = 'a';
    const B: char = 'b';

    #[test]
    fn heavy_units_go_first_and_equal_ones_in_the_dump_s_order() {
        let mut schedule = Schedule::new();
        for weight in [1, 5, 5, 3] {
            schedule.add(weight, [(A, Use::Shared)]);
        }
        let order: Vec<_> = std::iter::from_fn(|| schedule.take()).collect();
        assert_eq!(order, [1, 2, 3, 0]);
    }

    #[test]
    fn who_uses_a_thing_alone_waits_for_those_before_it_only() {
        let mut schedule = Schedule::new();
        let shared = schedule.add(1, [(A, Use::Shared)]);
        let alone = schedule.add(9, [(A, Use::Exclusive), (A, Use::Shared)]);
        let other = schedule.add(1, [(B, Use::Exclusive)]);
        let later = schedule.add(9, [(A, Use::Shared)]);
        assert_eq!(schedule.take(), Some(shared));
        assert_eq!(schedule.take(), Some(other));
        assert_eq!(schedule.take(), None);
        schedule.done(shared);
        assert_eq!(schedule.take(), Some(alone));
        assert_eq!(schedule.take(), None);
        schedule.done(alone);
        assert_eq!(schedule.take(), Some(later));
        schedule.done(other);
        assert!(!schedule.is_empty());
        schedule.done(later);
        assert!(schedule.is_empty());
    }

    fn exclusive(alone: bool) -> Use {
        match alone {
            true => Use::Exclusive,
            false => Use::Shared,
        }
    }

    /// A unit: its weight, what it uses, and whether alone.
    type Uses = (u64, Vec<(u8, bool)>);

    fn conflict(a: &Uses, b: &Uses) -> bool {
        let mut pairs = a.1.iter().flat_map(|a| b.1.iter().map(move |b| (a, b)));
        pairs.any(|(a, b)| a.0 == b.0 && (a.1 || b.1))
    }

    proptest! {
        /// However many run at once, whichever ends first, and whenever units come: two that are in each other's way run in
        /// the dump's order, one after the other, and all of them run.
        #[test]
        fn any_order_is_one_of_the_dump_s(
            units in vec((0..4_u64, vec((0..6_u8, any::<bool>()), 0..5)), 0..40),
            workers in 1..5_usize,
            choices in vec(any::<(bool, u8)>(), 400),
        ) {
            let mut schedule = Schedule::new();
            let (mut added, mut running, mut done) = (0, Vec::new(), Vec::new());
            for (adds, which) in choices.into_iter().cycle().take(10_000) {
                if added < units.len() && (adds || running.is_empty()) {
                    let (weight, uses) = &units[added];
                    let uses = uses.iter().map(|(it, alone)| (*it, exclusive(*alone)));
                    prop_assert_eq!(schedule.add(*weight, uses), added);
                    added += 1;
                }
                let room = running.len() < workers;
                match room.then(|| schedule.take()).flatten() {
                    Some(unit) => {
                        for earlier in 0..unit {
                            let ended = done.contains(&earlier);
                            prop_assert!(ended || !conflict(&units[earlier], &units[unit]));
                        }
                        running.push(unit);
                    }
                    None if running.is_empty() => {
                        prop_assert!(added < units.len() || schedule.is_empty());
                    }
                    None => {
                        let unit = running.swap_remove(usize::from(which) % running.len());
                        schedule.done(unit);
                        done.push(unit);
                    }
                }
            }
            prop_assert_eq!(done.len(), units.len());
            prop_assert!(schedule.is_empty());
        }
    }
}
