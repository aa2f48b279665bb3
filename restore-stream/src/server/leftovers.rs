//! Databases that other runs are restoring into, or that they have left behind because they were killed.

use std::collections::{BTreeMap, BTreeSet};

use job::{Error, say};
use pg_client::{RELEASE, Server, drop_database, open_database};
use pg_text::PgText;

use crate::server::facts::Database;
use crate::server::names::working_key;

/// The databases that have a working name, and what becomes of them.
#[derive(Debug, Default)]
pub(crate) struct Leftovers(BTreeMap<PgText, Fate>);

#[derive(Debug, PartialEq, Eq)]
enum Fate {
    /// Its run lives.
    LeftAlone,
    /// It belongs to another role.
    LeftTo(PgText),
    /// It is dropped when the restore begins.
    Swept,
}

impl Leftovers {
    /// `live` are the keys of the runs that have sessions. Whoever else is connected to such a database is no sign of
    /// life: an exporter visits every database.
    pub(super) fn among(databases: &BTreeMap<PgText, Database>, live: &BTreeSet<String>) -> Self {
        let fate = |(name, database): (&PgText, &Database)| {
            let key = working_key(name.ascii())?;
            let fate = if live.contains(key) {
                Fate::LeftAlone
            } else if database.ours {
                Fate::Swept
            } else {
                Fate::LeftTo(database.owner.clone())
            };
            Some((name.clone(), fate))
        };
        Self(databases.iter().filter_map(fate).collect())
    }

    /// Whether this database is dropped before anything is restored.
    pub(crate) fn is_swept(&self, name: &PgText) -> bool {
        self.0.get(name) == Some(&Fate::Swept)
    }

    /// Says what becomes of each of them.
    pub(crate) fn say(&self) {
        for (name, fate) in &self.0 {
            match fate {
                Fate::LeftAlone => {
                    say!("'{name}' is being restored by another restore-stream, and is left alone");
                }
                Fate::Swept => {
                    say!("'{name}' was left by a restore that was killed: it will be dropped");
                }
                Fate::LeftTo(owner) => say!(
                    "'{name}' was left by a restore that was killed, and is left to its owner '{owner}'"
                ),
            }
        }
    }

    /// Drops those that are to be swept.
    ///
    /// # Errors
    /// One of `wanted`, the names that this run takes, cannot be dropped (exit code 4). Any other one that cannot is
    /// only said.
    pub(crate) fn sweep(
        &self,
        server: &Server,
        maintenance: &PgText,
        wanted: &[&PgText],
    ) -> Result<(), Error> {
        let swept = self.0.iter().filter(|(_, fate)| **fate == Fate::Swept);
        for (name, _) in swept {
            match drop_leftover(server, maintenance, name) {
                Ok(()) => say!("dropped '{name}', which a restore that was killed has left"),
                Err(error) => {
                    let said = format!(
                        "cannot drop '{name}', which a restore that was killed has left: {error}"
                    );
                    if wanted.contains(&name) {
                        return Err(Error::refused(said));
                    }
                    say!("{said}");
                }
            }
        }
        Ok(())
    }
}

fn drop_leftover(server: &Server, maintenance: &PgText, name: &PgText) -> Result<(), Error> {
    server.execute(Some(maintenance), open_database(name))?;
    let _ = server.execute(Some(name), RELEASE);
    Ok(server.execute(Some(maintenance), drop_database(name))?)
}
