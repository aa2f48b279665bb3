//! Where PostgreSQL's server programs are.

use std::collections::BTreeSet;
use std::env;
use std::fs;
use std::path::{Path, PathBuf};

use job::Error;
use pg_client::Version;

/// Where Debian puts them, by major version.
const DEBIAN: &str = "/usr/lib/postgresql";

/// The server programs of one version.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Installation {
    bin: PathBuf,
    version: Version,
}

impl Installation {
    /// Those that restore a dump of the major version `dumped` (any, where that is not known): of the same
    /// version, or the next one that is here.
    ///
    /// # Errors
    /// There are none: the hint names the Debian package.
    pub(crate) fn find(named: Option<&Path>, dumped: Option<u32>) -> Result<Self, Error> {
        let found = match named {
            Some(directory) => vec![Self::in_directory(directory).ok_or_else(|| {
                Error::failed(format!(
                    "there is no initdb, or no postgres that runs, in '{}'",
                    directory.display()
                ))
            })?],
            None => candidates()
                .iter()
                .filter_map(|directory| Self::in_directory(directory))
                .collect(),
        };
        let had = words(&found);
        choose(found, dumped).ok_or_else(|| none(dumped, &had))
    }

    fn in_directory(bin: &Path) -> Option<Self> {
        if !bin.join("initdb").is_file() {
            return None;
        }
        let version = Version::of_client(bin.join("postgres").to_str()?).ok()?;
        let bin = bin.to_owned();
        Some(Self { bin, version })
    }

    /// One of its programs.
    pub(crate) fn program(&self, name: &str) -> PathBuf {
        self.bin.join(name)
    }

    pub(crate) fn version(&self) -> &Version {
        &self.version
    }
}

/// The directories of `PATH`, then Debian's.
fn candidates() -> Vec<PathBuf> {
    let path = env::var_os("PATH").unwrap_or_default();
    let mut seen = BTreeSet::new();
    let versions = fs::read_dir(DEBIAN).into_iter().flatten().flatten();
    env::split_paths(&path)
        .chain(versions.map(|entry| entry.path().join("bin")))
        .filter(|directory| directory.join("postgres").is_file())
        .filter(|directory| seen.insert(directory.clone()))
        .collect()
}

/// The lowest version that is not below the dump's; the highest, if the dump's is not known. Of two equal
/// ones the first.
fn choose(mut found: Vec<Installation>, dumped: Option<u32>) -> Option<Installation> {
    found.sort_by_key(|it| it.version.major());
    match dumped {
        Some(dumped) => found.into_iter().find(|it| it.version.major() >= dumped),
        None => found.pop(),
    }
}

fn words(found: &[Installation]) -> String {
    let versions: Vec<String> = found.iter().map(|it| it.version.to_string()).collect();
    versions.join(", ")
}

fn none(dumped: Option<u32>, had: &str) -> Error {
    let wanted = dumped.map_or_else(String::new, |major| format!(" {major} or newer"));
    let had = match had {
        "" => String::new(),
        _ => format!(" (there is {had})"),
    };
    let package = dumped.map_or_else(
        || "postgresql".into(),
        |major| format!("postgresql-{major}"),
    );
    Error::failed(format!(
        "there is no PostgreSQL server{wanted} here to restore into: no initdb on the PATH or in {DEBIAN}{had}"
    ))
    .hint(format!(
        "install the Debian package {package}, name its directory with --pg-bindir, or name a server with --into"
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(bin: &str, major: u32) -> Installation {
        Installation {
            bin: bin.into(),
            version: Version {
                number: major * 10_000 + 1,
                text: format!("{major}.1"),
            },
        }
    }

    #[test]
    fn the_same_version_or_the_next() {
        let all = [of("a", 18), of("b", 14), of("c", 16), of("d", 16)];
        let chosen = |dumped| choose(all.to_vec(), dumped).map(|it| it.bin);
        assert_eq!(chosen(Some(16)), Some("c".into()));
        assert_eq!(chosen(Some(15)), Some("c".into()));
        assert_eq!(chosen(Some(17)), Some("a".into()));
        assert_eq!(chosen(Some(19)), None);
        assert_eq!(chosen(None), Some("a".into()));
    }

    #[test]
    fn what_is_missing_is_named() {
        let error = none(Some(17), "15.1, 16.2");
        let hint = error.hint_text().unwrap();
        assert!(error.to_string().contains("17 or newer"), "{error}");
        assert!(error.to_string().contains("15.1, 16.2"), "{error}");
        assert!(
            hint.contains("postgresql-17") && hint.contains("--into"),
            "{hint}"
        );
        assert_eq!(error.exit().code(), 1);
    }
}
