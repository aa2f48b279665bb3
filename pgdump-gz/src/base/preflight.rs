//! What is checked before the server is asked for a base backup, which begins with a checkpoint.

use backup_file::ServerRole;
use job::{Error, say};
use pg_client::{Conninfo, Row, Server, Version};
use pg_text::PgText;

use crate::cli::Args;
use crate::interruption::{PROMOTED, is_primary};
use crate::preflight::{ask, is_true, text, version};
use crate::standby;

/// The first major version whose base backups have a manifest.
const OLDEST: u32 = 13;

/// A cluster that can be backed up.
#[derive(Debug)]
pub(crate) struct Source {
    pub(crate) conninfo: Conninfo,
    pub(crate) server: Version,
    pub(crate) client: Version,
    pub(crate) encoding: String,
    /// Bytes.
    pub(crate) wal_segment_size: u32,
    /// Whether it is a primary or a standby; none if it cannot say.
    pub(crate) server_role: Option<ServerRole>,
    /// A database to ask questions in.
    maintenance: PgText,
    /// The databases by their OIDs.
    pub(crate) databases: Vec<(u32, PgText)>,
}

/// One row of facts, then one for each tablespace, then one for each database.
const QUESTION: &str = "SET search_path = pg_catalog;
SELECT current_setting('server_version_num'), current_setting('server_version'), current_setting('server_encoding'),
       pg_size_bytes(current_setting('wal_segment_size')), pg_is_in_recovery(),
       (SELECT rolsuper OR rolreplication FROM pg_roles WHERE rolname = session_user), session_user,
       current_setting('wal_level'), current_setting('max_wal_senders'), current_setting('archive_mode'),
       current_setting('archive_command') NOT IN ('', '(disabled)') OR coalesce(current_setting('archive_library', true), '') <> '',
       last_failed_time > coalesce(last_archived_time, '-infinity'), last_failed_wal,
       to_char(last_failed_time AT TIME ZONE 'UTC', 'YYYY-MM-DD HH24:MI:SS'), failed_count,
       coalesce(to_char(last_archived_time AT TIME ZONE 'UTC', '\"last success\" YYYY-MM-DD HH24:MI:SS \"UTC\"'), 'no success yet')
FROM pg_stat_archiver;
SELECT spcname FROM pg_tablespace WHERE spcname NOT IN ('pg_default', 'pg_global') ORDER BY 1;
SELECT oid, datname FROM pg_database ORDER BY 1";

/// The columns of the facts, after the version.
mod column {
    pub(super) const ENCODING: usize = 2;
    pub(super) const SEGMENT_SIZE: usize = 3;
    pub(super) const RECOVERY: usize = 4;
    pub(super) const REPLICATION: usize = 5;
    pub(super) const ROLE: usize = 6;
    pub(super) const WAL_LEVEL: usize = 7;
    pub(super) const WAL_SENDERS: usize = 8;
    pub(super) const ARCHIVE_MODE: usize = 9;
    pub(super) const ARCHIVER: usize = 10;
    pub(super) const IS_FAILING: usize = 11;
    pub(super) const FAILED_WAL: usize = 12;
    pub(super) const FAILED_TIME: usize = 13;
    pub(super) const FAILED_COUNT: usize = 14;
    pub(super) const LAST_SUCCESS: usize = 15;
}

/// Finds out what the server is, and whether a base backup of it can be made, and restored afterwards.
///
/// # Errors
/// The server is not there within the time, is newer than the client, does not archive its WAL, has tablespaces, or has
/// no connection for a base backup; the role lacks REPLICATION; it is a standby too far behind.
pub(crate) fn source(args: &Args) -> Result<Source, Error> {
    let conninfo = match &args.dbname {
        Some(text) => Conninfo::parse(text)?,
        None => Conninfo::default(),
    };
    let client = conninfo.client_version("pg_basebackup")?;
    let server = Server::new(conninfo.clone());
    let (maintenance, answer) = ask(&server, args.wait, &QUESTION.into())?;
    let Some((facts, rows)) = answer.split_first() else {
        return Err(Error::failed(
            "the server does not answer the first question",
        ));
    };
    let version = version(facts)?;
    check_versions(&client, &version)?;
    check_role(facts)?;
    check_archiving(facts)?;
    let (tablespaces, databases): (Vec<&Row>, Vec<&Row>) =
        rows.iter().partition(|row| row.len() == 1);
    check_tablespaces(&tablespaces)?;
    let is_standby = is_true(facts, column::RECOVERY);
    let server_role = standby::role(&server, &maintenance, is_standby, &version, args.max_lag)?;
    let segment_size = text(facts, column::SEGMENT_SIZE);
    let wal_segment_size = segment_size.parse().map_err(|_| {
        Error::failed(format!(
            "the server has WAL segments of '{segment_size}' bytes"
        ))
    })?;
    Ok(Source {
        conninfo,
        server: version,
        client,
        encoding: text(facts, column::ENCODING),
        wal_segment_size,
        server_role,
        maintenance,
        databases: databases.into_iter().filter_map(database).collect(),
    })
}

impl Source {
    /// Says what to do about the `error` of its backup, where a promotion is why it came: pg_basebackup tells that in the
    /// server's language, and without a code.
    pub(crate) fn explained(&self, error: Error) -> Error {
        let server = Server::new(self.conninfo.clone());
        let was_standby = self
            .server_role
            .as_ref()
            .is_some_and(ServerRole::is_standby);
        match was_standby && is_primary(&server, &self.maintenance) {
            true => error.hint(PROMOTED),
            false => error,
        }
    }

    /// The databases that are there now. A new one may have come while the backup was made.
    pub(crate) fn databases_now(&self) -> Result<Vec<(u32, PgText)>, Error> {
        let server = Server::new(self.conninfo.clone());
        let question = "SELECT oid, datname FROM pg_catalog.pg_database";
        let rows = server.query(Some(&self.maintenance), question)?;
        Ok(rows.iter().filter_map(database).collect())
    }
}

fn database(row: &Row) -> Option<(u32, PgText)> {
    match row.as_slice() {
        [Some(oid), Some(name)] => Some((oid.parse()?, name.clone())),
        _ => None,
    }
}

fn check_versions(client: &Version, server: &Version) -> Result<(), Error> {
    let major = server.major();
    if client.major() < major {
        return Err(Error::failed(format!(
            "pg_basebackup {client} cannot back up a server that is newer: {server}"
        ))
        .hint(format!(
            "install the Debian package postgresql-client-{major}, and let PATH find its pg_basebackup first"
        )));
    }
    if major < OLDEST {
        return Err(Error::failed(format!(
            "base backups of PostgreSQL {server} have no manifest"
        ))
        .hint("take dumps: pgdump-gz without --base"));
    }
    Ok(())
}

fn check_role(facts: &Row) -> Result<(), Error> {
    if !is_true(facts, column::REPLICATION) {
        let role = text(facts, column::ROLE);
        return Err(Error::failed(format!(
            "the role '{role}' may not take base backups: it lacks REPLICATION"
        ))
        .hint("let a superuser grant it (ALTER ROLE … REPLICATION), and let pg_hba.conf admit it to the database 'replication'"));
    }
    let off = |setting: &str, value: &str, wanted: &str| {
        Error::failed(format!(
            "the server sends no WAL and no base backup: {setting} is {value}"
        ))
        .hint(format!("set {setting} = {wanted} and restart the server"))
    };
    match (
        &*text(facts, column::WAL_LEVEL),
        &*text(facts, column::WAL_SENDERS),
    ) {
        ("minimal", _) => Err(off("wal_level", "minimal", "replica")),
        (_, "0") => Err(off("max_wal_senders", "0", "10")),
        _ => Ok(()),
    }
}

/// A base backup is of no use without the WAL that is written while it is made; pg_basebackup waits until that is
/// archived, for ever if it must.
fn check_archiving(facts: &Row) -> Result<(), Error> {
    let mode = text(facts, column::ARCHIVE_MODE);
    let how = "archive_mode = on and archive_command = 'blob-put --wal %p STORE/'";
    let without = "and without its WAL a base backup cannot be restored";
    if mode == "off" {
        return Err(Error::failed(format!(
            "the server does not archive its WAL (archive_mode is off), {without}"
        ))
        .hint(format!("set {how}, and restart the server")));
    }
    if !is_true(facts, column::ARCHIVER) {
        return Err(Error::failed(format!(
            "the server does not archive its WAL (archive_command is empty), {without}"
        ))
        .hint(format!("set {how}, and reload the server's settings")));
    }
    // A standby leaves it to its primary, unless it is told to archive too.
    if is_true(facts, column::RECOVERY) && mode != "always" {
        say!("note: this is a standby: its primary must archive the WAL that this backup needs");
        return Ok(());
    }
    if is_true(facts, column::IS_FAILING) {
        return Err(Error::failed(format!(
            "the server's WAL archiving fails: the last failure was of {} at {} UTC ({} so far, {}), {without}",
            text(facts, column::FAILED_WAL),
            text(facts, column::FAILED_TIME),
            text(facts, column::FAILED_COUNT),
            text(facts, column::LAST_SUCCESS),
        ))
        .hint("the server's log has what archive_command says; begin again when pg_stat_archiver shows a new last_archived_time"));
    }
    Ok(())
}

fn check_tablespaces(rows: &[&Row]) -> Result<(), Error> {
    if rows.is_empty() {
        return Ok(());
    }
    let names: Vec<String> = rows
        .iter()
        .map(|row| format!("'{}'", text(row, 0)))
        .collect();
    Err(Error::refused(format!(
        "the cluster has more tablespaces than one: {}; PostgreSQL cannot stream them into one archive",
        names.join(", ")
    ))
    .hint("move what is in them (ALTER DATABASE … SET TABLESPACE pg_default, ALTER TABLE ALL IN TABLESPACE … SET TABLESPACE pg_default) and drop them, or take dumps: pgdump-gz without --base"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn facts(changes: &[(usize, &str)]) -> Row {
        let good = [
            "150018",
            "15.18",
            "UTF8",
            "16777216",
            "f",
            "t",
            "backup",
            "replica",
            "10",
            "on",
            "t",
            "f",
            "",
            "",
            "0",
            "no success yet",
        ];
        let mut row: Row = good.iter().map(|it| Some(PgText::from(*it))).collect();
        for (column, value) in changes {
            row[*column] = Some(PgText::from(*value));
        }
        row
    }

    #[test]
    fn what_a_base_backup_needs() {
        let check = |changes: &[(usize, &str)]| {
            let facts = facts(changes);
            check_role(&facts).and_then(|()| check_archiving(&facts))
        };
        check(&[]).unwrap();
        for (column, value, said) in [
            (column::REPLICATION, "f", "lacks REPLICATION"),
            (column::WAL_LEVEL, "minimal", "wal_level is minimal"),
            (column::WAL_SENDERS, "0", "max_wal_senders is 0"),
            (column::ARCHIVE_MODE, "off", "archive_mode is off"),
            (column::ARCHIVER, "f", "archive_command is empty"),
            (column::IS_FAILING, "t", "archiving fails"),
        ] {
            let error = check(&[(column, value)]).unwrap_err();
            assert!(error.to_string().contains(said), "{error}");
            assert!(error.hint_text().is_some());
        }
        // What a standby's archiver failed at before it was one does not matter.
        check(&[(column::RECOVERY, "t"), (column::IS_FAILING, "t")]).unwrap();
        let always = [
            (column::RECOVERY, "t"),
            (column::IS_FAILING, "t"),
            (column::ARCHIVE_MODE, "always"),
        ];
        assert!(check(&always).is_err());
    }

    #[test]
    fn tablespaces_are_refused_by_name() {
        let row: Row = vec![Some("fast \"disks\"".into())];
        let error = check_tablespaces(&[&row]).unwrap_err();
        assert_eq!(error.exit().code(), 4);
        assert!(error.to_string().contains("'fast \"disks\"'"), "{error}");
        assert!(check_tablespaces(&[]).is_ok());
    }

    #[test]
    fn versions() {
        let version = |number: u32| Version {
            number,
            text: number.to_string(),
        };
        assert!(check_versions(&version(180_000), &version(130_000)).is_ok());
        assert!(check_versions(&version(150_018), &version(160_000)).is_err());
        assert!(check_versions(&version(150_018), &version(120_000)).is_err());
    }
}
