use std::collections::BTreeMap;

use backup_file::BackupName;
use chrono::{DateTime, Utc};
use wal::{Gap, Holdings, Lsn, Segment, SystemId};

use crate::{ArchiveContents, BaseBackup};

/// From when and until when one base backup can be recovered, along the newest timeline that leads on from it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Window {
    /// The base backup.
    pub base: BackupName,
    /// The cluster.
    pub system: SystemId,
    /// The first moment: when the base backup was whole. A standby's base backup may lead back to an earlier one, down to
    /// what it has (`About::data_time`), which is where such a window begins if its WAL leads no further.
    pub from: DateTime<Utc>,
    /// When the last segment of the chain was stored: what was committed before it was written is in it. Otherwise until
    /// when the base backup itself has what was committed. None if the chain ends before the base backup does, or if nobody
    /// says it.
    pub until: Option<DateTime<Utc>>,
    /// The timeline that the chain leads to.
    pub timeline: u32,
    /// The first byte that cannot be replayed.
    pub until_lsn: Lsn,
    /// Where the base backup is consistent.
    pub stop: Lsn,
    /// What is missing on the way to the last segment of that timeline.
    pub gaps: Vec<Gap>,
}

/// Moments that lie together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Span {
    /// The first.
    pub from: DateTime<Utc>,
    /// The last.
    pub until: DateTime<Utc>,
}

impl Window {
    /// What an archive lets a base backup be recovered to, along the newest timeline of which there is WAL.
    pub fn of(base: &BaseBackup, archive: &ArchiveContents) -> Self {
        let (last, stop) = base.stop();
        Self::along(
            base,
            archive,
            newest_with_wal(&archive.holdings, last, stop),
        )
    }

    /// The same along a given timeline; none if that does not lead on from the base backup.
    pub fn to(base: &BaseBackup, archive: &ArchiveContents, timeline: u32) -> Option<Self> {
        let (last, stop) = base.stop();
        let leads_on = archive.holdings.targets(last, stop).contains(&timeline);
        leads_on.then(|| Self::along(base, archive, timeline))
    }

    fn along(base: &BaseBackup, archive: &ArchiveContents, target: u32) -> Self {
        let (timeline, start) = base.start();
        let (last, stop) = base.stop();
        let reach = archive.holdings.reach(timeline, start, target);
        let (until_lsn, gaps) = reach.map_or((start, Vec::new()), |it| (it.until, it.gaps));
        let is_whole = until_lsn >= stop;
        let finished = base.about.finished;
        // What was committed until then is in the base backup itself, without any WAL after it.
        let has = match base.is_from_standby() {
            true => base.about.data_time(),
            false => Some(finished),
        };
        let until = is_whole
            .then(|| stored(archive, last, target, until_lsn).max(has))
            .flatten();
        Self {
            base: base.name,
            system: base.system,
            from: until.map_or(finished, |until| until.min(finished)),
            until,
            timeline: target,
            until_lsn,
            stop,
            gaps,
        }
    }

    /// Whether the base backup can be restored at all.
    pub fn is_whole(&self) -> bool {
        self.until_lsn >= self.stop
    }

    /// The moments, if there are any.
    pub fn span(&self) -> Option<Span> {
        let until = self.until.filter(|_| self.is_whole())?;
        Some(Span {
            from: self.from,
            until,
        })
    }
}

/// The newest timeline that leads on from a place and of which there is WAL; otherwise the timeline itself.
fn newest_with_wal(holdings: &Holdings, timeline: u32, from: Lsn) -> u32 {
    let has_wal = |it: &u32| holdings.segments().any(|segment| segment.timeline == *it);
    let mut targets = holdings.targets(timeline, from);
    targets.sort_unstable();
    targets.into_iter().rev().find(has_wal).unwrap_or(timeline)
}

/// When the segment before a place was stored.
fn stored(archive: &ArchiveContents, first: u32, last: u32, end: Lsn) -> Option<DateTime<Utc>> {
    let before = Lsn(end.0.checked_sub(1)?);
    let mut timelines = (first..=last).rev();
    timelines.find_map(|timeline| {
        archive.stored(Segment::holding(timeline, before, archive.holdings.size()))
    })
}

/// The moments of several windows of one cluster together, oldest first: windows that overlap are one.
pub fn spans<'a>(windows: impl IntoIterator<Item = &'a Window>) -> BTreeMap<SystemId, Vec<Span>> {
    let mut all: BTreeMap<SystemId, Vec<Span>> = BTreeMap::new();
    for window in windows {
        all.entry(window.system).or_default().extend(window.span());
    }
    for spans in all.values_mut() {
        spans.sort_by_key(|span| span.from);
        let mut merged: Vec<Span> = Vec::new();
        for span in spans.drain(..) {
            match merged.last_mut() {
                Some(last) if span.from <= last.until => last.until = last.until.max(span.until),
                _ => merged.push(span),
            }
        }
        *spans = merged;
    }
    all
}

#[cfg(test)]
mod tests {
    use backup_file::{About, Excluded, ServerRole, Standby};
    use wal::{Archived, SegmentSize, Stretch, WalName};

    use super::*;

    fn window(from: i64, until: i64) -> Window {
        let moment = |seconds| DateTime::from_timestamp(seconds, 0).unwrap();
        Window {
            base: BackupName::new(moment(from)),
            system: SystemId(1),
            from: moment(from),
            until: Some(moment(until)),
            timeline: 1,
            until_lsn: Lsn(9),
            stop: Lsn(9),
            gaps: Vec::new(),
        }
    }

    #[test]
    fn windows_that_overlap_are_one() {
        let all = [window(50, 60), window(0, 10), window(5, 30), window(30, 40)];
        let spans = &spans(&all)[&SystemId(1)];
        let seconds = |it: &Span| (it.from.timestamp(), it.until.timestamp());
        let spans: Vec<_> = spans.iter().map(seconds).collect();
        assert_eq!(spans, [(0, 40), (50, 60)]);
        let mut cut = window(0, 10);
        cut.until_lsn = Lsn(8);
        assert_eq!(cut.span(), None);
    }

    const HOUR: i64 = 3600;

    fn at(hours: i64) -> DateTime<Utc> {
        DateTime::from_timestamp(hours * HOUR, 0).unwrap()
    }

    /// The window of a base backup that was whole after 120 hours, and whose WAL was stored after so many.
    fn window_of(role: ServerRole, stored: Option<i64>) -> Window {
        let size = SegmentSize::new(1 << 20).unwrap();
        let base = BaseBackup {
            name: BackupName::new(at(119)),
            about: About {
                server_version: String::new(),
                client_version: String::new(),
                encoding: None,
                excluded: Excluded::default(),
                server_role: Some(role),
                started: at(119),
                finished: at(120),
            },
            system: SystemId(1),
            segment_size: size,
            wal: vec![Stretch {
                timeline: 1,
                from: Lsn(0x10_0000),
                to: Lsn(0x18_0000),
            }],
        };
        let name = WalName::Segment(Segment::numbered(1, 1, size));
        let mut holdings = Holdings::new(size);
        holdings.add(name);
        let file = Archived {
            name,
            size: 1,
            stored: stored.map(at),
        };
        let archive = ArchiveContents {
            system: SystemId(1),
            label: String::new(),
            files: BTreeMap::from([(name, file)]),
            holdings,
            unreadable: Vec::new(),
        };
        Window::of(&base, &archive)
    }

    fn hours(role: ServerRole, stored: Option<i64>) -> Option<(i64, i64)> {
        let span = window_of(role, stored).span()?;
        let hours = |time: DateTime<Utc>| time.timestamp() / HOUR;
        Some((hours(span.from), hours(span.until)))
    }

    #[test]
    fn a_standby_s_base_backup_leads_back_to_its_data() {
        let standby = |data: Option<i64>| {
            ServerRole::Standby(Box::new(Standby {
                data_time: data.map(at),
                ..Standby::default()
            }))
        };
        assert_eq!(hours(ServerRole::Primary, Some(110)), Some((120, 120)));
        assert_eq!(hours(ServerRole::Primary, None), Some((120, 120)));
        assert_eq!(hours(ServerRole::Primary, Some(130)), Some((120, 130)));
        // It was five days behind, and no newer WAL has come.
        assert_eq!(hours(standby(Some(0)), None), Some((0, 0)));
        assert_eq!(hours(standby(Some(0)), Some(1)), Some((1, 1)));
        // It has caught up, or the archive goes on.
        assert_eq!(hours(standby(Some(119)), Some(1)), Some((119, 119)));
        assert_eq!(hours(standby(Some(0)), Some(130)), Some((120, 130)));
        assert_eq!(hours(standby(None), Some(130)), Some((120, 130)));
        assert_eq!(hours(standby(None), None), None);
    }
}
