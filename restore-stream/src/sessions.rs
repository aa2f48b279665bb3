//! Who is connected to a database, and what is in it.

use std::thread;
use std::time::Duration;

use job::{Error, say, text};
use pg_client::{Row, Server, quote_literal, sql};
use pg_text::PgText;

use crate::preflight::Cluster;

/// Somebody's session in a database.
#[derive(Debug, Clone)]
pub(crate) struct Session {
    pub(crate) database: PgText,
    /// For a person.
    who: String,
    pid: String,
    /// Whether this role may end it.
    may_end: bool,
    /// Whether it is an extension's background worker: one that is disconnected may not begin again before the server is
    /// restarted (pg_cron's launcher).
    pub(crate) worker: bool,
}

/// A database as it is now.
#[derive(Debug)]
pub(crate) struct Look {
    pub(crate) empty: bool,
    pub(crate) sessions: Vec<Session>,
}

/// What there is in a database that its template did not have, whoever made it.
pub(crate) const OBJECTS: &str = "\
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
 + (SELECT count(*) FROM pg_catalog.pg_largeobject_metadata);
";

/// The sessions in some databases. Autovacuum, which has no role, gives way by itself.
fn question(databases: &[&PgText]) -> PgText {
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
    fn read(row: &Row) -> Option<Self> {
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

/// What a superuser says to end sessions.
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
            .query(Some(&self.maintenance), question(databases))?;
        Ok(rows.iter().filter_map(Session::read).collect())
    }

    /// Whether there is nothing in a database.
    pub(crate) fn is_empty(&self, database: &PgText) -> Result<bool, Error> {
        is_empty(&self.server, database)
    }

    /// Whether there are large objects in a database, and nothing else.
    pub(crate) fn holds_only_large_objects(&self, database: &PgText) -> bool {
        let all = OBJECTS.trim_end().trim_end_matches(';');
        let sql = format!(
            "SELECT ({all}) - (SELECT count(*) FROM pg_catalog.pg_largeobject_metadata);\n{OBJECTS}"
        );
        let rows = self.server.query(Some(database), sql);
        rows.is_ok_and(|rows| says_none(&rows) && !says_none(rows.get(1..).unwrap_or_default()))
    }

    /// Looks into a database. One that cannot be looked into is not empty.
    pub(crate) fn look(&self, database: &PgText) -> Result<Look, Error> {
        let all = [OBJECTS.as_bytes(), question(&[database]).as_bytes()].concat();
        match self.server.query(Some(database), all) {
            Ok(rows) => Ok(Look {
                empty: says_none(&rows),
                sessions: rows.iter().filter_map(Session::read).collect(),
            }),
            Err(_) => Ok(Look {
                empty: false,
                sessions: self.sessions(&[database])?,
            }),
        }
    }
}

/// Whether there is nothing in a database.
pub(crate) fn is_empty(server: &Server, database: &PgText) -> Result<bool, Error> {
    let rows = server.query(Some(database), OBJECTS)?;
    Ok(says_none(&rows))
}

fn says_none(rows: &[Row]) -> bool {
    let first = rows.first().and_then(|row| row.first()?.as_ref());
    first.is_some_and(|it| *it == "0")
}

/// How often, and after which pause, it is looked whether somebody has left: an exporter stays for a moment.
const LOOKS: u32 = 5;
const PAUSE: Duration = Duration::from_millis(300);

/// Refuses to take the name of a database that somebody stays connected to, or who may not be disconnected.
/// `sessions` are those of the first look.
pub(crate) fn refuse(
    cluster: &Cluster,
    name: &PgText,
    mut sessions: Vec<Session>,
    force: bool,
) -> Result<(), Error> {
    for look in 1..=LOOKS {
        sessions.retain(|session| !force || !session.may_end);
        if sessions.is_empty() {
            return Ok(());
        }
        if look < LOOKS {
            thread::sleep(PAUSE);
            sessions = cluster.sessions(&[name])?;
        }
    }
    sessions.iter().for_each(Session::say);
    let count = text::count(sessions.len(), "connection");
    Err(match force {
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
