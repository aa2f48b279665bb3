//! What is reported of a WAL archive.

use chrono::SecondsFormat;
use job::text::{bytes, count};
use recovery_window::{Span, Window, spans};
use serde::Serialize;
use store::Deletion;
use wal::{SystemId, WalName};

use crate::archives::Verdict;

/// What becomes of one cluster's archive.
#[derive(Debug, Serialize)]
pub(crate) struct ArchiveFields {
    /// The system identifier, in decimal digits.
    system: String,
    /// How many files it has.
    files: usize,
    /// How many of them nobody needs.
    delete: usize,
    /// Bytes of those.
    bytes: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    first: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    last: Option<String>,
    /// Why none of them goes.
    #[serde(skip_serializing_if = "Option::is_none")]
    untouched: Option<String>,
    deleted: usize,
    retained: usize,
    pub(crate) failed: usize,
    reachable_before: Vec<SpanFields>,
    reachable_after: Vec<SpanFields>,
}

/// Moments that can be reached.
#[derive(Debug, PartialEq, Eq, Serialize)]
struct SpanFields {
    from: String,
    until: String,
}

impl ArchiveFields {
    pub(crate) fn new(system: SystemId, verdict: &Verdict) -> Self {
        let name = |name: Option<&WalName>| name.map(ToString::to_string);
        Self {
            system: system.to_string(),
            files: verdict.files,
            delete: verdict.goes.len(),
            bytes: verdict.bytes,
            first: name(verdict.goes.first()),
            last: name(verdict.goes.last()),
            untouched: verdict.untouched.clone(),
            deleted: 0,
            retained: 0,
            failed: 0,
            reachable_before: reachable(&verdict.before),
            reachable_after: reachable(&verdict.after),
        }
    }

    /// Counts a file that was to be deleted.
    pub(crate) fn count(&mut self, deletion: &Deletion) {
        match deletion {
            Deletion::Deleted | Deletion::Gone => self.deleted += 1,
            Deletion::Retained(_) => self.retained += 1,
            Deletion::Failed(_) => self.failed += 1,
        }
    }

    /// The lines for a person.
    pub(crate) fn lines(&self, dry_run: bool) -> String {
        let place = format!("wal/{}", self.system);
        let line = |verdict: &str, words: &str| format!("{verdict:<12}  {place}  {words}\n");
        let files = count(self.files, "file");
        let mut text = match (&self.untouched, self.delete) {
            (Some(why), _) => line("keep", &format!("all of it: {why}")),
            (None, 0) => line("keep", &format!("all {files}: base backups need them")),
            (None, delete) => {
                let verdict = if dry_run { "would delete" } else { "deleted" };
                let number = if dry_run { delete } else { self.deleted };
                let [first, last] =
                    [&self.first, &self.last].map(|it| it.as_deref().unwrap_or_default());
                let names = match first == last {
                    true => first.to_owned(),
                    false => format!("{first} to {last}"),
                };
                let size = bytes(self.bytes);
                let mut words =
                    format!("{number} of {files} that no base backup needs, {names}, {size}");
                for (number, what) in [
                    (self.retained, "retained by policy"),
                    (self.failed, "failed"),
                ] {
                    if number > 0 {
                        words = format!("{words}; {number} {what}");
                    }
                }
                line(verdict, &words)
            }
        };
        let spans = |spans: &[SpanFields]| {
            let spans = spans
                .iter()
                .map(|it| format!("{} to {}", it.from, it.until));
            match spans.collect::<Vec<_>>() {
                none if none.is_empty() => "no moment".to_owned(),
                some => some.join(", "),
            }
        };
        if self.files > 0 {
            let after = spans(&self.reachable_after);
            let words = match self.reachable_before == self.reachable_after {
                true => after,
                false => format!("{after} (before: {})", spans(&self.reachable_before)),
            };
            text += &line("reachable", &words);
        }
        text
    }
}

fn reachable(windows: &[Window]) -> Vec<SpanFields> {
    let text =
        |moment: chrono::DateTime<chrono::Utc>| moment.to_rfc3339_opts(SecondsFormat::Secs, true);
    let fields = |span: &Span| SpanFields {
        from: text(span.from),
        until: text(span.until),
    };
    let all = spans(windows);
    all.values().flatten().map(fields).collect()
}
