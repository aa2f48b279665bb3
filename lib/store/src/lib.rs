//! Where backups live, a directory or a container, and what one is read from: a file, a blob or standard input.
//!
//! | | |
//! |---|---|
//! | [`Store`] | a directory or a container: lists, opens and deletes backups |
//! | [`Source`] | one backup to be read: a file, a blob, standard input |
//! | [`Directory`] | the directory a dump is written into: lock, sweep, [`publish`](Directory::publish) |
//!
//! In a directory a backup has a sidecar, `NAME.sha256`. At every moment, even after a crash, **a sidecar stands only
//! beside the backup that it belongs to.** So publishing puts the backup in place first, and deleting removes the
//! sidecar first.

mod address;
mod directory;
mod error;

mod permission;
mod quick_check;
mod sidecar;
mod source;
mod space;
mod store;

pub use directory::{Directory, DirectoryLock, FilePublication, Published, Unfinished};
pub use error::{Error, ErrorKind};
pub use permission::{Access, path_error};
pub use quick_check::{QuickCheck, flaw_at};
pub use sidecar::read_sidecar;
pub use source::{DigestCheck, Source, hex};
pub use space::Space;
pub use store::{Backup, Deletion, Listing, Place, Store, total_size};
