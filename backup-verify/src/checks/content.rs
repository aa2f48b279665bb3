//! Whether each database in the newest backup is about as large as in those before it, and none is gone.

use std::collections::{BTreeMap, BTreeSet};

use job::Error;
use job::text::{bytes, count};
use pg_text::PgText;

use super::usual::{change, compared, is_known, median, percent, ratio, usual};
use crate::figures::{Change, DatabaseFigures, Figures, SqlSizes};
use crate::finding::Finding;

/// The name of the check.
const CHECK: &str = "content";

/// Compares the databases of the newest backup with those of the backups before it. One that is new, gone, or of another
/// size gets a finding of its own, the others share one.
pub(crate) fn check(newest: &SqlSizes, earlier: &[SqlSizes], max: f64) -> Vec<Finding> {
    let all = changes(newest, earlier, max);
    let (steady, changed): (Vec<_>, Vec<_>) = all
        .into_iter()
        .partition(|database| database.change == Change::Steady);
    let mut findings: Vec<Finding> = changed
        .into_iter()
        .map(|database| finding(database, max))
        .collect();
    let words = match (findings.is_empty(), is_known(earlier.len())) {
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
    findings.push(Finding::ok(CHECK, words).figures(figures));
    findings
}

/// What became of each database, in the order of their names.
fn changes(newest: &SqlSizes, earlier: &[SqlSizes], max: f64) -> Vec<DatabaseFigures> {
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
    earlier: &[SqlSizes],
    max: f64,
) -> Option<DatabaseFigures> {
    let before: Vec<u64> = earlier
        .iter()
        .filter_map(|databases| databases.get(name).copied())
        .collect();
    let known = is_known(earlier.len());
    let usual = usual(&before);
    let (change, ratio) = match size {
        // It was in most of those before: one that was there for a single night is not missed.
        None if known && 2 * before.len() > earlier.len() => {
            let change = if max < 1.0 {
                Change::Gone
            } else {
                Change::Steady
            };
            (change, Some(0.0))
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

/// Says what became of a database that changed.
fn finding(database: DatabaseFigures, max: f64) -> Finding {
    let name = &database.name;
    let has = bytes(database.sql_size);
    let had = bytes(database.median_sql_size.unwrap_or(0));
    let by = compared(database.size_ratio.unwrap_or(1.0));
    let finding = match database.change {
        Change::New => Finding::ok(CHECK, format!("database {name:?} is new, with {has} of SQL")),
        Change::Gone => Finding::bad(
            CHECK,
            Error::not_good(format!(
                "database {name:?} is gone: before, it had {had} of SQL"
            ))
            .hint("if it was dropped or excluded on purpose: that is said until most of the 7 backups before are without it, or with --max-size-change 100%"),
        ),
        Change::Shrunk => Finding::bad(
            CHECK,
            Error::not_good(format!(
                "database {name:?} has {has} of SQL, {by} the median before, {had}; {} allowed",
                percent(max)
            ))
            .hint("restore it from an older backup beside itself, and compare (restore-stream --before TIME --database DB --as NAME)"),
        ),
        Change::Grown | Change::Steady => Finding::warning(
            CHECK,
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

#[cfg(test)]
mod tests {
    use proptest::collection::{btree_map, vec};
    use proptest::prelude::*;

    use super::*;
    use crate::finding::Grade;

    fn of(databases: &[(&str, u64)]) -> SqlSizes {
        let databases = databases.iter();
        databases
            .map(|(name, size)| ((*name).into(), *size))
            .collect()
    }

    fn became(newest: &[(&str, u64)], earlier: &[SqlSizes]) -> Vec<(String, Change)> {
        let all = changes(&of(newest), earlier, 0.5).into_iter();
        all.map(|database| (database.name.to_string(), database.change))
            .collect()
    }

    #[test]
    fn each_database_is_looked_at() {
        let before = of(&[("a", 100), ("b", 100), ("c", 100), ("d", 100)]);
        let newest = [("a", 49), ("b", 151), ("c", 100), ("e", 5)];
        let wanted = [
            ("a", Change::Shrunk),
            ("b", Change::Grown),
            ("c", Change::Steady),
            ("d", Change::Gone),
            ("e", Change::New),
        ];
        let wanted = wanted.map(|(name, change)| (name.to_owned(), change));
        assert_eq!(became(&newest, &vec![before.clone(); 3]), wanted);
        // Two are too few for anything to be said.
        let quiet = became(&newest, &vec![before; 2]);
        assert!(quiet.iter().all(|(_, change)| *change == Change::Steady));
    }

    #[test]
    fn a_database_is_missed_until_most_are_without_it() {
        let (with, without) = (of(&[("a", 9), ("b", 9)]), of(&[("a", 9)]));
        for with_it in 0..=7 {
            let mut earlier = vec![with.clone(); with_it];
            earlier.resize(7, without.clone());
            let gone = became(&[("a", 9)], &earlier).len() == 2;
            assert_eq!(gone, with_it >= 4, "{with_it}");
        }
    }

    #[test]
    fn whoever_allows_everything_hears_of_nothing_lost() {
        let earlier = vec![of(&[("a", 9), ("b", 9)]); 3];
        let findings = check(&of(&[("a", 0)]), &earlier, 1.0);
        assert!(findings.iter().all(|it| matches!(it.grade, Grade::Ok)));
    }

    #[test]
    fn names_are_shown_safely() {
        let earlier = vec![of(&[("a\u{1b}[2J\n", 9)]); 3];
        let findings = check(&of(&[]), &earlier, 0.5);
        assert!(findings[0].words.contains(r#""a\u{1b}[2J\n" is gone"#));
    }

    proptest! {
        #[test]
        fn every_database_is_in_one_finding(
            newest in btree_map("[a-e]", 1..1000_u64, 0..5),
            before in vec(btree_map("[a-e]", 1..1000_u64, 0..5), 3..7),
        ) {
            let by_name = |it: BTreeMap<String, u64>| -> SqlSizes {
                it.into_iter().map(|(name, size)| (name.into(), size)).collect()
            };
            let newest = by_name(newest);
            let before: Vec<SqlSizes> = before.into_iter().map(by_name).collect();
            let mut named: Vec<PgText> = Vec::new();
            for finding in check(&newest, &before, 0.5) {
                if let Some(Figures::Databases { databases }) = finding.figures {
                    named.extend(databases.into_iter().map(|it| it.name));
                }
            }
            for name in newest.keys() {
                prop_assert_eq!(named.iter().filter(|it| *it == name).count(), 1);
            }
        }
    }
}
