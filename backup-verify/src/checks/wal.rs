//! Which moments a cluster's base backups and its WAL lead back to.

use chrono::{DateTime, Utc};
use job::Error;
use job::text::{bytes, count};
use recovery_window::{Span, Window, spans};
use wal::Gap;

use crate::figures::{Figures, SpanFigures, WalFigures};
use crate::finding::Finding;
use crate::read::archives::Cluster;
use crate::read::segments::SegmentsRead;

/// The name of the check.
pub(crate) const CHECK: &str = "wal";

/// Judges the chain from each base backup of a cluster. Bad is what the newest one cannot do; what older ones cannot do
/// any more is a warning, since nothing mends it.
pub(crate) fn check(cluster: &Cluster) -> Finding {
    let system = cluster.contents.system;
    let Some((newest, older)) = cluster.windows.split_last() else {
        let words = format!(
            "system {system}: {} of WAL and no base backup: they lead back to no moment",
            count(cluster.contents.files.len(), "file")
        );
        return Finding::warning(CHECK, words);
    };
    let reachable: Vec<Span> = spans(&cluster.windows).remove(&system).unwrap_or_default();
    let moments = moments(&reachable);
    let hint = "send what is still in pg_wal (blob-put --wal \"$PGDATA/pg_wal/\" STORE/), then take a new base backup";
    let finding = match flaw(newest) {
        Some(flaw) => Finding::bad(
            CHECK,
            Error::not_good(format!("system {system}: {flaw}; {moments}")).hint(hint),
        ),
        None => {
            let words = format!(
                "system {system}: {moments}; {}, {} of WAL, {}",
                count(cluster.bases.len(), "base backup"),
                count(cluster.contents.files.len(), "file"),
                bytes(cluster.contents.size())
            );
            match older.iter().rev().find_map(flaw) {
                Some(flaw) => Finding::warning(CHECK, format!("{words}; {flaw}")),
                None => Finding::ok(CHECK, words),
            }
        }
    };
    finding.figures(Figures::Wal(WalFigures {
        system: system.to_string(),
        files: cluster.contents.files.len(),
        archive_bytes: cluster.contents.size(),
        missing_segments: missing(&cluster.windows),
        reachable: reachable.iter().map(figures).collect(),
    }))
}

/// What reading all segments of a cluster found.
pub(crate) fn read(cluster: &Cluster, read: &SegmentsRead) -> Finding {
    let system = cluster.contents.system;
    match read.bad.as_slice() {
        [] => Finding::ok(
            CHECK,
            format!(
                "system {system}: {} read, all good",
                count(read.good, "segment")
            ),
        ),
        [(first, why), ..] => Finding::bad(
            CHECK,
            Error::not_good(format!(
                "system {system}: {} not good, the first is '{first}': {why}",
                match read.bad.len() {
                    1 => "1 segment is".to_owned(),
                    number => count(number, "segment") + " are",
                }
            ))
            .hint("recovery stops there: take a new base backup"),
        ),
    }
}

/// What is wrong with the chain of a base backup.
fn flaw(window: &Window) -> Option<String> {
    let base = window.base;
    let missing = window.gaps.first().map(range);
    if !window.is_whole() {
        let missing = missing.unwrap_or_else(|| "what was written while it was made".to_owned());
        return Some(format!(
            "'{base}' cannot be restored: it needs the WAL up to {}, and the archive lacks {missing}",
            window.stop
        ));
    }
    missing.map(|missing| {
        format!(
            "the WAL after '{base}' has a hole, so it leads no further than {}: {missing}",
            window.until_lsn
        )
    })
}

fn range(gap: &Gap) -> String {
    match gap.count {
        1 => format!("{} is missing", gap.first),
        count => format!("{} to {} ({count}) are missing", gap.first, gap.last),
    }
}

/// How many segments are missing in all windows; base backups of one chain miss the same.
fn missing(windows: &[Window]) -> u64 {
    let mut gaps: Vec<&Gap> = windows.iter().flat_map(|window| &window.gaps).collect();
    gaps.sort_by_key(|gap| (gap.first, gap.last));
    gaps.dedup();
    gaps.iter().map(|gap| gap.count).sum()
}

fn moments(spans: &[Span]) -> String {
    let moment = |moment: DateTime<Utc>| moment.format("%Y-%m-%d %H:%M:%S").to_string();
    let spans = spans
        .iter()
        .map(|span| format!("{} to {}", moment(span.from), moment(span.until)));
    match spans.collect::<Vec<_>>() {
        none if none.is_empty() => "no moment can be reached".to_owned(),
        some => format!("{} UTC can be reached", some.join(", ")),
    }
}

fn figures(span: &Span) -> SpanFigures {
    SpanFigures {
        from: span.from,
        until: span.until,
    }
}
