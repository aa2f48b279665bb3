//! Whether the newest base backup is whole, and young enough.

use backup_file::BackupName;
use chrono::{DateTime, SecondsFormat, TimeDelta, Utc};
use job::Error;
use job::text::age as words;

use super::age::{Moments, STANDBY};
use crate::figures::Figures;
use crate::finding::Finding;

/// The name of the check.
pub(crate) const CHECK: &str = "base";

/// Judges the age of the newest base backup by its data: the older they are, the more WAL a recovery needs, and the longer
/// it takes.
pub(crate) fn age(
    newest: BackupName,
    moments: Moments,
    now: DateTime<Utc>,
    max: TimeDelta,
) -> Finding {
    let most = format!("at most {} are allowed", words(max));
    let taken = now - moments.dumped;
    let Some(data) = moments.data else {
        let said = format!(
            "nobody knows how old the data in the newest base backup '{newest}' are: it was taken {} ago, from a standby that could not say; {most}",
            words(taken)
        );
        return Finding::bad(CHECK, Error::not_good(said).hint(STANDBY));
    };
    let age = now - data;
    let finding = match (age <= max, moments.from_standby) {
        (true, false) => Finding::ok(CHECK, format!("{}; {most}", words(age))),
        (true, true) => Finding::ok(
            CHECK,
            format!(
                "{}; taken {} ago, from a standby; {most}",
                words(age),
                words(taken)
            ),
        ),
        (false, false) => {
            let said = format!(
                "the newest base backup '{newest}' is {} old; {most}",
                words(age)
            );
            Finding::bad(CHECK, Error::not_good(said).hint(JOB))
        }
        (false, true) => {
            let said = format!(
                "the data in the newest base backup '{newest}' are {} old, of {}: it was taken {} ago, from a standby that was {} behind; {most}",
                words(age),
                data.to_rfc3339_opts(SecondsFormat::Secs, true),
                words(taken),
                words(moments.dumped - data)
            );
            let hint = match taken > max {
                true => JOB,
                false => STANDBY,
            };
            Finding::bad(CHECK, Error::not_good(said).hint(hint))
        }
    };
    finding.figures(Figures::Age {
        age_seconds: age.num_seconds(),
        dump_age_seconds: taken.num_seconds(),
        max_age_seconds: max.num_seconds(),
    })
}

const JOB: &str = "look at the job that makes them (pgdump-gz --base): its schedule, its last log";

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
