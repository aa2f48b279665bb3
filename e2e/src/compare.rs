//! Whether two clusters hold the same: their `pg_dumpall` is the same, byte for byte.

use crate::Cluster;

/// Compares two clusters.
///
/// # Panics
/// When they differ; the first lines that differ are shown.
pub fn same_clusters(one: &Cluster, other: &Cluster) {
    same_text(
        ("the first cluster", &one.dump_all::<&str>(&[])),
        ("the second cluster", &other.dump_all::<&str>(&[])),
    );
}

/// Compares two databases, each by its cluster and its name.
///
/// # Panics
/// When they differ; the first lines that differ are shown.
pub fn same_databases(one: (&Cluster, &str), other: (&Cluster, &str)) {
    same_text(
        (one.1, &one.0.dump_one(one.1)),
        (other.1, &other.0.dump_one(other.1)),
    );
}

/// Compares two texts, line by line when they differ.
///
/// # Panics
/// When they differ; the first lines that differ are shown.
pub fn same_text(one: (&str, &[u8]), other: (&str, &[u8])) {
    if let Some(difference) = difference(one.1, other.1) {
        panic!("{} and {} differ: {difference}", one.0, other.0);
    }
}

/// The first place where two texts differ, with a few lines around it.
pub fn difference(one: &[u8], other: &[u8]) -> Option<String> {
    if one == other {
        return None;
    }
    let at = one.iter().zip(other).take_while(|(a, b)| a == b).count();
    let line = one[..at].iter().filter(|byte| **byte == b'\n').count() + 1;
    Some(format!(
        "line {line} ({} and {} bytes)\n--- one\n{}\n--- other\n{}",
        one.len(),
        other.len(),
        around(one, at),
        around(other, at)
    ))
}

/// The lines around a place, cut when they are long.
fn around(text: &[u8], at: usize) -> String {
    let start = text[..at]
        .iter()
        .rposition(|byte| *byte == b'\n')
        .map_or(0, |newline| newline + 1)
        .max(at.saturating_sub(200));
    let end = text.len().min(at + 600);
    String::from_utf8_lossy(&text[start..end]).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_difference_is_shown() {
        assert_eq!(difference(b"a\nb\n", b"a\nb\n"), None);
        let shown = difference(b"a\nbc\nd\n", b"a\nbx\n").unwrap();
        assert!(shown.starts_with("line 2 (7 and 5 bytes)"), "{shown}");
        assert!(difference(b"a\n", b"a\nb\n").is_some());
    }
}
