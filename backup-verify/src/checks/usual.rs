//! What size is usual: the median of earlier ones.

use crate::figures::Change;

/// With fewer earlier backups there is no telling what is usual.
const FEWEST: usize = 3;

/// Whether this number of earlier backups is enough to tell what is usual.
pub(crate) fn is_known(earlier: usize) -> bool {
    earlier >= FEWEST
}

/// The usual size, if there are enough earlier ones to tell, and it is not 0.
pub(crate) fn usual(earlier: &[u64]) -> Option<u64> {
    let usual = is_known(earlier.len()).then(|| median(earlier));
    usual.filter(|median| *median > 0)
}

/// How a size changed, from its `ratio` to the usual one where that is known.
pub(crate) fn change(ratio: Option<f64>, max: f64) -> Change {
    match ratio {
        Some(ratio) if ratio < 1.0 - max => Change::Shrunk,
        Some(ratio) if ratio > 1.0 + max => Change::Grown,
        _ => Change::Steady,
    }
}

pub(crate) fn ratio(size: u64, usual: u64) -> f64 {
    size as f64 / usual as f64
}

/// The one in the middle; of two the mean. 0 of none.
pub(crate) fn median(sizes: &[u64]) -> u64 {
    let mut sizes = sizes.to_vec();
    sizes.sort_unstable();
    match (sizes.get(sizes.len() / 2), sizes.len() % 2) {
        (None, _) => 0,
        (Some(upper), 1) => *upper,
        (Some(upper), _) => sizes[sizes.len() / 2 - 1].midpoint(*upper),
    }
}

/// `37 % less than`: how a size compares with the usual one.
pub(crate) fn compared(ratio: f64) -> String {
    match (ratio - 1.0) * 100.0 {
        change if change <= -0.5 => format!("{:.0} % less than", -change),
        change if change >= 0.5 => format!("{change:.0} % more than"),
        _ => "as much as".to_owned(),
    }
}

/// `50 % are`
pub(crate) fn percent(fraction: f64) -> String {
    format!("{:.0} % are", fraction * 100.0)
}

#[cfg(test)]
mod tests {
    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn medians() {
        assert_eq!(median(&[]), 0);
        assert_eq!(median(&[7]), 7);
        assert_eq!(median(&[9, 1]), 5);
        assert_eq!(median(&[9, 1, 2]), 2);
        assert_eq!(median(&[u64::MAX, u64::MAX]), u64::MAX);
    }

    proptest! {
        #[test]
        fn a_median_is_between(sizes in vec(0..u64::MAX, 1..20)) {
            let found = median(&sizes);
            let below = sizes.iter().filter(|size| **size <= found).count();
            let above = sizes.iter().filter(|size| **size >= found).count();
            prop_assert!(2 * below >= sizes.len() && 2 * above >= sizes.len());
        }
    }
}
