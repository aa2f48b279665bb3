//! Why a file or directory may not be used, and what to do about it: who owns it, who we are, what gives us access.

use std::fmt::Display;
use std::fs::Metadata;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use rustix::process::{Gid, getegid, geteuid, getgroups};

use crate::Error;

/// What an operation needs of a file or directory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Access {
    /// To read the file, to list the directory.
    Read,
    /// To change the file, to make or remove a file in the directory.
    Write,
}

/// An operation on `path` failed; `doing` says which (`cannot read 'x'`). Where a permission is missing, the hint names
/// owner, group and mode, who this process is, and the command that gives it the permission.
pub fn path_error(doing: impl Display, path: &Path, access: Access, error: &io::Error) -> Error {
    let failed = Error::io(doing, error);
    if error.kind() != io::ErrorKind::PermissionDenied {
        return failed;
    }
    let path = match path.as_os_str().is_empty() {
        true => Path::new("."),
        false => path,
    };
    match nearest(path) {
        Some((nearest, found)) => {
            let is_directory = found.is_dir();
            let wanted = match access {
                // A directory on the way cannot be passed.
                _ if nearest != path => 0o1,
                Access::Read if is_directory => 0o5,
                Access::Read => 0o4,
                Access::Write if is_directory => 0o7,
                Access::Write => 0o6,
            };
            failed.hint(hint(nearest, wanted, &Owner::of(&found), &Process::this()))
        }
        None => failed,
    }
}

/// The path, or the last directory on the way to it that can be seen.
fn nearest(path: &Path) -> Option<(&Path, Metadata)> {
    path.ancestors()
        .find_map(|path| Some((path, path.metadata().ok()?)))
}

/// Who owns a file or directory, and its mode.
#[derive(Debug)]
struct Owner {
    user: u32,
    group: u32,
    mode: u32,
    is_directory: bool,
}

/// Who runs this program. Its own group comes first.
#[derive(Debug)]
struct Process {
    user: u32,
    groups: Vec<u32>,
}

impl Owner {
    fn of(found: &Metadata) -> Self {
        Self {
            user: found.uid(),
            group: found.gid(),
            mode: found.mode() & 0o7777,
            is_directory: found.is_dir(),
        }
    }
}

impl Process {
    fn this() -> Self {
        let own = getegid();
        // If the others cannot be read, its own group alone is named.
        let others = getgroups().unwrap_or_default();
        let others = others.into_iter().filter(|group| *group != own);
        Self {
            user: geteuid().as_raw(),
            groups: [own].into_iter().chain(others).map(Gid::as_raw).collect(),
        }
    }
}

/// `wanted` are the `rwx` bits that the operation needs.
fn hint(path: &Path, wanted: u32, owner: &Owner, process: &Process) -> String {
    let path = path.display();
    let groups: Vec<_> = process.groups.iter().map(u32::to_string).collect();
    let who = format!(
        "'{path}' has user {}, group {}, mode {:04o}; this program has user {}, groups {}",
        owner.user,
        owner.group,
        owner.mode,
        process.user,
        groups.join(" ")
    );
    // Of owner, group and others only the first that a process belongs to counts, even if a later one allows more.
    let (class, granted) = if process.user == owner.user {
        ('u', owner.mode >> 6)
    } else if process.groups.contains(&owner.group) {
        ('g', owner.mode >> 3)
    } else {
        ('o', owner.mode)
    };
    let missing: String = [(0o4, 'r'), (0o2, 'w'), (0o1, 'x')]
        .into_iter()
        .filter(|(bit, _)| wanted & !granted & bit != 0)
        .map(|(_, letter)| letter)
        .collect();
    let own = groups.first().map_or("", String::as_str);
    match class {
        _ if missing.is_empty() => format!(
            "{who}: the mode allows it, so a sticky bit, an ACL, an attribute (lsattr) or SELinux forbids it"
        ),
        'u' | 'g' => format!("{who}: chmod {class}+{missing} '{path}'"),
        _ if owner.is_directory && wanted & 0o2 != 0 => format!(
            "{who}: chgrp {own} '{path}' and chmod 2775 '{path}'; in Kubernetes another pod's fsGroup took the volume \
             over: mount its claim readOnly there"
        ),
        _ => format!("{who}: chgrp {own} '{path}' and chmod g+{missing} '{path}'"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(user: u32, group: u32, mode: u32, wanted: u32, is_directory: bool) -> String {
        let owner = Owner {
            user,
            group,
            mode,
            is_directory,
        };
        let process = Process {
            user: 10001,
            groups: vec![10001, 20],
        };
        let said = hint(Path::new("/backups"), wanted, &owner, &process);
        let (who, what) = said.split_once(": ").unwrap();
        assert_eq!(
            who,
            format!(
                "'/backups' has user {user}, group {group}, mode {mode:04o}; this program has user 10001, groups 10001 20"
            )
        );
        what.to_owned()
    }

    #[test]
    fn the_class_that_counts_gets_what_is_missing() {
        assert_eq!(said(10001, 0, 0o577, 7, true), "chmod u+w '/backups'");
        assert_eq!(said(0, 20, 0o2707, 7, true), "chmod g+rwx '/backups'");
        assert_eq!(said(0, 10001, 0o2750, 7, true), "chmod g+w '/backups'");
        assert_eq!(said(0, 10001, 0o607, 4, false), "chmod g+r '/backups'");
        assert_eq!(said(10001, 10001, 0o077, 1, true), "chmod u+x '/backups'");
    }

    #[test]
    fn a_strange_directory_gets_our_group() {
        let what = said(999, 999, 0o2775, 7, true);
        assert!(
            what.starts_with("chgrp 10001 '/backups' and chmod 2775 '/backups'"),
            "{what}"
        );
        assert!(what.contains("fsGroup"), "{what}");
        let reading = said(0, 0, 0o640, 4, false);
        assert_eq!(reading, "chgrp 10001 '/backups' and chmod g+r '/backups'");
    }

    #[test]
    fn a_mode_that_allows_it_is_not_blamed() {
        let sticky = said(0, 0, 0o1777, 7, true);
        assert!(sticky.contains("sticky bit"), "{sticky}");
    }
}
