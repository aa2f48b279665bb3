use std::fmt;
use std::process::{Command, Stdio};

use pg_text::PgText;

use crate::{Error, ErrorKind, child, program};

/// A version of PostgreSQL.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Version {
    /// As `server_version_num` says it: 150018 is 15.18; a development version counts as its first.
    pub number: u32,
    /// As a person reads it: `15.18 (Debian 15.18-0+deb12u1)`.
    pub text: String,
}

impl Version {
    /// The version of the client program `program` that is installed here.
    ///
    /// # Errors
    /// It is not installed (the hint names the package), or says no version.
    pub fn of_client(program: &str) -> Result<Self, Error> {
        Self::said_by(program::program(program, false), program)
    }

    pub(crate) fn said_by(mut command: Command, program: &str) -> Result<Self, Error> {
        let said = command
            .arg("--version")
            .stdin(Stdio::null())
            .output()
            .map_err(|error| child::cannot_start(program, &error))?;
        let said = PgText::from(said.stdout).to_string();
        Self::parse(&said).ok_or_else(|| {
            let said = said.trim();
            Error::new(
                ErrorKind::Malformed,
                format!("'{program} --version' says no version: '{said}'"),
            )
        })
    }

    /// Reads `pg_dump (PostgreSQL) 15.18 (Debian 15.18-0+deb12u1)`.
    fn parse(said: &str) -> Option<Self> {
        let (_, text) = said.trim().split_once("(PostgreSQL) ")?;
        let mut numbers = text
            .split(|char: char| !char.is_ascii_digit())
            .map(|digits| digits.parse::<u32>().unwrap_or(0));
        let major = numbers.next().filter(|major| *major > 0)?;
        // 19devel and 18beta1 have no minor number: what follows is not one.
        let minor = match text.split_once('.') {
            Some((first, _)) if first.bytes().all(|byte| byte.is_ascii_digit()) => {
                numbers.next()?
            }
            _ => 0,
        };
        Some(Self {
            number: major.checked_mul(10_000)?.checked_add(minor)?,
            text: text.to_owned(),
        })
    }

    /// Whether these clients have restricted mode (`\restrict`, `pg_dump --restrict-key`): since the minor releases of
    /// August 2025 (CVE-2025-8714).
    pub fn has_restrict(&self) -> bool {
        let minor = self.number % 10_000;
        match self.major() {
            ..13 => false,
            13 => minor >= 22,
            14 => minor >= 19,
            15 => minor >= 14,
            16 => minor >= 10,
            17 => minor >= 6,
            18.. => true,
        }
    }

    /// 15 of 15.18.
    pub fn major(&self) -> u32 {
        self.number / 10_000
    }

    /// 15 of `15.18 (Debian …)`, as a server writes its version, and as a dump keeps it.
    pub fn major_of(text: &str) -> Option<u32> {
        let digits = text.find(|c: char| !c.is_ascii_digit());
        text[..digits.unwrap_or(text.len())].parse().ok()
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clients_with_restricted_mode() {
        let has = |number| {
            let text = String::new();
            Version { number, text }.has_restrict()
        };
        assert!(has(150_018) && has(180_000) && has(190_000) && has(140_019));
        assert!(!has(150_013) && !has(120_022) && !has(170_005));
    }

    #[test]
    fn major_versions() {
        let of = Version::major_of;
        assert_eq!(of("15.18 (Debian 15.18-0+deb12u1)"), Some(15));
        assert_eq!(of("18beta1"), Some(18));
        assert_eq!(of("?"), None);
    }

    #[test]
    fn what_clients_say() {
        for (said, number, text) in [
            (
                "pg_dump (PostgreSQL) 15.18 (Debian 15.18-0+deb12u1)\n",
                150_018,
                "15.18 (Debian 15.18-0+deb12u1)",
            ),
            ("psql (PostgreSQL) 18.6\n", 180_006, "18.6"),
            ("psql (PostgreSQL) 19devel\n", 190_000, "19devel"),
            (
                "psql (PostgreSQL) 18beta1 (Debian 18~beta1-1.pgdg)\n",
                180_000,
                "18beta1 (Debian 18~beta1-1.pgdg)",
            ),
        ] {
            let version = Version::parse(said).unwrap();
            assert_eq!((version.number, version.text.as_str()), (number, text));
        }
        assert_eq!(Version::parse("busybox"), None);
        assert_eq!(Version::parse("x (PostgreSQL) "), None);
    }
}
