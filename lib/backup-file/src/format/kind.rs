//! What kind of file it is, by its first bytes.

use super::member::is_bgzf;

/// What kind of file it is, by its first bytes: nothing else of it is looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FileKind {
    /// gzip whose first member is a BGZF block, by us or by another program.
    Bgzf,
    /// Other gzip.
    Gzip,
    /// No gzip.
    Other,
}

impl FileKind {
    /// How many bytes tell it.
    pub const BYTES: usize = 16;

    /// The kind of a file that begins with these bytes: the first [`FileKind::BYTES`] of it, or all if it has fewer.
    pub fn of(first: &[u8]) -> Self {
        if is_bgzf(first) {
            Self::Bgzf
        } else if first.starts_with(&[0x1f, 0x8b, 8]) {
            Self::Gzip
        } else {
            Self::Other
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::MARKER;

    #[test]
    fn by_the_first_bytes() {
        let mut dated = MARKER;
        dated[4] = 1;
        for (first, kind) in [
            (&MARKER[..], FileKind::Bgzf),
            (&dated[..FileKind::BYTES], FileKind::Bgzf),
            (&MARKER[..13], FileKind::Gzip),
            (b"\x1f\x8b\x08\x00\0\0\0\0\0\x03abcdef", FileKind::Gzip),
            (b"\x1f\x8b", FileKind::Other),
            (b"-- a dump that is not compressed", FileKind::Other),
            (b"", FileKind::Other),
        ] {
            assert_eq!(FileKind::of(first), kind, "{first:?}");
        }
    }
}
