//! Whether the newest backup is about as large as those before it.

use backup_file::BackupName;
use job::Error;
use job::text::{bytes, count};

use super::usual::{change, compared, percent, ratio, usual};
use crate::figures::{Change, Figures, SizeFigures};
use crate::finding::Finding;

/// Compares the newest backup's size with that of those before it. It may be smaller by the fraction `max`; more is bad,
/// and as much growth a warning.
pub(crate) fn check(name: BackupName, size: u64, earlier: &[u64], max: f64) -> Finding {
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
        compared(ratio),
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
    let median = usual(earlier);
    let figures = SizeFigures {
        newest_bytes: size,
        median_bytes: median,
        size_ratio: median.map(|median| ratio(size, median)),
        compared: earlier.len(),
    };
    (change(figures.size_ratio, max), figures)
}

#[cfg(test)]
mod tests {
    use chrono::{DateTime, Utc};
    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::*;
    use crate::finding::Grade;

    fn name() -> BackupName {
        BackupName::new(DateTime::<Utc>::UNIX_EPOCH)
    }

    fn grade(size: u64, earlier: &[u64]) -> Grade {
        check(name(), size, earlier, 0.5).grade
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
            let finding = check(name(), 1000, earlier, 0.5);
            assert!(matches!(finding.grade, Grade::Ok), "{earlier:?}");
            assert!(finding.words.contains("too few"), "{}", finding.words);
        }
        assert!(matches!(grade(5, &[0, 0, 0]), Grade::Ok));
    }

    proptest! {
        #[test]
        fn scale_makes_no_difference(size in 1..10_000_u64, earlier in vec(1..10_000_u64, 3..8), scale in 1..1000_u64) {
            let scaled: Vec<u64> = earlier.iter().map(|size| size * 2 * scale).collect();
            let twice: Vec<u64> = earlier.iter().map(|size| size * 2).collect();
            let one = compare(size * 2, &twice, 0.5).0;
            prop_assert_eq!(one, compare(size * 2 * scale, &scaled, 0.5).0);
        }
    }
}
