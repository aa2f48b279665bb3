//! What kind of file it is, by its first bytes, and what kind of backup, by its first text.

use std::fmt;

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

/// What a backup is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum BackupKind {
    /// A dump: SQL, of a cluster or of something else.
    Dump,
    /// A base backup: a tar archive of the cluster's data directory.
    Base,
}

/// Where the magic of a tar header is, and what it is (POSIX.1-1988, ustar).
const TAR_MAGIC: (usize, &[u8]) = (257, b"ustar");
/// The file that PostgreSQL sends first of all (`basebackup.c`), and the end of its name.
const FIRST_FILE: &[u8] = b"backup_label\0";

impl BackupKind {
    /// Both.
    pub const ALL: [Self; 2] = [Self::Dump, Self::Base];
    /// How many bytes of text tell it.
    pub const BYTES: usize = 512;

    /// The kind of a backup whose text (what gunzip writes) begins with these bytes: the first [`BackupKind::BYTES`] of
    /// it, or all if it has fewer. What is no base backup of PostgreSQL's is a dump.
    pub fn of_text(first: &[u8]) -> Self {
        let (at, magic) = TAR_MAGIC;
        let is_tar = first.get(at..at + magic.len()) == Some(magic);
        match is_tar && first.starts_with(FIRST_FILE) {
            true => Self::Base,
            false => Self::Dump,
        }
    }
}

impl fmt::Display for BackupKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Dump => "dump",
            Self::Base => "base backup",
        })
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

    #[test]
    fn by_the_first_text() {
        let mut tar = [0; BackupKind::BYTES];
        tar[..12].copy_from_slice(b"backup_label");
        assert_eq!(BackupKind::of_text(&tar), BackupKind::Dump);
        tar[257..262].copy_from_slice(b"ustar");
        assert_eq!(BackupKind::of_text(&tar), BackupKind::Base);
        tar[12] = b'2';
        for other in [&tar[..], b"--\n-- PostgreSQL database cluster dump\n", b""] {
            assert_eq!(BackupKind::of_text(other), BackupKind::Dump);
        }
    }
}
