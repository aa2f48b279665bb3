//! Finds the commit that is built: in `SOURCE_COMMIT`, for a build without a repository such as the image's,
//! else, for a release, in git. Otherwise the version stands alone: a development build seldom is what was
//! committed, and every commit would have all programs compiled again.

use std::env;
use std::path::Path;
use std::process::Command;

fn main() {
    println!("cargo::rerun-if-env-changed=SOURCE_COMMIT");
    println!("cargo::rerun-if-changed=build.rs");
    let version = env!("CARGO_PKG_VERSION");
    let commit = env::var("SOURCE_COMMIT").unwrap_or_default();
    let released = env::var("PROFILE").is_ok_and(|profile| profile == "release");
    let commit = match commit.trim() {
        "" if released => commit_of_repository(),
        "" => None,
        commit => Some(commit.to_owned()),
    };
    match commit {
        Some(commit) => println!("cargo::rustc-env=VERSION={version} ({commit})"),
        None => println!("cargo::rustc-env=VERSION={version}"),
    }
}

fn commit_of_repository() -> Option<String> {
    // Sources that were unpacked inside another repository have nothing to do with its commits.
    git(&["ls-files", "--error-unmatch", "build.rs"])?;
    // These change with each commit and each checkout, and with little else. Not every clone has a log.
    let branch = git(&["symbolic-ref", "--quiet", "HEAD"]).unwrap_or_else(|| "HEAD".to_owned());
    for name in ["HEAD", "logs/HEAD", &branch] {
        let path = git(&["rev-parse", "--git-path", name])?;
        if Path::new(&path).exists() {
            println!("cargo::rerun-if-changed={path}");
        }
    }
    git(&["rev-parse", "--short=7", "HEAD"])
}

/// What git says about this directory, if it is there and succeeds.
fn git(arguments: &[&str]) -> Option<String> {
    let output = Command::new("git").args(arguments).output().ok()?;
    let said = String::from_utf8(output.stdout).ok()?;
    output.status.success().then(|| said.trim().to_owned())
}
