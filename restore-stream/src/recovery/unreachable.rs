//! What a person is told of a moment that cannot be reached: why, and which can.

use job::{Error, text};
use recovery_window::{Chain, Window, spans};

use super::leading::{Base, Leading};
use crate::source::chosen::moment;

impl Leading<'_> {
    /// The error of a target that is not reached, with the moments that are.
    pub(super) fn unreachable(&self, why: String, chain: Option<&Chain>) -> Error {
        let mut said = why;
        if let Some(gap) = chain.and_then(Chain::gap) {
            said = format!(
                "{said}: {} missing in '{}', from '{}' on",
                text::count(usize::try_from(gap.count).unwrap_or(usize::MAX), "segment"),
                self.contents.label,
                gap.first
            );
        }
        let newest = self.bases.last().and_then(|(base, _)| self.chain(base));
        let exact = newest.as_ref().and_then(|it| it.last_end().ok().flatten());
        let mut windows: Vec<Window> = self.bases.iter().map(|(_, it)| it.clone()).collect();
        for window in &mut windows {
            if Some(window.until_lsn) == newest.as_ref().map(Chain::until) {
                window.until = exact.map(|it| it.max(window.from));
            }
        }
        let mut spans: Vec<String> = spans(&windows)
            .values()
            .flatten()
            .map(|span| format!("from {} to {}", moment(span.from), moment(span.until)))
            .collect();
        if spans.is_empty() {
            spans.push(
                "none, as the WAL up to there holds no transaction after the base backup".into(),
            );
        }
        let others = self.other_timelines();
        Error::not_good(said).hint(format!(
            "on timeline {} these moments can be reached: {}; --at end takes all that is archived{others}",
            self.timeline,
            spans.join(", ")
        ))
    }

    /// The error of a timeline that no base backup leads to over WAL that is there.
    pub(super) fn nothing_leads(&self, bases: &[&Base]) -> Error {
        let mut timelines: Vec<u32> = bases
            .iter()
            .flat_map(|base| {
                let (timeline, stop) = base.base.stop();
                self.contents.holdings.targets(timeline, stop)
            })
            .collect();
        timelines.sort_unstable();
        timelines.dedup();
        let said = match self.broken(bases) {
            Some(said) => said,
            None => format!(
                "no base backup in '{}' leads to timeline {}",
                self.store.label(),
                self.timeline
            ),
        };
        let timelines: Vec<String> = timelines.iter().map(u32::to_string).collect();
        Error::not_good(said).hint(format!(
            "base backups lead to the timelines {}; backup-verify STORE --wal-only says what is missing",
            timelines.join(", ")
        ))
    }

    /// What the newest base backup lacks that leads to the timeline, but is not whole with the WAL that is there.
    fn broken(&self, bases: &[&Base]) -> Option<String> {
        let windows = bases.iter().rev();
        let mut windows =
            windows.filter_map(|it| Window::to(&it.base, self.contents, self.timeline));
        let window = windows.next()?;
        let missing = match window.gaps.first() {
            Some(gap) => format!(
                "{} missing in '{}', from '{}' on",
                text::count(usize::try_from(gap.count).unwrap_or(usize::MAX), "segment"),
                self.contents.label,
                gap.first
            ),
            None => format!(
                "in '{}' it ends at {}",
                self.contents.label, window.until_lsn
            ),
        };
        Some(format!(
            "'{}' cannot be restored without its WAL up to {}: {missing}",
            window.base, window.stop
        ))
    }

    /// Timelines that were left and have WAL of their own after that.
    fn other_timelines(&self) -> String {
        let beyond = self.contents.holdings.beyond();
        let beyond = beyond.iter().filter(|it| it.timeline != self.timeline);
        let timelines: Vec<String> = beyond.map(|it| it.timeline.to_string()).collect();
        match timelines.is_empty() {
            true => String::new(),
            false => format!(
                "; there is also WAL of timelines that were left: --timeline {}",
                timelines.join(" or ")
            ),
        }
    }
}
