use crate::Error;

/// What became of a blob that was to be deleted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Deletion {
    /// It is deleted.
    Deleted,
    /// It was not there any more.
    Gone,
    /// Something retains it: `immutability policy`, `legal hold` or `lease`.
    Retained(String),
    /// It is still there, and why.
    Failed(Error),
}
