//! What the bytes of a backup are, whoever writes or reads them.
//!
//! A file is [`member`]s; its [`tail`] is the [`index`], the [`locator`] of the index and the [`marker`].

pub(crate) mod contents;
pub(crate) mod error;
pub(crate) mod index;
mod index_text;
pub(crate) mod kind;
pub(crate) mod locator;
pub(crate) mod marker;
pub(crate) mod member;
pub(crate) mod name;
pub(crate) mod sidecar;
pub(crate) mod standby;
pub(crate) mod tail;
