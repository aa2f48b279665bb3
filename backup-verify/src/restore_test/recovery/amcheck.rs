//! `pg_amcheck`: whether tables and B-trees hold what they may hold. pg_dump reads rows, and no index.

use std::io::Read;
use std::path::PathBuf;
use std::process::Stdio;

use job::Error;
use pg_client::Child;
use pg_text::PgText;
use private_server::Installation;

use super::blame;
use super::server::RecoveredServer;
use crate::restore_test::failure::Failure;

const EXTENSION: &str = "SELECT 1 FROM pg_catalog.pg_available_extensions WHERE name = 'amcheck'";
/// Whether text is in another order here than where the indexes were made (since PostgreSQL 15).
const ORDER: &str = "\
SELECT EXISTS (SELECT FROM pg_catalog.pg_database
 WHERE datname = current_database() AND datcollversion <> pg_catalog.pg_database_collation_actual_version(oid))
 OR EXISTS (SELECT FROM pg_catalog.pg_collation
 WHERE collversion <> pg_catalog.pg_collation_actual_version(oid))";
const ORDER_SINCE: u32 = 15;
/// The exit code of a check that found something.
const FOUND: i32 = 2;
/// Lines of it that a person gets.
const SHOWN: usize = 4;
/// The most that is kept of them.
const MOST: u64 = 64 << 10;

/// How databases are checked.
#[derive(Debug)]
pub(super) enum Amcheck {
    With {
        program: PathBuf,
        major: u32,
        jobs: Option<u16>,
    },
    /// It is not here: what is missing.
    Without(&'static str),
}

impl Amcheck {
    /// Looks for the program, and for its extension.
    ///
    /// # Errors
    /// The server's.
    pub(super) fn find(
        recovered: &RecoveredServer,
        installation: &Installation,
        jobs: Option<u16>,
    ) -> Result<Self, Error> {
        let program = installation.program("pg_amcheck");
        if !program.is_file() {
            return Ok(Self::Without(
                "pg_amcheck is not installed here: indexes were not checked",
            ));
        }
        let rows = recovered
            .server()
            .query(Some(recovered.maintenance()), EXTENSION)?;
        Ok(match rows.is_empty() {
            true => Self::Without(
                "the extension amcheck is not installed here: indexes were not checked",
            ),
            false => Self::With {
                program,
                major: installation.version().major(),
                jobs,
            },
        })
    }

    /// What somebody should know of it.
    pub(super) fn remark(&self) -> Option<&'static str> {
        match self {
            Self::With { .. } => None,
            Self::Without(why) => Some(why),
        }
    }

    /// Checks a database. Returns what is to be said of it.
    ///
    /// # Errors
    /// Whether the data are to blame, or they could not be checked.
    pub(super) fn check(
        &self,
        recovered: &RecoveredServer,
        name: &PgText,
    ) -> Result<&'static str, Failure> {
        let Self::With {
            program,
            major,
            jobs,
        } = self
        else {
            return Ok("");
        };
        recovered.begin();
        let conninfo = recovered.server().conninfo();
        let mut command = conninfo.command_on(&program.display().to_string(), name);
        command.arg("--install-missing");
        if let Some(jobs) = jobs {
            command.arg(format!("--jobs={jobs}"));
        }
        command.stdin(Stdio::null()).stdout(Stdio::piped());
        let mut child = Child::spawn(command).map_err(Error::from)?;
        let found = first(&mut child)?;
        let ended = child.ended().map_err(Error::from)?;
        if ended.status.success() {
            return Ok(", checked by pg_amcheck");
        }
        let is_found = ended.status.code() == Some(FOUND);
        let logged = recovered.errors();
        let failed = ended.into_result().err().map(Error::from);
        Err(match blame::failure_of(&logged) {
            _ if is_found && *major >= ORDER_SINCE && self.is_another_order(recovered, name) => {
                let words = format!("pg_amcheck: {found}");
                Failure::from(Error::failed(words)).hint(
                    "text is sorted by another version of its collation here, so indexes of text look wrong: run the test in the cluster's own image",
                )
            }
            Some(failure) => failure,
            // What is wrong with a table is no error of the server's.
            None if is_found => {
                Failure::not_good(format!("pg_amcheck: {found}")).hint(blame::DAMAGE)
            }
            None => match failed {
                Some(error) => error.into(),
                None => Error::failed("pg_amcheck did not say what it did").into(),
            },
        })
    }

    fn is_another_order(&self, recovered: &RecoveredServer, name: &PgText) -> bool {
        let rows = recovered.server().query(Some(name), ORDER);
        let rows = rows.unwrap_or_default();
        matches!(rows.last().map(Vec::as_slice), Some([Some(yes)]) if *yes == "t")
    }
}

/// The first lines of what was found; the rest is read, and not kept.
fn first(child: &mut Child) -> Result<String, Error> {
    let Some(mut stdout) = child.take_stdout() else {
        return Ok(String::new());
    };
    let cannot = |error| Error::io("cannot hear pg_amcheck", &error);
    let mut kept = Vec::new();
    (&mut stdout)
        .take(MOST)
        .read_to_end(&mut kept)
        .map_err(cannot)?;
    std::io::copy(&mut stdout, &mut std::io::sink()).map_err(cannot)?;
    let said = PgText::from(kept).to_string();
    let lines: Vec<&str> = said.lines().map(str::trim).take(SHOWN).collect();
    Ok(lines.join(" "))
}
