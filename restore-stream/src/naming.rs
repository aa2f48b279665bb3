//! A database that gets its name before it is filled.

use std::thread;
use std::time::Duration;

use job::Error;
use pg_client::{NEUTRAL_SETTINGS, Server, disconnect, quote_ident, quote_literal, sql, vacate};
use pg_text::PgText;

use crate::keeper::Undos;
use crate::plan::{Old, Target};
use crate::preflight::Cluster;
use crate::sessions::is_empty;
use crate::undo::{Taken, Undo};

/// How often it is tried while somebody is connected to one of them.
const TRIES: u32 = 5;
const PAUSE: Duration = Duration::from_millis(200);
/// How long those who are in the new one are waited for in each try.
const LOOK: Duration = Duration::from_secs(3);

/// Gives the name, once; and writes down how it is taken back.
#[derive(Debug)]
pub(crate) struct Naming {
    server: Server,
    maintenance: PgText,
    undos: Undos,
    name: PgText,
    old: Old,
    /// Whether the connections to the empty one that has the name are closed.
    force: bool,
}

impl Naming {
    pub(crate) fn new(cluster: &Cluster, target: &Target, undos: Undos) -> Self {
        Self {
            server: cluster.server.clone(),
            maintenance: cluster.maintenance.clone(),
            undos,
            name: target.name.clone(),
            old: target.old.clone(),
            force: cluster.force,
        }
    }

    /// Gives the name to the database `working`.
    ///
    /// # Errors
    /// There is none of that name; the one that has the name was filled meanwhile (4), or somebody is connected to it.
    pub(crate) fn give(&self, working: &str) -> Result<(), Error> {
        let old = match &self.old {
            Old::Empty(kept) | Old::Kept(kept) => Some(kept.clone()),
            Old::None => None,
        };
        if old.is_some() && !is_empty(&self.server, &self.name)? {
            return Err(Error::refused(format!(
                "the database '{}' was empty, and was filled while this ran: nothing was changed",
                self.name
            )));
        }
        let sql = self.sql(working, old.as_ref());
        // Before it is done: whoever is stopped meanwhile looks whether it was.
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
