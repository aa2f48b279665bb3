//! The server that a backup is restored into: what it is like, how this program speaks to it, what it takes back.

pub(crate) mod cleanup;
pub(crate) mod cluster;
pub(crate) mod contents;
pub(crate) mod early_naming;
pub(crate) mod facts;
pub(crate) mod failure;
pub(crate) mod keeper;
pub(crate) mod leftovers;
pub(crate) mod look;
pub(crate) mod maintenance;
pub(crate) mod name_converter;
pub(crate) mod names;
pub(crate) mod psql_streams;
pub(crate) mod restricted_mode;
pub(crate) mod session;
pub(crate) mod session_group;
pub(crate) mod sessions;
pub(crate) mod survey;
pub(crate) mod swap;
pub(crate) mod target;
pub(crate) mod undo;
