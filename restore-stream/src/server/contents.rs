//! What a database holds.

use job::Error;
use pg_client::{Row, Server};
use pg_text::PgText;

/// Asks for the count of everything in a database that its template did not have, whoever created it.
pub(crate) const OBJECTS: &str = "\
SELECT (SELECT count(*) FROM pg_catalog.pg_class WHERE oid >= 16384 AND relnamespace <> 99)
 + (SELECT count(*) FROM pg_catalog.pg_proc WHERE oid >= 16384)
 + (SELECT count(*) FROM pg_catalog.pg_type WHERE oid >= 16384)
 + (SELECT count(*) FROM pg_catalog.pg_namespace WHERE oid >= 16384 AND nspname !~ '^pg_(toast_)?temp_')
 + (SELECT count(*) FROM pg_catalog.pg_extension WHERE oid >= 16384)
 + (SELECT count(*) FROM pg_catalog.pg_collation WHERE oid >= 16384)
 + (SELECT count(*) FROM pg_catalog.pg_cast WHERE oid >= 16384)
 + (SELECT count(*) FROM pg_catalog.pg_foreign_server)
 + (SELECT count(*) FROM pg_catalog.pg_publication)
 + (SELECT count(*) FROM pg_catalog.pg_subscription AS s JOIN pg_catalog.pg_database AS d ON d.oid = s.subdbid
    WHERE d.datname = pg_catalog.current_database())
 + (SELECT count(*) FROM pg_catalog.pg_largeobject_metadata);
";

/// Asks for the count of its large objects.
const LARGE_OBJECTS: &str = "SELECT count(*) FROM pg_catalog.pg_largeobject_metadata;\n";

/// What a database holds, as far as a restore cares.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Contents {
    Nothing,
    /// As a restore in place that was killed may leave it.
    OnlyLargeObjects,
    Something,
}

impl Contents {
    /// The questions to ask in the database; [`Contents::read`] reads the first rows of the answer.
    pub(crate) fn questions() -> String {
        [OBJECTS, LARGE_OBJECTS].concat()
    }

    pub(crate) fn read(rows: &[Row]) -> Self {
        let count = |at: usize| rows.get(at)?.first()?.as_ref();
        match (count(0), count(1)) {
            (Some(objects), _) if *objects == "0" => Self::Nothing,
            (Some(objects), Some(large)) if objects == large => Self::OnlyLargeObjects,
            _ => Self::Something,
        }
    }
}

/// Whether there is nothing in a database.
pub(crate) fn is_empty(server: &Server, database: &PgText) -> Result<bool, Error> {
    let rows = server.query(Some(database), OBJECTS)?;
    Ok(Contents::read(&rows) == Contents::Nothing)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_counts_tell() {
        let counts = |all: &[&str]| -> Vec<Row> {
            all.iter()
                .map(|count| vec![Some((*count).into())])
                .collect()
        };
        assert_eq!(Contents::read(&counts(&["0", "0"])), Contents::Nothing);
        assert_eq!(Contents::read(&counts(&["0"])), Contents::Nothing);
        let large = Contents::read(&counts(&["7", "7"]));
        assert_eq!(large, Contents::OnlyLargeObjects);
        assert_eq!(Contents::read(&counts(&["8", "7"])), Contents::Something);
        assert_eq!(Contents::read(&counts(&["8"])), Contents::Something);
        assert_eq!(Contents::read(&[]), Contents::Something);
    }
}
