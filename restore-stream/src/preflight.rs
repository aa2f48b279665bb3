//! What the server is like before anything is restored, and what cannot be done there.

use std::collections::{BTreeMap, BTreeSet};

use job::{Error, say, text};
use pg_client::{Conninfo, Server, Version, quote_ident};
use pg_text::PgText;

use crate::cli::Args;
use crate::edit::Grantors;
use crate::encoding::Names;
use crate::facts::{Database, Facts, Role};
use crate::failures::Failures;
use crate::maintenance;
use crate::names::Run;

/// The server as it was found, and how this run speaks to it.
#[derive(Debug)]
pub(crate) struct Cluster {
    pub(crate) server: Server,
    /// The database to connect to for what concerns no database, or another one.
    pub(crate) maintenance: PgText,
    /// What names of the backup are here.
    pub(crate) names: Names,
    pub(crate) run: Run,
    pub(crate) version: Version,
    /// The role that restores.
    pub(crate) role: Role,
    pub(crate) roles: BTreeSet<PgText>,
    pub(crate) grantors: Grantors,
    pub(crate) tablespaces: BTreeSet<PgText>,
    pub(crate) databases: BTreeMap<PgText, Database>,
    /// The keys of the runs whose sessions are there.
    pub(crate) live: BTreeSet<String>,
    /// Whether psql knows `\restrict`.
    pub(crate) restrict: bool,
    /// Whether what names a role is restored in databases.
    pub(crate) owners: bool,
    /// Whether connections to databases that are replaced are closed.
    pub(crate) force: bool,
    /// Where statements that fail are listed, if it goes on after them.
    pub(crate) failures: Option<Failures>,
    /// The database whose name an extension insists on.
    insists_on: Option<PgText>,
    /// What makes a load quick, as SQL.
    pub(crate) settings: String,
    /// Bytes free where the server keeps its data, if that is here.
    room: Option<u64>,
    /// How many more sessions the server lets this role have.
    free: Option<i64>,
}

impl Cluster {
    /// Asks the server. `taken` are the databases whose names this run takes, if that is known before the backup
    /// is read.
    ///
    /// # Errors
    /// It does not answer, or a pooler does (4); it is a standby (4); there is no database to connect to but
    /// those whose names are taken (4).
    pub(crate) fn survey(args: &Args, taken: Option<&[PgText]>) -> Result<Self, Error> {
        let conninfo = match &args.dbname {
            Some(text) => Conninfo::parse(text)?,
            None => Conninfo::default(),
        };
        let conninfo = conninfo.run_as(args.psql_user);
        let psql = conninfo.client_version("psql")?;
        let run = Run::new()?;
        // By this name other runs see that this one lives.
        let server = Server::new(conninfo.named(&run.application()));
        let (maintenance, rows) = maintenance::reach(&server, taken)?;
        let facts = Facts::new(&rows);
        if facts.one("standby").is_some_and(|it| it == "t") {
            return Err(
                Error::refused("the server is a standby: nothing can be restored into it")
                    .hint("restore into the primary: it brings the standby along"),
            );
        }
        Ok(Self {
            names: Names::new(&server, &maintenance),
            server,
            maintenance,
            run,
            version: facts.version()?,
            role: facts.role()?,
            roles: facts.names("role"),
            grantors: facts.grantors()?,
            tablespaces: facts.names("tablespace"),
            databases: facts.databases(),
            live: facts.live(),
            restrict: psql.has_restrict(),
            owners: !args.no_owners,
            force: args.force_disconnect,
            failures: None,
            insists_on: facts.one("cron.database_name"),
            settings: facts.settings(args.jobs),
            room: facts.room(),
            free: facts.number("free"),
        })
    }

    /// Goes on after statements that fail, which are listed.
    ///
    /// # Errors
    /// psql has no restricted mode: it would carry out commands that come after an error.
    pub(crate) fn go_on(&mut self, failures: Failures) -> Result<(), Error> {
        if !self.restrict {
            return Err(Error::refused(
                "--on-error continue needs a psql with a restricted mode (\\restrict)",
            )
            .hint("take psql 18, 17.6, 16.10, 15.14, 14.19 or 13.22, or a newer one of these"));
        }
        self.failures = Some(failures);
        Ok(())
    }

    /// Whether an extension of this server can be created in the database of this name only: pg_cron.
    pub(crate) fn insists_on(&self, name: &PgText) -> bool {
        self.insists_on.as_ref() == Some(name)
    }

    /// Compares the server with the one that was dumped.
    pub(crate) fn check(&self, dumped: &str, args: &Args) -> Result<(), Error> {
        let Some(major) = major(dumped) else {
            return Ok(());
        };
        if major > self.version.major() && !args.older_server {
            return Err(Error::refused(format!(
                "the backup is of PostgreSQL {dumped}, and the server is the older {}",
                self.version
            ))
            .hint(format!(
                "restore into PostgreSQL {major}; with --older-server it is tried, and fails at the first statement that this server does not know"
            )));
        }
        Ok(())
    }

    /// Says so if `sql` bytes may not fit: as tables, indexes and WAL they take twice as much, and more.
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

    /// Refuses where pg_hba.conf or a password file names databases one by one, and not those that are being
    /// restored. Both are asked before the server looks for a database of this name, which is not there.
    pub(crate) fn check_admission(&self) -> Result<(), Error> {
        let working = self.run.of_no_database();
        let Err(error) = self.server.query(Some(&working), "") else {
            return Ok(());
        };
        let said = error.to_string();
        let says = |words: &str| said.contains(words);
        let place = if says("pg_hba.conf") {
            "pg_hba.conf"
        } else if says("no password supplied") || says("password authentication") {
            "the password file (.pgpass, PGPASSFILE)"
        } else {
            return Ok(());
        };
        Err(Error::refused(format!(
            "'{}' may not connect to a database that is being restored: {said}",
            self.role.name
        ))
        .hint(format!(
            "let it connect to all databases in {place}: until it is whole, a restored one is called restoring_…"
        )))
    }
}

/// 15 of `15.18 (Debian …)`.
fn major(version: &str) -> Option<u32> {
    let digits = version.find(|c: char| !c.is_ascii_digit());
    version[..digits.unwrap_or(version.len())].parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions() {
        assert_eq!(major("15.18 (Debian 15.18-0+deb12u1)"), Some(15));
        assert_eq!(major("18beta1"), Some(18));
        assert_eq!(major("?"), None);
    }
}
