//! The checks: one file each, and each returns what it found.

pub(crate) mod age;
pub(crate) mod base;
pub(crate) mod clock;
pub(crate) mod content;
pub(crate) mod fork;
pub(crate) mod gaps;
pub(crate) mod lag;
pub(crate) mod leftovers;
pub(crate) mod retention;
pub(crate) mod room;
pub(crate) mod size;
pub(crate) mod token;
mod usual;
pub(crate) mod wal;
