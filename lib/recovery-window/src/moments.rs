use std::collections::BTreeMap;

use chrono::{DateTime, SubsecRound, TimeDelta, Utc};
use store::Store;
use wal::{ArchiveError, Lsn};

use crate::{ArchiveContents, BaseBackup, Chain, Span, Window};

/// The moments that a recovery by time stops at: each lies after the end of a base backup, and before a transaction that
/// the archive holds, without which PostgreSQL does not know that it has come far enough.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Moments {
    /// Oldest first, each without its last moment; none is empty, and they do not overlap.
    spans: Vec<Span>,
}

impl Moments {
    /// Those of one cluster, along the newest timeline that there is WAL of. Reads the segments with the last transactions.
    ///
    /// # Errors
    /// A segment cannot be read, or is damaged.
    pub fn of(
        store: &Store,
        archive: &ArchiveContents,
        bases: &[BaseBackup],
    ) -> Result<Self, ArchiveError> {
        let newest = |base: &BaseBackup| Window::of(base, archive).timeline;
        let Some(timeline) = bases.iter().map(newest).max() else {
            return Ok(Self::default());
        };
        let leads = |base: &&BaseBackup| {
            Window::to(base, archive, timeline).is_some_and(|window| window.is_whole())
        };
        let mut leading: Vec<&BaseBackup> = bases.iter().filter(leads).collect();
        leading.sort_by_key(|base| base.about.finished);
        let mut ends: BTreeMap<Lsn, Option<DateTime<Utc>>> = BTreeMap::new();
        let mut starts = Vec::new();
        for base in leading {
            let Some(chain) = Chain::new(store, archive, base, timeline) else {
                continue;
            };
            // Chains that end at the same place end with the same transaction.
            let end = match ends.get(&chain.until()) {
                Some(end) => *end,
                None => *ends.entry(chain.until()).or_insert(chain.last_end()?),
            };
            starts.push((base.about.finished, end));
        }
        Ok(Self::between(&starts))
    }

    /// From base backups, oldest first: when each was whole, and when the last transaction of its chain ended. A recovery
    /// begins with the newest one before the moment.
    fn between(starts: &[(DateTime<Utc>, Option<DateTime<Utc>>)]) -> Self {
        let next = starts.iter().skip(1).map(|it| Some(it.0)).chain([None]);
        let spans = starts.iter().zip(next).filter_map(|((from, end), next)| {
            let until = next.map_or(*end, |next| end.map(|end| end.min(next)))?;
            let from = whole_microsecond(*from);
            (from < until).then_some(Span { from, until })
        });
        Self {
            spans: spans.collect(),
        }
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.spans.is_empty()
    }

    /// One of them for each number, in microseconds, which is how PostgreSQL counts. All are as likely as the numbers. None
    /// if there is none.
    pub fn pick(&self, number: u64) -> Option<DateTime<Utc>> {
        let length = |span: &Span| {
            let length = (span.until - span.from).num_microseconds();
            length.and_then(|it| u64::try_from(it).ok()).unwrap_or(0)
        };
        let all: u64 = self.spans.iter().map(length).sum();
        let mut rest = number.checked_rem(all)?;
        for span in &self.spans {
            let length = length(span);
            if rest < length {
                return Some(span.from + TimeDelta::microseconds(i64::try_from(rest).ok()?));
            }
            rest -= length;
        }
        None
    }
}

/// The first one from a moment on.
fn whole_microsecond(moment: DateTime<Utc>) -> DateTime<Utc> {
    match moment.trunc_subsecs(6) {
        before if before < moment => before + TimeDelta::microseconds(1),
        exact => exact,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_moment_is_before_the_base_backup_was_whole() {
        let from = DateTime::from_timestamp(10, 812_611_438).unwrap();
        let all = Moments::between(&[(from, Some(at(100)))]);
        assert_eq!(all.pick(0).unwrap().timestamp_micros(), 10_812_612);
    }

    fn at(seconds: i64) -> DateTime<Utc> {
        DateTime::from_timestamp(seconds, 0).unwrap()
    }

    fn moments(starts: &[(i64, Option<i64>)]) -> Moments {
        let starts: Vec<_> = starts
            .iter()
            .map(|(from, end)| (at(*from), end.map(at)))
            .collect();
        Moments::between(&starts)
    }

    fn seconds(moments: &Moments) -> Vec<(i64, i64)> {
        let spans = moments.spans.iter();
        spans
            .map(|it| (it.from.timestamp(), it.until.timestamp()))
            .collect()
    }

    #[test]
    fn each_base_backup_leads_on_to_the_next() {
        let all = moments(&[(10, Some(100)), (50, Some(100))]);
        assert_eq!(seconds(&all), [(10, 50), (50, 100)]);
        // A hole: the older one's chain ends before the newer one begins.
        let all = moments(&[(10, Some(30)), (50, Some(100))]);
        assert_eq!(seconds(&all), [(10, 30), (50, 100)]);
        // Nothing was committed since, or nothing at all.
        let all = moments(&[(10, Some(40)), (50, Some(40))]);
        assert_eq!(seconds(&all), [(10, 40)]);
        assert!(moments(&[(10, None)]).is_empty());
        assert!(moments(&[]).is_empty());
    }

    #[test]
    fn every_number_is_a_moment() {
        let all = moments(&[(10, Some(11)), (50, Some(52))]);
        let micros = |number| all.pick(number).unwrap().timestamp_micros();
        assert_eq!(micros(0), 10_000_000);
        assert_eq!(micros(999_999), 10_999_999);
        assert_eq!(micros(1_000_000), 50_000_000);
        assert_eq!(micros(2_999_999), 51_999_999);
        assert_eq!(micros(3_000_000), 10_000_000);
        assert!(
            (50_000_000..52_000_000).contains(&micros(u64::MAX)) || micros(u64::MAX) < 11_000_000
        );
        assert_eq!(moments(&[]).pick(7), None);
    }
}
