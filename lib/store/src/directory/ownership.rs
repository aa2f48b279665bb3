use std::fs::{File, Metadata};
use std::os::unix::fs::{MetadataExt, fchown};

use rustix::process::geteuid;

/// Gives what was made in a directory the directory's group, and its owner if this is root: a run by root must not keep
/// the owner out afterwards. What we may not change stays as it is.
pub(super) fn share_ownership(made: &File, directory: &Metadata) {
    if geteuid().is_root() {
        let _ = fchown(made, Some(directory.uid()), None);
    }
    let _ = fchown(made, None, Some(directory.gid()));
}
