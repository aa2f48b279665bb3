use std::fmt;

use job::Error;

/// A version of PostgreSQL.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Version {
    /// As `server_version_num` says it: 150018 is 15.18.
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
        let _ = program;
        todo!()
    }

    /// 15 of 15.18.
    pub fn major(&self) -> u32 {
        self.number / 10_000
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}
