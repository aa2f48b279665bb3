use chrono::{DateTime, Utc};

use crate::WalName;

/// A file in an archive.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Archived {
    /// Its name.
    pub name: WalName,
    /// Its compressed size in bytes.
    pub size: u64,
    /// When it was stored, if the store says so.
    pub stored: Option<DateTime<Utc>>,
}
