use crate::Error;

/// What became of a blob that was to be deleted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Deletion {
    /// It is deleted.
    Deleted,
    /// It was not there any more.
    Gone,
    /// An immutability policy, a legal hold or a lease retains it: which (`immutability policy`,
    /// `legal hold`, `lease`).
    Retained(String),
    /// It is still there: why.
    Failed(Error),
}
