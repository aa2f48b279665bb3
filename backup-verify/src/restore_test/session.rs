//! How a restored database is looked at. It may have anything: settings, functions of its own in the place of the
//! server's, triggers on DDL and on logins. None of it may change what is seen, nor be set off.

use job::Error;
use pg_client::{NEUTRAL_SETTINGS, Row, Server};
use pg_text::PgText;

/// What a session in a restored database begins with, before anything of the database's counts.
const SETTINGS: [(&str, &str); 7] = [
    ("client_min_messages", "warning"),
    ("default_transaction_read_only", "off"),
    ("idle_in_transaction_session_timeout", "0"),
    ("local_preload_libraries", ""),
    ("lock_timeout", "0"),
    ("search_path", "pg_catalog"),
    ("statement_timeout", "0"),
];
/// Settings that came with a version of PostgreSQL.
const LATER: [(u32, (&str, &str)); 2] = [
    (14, ("idle_session_timeout", "0")),
    (17, ("transaction_timeout", "0")),
];
/// Settings that only a superuser may set, and what only a superuser can have put into a database: a library that is not
/// here keeps everybody out, and so may a trigger on logins.
const OF_SUPERUSERS: [(u32, (&str, &str)); 2] = [
    (0, ("session_preload_libraries", "")),
    (17, ("event_triggers", "off")),
];

/// A name that is hidden from this user is an error, not one less.
const PROLOGUE: &str = "\
SET search_path = pg_catalog;
SET row_security = off;
";

/// Who looks at restored databases.
#[derive(Debug, Clone)]
pub(crate) struct Visitor {
    pub(crate) superuser: bool,
    /// The role that it has asked for, or `none`: no database makes it another.
    pub(crate) role: PgText,
}

impl Visitor {
    /// Whom a server belongs to.
    pub(crate) fn owner() -> Self {
        Self {
            superuser: true,
            role: "none".into(),
        }
    }

    /// Whoever comes into the database `maintenance` of a server.
    ///
    /// # Errors
    /// The server's.
    pub(crate) fn of(server: &Server, maintenance: &PgText) -> Result<Self, Error> {
        let sql = "SELECT rolsuper, pg_catalog.current_setting('role') FROM pg_catalog.pg_roles WHERE rolname = session_user";
        let rows = server.query(Some(maintenance), [NEUTRAL_SETTINGS, sql].concat())?;
        match rows.last().map(Vec::as_slice) {
            Some([Some(superuser), Some(role)]) => Ok(Self {
                superuser: *superuser == "t",
                role: role.clone(),
            }),
            _ => Err(Error::failed("the server does not say who we are")),
        }
    }

    /// What its sessions in restored databases begin with, on a server of this major version.
    pub(crate) fn settings(&self, major: u32) -> Vec<(&str, PgText)> {
        let of_superusers = OF_SUPERUSERS.into_iter().filter(|_| self.superuser);
        let later = LATER.into_iter().chain(of_superusers);
        let later = later.filter(|(since, _)| major >= *since);
        let role = [("role", self.role.clone())];
        let known = SETTINGS.into_iter().chain(later.map(|it| it.1));
        let known = known.map(|(name, value)| (name, PgText::from(value)));
        known.chain(role).collect()
    }
}

/// Asks a restored database. No DDL: a trigger may forbid it, or count it.
///
/// # Errors
/// The server's.
pub(crate) fn ask(
    server: &Server,
    database: &PgText,
    sql: impl AsRef<[u8]>,
) -> Result<Vec<Row>, Error> {
    let prologue = [NEUTRAL_SETTINGS, PROLOGUE].concat();
    let sql = [prologue.as_bytes(), sql.as_ref()].concat();
    Ok(server.query(Some(database), sql)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_the_server_knows_and_the_role_may_set() {
        let has = |major, superuser, name: &str| {
            let role = "none".into();
            let visitor = Visitor { superuser, role };
            visitor.settings(major).iter().any(|it| it.0 == name)
        };
        assert!(has(13, false, "role") && has(18, true, "role"));
        assert!(!has(16, true, "event_triggers") && has(17, true, "event_triggers"));
        assert!(!has(17, false, "event_triggers"));
        assert!(has(13, true, "session_preload_libraries"));
        assert!(!has(18, false, "session_preload_libraries"));
        assert!(!has(13, true, "idle_session_timeout") && has(14, false, "idle_session_timeout"));
    }
}
