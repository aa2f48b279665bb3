//! The databases of a recovered cluster: which there are, and whether each can be read.

use std::process::Stdio;

use job::{Error, text};
use pg_client::{Child, NEUTRAL_SETTINGS, quote_ident, quote_literal, sql};
use pg_text::PgText;
use private_server::Installation;

use super::blame;
use super::server::RecoveredServer;
use crate::restore_test::comparison::list;
use crate::restore_test::failure::Failure;

/// All databases; with a connection limit of -2 those that `DROP DATABASE` has left half dropped (`pg_database.h`).
const ALL: &str = "SELECT datname, datconnlimit <> -2 FROM pg_catalog.pg_database ORDER BY datname";
const PREPARED: &str = "SELECT gid, database FROM pg_catalog.pg_prepared_xacts";

/// What there is to read.
#[derive(Debug)]
pub(super) struct Databases {
    pub(super) names: Vec<PgText>,
    pub(super) remarks: Vec<String>,
}

/// Lets all databases be read: also those that nobody may connect to, and what a transaction in doubt holds locked.
///
/// # Errors
/// The server's.
pub(super) fn all(recovered: &RecoveredServer) -> Result<Databases, Error> {
    let (server, maintenance) = (recovered.server(), recovered.maintenance());
    let mut remarks = Vec::new();
    let (mut names, mut half_dropped) = (Vec::new(), Vec::new());
    for row in server.query(Some(maintenance), ALL)? {
        match row.as_slice() {
            [Some(name), Some(whole)] if *whole == "t" => names.push(name.clone()),
            [Some(name), _] => half_dropped.push(name.to_string()),
            _ => return Err(Error::failed("the server does not say its databases")),
        }
    }
    if !half_dropped.is_empty() {
        remarks.push(format!(
            "half dropped, and not read: {}",
            list(&half_dropped)
        ));
    }
    for name in &names {
        let open = sql(
            "{}ALTER DATABASE {} WITH ALLOW_CONNECTIONS true CONNECTION LIMIT -1",
            &[&NEUTRAL_SETTINGS.into(), &quote_ident(name)],
        );
        server.execute(Some(maintenance), open)?;
    }
    let prepared = server.query(Some(maintenance), PREPARED)?;
    for row in &prepared {
        if let [Some(gid), Some(database)] = row.as_slice() {
            let end = sql("ROLLBACK PREPARED {}", &[&quote_literal(gid)]);
            server.execute(Some(database), end)?;
        }
    }
    if !prepared.is_empty() {
        remarks.push(format!(
            "{} in doubt there",
            text::count(prepared.len(), "prepared transaction")
        ));
    }
    Ok(Databases { names, remarks })
}

/// Has `pg_dump` read all of a database's rows.
///
/// # Errors
/// Whether the data are to blame, or they could not be read.
pub(super) fn read(
    recovered: &RecoveredServer,
    installation: &Installation,
    name: &PgText,
) -> Result<(), Failure> {
    recovered.begin();
    let beside = installation.program("pg_dump");
    let program = match beside.is_file() {
        true => beside.display().to_string(),
        false => "pg_dump".to_owned(),
    };
    let conninfo = recovered.server().conninfo();
    let mut command = conninfo.command(&program, Some(name.as_bytes()));
    command.stdin(Stdio::null()).stdout(Stdio::null());
    let read = Child::spawn(command).and_then(Child::wait);
    read.map_err(|error| {
        let logged = blame::failure_of(&recovered.errors());
        logged.unwrap_or_else(|| Error::from(error).into())
    })
}
