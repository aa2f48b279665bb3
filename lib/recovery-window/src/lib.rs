//! Which moments a cluster's base backups and its WAL archive lead back to.
//!
//! | | |
//! |---|---|
//! | [`BaseBackup`] | what a base backup's index says of the WAL that it needs |
//! | [`ArchiveContents`] | a cluster's archive as it is listed, with the histories of its timelines |
//! | [`Chain`] | the WAL that leads on from a base backup, and what is in it |
//! | [`Moments`] | the moments that a recovery by time stops at, exactly |
//! | [`Window`] | from when and until when one base backup can be recovered |
//! | [`Span`] | the moments of several windows together |

mod archive_contents;
mod base_backup;
mod chain;
mod moments;
mod window;

pub use archive_contents::ArchiveContents;
pub use base_backup::BaseBackup;
pub use chain::Chain;
pub use moments::Moments;
pub use window::{Span, Window, spans};
