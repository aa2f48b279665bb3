//! psql's restricted mode (psql's manual page, `\restrict`), in which psql takes only the command that leaves it.

use job::Error;
use pg_client::random_key;

/// The mode of one psql. Each key is used once.
#[derive(Debug)]
pub(super) struct RestrictedMode {
    /// Whether psql has that mode.
    known: bool,
    key: String,
}

impl RestrictedMode {
    /// `known` says whether psql has the mode. It is entered with [`RestrictedMode::enter`].
    pub(super) fn new(known: bool) -> Self {
        let key = String::new();
        Self { known, key }
    }

    /// The command that leaves the mode.
    pub(super) fn leave(&self) -> String {
        match self.known {
            true => format!("\\unrestrict {}\n", self.key),
            false => String::new(),
        }
    }

    /// The command that enters it, with a new key.
    pub(super) fn enter(&mut self) -> Result<String, Error> {
        self.key = random_key::<16>()?;
        Ok(match self.known {
            true => format!("\\restrict {}\n", self.key),
            false => String::new(),
        })
    }
}
