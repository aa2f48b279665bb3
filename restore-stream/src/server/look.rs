//! What a plan must know of the databases whose names are wanted, beyond the [`Survey`](crate::server::survey::Survey).

use job::Error;
use pg_text::PgText;

use crate::server::cluster::Cluster;
use crate::server::contents::Contents;
use crate::server::sessions::{self, Session};

/// A database of the backup that is to be restored under a name.
#[derive(Debug, Clone)]
pub(crate) struct Wanted {
    /// Its name in the backup; none if the backup does not say it.
    pub(crate) from: Option<PgText>,
    /// The name that it is to have on the server.
    pub(crate) name: PgText,
    /// The database that has this name now.
    pub(crate) there: Option<Look>,
}

/// An existing database.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Look {
    pub(crate) contents: Contents,
    /// Whether an extension's background worker is connected to it: one that is disconnected may not begin again
    /// before the server is restarted (pg_cron's launcher).
    pub(crate) has_worker: bool,
}

impl Cluster {
    /// The name that a database of the backup gets: the `given` one, or its own, which is written in `encoding`.
    ///
    /// # Errors
    /// Its own name is none on this server (exit code 4).
    pub(crate) fn name_on_server(
        &self,
        from: &PgText,
        given: Option<&PgText>,
        encoding: Option<&str>,
    ) -> Result<PgText, Error> {
        let own = || self.names.on_server(from, encoding);
        given.cloned().or_else(own).ok_or_else(|| {
            let encoding = encoding.unwrap_or("another encoding");
            Error::refused(format!(
                "the name '{from}', in {encoding}, is no name in the encoding of this server's database '{}'",
                self.survey.maintenance
            ))
            .hint(format!(
                "--database '{from}' --as NAME restores it under another name; all have their own on a server made with initdb --encoding={encoding}"
            ))
        })
    }

    /// Looks at the database that has the name now. One that cannot be looked into is not empty.
    pub(crate) fn look(&self, from: Option<&PgText>, name: &PgText) -> Result<Wanted, Error> {
        let there = match self.survey.database(name) {
            Some(_) => Some(self.look_into(name)?),
            None => None,
        };
        Ok(Wanted {
            from: from.cloned(),
            name: name.clone(),
            there,
        })
    }

    fn look_into(&self, database: &PgText) -> Result<Look, Error> {
        let sessions = sessions::question(&[database]);
        let all = [Contents::questions().as_bytes(), sessions.as_bytes()].concat();
        let (contents, sessions) = match self.server.query(Some(database), all) {
            Ok(rows) => (
                Contents::read(&rows),
                rows.iter().filter_map(Session::read).collect(),
            ),
            Err(_) => (Contents::Something, self.sessions(&[database])?),
        };
        Ok(Look {
            contents,
            has_worker: sessions.iter().any(|session| session.worker),
        })
    }
}
