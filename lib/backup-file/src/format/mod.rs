//! What the bytes of a backup are, whoever writes or reads them.
//!
//! A file is [`member`]s; its [`tail`] is a [`map`] for each database, the [`index`], the [`locator`] of the index and the
//! [`marker`].

pub(crate) mod base;
pub(crate) mod contents;
pub(crate) mod error;
pub(crate) mod index;
mod index_text;
mod json_name;
pub(crate) mod kind;
pub(crate) mod locator;
pub(crate) mod map;
pub(crate) mod map_members;
pub(crate) mod map_text;
pub(crate) mod marker;
pub(crate) mod member;
pub(crate) mod name;
pub(crate) mod sidecar;
pub(crate) mod standby;
pub(crate) mod tail;
