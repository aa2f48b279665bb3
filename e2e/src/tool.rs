//! Where the real parts are that `scripts/setup` installs, and the programs of this workspace.

use std::env;
use std::fs;
use std::path::{Path, PathBuf};

/// The workspace's directory.
///
/// # Panics
/// Never: the crate is in it.
pub fn workspace() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .expect("the workspace")
}

/// What `scripts/setup` installed for the tests alone.
pub fn tools() -> PathBuf {
    workspace().join("target/tools")
}

/// The directory of a psql that has no restricted mode.
///
/// # Panics
/// When it is not installed.
pub fn old_psql() -> PathBuf {
    let bin = tools().join("psql-16.2/bin");
    assert!(
        bin.join("psql").exists(),
        "psql 16.2 is not installed: run scripts/setup"
    );
    bin
}

/// A program of this workspace, beside the test that runs.
///
/// # Panics
/// When it has not been built.
pub fn program(name: &str) -> PathBuf {
    let path = programs().join(name);
    assert!(
        path.exists(),
        "{} is not built: cargo build --workspace --bins",
        path.display()
    );
    path
}

/// The directory of the workspace's programs.
///
/// # Panics
/// When this program does not know where it is.
pub fn programs() -> PathBuf {
    let mut dir = env::current_exe().expect("this program's path");
    dir.pop();
    if dir.ends_with("deps") {
        dir.pop();
    }
    dir
}

/// `PATH` with `first` in front.
pub fn path_with(first: &[PathBuf]) -> std::ffi::OsString {
    let path = env::var_os("PATH").unwrap_or_default();
    let all = first.iter().cloned().chain(env::split_paths(&path));
    env::join_paths(all).unwrap_or(path.clone())
}

/// The variables (`NAME=VALUE`) with which a program sees a clock that is moved by this (`-121h`); how time passes does not
/// change.
///
/// # Panics
/// When libfaketime is not installed.
pub fn moved_clock(offset: &str) -> [String; 3] {
    let library = fs::read_dir("/usr/lib")
        .expect("/usr/lib")
        .flatten()
        .map(|entry| entry.path().join("faketime/libfaketime.so.1"))
        .find(|library| library.exists())
        .expect("libfaketime: run scripts/setup");
    [
        format!("LD_PRELOAD={}", library.display()),
        format!("FAKETIME={offset}"),
        "FAKETIME_DONT_FAKE_MONOTONIC=1".to_owned(),
    ]
}

/// Removes what the library leaves behind of a process that was killed.
pub fn forget_moved_clock(pid: u32) {
    for name in ["faketime_shm", "sem.faketime_sem"] {
        let _ = fs::remove_file(format!("/dev/shm/{name}_{pid}"));
    }
}
