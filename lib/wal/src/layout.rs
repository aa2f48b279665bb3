//! Where an archived file is in a store: `wal/SYSTEM/NAME.gz`.

use std::fmt;
use std::str::FromStr;

use crate::WalName;

/// A cluster's system identifier. initdb chooses it at random; copies of the cluster keep it, and pg_upgrade makes a new
/// one. Written in decimal, as pg_controldata writes it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SystemId(pub u64);

impl fmt::Display for SystemId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl FromStr for SystemId {
    type Err = ();

    /// A decimal number in its one spelling.
    fn from_str(text: &str) -> Result<Self, ()> {
        let id = text.parse().map(Self).map_err(|_| ())?;
        match id.to_string() == text {
            true => Ok(id),
            false => Err(()),
        }
    }
}

/// The directory of all archives in a store.
pub(crate) const ARCHIVES: &str = "wal";
const SUFFIX: &str = ".gz";

/// The directory of a cluster's archive in a store, without a slash at its end: `wal/7412345678901234567`.
pub fn archive_directory(system: SystemId) -> String {
    format!("{ARCHIVES}/{system}")
}

/// The name of an archived file in a store: `wal/7412345678901234567/000000010000000A000000C6.gz`.
pub fn stored_name(system: SystemId, name: WalName) -> String {
    format!("{}/{}", archive_directory(system), file_name(name))
}

/// The name of an archived file in the archive's directory.
pub(crate) fn file_name(name: WalName) -> String {
    format!("{name}{SUFFIX}")
}

/// The archived file that a name in a cluster's archive (without the directory) is of; none if it is of none.
pub fn name_in_archive(stored: &str) -> Option<WalName> {
    WalName::parse(stored.strip_suffix(SUFFIX)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_layout_is_the_documented_one() {
        let name = WalName::parse("000000010000000A000000C6").unwrap();
        let stored = stored_name(SystemId(7_412_345_678_901_234_567), name);
        assert_eq!(
            stored,
            "wal/7412345678901234567/000000010000000A000000C6.gz"
        );
        let last = stored.rsplit('/').next().unwrap();
        assert_eq!(name_in_archive(last), Some(name));
        for other in [
            "000000010000000A000000C6",
            "x.gz",
            ".gz",
            ".000000010000000A000000C6.gz.x.partial",
        ] {
            assert_eq!(name_in_archive(other), None, "{other}");
        }
    }

    #[test]
    fn a_system_has_one_spelling() {
        assert_eq!("18446744073709551615".parse(), Ok(SystemId(u64::MAX)));
        for wrong in ["", "+1", "01", "-1", "18446744073709551616", "1 ", "é"] {
            assert_eq!(wrong.parse::<SystemId>(), Err(()), "{wrong}");
        }
    }
}
