//! The programs of others.

use std::env;

/// Whether a program is on the PATH; if not, it says so.
pub(super) fn installed(program: &str) -> Option<()> {
    let path = env::var_os("PATH").unwrap_or_default();
    let found = env::split_paths(&path).any(|dir| dir.join(program).is_file());
    if !found {
        println!("{program} is not installed: it is left out");
    }
    found.then_some(())
}
