//! Whether the newest base backup is whole, and young enough.

use backup_file::BackupName;
use chrono::{DateTime, TimeDelta, Utc};
use job::Error;
use job::text::age as words;

use crate::figures::Figures;
use crate::finding::Finding;

/// The name of the check.
pub(crate) const CHECK: &str = "base";

/// Judges the age of the newest base backup by its name: the older it is, the longer a recovery takes.
pub(crate) fn age(newest: BackupName, now: DateTime<Utc>, max: TimeDelta) -> Finding {
    let age = now - newest.started();
    let most = format!("at most {} are allowed", words(max));
    let finding = if age <= max {
        Finding::ok(CHECK, format!("{}; {most}", words(age)))
    } else {
        let said = format!(
            "the newest base backup '{newest}' is {} old; {most}",
            words(age)
        );
        let hint = "look at the job that makes them (pgdump-gz --base): its schedule, its last log";
        Finding::bad(CHECK, Error::not_good(said).hint(hint))
    };
    finding.figures(Figures::Age {
        age_seconds: age.num_seconds(),
        dump_age_seconds: age.num_seconds(),
        max_age_seconds: max.num_seconds(),
    })
}

/// A base backup whose end was looked at, and no more.
pub(crate) fn looked_at(newest: BackupName) -> Finding {
    Finding::ok(CHECK, format!("{newest}  whole by its end"))
}

/// A newest base backup that does not look whole.
pub(crate) fn not_whole(newest: BackupName, why: &str) -> Finding {
    let said = format!("'{newest}' is not good: {why}");
    Finding::bad(CHECK, Error::not_good(said))
}

/// WAL without a base backup.
pub(crate) fn none(store: &str) -> Finding {
    let error = Error::not_good(format!(
        "there is WAL in '{store}' and no base backup: it leads back to no moment"
    ));
    Finding::bad(
        CHECK,
        error.hint("take one: pgdump-gz --base | blob-put - STORE/"),
    )
}
