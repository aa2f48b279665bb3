//! Where backups live: a directory or a container. And where one is read from: a file, a blob, or
//! standard input.
//!
//! | | |
//! |---|---|
//! | [`Store`] | a directory or a container: lists, opens and deletes backups |
//! | [`Source`] | one backup to be read: a file, a blob, standard input |
//! | [`Directory`] | the directory a dump is written into: lock, sweep, [`publish`](Directory::publish) |
//!
//! In a directory a backup has a sidecar, `NAME.sha256`. At every moment, also after a crash: **a
//! sidecar stands only beside the backup it speaks of.** So publishing puts the backup in place first
//! and its sidecar after it, and deleting takes the sidecar away first.

mod directory;
mod file;
mod glance;
mod lock;
mod naming;
mod permission;
mod publication;
mod recorded;
mod remote;
mod sidecar;
mod source;
mod space;
mod store;

pub use directory::{Directory, Unfinished};
pub use glance::{Glance, flaw_at};
pub use lock::DirectoryLock;
pub use permission::{Access, path_error};
pub use publication::{FilePublication, Published};
pub use recorded::{Recorded, hex};
pub use sidecar::read_sidecar;
pub use source::Source;
pub use space::Space;
pub use store::{Backup, Deletion, Store, total_size};
