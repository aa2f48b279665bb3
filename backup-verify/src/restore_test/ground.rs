//! Where the test restores to.

use std::ffi::OsStr;

use job::Error;
use pg_client::{NEUTRAL_SETTINGS, Server, Version, quote_ident, sql};
use pg_text::PgText;

use super::globals::Globals;
use super::installation::Installation;
use super::manifest::Manifest;
use super::scratch::Scratch;
use super::throwaway::Throwaway;
use crate::cli::Args;

/// Databases that every server has: they are restored in place, and cannot be dropped.
const ALWAYS_THERE: [&str; 2] = ["postgres", "template1"];

/// A server to restore into.
#[derive(Debug)]
pub(crate) struct Ground {
    kind: Kind,
    version: Version,
}

#[derive(Debug)]
enum Kind {
    /// Made for the test: databases have their own names there, and roles come with them.
    Made(Throwaway),
    /// Somebody's: databases have names of ours there.
    Given(Scratch),
}

impl Ground {
    /// Makes a server.
    ///
    /// # Errors
    /// It cannot be made (exit code 1).
    pub(crate) fn made(manifest: &Manifest, globals: &Globals, args: &Args) -> Result<Self, Error> {
        let installation = Installation::find(args.pg_bindir.as_deref(), manifest.major)?;
        let version = installation.version().clone();
        let parent = args.work_dir.as_deref();
        let made = Throwaway::start(&installation, globals, parent, manifest.largest())?;
        let kind = Kind::Made(made);
        Ok(Self { kind, version })
    }

    /// Takes the server that `conninfo` leads to.
    ///
    /// # Errors
    /// It does not answer (exit code 1).
    pub(crate) fn given(conninfo: &OsStr) -> Result<Self, Error> {
        let (scratch, version) = Scratch::new(conninfo)?;
        let kind = Kind::Given(scratch);
        Ok(Self { kind, version })
    }

    pub(crate) fn server(&self) -> &Server {
        match &self.kind {
            Kind::Made(made) => made.server(),
            Kind::Given(scratch) => scratch.server(),
        }
    }

    /// The same, for sessions in restored databases.
    pub(crate) fn inside(&self) -> &Server {
        match &self.kind {
            Kind::Made(made) => made.server(),
            Kind::Given(scratch) => scratch.inside(),
        }
    }

    pub(crate) fn version(&self) -> &Version {
        &self.version
    }

    /// The name that a database gets there, if it is not its own.
    pub(crate) fn name(&self, number: usize) -> Option<String> {
        match &self.kind {
            Kind::Made(_) => None,
            Kind::Given(scratch) => Some(scratch.name(number)),
        }
    }

    /// What somebody should know of the server.
    pub(crate) fn remarks(&self) -> Vec<String> {
        let Kind::Given(scratch) = &self.kind else {
            return Vec::new();
        };
        let others = scratch.others().unwrap_or_default();
        let others = others.iter().map(|name| {
            format!("'{name}' is on the server: another restore test is at work, or was killed and has left it")
        });
        others.collect()
    }

    /// The extensions that can be created there.
    ///
    /// # Errors
    /// The server's.
    pub(crate) fn extensions(&self) -> Result<Vec<String>, Error> {
        let sql = "SELECT name FROM pg_catalog.pg_available_extensions";
        let rows = self.server().query(Some(&self.maintenance()), sql)?;
        let names = rows.into_iter().flatten().flatten();
        Ok(names.map(|name| name.to_string()).collect())
    }

    /// Lets a restored database be connected to, and dropped.
    ///
    /// # Errors
    /// The server's.
    pub(crate) fn open(&self, database: &PgText) -> Result<(), Error> {
        let open = sql(
            "{}ALTER DATABASE {} WITH ALLOW_CONNECTIONS true CONNECTION LIMIT -1 IS_TEMPLATE false",
            &[&NEUTRAL_SETTINGS.into(), &quote_ident(database)],
        );
        Ok(self.server().execute(Some(&self.maintenance()), open)?)
    }

    /// Drops what was restored of the backup's database `name`.
    ///
    /// # Errors
    /// The server's.
    pub(crate) fn clear(&self, name: &PgText) -> Result<(), Error> {
        match &self.kind {
            Kind::Made(_) if ALWAYS_THERE.contains(&name.ascii()) => Ok(()),
            Kind::Made(made) => made.drop_database(name),
            Kind::Given(scratch) => scratch.clear(),
        }
    }

    /// The database to connect to for all that concerns none.
    pub(crate) fn maintenance(&self) -> &PgText {
        match &self.kind {
            Kind::Made(made) => made.maintenance(),
            Kind::Given(scratch) => scratch.maintenance(),
        }
    }
}
