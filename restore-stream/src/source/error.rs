//! The errors of a backup that is not whole.

use dump_text::{Flaw, Unfinished};
use job::Error;

/// The error of a backup whose marker is missing.
pub(crate) fn cut(label: &str) -> Error {
    Error::not_good(format!(
        "'{label}' is cut: the end-of-file marker is missing"
    ))
    .hint("take an older backup: restore-stream STORE --before TIME")
}

/// The error of a dump with a flaw: it is not whole, or psql cannot read it.
pub(crate) fn not_good(label: &str, flaw: Flaw) -> Error {
    Error::not_good(format!("'{label}' is not good: {flaw}")).hint(flaw.hint())
}

/// The error of a base backup where SQL is wanted.
pub(crate) fn base_backup(label: &str) -> Error {
    Error::usage(format!(
        "'{label}' is a base backup: a copy of the data directory, not SQL"
    ))
    .hint(
        "restore-stream STORE --at TIME --data-dir DIR brings the cluster back with it (docs/restore.md, 'Back to a moment')",
    )
}

/// The error of SQL that ends too early.
pub(crate) fn unfinished(label: &str, how: Unfinished) -> Error {
    Error::not_good(format!("'{label}' is cut: {how}"))
        .hint("take an older backup: restore-stream STORE --before TIME")
}

/// The error of a database whose SQL is not where its map says.
pub(crate) fn untrue_map(label: &str, section: &str) -> Error {
    Error::not_good(format!(
        "'{label}' is damaged: the map of {section} is not true"
    ))
    .hint("restore it without its map, with --jobs 1")
}
