//! What the server is like before anything is restored.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use job::{Error, say, text};
use pg_client::{Conninfo, Row, Server, Version, quote_literal};

use crate::cli::Args;
use crate::keeper;
use crate::names::{Run, working_key};

/// The server as it was found, and how this run speaks to it.
#[derive(Debug)]
pub(crate) struct Cluster {
    pub(crate) server: Server,
    /// The database to connect to for what concerns no database, or another one.
    pub(crate) maintenance: String,
    pub(crate) run: Run,
    pub(crate) version: Version,
    pub(crate) roles: BTreeSet<String>,
    pub(crate) tablespaces: BTreeSet<String>,
    /// By name, how many connections there are to each.
    pub(crate) databases: BTreeMap<String, u64>,
    /// The keys of the runs whose sessions are there.
    pub(crate) live: BTreeSet<String>,
    /// Whether psql knows `\restrict`.
    pub(crate) restrict: bool,
    /// Whether what names a role is restored in databases.
    pub(crate) owners: bool,
    /// What makes a load quick, as SQL.
    pub(crate) settings: String,
    /// Bytes free where the server keeps its data, if that is here.
    room: Option<u64>,
}

const FACTS: &str = "\
SELECT 'version', current_setting('server_version_num'), current_setting('server_version');
SELECT 'standby', pg_catalog.pg_is_in_recovery();
SELECT 'local', coalesce(inet_server_addr() <<= '127.0.0.0/8' OR inet_server_addr() = '::1', true);
SELECT name, setting FROM pg_catalog.pg_settings
 WHERE name IN ('data_directory', 'shared_buffers', 'maintenance_work_mem');
SELECT 'role', rolname FROM pg_catalog.pg_roles;
SELECT 'tablespace', spcname FROM pg_catalog.pg_tablespace;
SELECT 'database', datname, (SELECT count(*) FROM pg_catalog.pg_stat_activity AS a WHERE a.datid = d.oid)
 FROM pg_catalog.pg_database AS d;
SELECT 'session', application_name FROM pg_catalog.pg_stat_activity
 WHERE application_name LIKE 'restore-stream %';
";

/// What there is in a database that its template did not have, whoever made it.
const OBJECTS: &str = "\
SELECT (SELECT count(*) FROM pg_catalog.pg_class WHERE oid >= 16384 AND relnamespace <> 99)
 + (SELECT count(*) FROM pg_catalog.pg_proc WHERE oid >= 16384)
 + (SELECT count(*) FROM pg_catalog.pg_type WHERE oid >= 16384)
 + (SELECT count(*) FROM pg_catalog.pg_namespace WHERE oid >= 16384 AND nspname !~ '^pg_(toast_)?temp_')
 + (SELECT count(*) FROM pg_catalog.pg_extension WHERE oid >= 16384)
 + (SELECT count(*) FROM pg_catalog.pg_collation WHERE oid >= 16384)
 + (SELECT count(*) FROM pg_catalog.pg_cast WHERE oid >= 16384)
 + (SELECT count(*) FROM pg_catalog.pg_foreign_server)
 + (SELECT count(*) FROM pg_catalog.pg_publication)
 + (SELECT count(*) FROM pg_catalog.pg_subscription AS s JOIN pg_catalog.pg_database AS d ON d.oid = s.subdbid
    WHERE d.datname = pg_catalog.current_database())
 + (SELECT count(*) FROM pg_catalog.pg_largeobject_metadata)";

impl Cluster {
    /// Asks the server.
    pub(crate) fn survey(args: &Args) -> Result<Self, Error> {
        let conninfo = match &args.dbname {
            Some(text) => Conninfo::parse(text)?,
            None => Conninfo::default(),
        };
        let conninfo = conninfo.run_as(args.psql_user);
        let psql = conninfo.client_version("psql")?;
        let named = conninfo.database().map(str::to_owned);
        let maintenance = named
            .or_else(|| std::env::var("PGDATABASE").ok())
            .filter(|name| Some(name) != args.name.as_ref() && Some(name) != args.database.as_ref())
            .unwrap_or_else(|| "postgres".into());
        let server = Server::new(conninfo);
        let rows = server.query(Some(&maintenance), FACTS)?;
        let facts = Facts(&rows);
        if facts.one("standby") == Some("t") {
            return Err(
                Error::refused("the server is a standby: nothing can be restored into it")
                    .hint("restore into the primary: it brings the standby along"),
            );
        }
        let wrong = || Error::failed("the server does not say its version");
        let number = facts.one("version").and_then(|number| number.parse().ok());
        let text = facts.pair("version").and_then(|pair| pair.1);
        let version = Version {
            number: number.ok_or_else(wrong)?,
            text: text.ok_or_else(wrong)?.to_owned(),
        };
        Ok(Self {
            maintenance,
            run: Run::new()?,
            version,
            roles: facts.names("role"),
            tablespaces: facts.names("tablespace"),
            databases: facts.counts("database"),
            live: live(&facts),
            restrict: knows_restrict(&psql),
            owners: !args.no_owners,
            settings: settings(&facts, args.jobs),
            room: room(&facts),
            server,
        })
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

    /// Whether there is nothing in a database.
    pub(crate) fn is_empty(&self, database: &str) -> Result<bool, Error> {
        let rows = self.server.query(Some(database), OBJECTS)?;
        let count = rows.first().and_then(|row| row.first()?.as_deref());
        Ok(count == Some("0"))
    }

    /// Who is connected to a database, for a person.
    pub(crate) fn connections(&self, database: &str) -> Result<Vec<String>, Error> {
        let sql = format!(
            "SELECT pid, usename, application_name, coalesce(host(client_addr), 'local')
             FROM pg_catalog.pg_stat_activity
             WHERE datname = {} AND pid <> pg_backend_pid() ORDER BY backend_start",
            quote_literal(database)
        );
        let rows = self.server.query(Some(&self.maintenance), &sql)?;
        let said = |row: &Row| {
            let field = |at: usize| row.get(at).and_then(Option::as_deref).unwrap_or("");
            format!(
                "pid {} of {} from {} ({})",
                field(0),
                field(1),
                field(3),
                field(2)
            )
        };
        Ok(rows.iter().map(said).collect())
    }

    /// Drops what killed restores of the database `name` have left.
    pub(crate) fn sweep(&self, name: &str) {
        for (database, connections) in &self.databases {
            let Some(key) = working_key(database, name) else {
                continue;
            };
            if self.live.contains(key) || *connections > 0 {
                say!("'{database}' is being restored by another restore-stream, and is left alone");
                continue;
            }
            match keeper::clear(self, database) {
                Ok(()) => say!("dropped '{database}', which a restore that was killed has left"),
                Err(error) => {
                    say!(
                        "cannot drop '{database}', which a restore that was killed has left: {error}"
                    );
                }
            }
        }
    }
}

/// The answers, by their first field.
struct Facts<'a>(&'a [Row]);

impl<'a> Facts<'a> {
    fn all(&self, kind: &'static str) -> impl Iterator<Item = (&'a str, Option<&'a str>)> {
        self.0.iter().filter_map(move |row| match row.as_slice() {
            [Some(first), Some(value), rest @ ..] if first == kind => {
                let more = rest.first().and_then(Option::as_deref);
                Some((value.as_str(), more))
            }
            _ => None,
        })
    }

    fn pair(&self, kind: &'static str) -> Option<(&'a str, Option<&'a str>)> {
        self.all(kind).next()
    }

    fn one(&self, kind: &'static str) -> Option<&'a str> {
        self.pair(kind).map(|pair| pair.0)
    }

    fn names(&self, kind: &'static str) -> BTreeSet<String> {
        self.all(kind).map(|pair| pair.0.to_owned()).collect()
    }

    fn counts(&self, kind: &'static str) -> BTreeMap<String, u64> {
        let count = |text: Option<&str>| text.and_then(|text| text.parse().ok()).unwrap_or(0);
        self.all(kind)
            .map(|(name, number)| (name.to_owned(), count(number)))
            .collect()
    }

    /// A setting that is a number of this many kilobytes.
    fn kilobytes(&self, name: &'static str, unit: u64) -> u64 {
        let number = self.one(name).and_then(|text| text.parse().ok());
        number.unwrap_or(0_u64).saturating_mul(unit)
    }
}

fn live(facts: &Facts<'_>) -> BTreeSet<String> {
    facts
        .all("session")
        .filter_map(|(name, _)| Run::key_of_application(name))
        .map(str::to_owned)
        .collect()
}

/// Without waiting for the disk at each commit (the swap at the end waits once, for all), and with more
/// memory for indexes: as much as the server keeps for its buffers, shared by the jobs, 1 GB at most.
fn settings(facts: &Facts<'_>, jobs: u16) -> String {
    let mut settings = String::from("SET synchronous_commit = off;\n");
    let buffers = facts.kilobytes("shared_buffers", 8);
    let memory = buffers.min(1 << 20) / u64::from(jobs.max(1));
    if memory > facts.kilobytes("maintenance_work_mem", 1) {
        settings.push_str(&format!("SET maintenance_work_mem = '{memory}kB';\n"));
    }
    settings
}

fn room(facts: &Facts<'_>) -> Option<u64> {
    if facts.one("local") != Some("t") {
        return None;
    }
    let directory = Path::new(facts.one("data_directory")?);
    let disk = rustix::fs::statvfs(directory).ok()?;
    Some(disk.f_bavail.saturating_mul(disk.f_frsize))
}

/// `\restrict` came with these minor releases (CVE-2025-8714).
fn knows_restrict(psql: &Version) -> bool {
    let minor = psql.number % 10_000;
    match psql.major() {
        ..13 => false,
        13 => minor >= 22,
        14 => minor >= 19,
        15 => minor >= 14,
        16 => minor >= 10,
        17 => minor >= 6,
        18.. => true,
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

    fn row(fields: &[&str]) -> Row {
        fields.iter().map(|field| Some((*field).into())).collect()
    }

    #[test]
    fn settings_stay_within_the_server_s_means() {
        let rows = [
            row(&["shared_buffers", "16384"]),
            row(&["maintenance_work_mem", "65536"]),
        ];
        assert!(settings(&Facts(&rows), 1).contains("'131072kB'"));
        assert!(!settings(&Facts(&rows), 2).contains("maintenance"));
        let large = [row(&["shared_buffers", "10485760"])];
        assert!(settings(&Facts(&large), 1).contains("'1048576kB'"));
        assert!(!settings(&Facts(&[]), 1).contains("maintenance"));
    }

    #[test]
    fn versions() {
        assert_eq!(major("15.18 (Debian 15.18-0+deb12u1)"), Some(15));
        assert_eq!(major("18beta1"), Some(18));
        assert_eq!(major("?"), None);
        let knows = |number| {
            knows_restrict(&Version {
                number,
                text: String::new(),
            })
        };
        assert!(knows(150_018) && knows(180_000) && knows(140_019));
        assert!(!knows(150_013) && !knows(120_022) && !knows(170_005));
    }
}
