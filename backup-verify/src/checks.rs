//! The checks of a store beyond its backups' contents.

pub(crate) mod gaps;
pub(crate) mod retention;
pub(crate) mod room;
pub(crate) mod size;

use azure_blob::Client;
use backup_file::BackupName;
use chrono::{DateTime, SecondsFormat, TimeDelta, Utc};
use job::text::{age as words, bytes};
use job::{Error, say};
use store::{Backup, Directory, QuickCheck, Store};

use crate::figures::Figures;
use crate::report::Finding;

/// Clocks differ a little; what is dated further ahead than this is dated wrongly.
const SKEW: TimeDelta = TimeDelta::hours(1);

/// The newest backup whose date is not in the future, by its place in the list.
pub(crate) fn newest(backups: &[Backup], now: DateTime<Utc>) -> Option<usize> {
    backups
        .iter()
        .rposition(|backup| backup.name.started() - now <= SKEW)
}

/// Whether the newest backup is young enough, by its name, and by its index where it has one: an old
/// backup under a new name is old.
pub(crate) fn age(
    newest: BackupName,
    started: Option<DateTime<Utc>>,
    now: DateTime<Utc>,
    max: TimeDelta,
) -> Finding {
    let named = newest.started();
    let age = now - started.map_or(named, |started| started.min(named));
    let most = format!("at most {} are allowed", words(max));
    let figures = Figures::Age {
        age_seconds: age.num_seconds(),
        max_age_seconds: max.num_seconds(),
    };
    if age <= max {
        return Finding::ok("age", format!("{}; {most}", words(age))).figures(figures);
    }
    Finding::bad(
        "age",
        Error::not_good(format!(
            "the newest backup '{newest}' is {} old; {most}",
            words(age)
        ))
        .hint("look at the job that makes them: its schedule, its last log"),
    )
    .figures(figures)
}

/// Backups whose date cannot be true.
pub(crate) fn future(backups: &[Backup]) -> Option<Finding> {
    let name = backups.first()?.name;
    let more = match backups.len() {
        1 => String::new(),
        number => format!(" and {} more are", number - 1),
    };
    let is = if more.is_empty() { " is" } else { "" };
    Some(Finding::warning(
        "clock",
        format!("'{name}'{more}{is} dated in the future: a clock is or was wrong"),
    ))
}

/// What backups that were not finished have left in a directory.
pub(crate) fn unfinished(directory: &Directory) -> Result<Vec<Finding>, Error> {
    let mut findings = Vec::new();
    for file in directory.unfinished()? {
        let (name, size) = (file.name, bytes(file.size));
        if file.alive {
            say!("'{name}' is being written at this moment ({size})");
        } else {
            findings.push(Finding::warning(
                "left",
                format!("'{name}' ({size}) is left of a dump that was killed; the next pgdump-gz removes it"),
            ));
        }
    }
    Ok(findings)
}

/// How long the token is still good.
pub(crate) fn token(client: &Client, now: DateTime<Utc>, warning: TimeDelta) -> Finding {
    let Some(expires) = client.expires() else {
        let words = "does not say itself when it expires: its stored access policy does";
        return Finding::ok("token", words);
    };
    let left = expires - now;
    let until = expires.to_rfc3339_opts(SecondsFormat::Secs, true);
    let days = left.num_days();
    let finding = if left <= TimeDelta::zero() {
        let said = format!("by this machine's clock the SAS token expired {until}");
        Finding::warning("token", said)
    } else if left <= warning {
        let left = words(left);
        let said = format!("the SAS token expires in {left}, {until}: make a new one");
        Finding::warning("token", said)
    } else {
        Finding::ok("token", format!("{days} days left, until {until}"))
    };
    finding.figures(Figures::Token {
        expires: until,
        days_left: days,
    })
}

/// The newest of the older backups that looks whole from its ends: what to take instead of a bad one.
pub(crate) fn instead(store: &Store, older: &[Backup]) -> Option<BackupName> {
    let looks_whole = |backup: &&Backup| {
        matches!(
            store.quick_check(backup),
            Ok(QuickCheck::Whole(_) | QuickCheck::Foreign)
        )
    };
    older.iter().rev().find(looks_whole).map(|it| it.name)
}
