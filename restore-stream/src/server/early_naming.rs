//! Gives a new database its final name before it is filled.

use std::thread;
use std::time::Duration;

use job::Error;
use pg_client::{NEUTRAL_SETTINGS, Server, disconnect, quote_ident, quote_literal, sql, vacate};
use pg_text::PgText;

use crate::server::cleanup::UndoList;
use crate::server::cluster::Cluster;
use crate::server::contents::is_empty;
use crate::server::target::{Replaced, Target};
use crate::server::undo::{Taken, Undo};

/// How often to try while somebody is connected to one of the databases.
const TRIES: u32 = 5;
const PAUSE: Duration = Duration::from_millis(200);
/// How long each try waits for those who are in the new database.
const LOOK: Duration = Duration::from_secs(3);

/// Gives the name once, and notes how to take it back.
#[derive(Debug)]
pub(crate) struct EarlyNaming {
    server: Server,
    maintenance: PgText,
    undos: UndoList,
    name: PgText,
    replaced: Replaced,
    /// Whether the connections to the empty one that has the name are closed.
    force: bool,
}

impl EarlyNaming {
    pub(crate) fn new(cluster: &Cluster, target: &Target, undos: UndoList) -> Self {
        Self {
            server: cluster.server.clone(),
            maintenance: cluster.survey.maintenance.clone(),
            undos,
            name: target.name.clone(),
            replaced: target.replaced.clone(),
            force: cluster.force,
        }
    }

    /// Gives the name to the database `working`.
    ///
    /// # Errors
    /// There is no database `working`; the one that has the name was filled meanwhile (4), or somebody is connected to it.
    pub(crate) fn give(&self, working: &str) -> Result<(), Error> {
        let old = self.replaced.kept_as().cloned();
        if old.is_some() && !is_empty(&self.server, &self.name)? {
            return Err(Error::refused(format!(
                "the database '{}' was empty, and was filled while this ran: nothing was changed",
                self.name
            )));
        }
        let sql = self.sql(working, old.as_ref());
        // Noted before it is done: the cleanup looks whether it was.
        let taken = Taken {
            oid: self.oid(working)?,
            name: self.name.clone(),
            old,
        };
        self.undos
            .replace(Undo::Drop(working.to_owned(), Some(taken)));
        let mut tries = 1;
        loop {
            let Err(error) = self.server.execute(Some(&self.maintenance), &sql) else {
                return Ok(());
            };
            if tries == TRIES || job::stop_requested() {
                return Err(Error::from(error).within(format_args!(
                    "the database '{}' cannot get its name before it is filled",
                    self.name
                )));
            }
            tries += 1;
            thread::sleep(PAUSE);
        }
    }

    fn oid(&self, working: &str) -> Result<String, Error> {
        let question = sql(
            "SELECT oid FROM pg_catalog.pg_database WHERE datname = {}",
            &[&quote_literal(working)],
        );
        let rows = self.server.query(Some(&self.maintenance), question)?;
        let oid = rows.into_iter().flatten().flatten().next();
        let oid = oid.map(|oid| oid.to_string());
        oid.ok_or_else(|| Error::failed(format!("the database '{working}' was not created")))
    }

    fn sql(&self, working: &str, old: Option<&PgText>) -> PgText {
        let name = quote_ident(&self.name);
        let mut steps = vec![sql(
            "{}BEGIN;\n{}",
            &[&NEUTRAL_SETTINGS.into(), &vacate(&[working], LOOK)],
        )];
        if let Some(old) = old {
            if self.force {
                steps.push(disconnect(&self.name));
            }
            let rename = "ALTER DATABASE {} RENAME TO {};\n";
            steps.push(sql(rename, &[&name, &quote_ident(old)]));
        }
        steps.push(sql(
            "ALTER DATABASE {} RENAME TO {};\nCOMMIT;\n",
            &[&quote_ident(working), &name],
        ));
        PgText::join(steps, "")
    }
}
