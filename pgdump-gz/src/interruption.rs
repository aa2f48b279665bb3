//! Why the backup of a standby was interrupted. pg_dump tells no SQLSTATE, and the server's words are in its own language:
//! therefore the server is asked.

use std::collections::BTreeMap;
use std::thread;
use std::time::Duration;

use job::Error;
use pg_client::Server;
use pg_text::PgText;

/// How often the server is asked again, and the pause between: the session that was cancelled counts itself when it
/// ends, which may be after pg_dump has.
const TRIES: u32 = 8;
const PAUSE: Duration = Duration::from_millis(250);

/// Queries that replay cancelled because of what the primary had removed or locked (SQLSTATE 40001, 40P01).
const CONFLICTS: &str = "SELECT datname, confl_tablespace + confl_lock + confl_snapshot + confl_bufferpin + confl_deadlock
 FROM pg_catalog.pg_stat_database_conflicts";

/// What to do about a backup that a promotion cut.
pub(crate) const PROMOTED: &str =
    "the standby was promoted during the backup, and is a primary now: start the backup again";

/// How many queries replay had cancelled on a standby before its dump.
#[derive(Debug)]
pub(crate) struct Conflicts {
    server: Server,
    maintenance: PgText,
    before: Counts,
}

/// The conflicts in each database.
type Counts = BTreeMap<PgText, u64>;

/// What became of a standby during its dump.
#[derive(Debug, PartialEq, Eq)]
enum Interruption {
    /// Replay cancelled a query of the dump.
    Conflict,
    /// It is a primary now.
    Promotion,
}

impl Conflicts {
    /// Those until now; `maintenance` is a database to ask in.
    pub(crate) fn counted(server: &Server, maintenance: &PgText) -> Self {
        Self {
            server: server.clone(),
            maintenance: maintenance.clone(),
            before: counts(server, maintenance),
        }
    }

    /// Says what to do about the `error` of a dump (of a database, or of the globals), where the server shows that
    /// replay or a promotion is why it came.
    pub(crate) fn explained(&self, database: Option<&PgText>, error: Error) -> Error {
        match self.interruption(database) {
            Some(Interruption::Conflict) => error.hint(
                "replay on the standby cancelled the dump: set hot_standby_feedback = on there, so that the primary keeps the rows that are read, or a longer max_standby_streaming_delay, so that replay waits, as it must for the primary's ALTER, DROP and TRUNCATE",
            ),
            Some(Interruption::Promotion) => error.hint(PROMOTED),
            None => error,
        }
    }

    fn interruption(&self, database: Option<&PgText>) -> Option<Interruption> {
        for _ in 0..TRIES {
            let now = counts(&self.server, &self.maintenance);
            if are_more(&self.before, &now, database) {
                return Some(Interruption::Conflict);
            }
            if is_primary(&self.server, &self.maintenance) {
                return Some(Interruption::Promotion);
            }
            thread::sleep(PAUSE);
        }
        None
    }
}

/// Nothing where the server does not say: only a hint depends on it.
fn counts(server: &Server, maintenance: &PgText) -> Counts {
    let rows = server.query(Some(maintenance), CONFLICTS);
    let counted = rows.into_iter().flatten().filter_map(|row| {
        let [Some(name), Some(count)] = row.as_slice() else {
            return None;
        };
        Some((name.clone(), count.parse()?))
    });
    counted.collect()
}

/// Whether there are more than before: in one database, or in any where none is named.
fn are_more(before: &Counts, now: &Counts, database: Option<&PgText>) -> bool {
    let is_meant = |name: &PgText| database.is_none_or(|database| database == name);
    now.iter().any(|(name, count)| {
        is_meant(name) && before.get(name).is_some_and(|before| count > before)
    })
}

/// Whether a server is in no recovery.
pub(crate) fn is_primary(server: &Server, maintenance: &PgText) -> bool {
    let rows = server.query(Some(maintenance), "SELECT pg_catalog.pg_is_in_recovery()");
    let rows = rows.unwrap_or_default();
    matches!(rows.as_slice(), [row] if matches!(row.as_slice(), [Some(text)] if *text == "f"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counted(counted: &[(&str, u64)]) -> Counts {
        let counted = counted.iter();
        counted
            .map(|(name, count)| ((*name).into(), *count))
            .collect()
    }

    #[test]
    fn only_what_came_during_the_dump_counts() {
        let before = counted(&[("a", 3), ("b", 0)]);
        let (a, b) = ("a".into(), "b".into());
        assert!(!are_more(&before, &before, None));
        let after = counted(&[("a", 4), ("b", 0)]);
        assert!(are_more(&before, &after, Some(&a)));
        assert!(are_more(&before, &after, None));
        // A query that somebody else ran.
        assert!(!are_more(&before, &after, Some(&b)));
        // Counted for the first time now: nobody knows since when.
        assert!(!are_more(&before, &counted(&[("c", 1)]), None));
    }
}
