//! Whether the newest backup, and each database in it, is about as large as those before it.

use std::collections::{BTreeMap, BTreeSet};

use backup_file::BackupName;
use job::Error;
use job::text::{bytes, count};
use pg_text::PgText;

use crate::figures::{Change, DatabaseFigures, Figures, SizeFigures};
use crate::report::Finding;

/// How many earlier backups the newest one is compared with.
pub(crate) const COMPARED: usize = 7;
/// With fewer there is no telling what is usual.
const FEWEST: usize = 3;

/// What each database has, in bytes of SQL.
pub(crate) type Databases = BTreeMap<PgText, u64>;

/// Compares the newest backup's size with that of those before it.
pub(crate) fn whole(name: BackupName, size: u64, earlier: &[u64], max: f64) -> Finding {
    let (change, figures) = compare(size, earlier, max);
    let has = format!("'{name}' has {}", bytes(size));
    let Some((median, ratio)) = figures.median_bytes.zip(figures.size_ratio) else {
        let words = format!(
            "{has}; {} before it: too few to compare with",
            count(earlier.len(), "good backup")
        );
        return Finding::ok("size", words).figures(Figures::Size(figures));
    };
    let words = format!(
        "{has}, {} the median of the {} before it, {}; {} allowed",
        against(ratio),
        earlier.len(),
        bytes(median),
        percent(max)
    );
    let finding = match change {
        Change::Shrunk => Finding::bad(
            "size",
            Error::not_good(words).hint(
                "look which database it is, and into the log of the job that made it; \
                 if so much was deleted, --max-size-change allows more",
            ),
        ),
        Change::Grown => Finding::warning("size", words),
        _ => Finding::ok("size", words),
    };
    finding.figures(Figures::Size(figures))
}

fn compare(size: u64, earlier: &[u64], max: f64) -> (Change, SizeFigures) {
    let median = (earlier.len() >= FEWEST)
        .then(|| median(earlier))
        .filter(|median| *median > 0);
    let figures = SizeFigures {
        newest_bytes: size,
        median_bytes: median,
        size_ratio: median.map(|median| ratio(size, median)),
        compared: earlier.len(),
    };
    (change(figures.size_ratio, max), figures)
}

/// Compares the databases of the newest backup with those of the backups before it: what is lost, gone
/// or new is named, each in a finding of its own.
pub(crate) fn databases(newest: &Databases, earlier: &[Databases], max: f64) -> Vec<Finding> {
    let all = changes(newest, earlier, max);
    let (steady, changed): (Vec<_>, Vec<_>) = all
        .into_iter()
        .partition(|database| database.change == Change::Steady);
    let mut findings: Vec<Finding> = changed
        .into_iter()
        .map(|database| named(database, max))
        .collect();
    let words = match (findings.is_empty(), earlier.len() >= FEWEST) {
        (_, false) => format!(
            "{}; {} before it with an index: too few to compare with",
            count(newest.len(), "database"),
            count(earlier.len(), "good backup")
        ),
        (true, true) => format!(
            "{}, none gone, new, or of another size than before; {} allowed",
            count(newest.len(), "database"),
            percent(max)
        ),
        (false, true) => format!("{} as before", count(steady.len(), "database")),
    };
    let figures = Figures::Databases { databases: steady };
    findings.push(Finding::ok("content", words).figures(figures));
    findings
}

/// What became of each database, by name.
fn changes(newest: &Databases, earlier: &[Databases], max: f64) -> Vec<DatabaseFigures> {
    let names: BTreeSet<&PgText> = newest
        .keys()
        .chain(earlier.iter().flat_map(BTreeMap::keys))
        .collect();
    names
        .into_iter()
        .filter_map(|name| became(name, newest.get(name).copied(), earlier, max))
        .collect()
}

fn became(
    name: &PgText,
    size: Option<u64>,
    earlier: &[Databases],
    max: f64,
) -> Option<DatabaseFigures> {
    let before: Vec<u64> = earlier
        .iter()
        .filter_map(|databases| databases.get(name).copied())
        .collect();
    let known = earlier.len() >= FEWEST;
    let usual = (before.len() >= FEWEST).then(|| median(&before));
    let usual = usual.filter(|median| *median > 0);
    let (change, ratio) = match size {
        // In most of those before it: one that was there for a night only is not missed.
        None if known && 2 * before.len() > earlier.len() => {
            let gone = if max < 1.0 {
                Change::Gone
            } else {
                Change::Steady
            };
            (gone, Some(0.0))
        }
        None => return None,
        Some(_) if known && before.is_empty() => (Change::New, None),
        Some(size) => {
            let ratio = usual.map(|median| ratio(size, median));
            (change(ratio, max), ratio)
        }
    };
    let usual = match change {
        Change::Gone => Some(median(&before)),
        _ => usual,
    };
    Some(DatabaseFigures {
        name: name.clone(),
        change,
        sql_size: size.unwrap_or(0),
        median_sql_size: usual,
        size_ratio: ratio,
    })
}

/// The finding on a database that changed.
fn named(database: DatabaseFigures, max: f64) -> Finding {
    let name = &database.name;
    let has = bytes(database.sql_size);
    let had = bytes(database.median_sql_size.unwrap_or(0));
    let by = against(database.size_ratio.unwrap_or(1.0));
    let finding = match database.change {
        Change::New => Finding::ok("content", format!("database {name:?} is new, with {has} of SQL")),
        Change::Gone => Finding::bad(
            "content",
            Error::not_good(format!(
                "database {name:?} is gone: before, it had {had} of SQL"
            ))
            .hint("if it was dropped or excluded on purpose: that is said until most of the 7 backups before are without it, or with --max-size-change 100%"),
        ),
        Change::Shrunk => Finding::bad(
            "content",
            Error::not_good(format!(
                "database {name:?} has {has} of SQL, {by} the median before, {had}; {} allowed",
                percent(max)
            ))
            .hint("restore it from an older backup beside itself, and compare (restore-stream --before TIME --database DB --as NAME)"),
        ),
        Change::Grown | Change::Steady => Finding::warning(
            "content",
            format!(
                "database {name:?} has {has} of SQL, {by} the median before, {had}; {} allowed",
                percent(max)
            ),
        ),
    };
    finding.figures(Figures::Databases {
        databases: vec![database],
    })
}

fn change(ratio: Option<f64>, max: f64) -> Change {
    match ratio {
        Some(ratio) if ratio < 1.0 - max => Change::Shrunk,
        Some(ratio) if ratio > 1.0 + max => Change::Grown,
        _ => Change::Steady,
    }
}

fn ratio(size: u64, median: u64) -> f64 {
    size as f64 / median as f64
}

/// The one in the middle; of two the mean. 0 of none.
fn median(sizes: &[u64]) -> u64 {
    let mut sizes = sizes.to_vec();
    sizes.sort_unstable();
    match (sizes.get(sizes.len() / 2), sizes.len() % 2) {
        (None, _) => 0,
        (Some(upper), 1) => *upper,
        (Some(upper), _) => sizes[sizes.len() / 2 - 1].midpoint(*upper),
    }
}

/// `37 % less than`, as a size is to another one.
fn against(ratio: f64) -> String {
    match (ratio - 1.0) * 100.0 {
        change if change <= -0.5 => format!("{:.0} % less than", -change),
        change if change >= 0.5 => format!("{change:.0} % more than"),
        _ => "as much as".to_owned(),
    }
}

fn percent(fraction: f64) -> String {
    format!("{:.0} % are", fraction * 100.0)
}

#[cfg(test)]
mod tests;
