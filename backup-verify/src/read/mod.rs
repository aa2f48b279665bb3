//! What the checks are told: one backup, all of a store, those before the newest, the ones that were good last time.

pub(crate) mod all;
pub(crate) mod archives;
pub(crate) mod backup;
pub(crate) mod earlier;
mod map_audit;
pub(crate) mod segments;
pub(crate) mod state_file;
pub(crate) mod summary;
