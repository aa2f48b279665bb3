//! Whether the newest backup is young enough.

use backup_file::BackupName;
use chrono::{DateTime, TimeDelta, Utc};
use job::Error;
use job::text::age as words;

use crate::figures::Figures;
use crate::finding::Finding;

/// Judges it by its name, and by its index where that says when its dump was `started`: an old backup under a new name
/// is old.
pub(crate) fn check(
    newest: BackupName,
    started: Option<DateTime<Utc>>,
    now: DateTime<Utc>,
    max: TimeDelta,
) -> Finding {
    let named = newest.started();
    let age = now - started.map_or(named, |started| started.min(named));
    let most = format!("at most {} are allowed", words(max));
    let finding = if age <= max {
        Finding::ok("age", format!("{}; {most}", words(age)))
    } else {
        Finding::bad(
            "age",
            Error::not_good(format!(
                "the newest backup '{newest}' is {} old; {most}",
                words(age)
            ))
            .hint("look at the job that makes them: its schedule, its last log"),
        )
    };
    finding.figures(Figures::Age {
        age_seconds: age.num_seconds(),
        max_age_seconds: max.num_seconds(),
    })
}
