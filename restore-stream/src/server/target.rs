//! Where a database of the backup goes on the server.

use pg_text::PgText;

/// A database of the backup and where it goes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Target {
    /// Its name in the backup; none if the backup does not say it.
    pub(crate) from: Option<PgText>,
    /// Its name when the restore has ended.
    pub(crate) name: PgText,
    pub(crate) destination: Destination,
    pub(crate) replaced: Replaced,
}

/// The database that is filled.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Destination {
    /// A new database under this working name, which gets its own name at the end.
    Beside(PgText),
    /// A new database under a working name, which gets its own name before it is filled.
    NamedEarly { working: PgText, name: PgText },
    /// The database of that name, which exists.
    InPlace(Transactions),
}

impl Destination {
    /// Whether an existing database is filled.
    pub(crate) fn is_in_place(&self) -> bool {
        matches!(self, Self::InPlace(_))
    }
}

/// How an existing database is filled.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Transactions {
    /// Everything is committed at the end, except large objects, which a second session commits as they come.
    One,
    /// Each statement commits by itself, as in psql.
    Several,
}

/// The database that has the name now and gives it up.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Replaced {
    Nothing,
    /// An empty database. It is called this until it is dropped.
    Empty(PgText),
    /// A database that is kept under this name.
    Kept(PgText),
}

impl Replaced {
    /// The name that it gets.
    pub(crate) fn kept_as(&self) -> Option<&PgText> {
        match self {
            Self::Nothing => None,
            Self::Empty(kept) | Self::Kept(kept) => Some(kept),
        }
    }
}

impl Target {
    /// One line for the summary.
    pub(crate) fn summary(&self) -> String {
        let name = match &self.from {
            Some(from) if *from != self.name => format!("'{from}' as '{}'", self.name),
            _ => format!("'{}'", self.name),
        };
        let how = match (&self.destination, &self.replaced) {
            (Destination::InPlace(Transactions::One), _) => "in place, in one transaction".into(),
            (Destination::InPlace(Transactions::Several), _) => {
                "in place, each statement by itself: if it fails, a part of it stays".into()
            }
            (Destination::NamedEarly { .. }, Replaced::Nothing) => {
                "new, under its name before it is filled".into()
            }
            (Destination::NamedEarly { .. }, _) => {
                "in the place of an empty one, under its name before it is filled".into()
            }
            (_, Replaced::Nothing) => "new".into(),
            (_, Replaced::Empty(_)) => "in the place of an empty one".into(),
            (_, Replaced::Kept(kept)) => {
                format!("in the place of the one that is there, kept as '{kept}'")
            }
        };
        format!("database {name}: {how}")
    }
}
