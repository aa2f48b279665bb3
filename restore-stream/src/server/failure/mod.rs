//! Statements that fail: what psql says of them, what that means, and what is reported.

pub(crate) mod continuing_listener;
pub(crate) mod error_listener;
pub(crate) mod meaning;
pub(crate) mod numbered_input;
pub(crate) mod psql_message;
pub(crate) mod record;
mod statement;
#[cfg(test)]
mod tests;
