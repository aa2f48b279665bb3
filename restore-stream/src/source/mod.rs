//! Where the SQL comes from: which backup it is, which of its databases, and its bytes, checked to the last one.

pub(crate) mod checked;
pub(crate) mod chosen;
pub(crate) mod error;
pub(crate) mod ranges;
pub(crate) mod selection;
