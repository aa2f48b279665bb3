//! How the SQL gets into the server, or into a command.

pub(crate) mod arrival;
pub(crate) mod command;
pub(crate) mod definitions;
mod globals;
pub(crate) mod indexed;
pub(crate) mod into_table;
pub(crate) mod parallel;
pub(crate) mod part;
pub(crate) mod psql_output;
pub(crate) mod restored;
pub(crate) mod sequential;
pub(crate) mod sibling;
mod table_rows;
mod tables;
