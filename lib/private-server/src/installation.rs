//! Where PostgreSQL's server programs are.

use std::collections::BTreeSet;
use std::env;
use std::fs;
use std::path::{Path, PathBuf};

use pg_client::Version;

use crate::{Error, ErrorKind};

/// Where Debian puts them, by major version.
const DEBIAN: &str = "/usr/lib/postgresql";

/// The server programs of one version.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Installation {
    bin: PathBuf,
    version: Version,
}

impl Installation {
    /// The programs of the lowest major version that is not below `lowest`, or of the highest where any will do: in the
    /// directory `bin`, or else on the `PATH` and where Debian has them.
    ///
    /// # Errors
    /// [`ErrorKind::NotInstalled`]; unless a directory was named, the hint names the Debian package.
    pub fn find(bin: Option<&Path>, lowest: Option<u32>) -> Result<Self, Error> {
        let found = match bin {
            Some(directory) => vec![Self::in_directory(directory).ok_or_else(|| {
                Error::new(
                    ErrorKind::NotInstalled,
                    format!(
                        "there is no initdb, or no postgres that runs, in '{}'",
                        directory.display()
                    ),
                )
            })?],
            None => candidates()
                .iter()
                .filter_map(|directory| Self::in_directory(directory))
                .collect(),
        };
        let versions = versions(&found);
        choose(found, lowest).ok_or_else(|| none_fits(lowest, &versions))
    }

    /// The programs of a major version, and of no other: only they start on a data directory of it. They are looked for as
    /// in [`find`](Self::find).
    ///
    /// # Errors
    /// [`ErrorKind::OtherVersion`], [`ErrorKind::NotInstalled`]; the hint names the Debian package.
    pub fn exactly(bin: Option<&Path>, major: u32) -> Result<Self, Error> {
        let found = Self::find(bin, Some(major))?;
        match found.version.major() == major {
            true => Ok(found),
            false => Err(other_version(major, &found.version)),
        }
    }

    fn in_directory(bin: &Path) -> Option<Self> {
        if !bin.join("initdb").is_file() {
            return None;
        }
        let version = Version::of_client(bin.join("postgres").to_str()?).ok()?;
        let bin = bin.to_owned();
        Some(Self { bin, version })
    }

    /// The path of one of its programs.
    pub fn program(&self, name: &str) -> PathBuf {
        self.bin.join(name)
    }

    /// Its version.
    pub fn version(&self) -> &Version {
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

/// The lowest version from `lowest` on, or the highest of all. Of two equal ones the first.
fn choose(mut found: Vec<Installation>, lowest: Option<u32>) -> Option<Installation> {
    found.sort_by_key(|it| it.version.major());
    match lowest {
        Some(lowest) => found.into_iter().find(|it| it.version.major() >= lowest),
        None => found.pop(),
    }
}

fn versions(found: &[Installation]) -> String {
    let versions: Vec<String> = found.iter().map(|it| it.version.to_string()).collect();
    versions.join(", ")
}

fn none_fits(lowest: Option<u32>, versions: &str) -> Error {
    let wanted = lowest.map_or_else(String::new, |major| format!(" {major} or newer"));
    let there = match versions {
        "" => String::new(),
        _ => format!(" (there is {versions})"),
    };
    let package = lowest.map_or_else(
        || "postgresql".into(),
        |major| format!("postgresql-{major}"),
    );
    let message = format!(
        "there is no PostgreSQL server{wanted} here: no initdb on the PATH or in {DEBIAN}{there}"
    );
    Error::new(ErrorKind::NotInstalled, message)
        .hint(format!("install the Debian package {package}"))
}

fn other_version(major: u32, found: &Version) -> Error {
    let message = format!(
        "the base backup is of PostgreSQL {major}, and the server here is PostgreSQL {found}: no other major version starts on it"
    );
    Error::new(ErrorKind::OtherVersion, message)
        .hint(format!("install the Debian package postgresql-{major}"))
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
        let chosen = |lowest| choose(all.to_vec(), lowest).map(|it| it.bin);
        assert_eq!(chosen(Some(16)), Some("c".into()));
        assert_eq!(chosen(Some(15)), Some("c".into()));
        assert_eq!(chosen(Some(17)), Some("a".into()));
        assert_eq!(chosen(Some(19)), None);
        assert_eq!(chosen(None), Some("a".into()));
    }

    #[test]
    fn what_is_missing_is_named() {
        let error = none_fits(Some(17), "15.1, 16.2");
        let hint = error.hint_text().unwrap();
        assert!(error.to_string().contains("17 or newer"), "{error}");
        assert!(error.to_string().contains("15.1, 16.2"), "{error}");
        assert!(hint.contains("postgresql-17"), "{hint}");
        assert_eq!(error.kind(), ErrorKind::NotInstalled);
        assert_eq!(job::Error::from(error).exit().code(), 1);
    }
}
