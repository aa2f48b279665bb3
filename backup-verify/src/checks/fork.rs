//! Whether timelines part where they should: WAL beyond a fork is of a second primary, or was left behind by a recovery.

use chrono::{DateTime, TimeDelta, Utc};
use job::Error;
use job::text::count;
use wal::Beyond;

use crate::finding::Finding;
use crate::read::archives::Cluster;

/// The name of the check.
const CHECK: &str = "fork";
/// What was stored longer ago is the past, which nothing mends.
const RECENT: TimeDelta = TimeDelta::days(1);

/// Judges the timelines of a cluster.
pub(crate) fn check(cluster: &Cluster, now: DateTime<Utc>) -> Vec<Finding> {
    let contents = &cluster.contents;
    let system = contents.system;
    let mut findings = Vec::new();
    for (timeline, why) in &contents.unreadable {
        let said =
            format!("system {system}: the history of timeline {timeline} cannot be read: {why}");
        findings.push(Finding::bad(CHECK, Error::not_good(said)));
    }
    let unreadable = |timeline: &u32| contents.unreadable.iter().any(|(it, _)| it == timeline);
    for timeline in contents.holdings.without_history() {
        if unreadable(&timeline) {
            continue;
        }
        let said = format!(
            "system {system}: there is WAL of timeline {timeline}, and {timeline:08X}.history is missing: no recovery finds it"
        );
        let hint = "copy it from pg_wal of a server that is or was on that timeline: blob-put --wal PATH STORE/";
        findings.push(Finding::bad(CHECK, Error::not_good(said).hint(hint)));
    }
    for beyond in contents.holdings.beyond() {
        findings.push(beyond_fork(cluster, &beyond, now));
    }
    if findings.is_empty() {
        let timelines = 1 + contents.holdings.histories().count();
        let words = format!(
            "system {system}: {}, no WAL beyond a fork",
            count(timelines, "timeline")
        );
        findings.push(Finding::ok(CHECK, words));
    }
    findings
}

fn beyond_fork(cluster: &Cluster, beyond: &Beyond, now: DateTime<Utc>) -> Finding {
    let contents = &cluster.contents;
    let Beyond {
        timeline,
        left_at,
        left_for,
        first,
        last,
        count: number,
    } = beyond;
    let what = format!(
        "system {}: timeline {timeline} was left at {left_at} for timeline {left_for}, and {} of it came after that, {first} to {last}",
        contents.system,
        count(usize::try_from(*number).unwrap_or(usize::MAX), "segment")
    );
    // Until it is stopped, a second primary goes on after the new timeline has begun.
    let mut segments = contents.holdings.segments();
    let began = segments.find(|segment| segment.timeline == *left_for);
    let began = began.and_then(|first| contents.stored(first));
    let is_alive = contents
        .stored(*last)
        .zip(began)
        .is_some_and(|(last, began)| last > began && now - last <= RECENT);
    match is_alive {
        true => Finding::bad(
            CHECK,
            Error::not_good(format!("{what}: two primaries at once")).hint(
                "stop the server on the older timeline; rewind it (pg_rewind) or make it anew",
            ),
        ),
        false => Finding::warning(
            CHECK,
            format!("{what}: what was in it is on no newer timeline"),
        ),
    }
}
