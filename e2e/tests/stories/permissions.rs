//! A store that belongs to somebody else: each program says whose it is, who it runs as, and what to do.

use std::fs::{self, Permissions};
use std::os::unix::fs::{PermissionsExt, chown};
use std::path::Path;

use e2e::volume::as_root;
use e2e::{Program, Scratch, backup, tool};

/// The user of the image.
const USER: u32 = 10001;
/// The group of another pod, whose fsGroup took the volume over.
const OTHER: u32 = 999;

/// One of our programs as the image runs it: user and group 10001, no other group, no capability.
fn program(name: &str) -> Program {
    let user = USER.to_string();
    let words = ["--reuid", &user, "--regid", &user, "--clear-groups"];
    as_root("setpriv", &words).arg(tool::program(name))
}

fn give(path: &Path, user: u32, group: u32, mode: u32) {
    chown(path, Some(user), Some(group)).expect("chown");
    fs::set_permissions(path, Permissions::from_mode(mode)).expect("chmod");
}

/// A store that user 10001 may write into, with two backups in it.
fn store(scratch: &Scratch) -> (std::path::PathBuf, Vec<String>) {
    give(scratch.path(), 0, 0, 0o755);
    let store = scratch.make("backups");
    give(&store, USER, USER, 0o2775);
    for text in ["one", "two"] {
        program("pgdump-gz")
            .arg("--dir")
            .arg(&store)
            .args(["--", "echo", text])
            .succeeds();
    }
    let names = backup::names(&store);
    assert_eq!(names.len(), 2);
    (store, names)
}

#[test]
fn a_volume_that_another_pod_took_over() {
    let scratch = Scratch::new();
    let (store, names) = store(&scratch);
    give(&store, 0, OTHER, 0o2755);
    let who = format!(
        "hint: '{}' has user 0, group {OTHER}, mode 2755; this program has user {USER}, groups {USER}: \
         chgrp {USER} '{0}' and chmod 2775 '{0}'",
        store.display()
    );

    let dump = || {
        program("pgdump-gz")
            .arg("--dir")
            .arg(&store)
            .args(["--", "echo", "three"])
    };
    dump().fails(1).says("Permission denied").says(&who).says(
        "in Kubernetes another pod's fsGroup took the volume over: mount its claim readOnly there",
    );
    let file = store.join(&names[0]);
    program("blob-put")
        .arg(&file)
        .arg(store.join("copy.gz"))
        .fails(1)
        .says("Permission denied")
        .says(&who);
    program("blob-prune")
        .arg(&store)
        .args(["--keep-days", "0", "--keep-min", "1"])
        .fails(1)
        .says("cannot remove")
        .says(&who);
    assert_eq!(backup::names(&store), names);

    // What is said helps.
    give(&store, 0, USER, 0o2775);
    dump().succeeds();
}

#[test]
fn what_may_not_be_read() {
    let scratch = Scratch::new();
    let (store, names) = store(&scratch);
    let file = store.join(&names[0]);
    // A backup that was copied by hand, as root.
    give(&file, 0, 0, 0o600);
    let who = format!(
        "hint: '{}' has user 0, group 0, mode 0600; this program has user {USER}, groups {USER}: \
         chgrp {USER} '{0}' and chmod g+r '{0}'",
        file.display()
    );
    for words in [
        &["backup-verify"][..],
        &["restore-stream", "--list"],
        &["blob-put", "/nowhere/"],
    ] {
        let seen = program(words[0]).arg(&file).args(&words[1..]).fails(1);
        seen.says("Permission denied").says(&who);
    }

    // The directory above it lets nobody through.
    let above = scratch.path();
    give(above, 0, USER, 0o2740);
    let way = format!(
        "hint: '{}' has user 0, group {USER}, mode 2740; this program has user {USER}, groups {USER}: chmod g+x '{0}'",
        above.display()
    );
    for name in ["blob-prune", "backup-verify"] {
        let keep: &[&str] = if name == "blob-prune" {
            &["--keep-days", "1"]
        } else {
            &[]
        };
        program(name).arg(&store).args(keep).fails(1).says(&way);
    }
    give(above, 0, 0, 0o755);
}
