//! What a backup says that it holds.

use backup_file::{
    Contents, Index, ReadAt, ReadError, SectionKind, TableRows, Tail, read_map, read_tail,
};
use job::Error;
use pg_client::Version;
use pg_text::PgText;
use store::Source;

use super::restore_stream::Restorer;

/// What a restore of a backup must bring back.
#[derive(Debug)]
pub(crate) struct Manifest {
    /// The major version of the server that was dumped, where that is known.
    pub(crate) major: Option<u32>,
    pub(crate) databases: Vec<Expected>,
}

/// A database of a backup.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Expected {
    pub(crate) name: PgText,
    /// Bytes of its SQL; 0 where that is not known.
    pub(crate) sql_size: u64,
    /// What was counted when it was dumped.
    pub(crate) contents: Option<Contents>,
    /// Its tables with their rows, from its map.
    pub(crate) tables: Option<Vec<TableRows>>,
}

impl Manifest {
    /// Reads the index; without one, the backup is read through for the names of its databases.
    ///
    /// # Errors
    /// It cannot be read; it is not good (exit code 3); the database `only` is not in it.
    pub(crate) fn read(
        source: &Source,
        restorer: &Restorer,
        only: Option<&PgText>,
    ) -> Result<Self, Error> {
        let file = rereadable(source)?;
        let damaged = |error| source.read_error(&error);
        let mut manifest = match read_tail(file).map_err(damaged)? {
            Tail::Index(index) => Self::of(*index, file).map_err(damaged)?,
            Tail::Marker | Tail::NoMarker | Tail::Foreign => {
                Self::without_index(restorer.databases()?, only)
            }
        };
        if let Some(only) = only {
            let is_there = manifest.databases.iter().any(|it| it.name == *only);
            // A name that is not UTF-8 may be given as it is shown.
            let is_it = |name: &PgText| name == only || !is_there && name.is_meant_by(only);
            manifest.databases.retain(|it| is_it(&it.name));
        }
        if manifest.databases.is_empty() {
            let label = source.label();
            return Err(match only {
                Some(only) => {
                    Error::not_good(format!("there is no database '{only}' in '{label}'"))
                }
                None => Error::not_good(format!("there is no database in '{label}'"))
                    .hint("if it is a dump of one database, say its name with --database"),
            });
        }
        Ok(manifest)
    }

    fn of(index: Index, file: &dyn ReadAt) -> Result<Self, ReadError> {
        let mut databases = Vec::new();
        for section in index.sections {
            let map = read_map(file, &section)?;
            if let SectionKind::Database(name) = section.kind {
                databases.push(Expected {
                    name,
                    sql_size: section.sql_length,
                    contents: section.contents,
                    tables: map.map(|map| map.layout.tables()),
                });
            }
        }
        Ok(Self {
            major: Version::major_of(&index.about.server_version),
            databases,
        })
    }

    /// The databases that reading found. A dump of one database does not have its name: then it is the one asked for.
    fn without_index(mut names: Vec<PgText>, only: Option<&PgText>) -> Self {
        if names.is_empty() {
            names.extend(only.cloned());
        }
        let expected = |name| Expected {
            name,
            sql_size: 0,
            contents: None,
            tables: None,
        };
        Self {
            major: None,
            databases: names.into_iter().map(expected).collect(),
        }
    }

    /// How many of its databases have no record of what they held.
    pub(crate) fn uncounted(&self) -> usize {
        let databases = self.databases.iter();
        databases.filter(|it| it.contents.is_none()).count()
    }

    /// Bytes of SQL of the largest database.
    pub(crate) fn largest(&self) -> u64 {
        self.databases
            .iter()
            .map(|it| it.sql_size)
            .max()
            .unwrap_or(0)
    }
}

/// A backup that can be read more than once.
///
/// # Errors
/// Standard input (exit code 2).
pub(crate) fn rereadable(source: &Source) -> Result<&dyn ReadAt, Error> {
    source.read_at().ok_or_else(|| {
        Error::usage(
            "--restore-test reads a backup more than once, and standard input can be read once",
        )
        .hint("name a file, a blob or a store")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_nameless_database_has_the_name_that_is_said() {
        let names = |found: &[&str], only: Option<&str>| {
            let found = found.iter().map(|it| PgText::from(*it)).collect();
            let only = only.map(PgText::from);
            let manifest = Manifest::without_index(found, only.as_ref());
            let names = manifest.databases.into_iter().map(|it| it.name);
            names.collect::<Vec<_>>()
        };
        assert_eq!(names(&[], Some("x")), ["x"]);
        assert_eq!(names(&["a", "b"], Some("x")), ["a", "b"]);
        assert!(names(&[], None).is_empty());
    }
}
