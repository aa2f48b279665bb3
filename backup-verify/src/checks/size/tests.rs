use chrono::{DateTime, Utc};
use proptest::collection::vec;
use proptest::prelude::*;

use super::*;
use crate::report::Grade;

fn name() -> BackupName {
    BackupName::new(DateTime::<Utc>::UNIX_EPOCH)
}

fn grade(size: u64, earlier: &[u64]) -> Grade {
    whole(name(), size, earlier, 0.5).grade
}

#[test]
fn shrunk_and_grown() {
    let earlier = [100, 90, 110, 100, 100, 105, 95];
    assert!(matches!(grade(100, &earlier), Grade::Ok));
    assert!(matches!(grade(50, &earlier), Grade::Ok));
    assert!(matches!(grade(49, &earlier), Grade::Bad(_)));
    assert!(matches!(grade(150, &earlier), Grade::Ok));
    assert!(matches!(grade(151, &earlier), Grade::Warning));
}

#[test]
fn one_odd_backup_before_it_makes_no_difference() {
    assert!(matches!(grade(100, &[100, 1, 100]), Grade::Ok));
    assert!(matches!(grade(100, &[1, 100, 5000, 100]), Grade::Ok));
}

#[test]
fn few_backups_tell_nothing() {
    for earlier in [&[][..], &[1], &[1, 1]] {
        let finding = whole(name(), 1000, earlier, 0.5);
        assert!(matches!(finding.grade, Grade::Ok), "{earlier:?}");
        assert!(finding.words.contains("too few"), "{}", finding.words);
    }
    assert!(matches!(grade(5, &[0, 0, 0]), Grade::Ok));
}

#[test]
fn medians() {
    assert_eq!(median(&[]), 0);
    assert_eq!(median(&[7]), 7);
    assert_eq!(median(&[9, 1]), 5);
    assert_eq!(median(&[9, 1, 2]), 2);
    assert_eq!(median(&[u64::MAX, u64::MAX]), u64::MAX);
}

fn of(databases: &[(&str, u64)]) -> Databases {
    let databases = databases.iter();
    databases
        .map(|(name, size)| ((*name).into(), *size))
        .collect()
}

fn became(newest: &[(&str, u64)], earlier: &[Databases]) -> Vec<(String, Change)> {
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
    let findings = databases(&of(&[("a", 0)]), &earlier, 1.0);
    assert!(findings.iter().all(|it| matches!(it.grade, Grade::Ok)));
}

#[test]
fn names_are_shown_safely() {
    let earlier = vec![of(&[("a\u{1b}[2J\n", 9)]); 3];
    let findings = databases(&of(&[]), &earlier, 0.5);
    assert!(findings[0].words.contains(r#""a\u{1b}[2J\n" is gone"#));
}

proptest! {
    #[test]
    fn a_median_is_between(sizes in vec(0..u64::MAX, 1..20)) {
        let found = median(&sizes);
        let below = sizes.iter().filter(|size| **size <= found).count();
        let above = sizes.iter().filter(|size| **size >= found).count();
        prop_assert!(2 * below >= sizes.len() && 2 * above >= sizes.len());
    }

    #[test]
    fn scale_makes_no_difference(size in 1..10_000_u64, earlier in vec(1..10_000_u64, 3..8), scale in 1..1000_u64) {
        let scaled: Vec<u64> = earlier.iter().map(|size| size * 2 * scale).collect();
        let twice: Vec<u64> = earlier.iter().map(|size| size * 2).collect();
        let one = compare(size * 2, &twice, 0.5).0;
        prop_assert_eq!(one, compare(size * 2 * scale, &scaled, 0.5).0);
    }

    #[test]
    fn every_database_is_in_one_finding(
        newest in proptest::collection::btree_map("[a-e]", 1..1000_u64, 0..5),
        before in vec(proptest::collection::btree_map("[a-e]", 1..1000_u64, 0..5), 3..7),
    ) {
        let by_name = |it: BTreeMap<String, u64>| -> Databases {
            it.into_iter().map(|(name, size)| (name.into(), size)).collect()
        };
        let newest = by_name(newest);
        let before: Vec<Databases> = before.into_iter().map(by_name).collect();
        let mut named: Vec<PgText> = Vec::new();
        for finding in databases(&newest, &before, 0.5) {
            if let Some(Figures::Databases { databases }) = finding.figures {
                named.extend(databases.into_iter().map(|it| it.name));
            }
        }
        for name in newest.keys() {
            prop_assert_eq!(named.iter().filter(|it| *it == name).count(), 1);
        }
    }
}
