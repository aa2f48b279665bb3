//! Databases that were loaded and checked, and are not final yet.

use crate::edit::DatabaseEdit;
use crate::load::part::Load;
use crate::report::RestoredDatabase;
use crate::server::target::Target;

#[derive(Debug, Default)]
pub(crate) struct Restored {
    /// New databases, which are complete.
    pub(crate) beside: Vec<(Target, RestoredDatabase)>,
    /// Databases that are restored in place. Their sessions are still open, and so are the transactions of those that are
    /// restored in one.
    pub(crate) uncommitted: Vec<(Target, Load<DatabaseEdit>)>,
}

impl Restored {
    pub(crate) fn is_empty(&self) -> bool {
        self.beside.is_empty() && self.uncommitted.is_empty()
    }
}
