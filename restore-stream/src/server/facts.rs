//! What the server is asked first, all at once, and how its answers are read.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use job::Error;
use pg_client::{Row, Version};
use pg_text::PgText;
use store::Space;

use crate::server::names::Run;

/// The questions. Databases come before sessions: if a run's database is seen, so is its sign of life.
///
/// A role that may not look into others' sessions still sees their roles, databases and application names.
pub(crate) const FACTS: &str = "\
SELECT 'version', current_setting('server_version_num'), current_setting('server_version');
SELECT 'standby', pg_catalog.pg_is_in_recovery();
SELECT 'local', coalesce(inet_server_addr() <<= '127.0.0.0/8' OR inet_server_addr() = '::1', true);
SELECT name, setting FROM pg_catalog.pg_settings
 WHERE name IN ('data_directory', 'shared_buffers', 'maintenance_work_mem', 'cron.database_name');
SELECT 'me', rolname, rolsuper OR rolcreatedb FROM pg_catalog.pg_roles WHERE rolname = current_user;
SELECT 'superuser', rolsuper FROM pg_catalog.pg_roles WHERE rolname = current_user;
SELECT 'first', rolname FROM pg_catalog.pg_roles WHERE oid = 10;
SELECT 'admin', r.rolname, m.rolname FROM pg_catalog.pg_auth_members AS a
 JOIN pg_catalog.pg_roles AS r ON r.oid = a.roleid JOIN pg_catalog.pg_roles AS m ON m.oid = a.member
 WHERE a.admin_option;
SELECT 'free', 1 + least(
  current_setting('max_connections')::int
  - CASE WHEN rolsuper THEN 0 ELSE current_setting('superuser_reserved_connections')::int END
  - CASE WHEN rolsuper OR EXISTS (SELECT FROM pg_catalog.pg_roles AS r
      WHERE r.rolname = 'pg_use_reserved_connections' AND pg_catalog.pg_has_role(r.oid, 'USAGE')) THEN 0
    ELSE coalesce(current_setting('reserved_connections', true), '0')::int END
  - (SELECT count(*) FROM pg_catalog.pg_stat_activity
     WHERE usesysid IS NOT NULL AND coalesce(backend_type, 'client backend') = 'client backend'),
  CASE WHEN NOT rolsuper AND rolconnlimit >= 0 THEN
    rolconnlimit - (SELECT count(*) FROM pg_catalog.pg_stat_activity WHERE usename = session_user) END)
 FROM pg_catalog.pg_roles WHERE rolname = session_user;
SELECT 'role', rolname FROM pg_catalog.pg_roles;
SELECT 'tablespace', spcname FROM pg_catalog.pg_tablespace;
SELECT 'database', datname, pg_catalog.pg_get_userbyid(datdba), pg_catalog.pg_has_role(datdba, 'USAGE'),
  datname <> 'template0' AND datallowconn AND datconnlimit <> -2
    AND pg_catalog.has_database_privilege(oid, 'CONNECT'),
  (SELECT count(*) FROM pg_catalog.pg_prepared_xacts WHERE database = datname)
 FROM pg_catalog.pg_database;
SELECT 'session', application_name FROM pg_catalog.pg_stat_activity
 WHERE application_name LIKE 'restore-stream %';
";

/// The role that asks.
#[derive(Debug, Clone)]
pub(crate) struct Role {
    pub(crate) name: PgText,
    pub(crate) creates_databases: bool,
}

/// What decides who can be named as the grantor of a membership.
#[derive(Debug, Clone, Default)]
pub(crate) struct Grantors {
    /// The server's major version.
    pub(crate) server: u32,
    /// The superuser that initdb made.
    pub(crate) first: PgText,
    /// The role that restores.
    pub(crate) own: PgText,
    /// Whether that is a superuser.
    pub(crate) superuser: bool,
    /// Who has the ADMIN OPTION: pairs of a role and its member.
    pub(crate) admins: BTreeSet<(PgText, PgText)>,
}

/// A database of the server.
#[derive(Debug, Clone)]
pub(crate) struct Database {
    pub(crate) owner: PgText,
    /// Whether this role has the rights of its owner.
    pub(crate) ours: bool,
    /// Whether this role may connect to it, as far as the server's catalogs say.
    pub(crate) open: bool,
    /// How many prepared transactions there are in it.
    pub(crate) prepared: u64,
}

/// The answers. Their first field says what they are about.
pub(crate) struct Facts<'a>(&'a [Row]);

impl<'a> Facts<'a> {
    pub(crate) fn new(rows: &'a [Row]) -> Self {
        Self(rows)
    }

    /// The other fields of the answers that are about this.
    fn all(&self, kind: &'static str) -> impl Iterator<Item = Vec<PgText>> + 'a {
        self.0.iter().filter_map(move |row| {
            let (first, rest) = row.split_first()?;
            let fields = rest.iter().map(|field| field.clone().unwrap_or_default());
            (first.as_ref()? == kind).then(|| fields.collect())
        })
    }

    fn firsts(&self, kind: &'static str) -> impl Iterator<Item = PgText> + 'a {
        self.all(kind).filter_map(|row| row.into_iter().next())
    }

    pub(crate) fn one(&self, kind: &'static str) -> Option<PgText> {
        self.firsts(kind).next()
    }

    pub(crate) fn names(&self, kind: &'static str) -> BTreeSet<PgText> {
        self.firsts(kind).collect()
    }

    pub(crate) fn number(&self, kind: &'static str) -> Option<i64> {
        self.one(kind)?.parse()
    }

    pub(crate) fn version(&self) -> Result<Version, Error> {
        let wrong = || Error::failed("the server does not say its version");
        let said = self.all("version").next().unwrap_or_default();
        let [number, text] = said.as_slice() else {
            return Err(wrong());
        };
        Ok(Version {
            number: number.parse().ok_or_else(wrong)?,
            text: text.to_string(),
        })
    }

    pub(crate) fn role(&self) -> Result<Role, Error> {
        let said = self.all("me").next().unwrap_or_default();
        match said.as_slice() {
            [name, creates_databases] => Ok(Role {
                name: name.clone(),
                creates_databases: *creates_databases == "t",
            }),
            _ => Err(Error::failed("the server does not say which role this is")),
        }
    }

    /// Who can be named as the one that grants a membership.
    pub(crate) fn grantors(&self) -> Result<Grantors, Error> {
        let pair = |row: Vec<PgText>| match row.as_slice() {
            [role, member] => Some((role.clone(), member.clone())),
            _ => None,
        };
        Ok(Grantors {
            server: self.version()?.major(),
            first: self.one("first").unwrap_or_default(),
            own: self.role()?.name,
            superuser: self.one("superuser").is_some_and(|it| it == "t"),
            admins: self.all("admin").filter_map(pair).collect(),
        })
    }

    pub(crate) fn databases(&self) -> BTreeMap<PgText, Database> {
        let database = |row: Vec<PgText>| match row.as_slice() {
            [name, owner, ours, open, prepared] => Some((
                name.clone(),
                Database {
                    owner: owner.clone(),
                    ours: *ours == "t",
                    open: *open == "t",
                    prepared: prepared.parse().unwrap_or_default(),
                },
            )),
            _ => None,
        };
        self.all("database").filter_map(database).collect()
    }

    /// The keys of the runs whose sessions are there.
    pub(crate) fn live(&self) -> BTreeSet<String> {
        let sessions = self.firsts("session");
        let key = |name: PgText| Run::key_of_application(name.ascii()).map(str::to_owned);
        sessions.filter_map(key).collect()
    }

    /// A setting in kilobytes, whose number counts units of that many kilobytes.
    fn kilobytes(&self, name: &'static str, unit: u64) -> u64 {
        let number = self.one(name).and_then(|text| text.parse());
        number.unwrap_or(0_u64).saturating_mul(unit)
    }

    /// Settings for a quick load. Commits do not wait for the disk; the swap at the end waits once, for all of them. Indexes get
    /// more memory: the size of the server's buffers, at most 1 GB, divided by the number of jobs.
    pub(crate) fn settings(&self, jobs: u16) -> String {
        let mut settings = String::from("SET synchronous_commit = off;\n");
        let buffers = self.kilobytes("shared_buffers", 8);
        let memory = buffers.min(1 << 20) / u64::from(jobs.max(1));
        if memory > self.kilobytes("maintenance_work_mem", 1) {
            settings.push_str(&format!("SET maintenance_work_mem = '{memory}kB';\n"));
        }
        settings
    }

    /// Bytes free where the server keeps its data, if that is here.
    pub(crate) fn room(&self) -> Option<u64> {
        if self.one("local")? != "t" {
            return None;
        }
        let directory = self.one("data_directory")?;
        let directory = Path::new(directory.as_os_str());
        Some(Space::of(directory).ok()??.free)
    }
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
        assert!(Facts(&rows).settings(1).contains("'131072kB'"));
        assert!(!Facts(&rows).settings(2).contains("maintenance"));
        let large = [row(&["shared_buffers", "10485760"])];
        assert!(Facts(&large).settings(1).contains("'1048576kB'"));
        assert!(!Facts(&[]).settings(1).contains("maintenance"));
    }

    #[test]
    fn what_was_said() {
        let rows = [
            row(&["version", "150018", "15.18 (Debian)"]),
            row(&["me", "keeper", "f"]),
            row(&["database", "shop", "app", "f", "t", "2"]),
            row(&["session", "restore-stream 0a1b2c"]),
            row(&["free", "-3"]),
        ];
        let facts = Facts(&rows);
        assert_eq!(facts.version().unwrap().major(), 15);
        assert!(!facts.role().unwrap().creates_databases);
        let databases = facts.databases();
        let shop = &databases[&"shop".into()];
        assert!(shop.open && !shop.ours && shop.prepared == 2 && shop.owner == "app");
        assert!(facts.live().contains("0a1b2c"));
        assert_eq!(facts.number("free"), Some(-3));
        assert!(Facts(&[]).version().is_err() && Facts(&[]).role().is_err());
    }
}
