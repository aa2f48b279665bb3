//! The databases of a cluster that a private server has recovered.

use job::{Error, say};
use pg_client::{Conninfo, Server, quote_literal, sql};
use pg_text::PgText;

use crate::source::selection::not_among;

/// Databases to connect to, if the one that is wanted lets nobody in.
const OTHERS: [&str; 2] = ["postgres", "template1"];

/// The database that is to be dumped.
#[derive(Debug)]
pub(super) struct Found {
    pub(super) name: PgText,
    pub(super) oid: u32,
    /// The database that questions are asked through.
    through: PgText,
}

/// The database that a name means, which may be typed as it is shown.
pub(super) fn meant<'a>(
    wanted: &PgText,
    databases: &[(&'a PgText, u32)],
) -> Option<(&'a PgText, u32)> {
    let mut all = databases.iter();
    let exactly = all.find(|(name, _)| *name == wanted);
    let shown = || databases.iter().find(|(name, _)| name.is_meant_by(wanted));
    exactly.or_else(shown).copied()
}

/// The databases of the recovered cluster.
pub(super) struct Databases {
    server: Server,
}

impl Databases {
    pub(super) fn new(conninfo: &Conninfo) -> Self {
        Self {
            server: Server::new(conninfo.clone()),
        }
    }

    /// The database of this name.
    ///
    /// # Errors
    /// There is none.
    pub(super) fn find(&self, wanted: &PgText, label: &str) -> Result<Found, Error> {
        const ALL: &str = "SELECT datname, oid FROM pg_catalog.pg_database WHERE datname <> 'template0' ORDER BY 1";
        let (through, rows) = self.ask(wanted, ALL)?;
        let databases = rows.iter().filter_map(|row| match row.as_slice() {
            [Some(name), Some(oid)] => Some((name, oid.parse::<u32>()?)),
            _ => None,
        });
        let databases: Vec<(&PgText, u32)> = databases.collect();
        let names: Vec<PgText> = databases.iter().map(|(name, _)| (*name).clone()).collect();
        let (name, oid) =
            meant(wanted, &databases).ok_or_else(|| not_among(wanted, label, &names))?;
        Ok(Found {
            name: name.clone(),
            oid,
            through,
        })
    }

    /// Lets a dump find no database but this one.
    ///
    /// # Errors
    /// The server's.
    pub(super) fn leave_only(&self, found: &Found) -> Result<(), Error> {
        self.undo_what_was_in_doubt(found)?;
        let only = format!(
            "UPDATE pg_catalog.pg_database SET datallowconn = (oid = {})",
            found.oid
        );
        Ok(self.server.execute(Some(&found.through), only)?)
    }

    /// Rolls back prepared transactions: they were not committed then, and a dump would wait for their locks.
    fn undo_what_was_in_doubt(&self, found: &Found) -> Result<(), Error> {
        const ALL: &str = "SELECT database, gid FROM pg_catalog.pg_prepared_xacts";
        for row in self.server.query(Some(&found.through), ALL)? {
            let [Some(database), Some(gid)] = row.as_slice() else {
                continue;
            };
            if *database == found.name {
                say!(
                    "'{gid}' of database '{database}' was prepared and not committed then: it is left out"
                );
                let undo = sql("ROLLBACK PREPARED {}", &[&quote_literal(gid.as_bytes())]);
                self.server.execute(Some(database), undo)?;
            }
        }
        Ok(())
    }

    /// The answer, and the database that it was asked through.
    fn ask(&self, wanted: &PgText, question: &str) -> Result<(PgText, Vec<pg_client::Row>), Error> {
        let ask = |database: &PgText| {
            let rows = self.server.query(Some(database), question)?;
            Ok::<_, pg_client::Error>((database.clone(), rows))
        };
        let refused = match ask(wanted) {
            Ok(answer) => return Ok(answer),
            Err(refused) => refused,
        };
        let mut others = OTHERS.into_iter().map(PgText::from);
        others
            .find_map(|database| ask(&database).ok())
            .ok_or_else(|| refused.into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_meant_exactly_before_it_is_meant_as_it_is_shown() {
        let latin1 = PgText::from(b"gr\xf6\xdfe".to_vec());
        let shown = PgText::from(latin1.to_string().as_str());
        let only = [(&latin1, 5)];
        assert_eq!(meant(&shown, &only), Some((&latin1, 5)));
        let both = [(&latin1, 5), (&shown, 6)];
        assert_eq!(meant(&shown, &both), Some((&shown, 6)));
        assert_eq!(meant(&"other".into(), &both), None);
    }
}
