//! What `--version` says. A crate of its own, which only the programs depend on: a commit changes it.

/// `0.1.0 (abc1234)`: the version of Cargo.toml, and the commit that was built, where it is known.
pub const VERSION: &str = env!("VERSION");

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_version_comes_first_and_the_commit_in_parentheses() {
        let rest = VERSION.strip_prefix(env!("CARGO_PKG_VERSION")).unwrap();
        assert!(
            rest.is_empty() || rest.starts_with(" (") && rest.ends_with(')'),
            "{VERSION:?}"
        );
    }
}
