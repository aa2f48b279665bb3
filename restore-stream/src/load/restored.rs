//! What was loaded and checked, and does not have its name yet.

use crate::edit::DatabaseEdit;
use crate::load::part::Load;
use crate::report::RestoredDatabase;
use crate::server::target::Target;

#[derive(Debug, Default)]
pub(crate) struct Restored {
    /// New databases, which are complete.
    pub(crate) beside: Vec<(Target, RestoredDatabase)>,
    /// Databases that are restored in place. Their sessions are open, and so is the transaction of one that has one.
    pub(crate) uncommitted: Vec<(Target, Load<DatabaseEdit>)>,
}

impl Restored {
    pub(crate) fn is_empty(&self) -> bool {
        self.beside.is_empty() && self.uncommitted.is_empty()
    }
}
