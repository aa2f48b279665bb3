//! What was found, as people and programs get it.

pub(crate) mod json;
pub(crate) mod lines;
mod measured;
pub(crate) mod metrics;
mod output;
pub(crate) mod table;

pub(crate) use output::{Output, is_stdout};
