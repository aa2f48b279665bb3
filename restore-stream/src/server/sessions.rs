//! Who is connected to a database.

use std::thread;
use std::time::Duration;

use job::{Error, say, text};
use pg_client::{Row, quote_literal, sql};
use pg_text::PgText;

use crate::server::cluster::Cluster;

/// Somebody's session in a database.
#[derive(Debug, Clone)]
pub(crate) struct Session {
    pub(crate) database: PgText,
    /// Its description for a person.
    who: String,
    pid: String,
    /// Whether this role may end it.
    may_end: bool,
    /// Whether it is an extension's background worker. Once disconnected, it may not start again before the server restarts
    /// (pg_cron's launcher).
    pub(crate) worker: bool,
}

/// The question for the sessions in some databases. Autovacuum, which has no role, is left out: it gives way by itself.
pub(super) fn question(databases: &[&PgText]) -> PgText {
    let names = PgText::join(databases.iter().map(quote_literal), ", ");
    sql(
        "SELECT datname, pid, coalesce(usename, '?'), coalesce(application_name, ''),
  CASE WHEN backend_start IS NULL THEN '?' ELSE coalesce(host(client_addr), 'local') END,
  coalesce(
    (SELECT rolsuper FROM pg_catalog.pg_roles WHERE rolname = current_user)
    OR NOT coalesce((SELECT rolsuper FROM pg_catalog.pg_roles WHERE oid = usesysid), false)
     AND (pg_catalog.pg_has_role(usesysid, 'USAGE') OR pg_catalog.pg_has_role('pg_signal_backend', 'USAGE')), false),
  coalesce(backend_type, 'client backend') <> 'client backend'
 FROM pg_catalog.pg_stat_activity
 WHERE datname IN ({}) AND usesysid IS NOT NULL AND pid <> pg_catalog.pg_backend_pid()
 ORDER BY backend_start;
",
        &[&names],
    )
}

impl Session {
    pub(super) fn read(row: &Row) -> Option<Self> {
        let fields = row.iter().map(|it| it.clone().unwrap_or_default());
        let fields: Vec<PgText> = fields.collect();
        let [database, pid, role, application, address, may_end, worker] = fields.as_slice() else {
            return None;
        };
        Some(Self {
            database: database.clone(),
            who: format!("pid {pid} of {role} from {address} ({application})"),
            pid: pid.to_string(),
            may_end: *may_end == "t",
            worker: *worker == "t",
        })
    }

    pub(crate) fn say(&self) {
        say!("connected to '{}': {}", self.database, self.who);
    }
}

/// The SQL with which a superuser ends sessions.
pub(crate) fn how_to_end<'a>(sessions: impl IntoIterator<Item = &'a Session>) -> String {
    let ends = sessions
        .into_iter()
        .map(|it| format!("SELECT pg_terminate_backend({});", it.pid));
    ends.collect::<Vec<_>>().join(" ")
}

impl Cluster {
    /// The sessions in some databases.
    pub(crate) fn sessions(&self, databases: &[&PgText]) -> Result<Vec<Session>, Error> {
        if databases.is_empty() {
            return Ok(Vec::new());
        }
        let rows = self
            .server
            .query(Some(&self.survey.maintenance), question(databases))?;
        Ok(rows.iter().filter_map(Session::read).collect())
    }
}

/// How often to look whether they have left, and the pause between two looks. An exporter stays only for a moment.
const LOOKS: u32 = 5;
const PAUSE: Duration = Duration::from_millis(300);

/// Refuses to take the names of databases that are in use. With `--force-disconnect`, only sessions that this role may not
/// end count.
pub(crate) fn refuse(cluster: &Cluster, names: &[&PgText]) -> Result<(), Error> {
    let mut sessions = Vec::new();
    for look in 1..=LOOKS {
        sessions = cluster.sessions(names)?;
        sessions.retain(|session| !cluster.force || !session.may_end);
        if sessions.is_empty() {
            return Ok(());
        }
        if look < LOOKS {
            thread::sleep(PAUSE);
        }
    }
    let is_used = |name: &&PgText| sessions.iter().any(|session| session.database == **name);
    let Some(name) = names.iter().copied().find(is_used).cloned() else {
        return Ok(());
    };
    sessions.retain(|session| session.database == name);
    sessions.iter().for_each(Session::say);
    let count = text::count(sessions.len(), "connection");
    Err(match cluster.force {
        false => Error::refused(format!("the database '{name}' is in use: {count}"))
            .hint("stop what uses it, or say --force-disconnect"),
        true => Error::refused(format!(
            "the database '{name}' is in use, and this role may not end {count}"
        ))
        .hint(format!(
            "restore as a superuser, or grant pg_signal_backend to the role that restores; a superuser's sessions only a superuser can end: {}",
            how_to_end(&sessions)
        )),
    })
}
