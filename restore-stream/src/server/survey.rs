//! The server as it is before anything is restored: plain data, which a plan is made from and from nothing else.

use std::collections::{BTreeMap, BTreeSet};

use job::{Error, say, text};
use pg_client::{Row, Version, quote_ident};
use pg_text::PgText;

use crate::server::facts::{Database, Facts, Grantors, Role};
use crate::server::leftovers::Leftovers;

#[derive(Debug)]
pub(crate) struct Survey {
    /// The database to connect to for what concerns no database, or another one.
    pub(crate) maintenance: PgText,
    pub(crate) version: Version,
    /// The role that restores.
    pub(crate) role: Role,
    pub(crate) roles: BTreeSet<PgText>,
    pub(crate) grantors: Grantors,
    pub(crate) tablespaces: BTreeSet<PgText>,
    pub(crate) databases: BTreeMap<PgText, Database>,
    /// Those of the databases that other runs have made.
    pub(crate) leftovers: Leftovers,
    /// The database in which alone an extension of this server can be created: pg_cron's.
    insists_on: Option<PgText>,
    /// What makes a load quick, as SQL.
    pub(crate) settings: String,
    /// Bytes free where the server keeps its data, if that is on this machine.
    room: Option<u64>,
    /// How many more sessions the server lets this role have.
    free: Option<i64>,
}

impl Survey {
    /// `rows` answer [`FACTS`](crate::server::facts::FACTS), asked in `maintenance`.
    ///
    /// # Errors
    /// The server is a standby (exit code 4), or does not say what it must.
    pub(super) fn read(maintenance: PgText, rows: &[Row], jobs: u16) -> Result<Self, Error> {
        let facts = Facts::new(rows);
        if facts.one("standby").is_some_and(|it| it == "t") {
            return Err(
                Error::refused("the server is a standby: nothing can be restored into it")
                    .hint("restore into the primary: it brings the standby along"),
            );
        }
        let databases = facts.databases();
        Ok(Self {
            maintenance,
            version: facts.version()?,
            role: facts.role()?,
            roles: facts.names("role"),
            grantors: facts.grantors()?,
            tablespaces: facts.names("tablespace"),
            leftovers: Leftovers::among(&databases, &facts.live()),
            databases,
            insists_on: facts.one("cron.database_name"),
            settings: facts.settings(jobs),
            room: facts.room(),
            free: facts.number("free"),
        })
    }

    /// The database of this name. One that the sweep drops before anything is restored does not count.
    pub(crate) fn database(&self, name: &PgText) -> Option<&Database> {
        let found = self.databases.get(name)?;
        (!self.leftovers.is_swept(name)).then_some(found)
    }

    /// Whether an extension of this server can be created only in the database of this name: pg_cron.
    pub(crate) fn insists_on(&self, name: &PgText) -> bool {
        self.insists_on.as_ref() == Some(name)
    }

    /// Compares the server with the one that was dumped.
    pub(crate) fn check_version(&self, dumped: &str, older_server: bool) -> Result<(), Error> {
        let Some(major) = Version::major_of(dumped) else {
            return Ok(());
        };
        if major > self.version.major() && !older_server {
            return Err(Error::refused(format!(
                "the backup is of PostgreSQL {dumped}, and the server is the older {}",
                self.version
            ))
            .hint(format!(
                "restore into PostgreSQL {major}; --older-server tries it all the same, and fails at the first statement that this server does not know"
            )));
        }
        Ok(())
    }

    /// Says so if `sql` bytes may not fit: as tables, indexes and WAL they take at least twice as much.
    pub(crate) fn check_room(&self, sql: u64) {
        if let Some(room) = self.room
            && room / 2 < sql
        {
            say!(
                "it may not fit: {} are free where the server keeps its data, and the SQL has {} (in tables, with indexes and WAL, it takes twice that and more)",
                text::bytes(room),
                text::bytes(sql)
            );
        }
    }

    /// Refuses what would fail when the last load begins.
    pub(crate) fn check_connections(&self, needed: usize) -> Result<(), Error> {
        let needed = i64::try_from(needed).unwrap_or(i64::MAX);
        match self.free {
            Some(free) if free < needed => Err(Error::refused(format!(
                "this restore needs {needed} connections at once, and the server has {} left for '{}'",
                free.max(0),
                self.role.name
            ))
            .hint("use fewer --jobs, end other sessions, or raise max_connections or the role's CONNECTION LIMIT")),
            _ => Ok(()),
        }
    }

    /// Refuses a role that may not create databases.
    pub(crate) fn check_creation(&self) -> Result<(), Error> {
        let name = &self.role.name;
        match self.role.creates_databases {
            true => Ok(()),
            false => Err(
                Error::refused(format!("the role '{name}' may not create databases")).hint(
                    format!(
                        "as a superuser: ALTER ROLE {} CREATEDB; or restore as another role",
                        quote_ident(name)
                    ),
                ),
            ),
        }
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// A server that has answered like this, and lets its role create databases.
    pub(crate) fn survey(answers: &[&[&str]]) -> Survey {
        let row = |fields: &&[&str]| fields.iter().map(|it| Some((*it).into())).collect();
        let always: [&[&str]; 2] = [&["version", "150018", "15.18"], &["me", "keeper", "t"]];
        let rows: Vec<Row> = always.iter().chain(answers).map(row).collect();
        Survey::read("postgres".into(), &rows, 1).unwrap()
    }
}
