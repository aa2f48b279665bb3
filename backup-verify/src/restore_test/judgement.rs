//! Whether the backup is to blame for a statement that failed. The server's code for the error and what the statement does
//! tell; its words may be in any language.

use job::Error;
use serde::Deserialize;

use super::failure::Failure;

/// Codes, and classes of codes, of errors that do not lie in the text of a dump (PostgreSQL documentation, appendix A).
const NOT_THE_BACKUP: [&str; 18] = [
    "08",    // connections, of foreign tables for one
    "0A",    // not supported: what the server was built without
    "0L",    // who may grant
    "28",    // who may log in
    "40",    // deadlocks
    "42501", // what the role may not do
    "53",    // disk, memory, connections
    "54001", // the stack
    "55",    // in use, locked, not loaded
    "57",    // cancelled, shut down
    "58",    // files and the system
    "F0",    // the server's files of configuration, dictionaries among them
    "HV",    // foreign data
    "P0",    // raised by a function of the database
    "22023", // a value that this server lacks: a locale, a provider of security labels
    "42602", // a name that this server does not know: of a setting that a library defines
    "42939", // a name that the server keeps for itself
    "XX",    // internal errors: what extensions raise, mostly
];
/// Statements that fail because of the server they run on, whatever the code, as long as it can read them. Refreshing a
/// view calls functions, and uses settings and servers, that are not in the dump.
const OF_THE_SERVER: [&str; 12] = [
    "ALTER DATABASE",
    "ALTER EXTENSION",
    "ALTER TABLESPACE",
    "COMMENT ON EXTENSION",
    "CREATE COLLATION",
    "CREATE DATABASE",
    "CREATE EXTENSION",
    "CREATE TABLESPACE",
    "REFRESH MATERIALIZED VIEW",
    "SECURITY LABEL",
    "SELECT PG_CATALOG.SET_CONFIG",
    "SET",
];
/// Statements that bring rows.
const ROWS: [&str; 2] = ["COPY", "INSERT"];
/// Codes that blame the backup in those, and only there: the row has a value that no server takes.
const OF_ROWS: [&str; 2] = ["22023", "XX"];
/// The file of the server's source that rejects settings it does not know, or values it does not take.
const SETTINGS: &str = ", guc";
/// How many lines of an error a person gets.
const SHOWN: usize = 6;
const SYNTAX_ERROR: &str = "42601";
/// Something that a statement names is not there, or not allowed.
const NAMES: &str = "42";

/// A statement that failed, as restore-stream tells of it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub(crate) struct FailedStatement {
    /// How it begins: `CREATE EXTENSION pg_cron`.
    statement: String,
    sqlstate: String,
    /// The server's own words.
    message: String,
    /// The lines after the message.
    details: Vec<String>,
    /// Whether it failed in something that it set off, such as a function.
    within: bool,
    /// The place in the server's source that raised the error: `get_role_oid, acl.c:5185`.
    location: String,
}

impl FailedStatement {
    /// Whether the text of the backup is to blame: it has something that no server takes, or refers to something that
    /// it does not have.
    fn is_of_the_backup(&self) -> bool {
        if self.sqlstate == SYNTAX_ERROR && !self.within {
            return true;
        }
        let has_code = |codes: &[&str]| codes.iter().any(|it| self.sqlstate.starts_with(it));
        let excused = match self.does_one_of(&ROWS) && has_code(&OF_ROWS) {
            true => false,
            false => has_code(&NOT_THE_BACKUP),
        };
        let is_another_s = excused
            || self.does_one_of(&OF_THE_SERVER)
            || self.location.contains(SETTINGS)
            || self.is_of_the_catalog()
            || self.is_of_a_function();
        !is_another_s
    }

    /// What the failure says about the backup.
    pub(crate) fn failure(&self) -> Failure {
        let details = self.details.iter().map(String::as_str);
        let lines: Vec<&str> = self.message.lines().chain(details).take(SHOWN).collect();
        let words = format!("{}: {}", self.statement, lines.join("; "));
        match self.is_of_the_backup() {
            true => Failure::not_good(words),
            false => Failure::from(Error::failed(words)),
        }
    }

    fn does_one_of(&self, statements: &[&str]) -> bool {
        let said = self.statement.to_ascii_uppercase();
        statements.iter().any(|wanted| {
            let rest = said.strip_prefix(wanted);
            rest.is_some_and(|rest| rest.is_empty() || rest.starts_with(' '))
        })
    }

    /// Whether the server's own catalog lacks something, which no dump creates: a collation of another machine, a function
    /// of another version. The schema's name is the same in all languages.
    fn is_of_the_catalog(&self) -> bool {
        self.sqlstate.starts_with(NAMES) && self.message.contains("pg_catalog.")
    }

    /// Whether a function of the database, called by an index, a constraint or a default, does not find what it names. The
    /// dump's own statements name everything with its schema; a function may rely on a search path.
    fn is_of_a_function(&self) -> bool {
        self.sqlstate.starts_with(NAMES) && self.within
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn code(statement: &str, sqlstate: &str, message: &str, within: bool) -> u8 {
        let failed = FailedStatement {
            statement: statement.into(),
            sqlstate: sqlstate.into(),
            message: message.into(),
            within,
            ..FailedStatement::default()
        };
        failed.failure().error("database 'x'").exit().code()
    }

    #[test]
    fn a_backup_is_to_blame_for_its_own_text() {
        for (statement, sqlstate, message, within) in [
            (
                "CREATE TABLE public.t",
                "42704",
                "FEHLER:  Typ »public.x« existiert nicht",
                false,
            ),
            ("CREATE INDEX i ON public.t USING btree", "42703", "", false),
            (
                "COPY public.t",
                "42P01",
                "エラー:  リレーション\"public.t\"は存在しません",
                false,
            ),
            ("COPY public.t", "22P04", "", true),
            (
                "COPY public.t",
                "XX000",
                "ERROR:  parse error - invalid geometry",
                true,
            ),
            ("COPY public.t", "23505", "", true),
            (
                "ALTER TABLE ONLY public.t ADD CONSTRAINT k FOREIGN KEY",
                "23503",
                "",
                false,
            ),
            ("CREATE DATABASE x", "42601", "", false),
            ("CREATE EXTENSIO", "42601", "", false),
            ("SETTLE", "42601", "", false),
            ("ALTER TABLE public.t OWNER TO bob", "42704", "", false),
        ] {
            assert_eq!(
                code(statement, sqlstate, message, within),
                3,
                "{statement} {sqlstate}"
            );
        }
    }

    #[test]
    fn what_the_server_lacks_says_nothing_about_the_backup() {
        for (statement, sqlstate, message, within) in [
            ("CREATE EXTENSION IF NOT EXISTS rare", "58P01", "", false),
            ("CREATE EXTENSION pg_cron", "P0001", "", true),
            ("CREATE EXTENSION timescaledb", "XX000", "", false),
            (
                "CREATE DATABASE x",
                "42809",
                "FEHLER:  ungültiger Locale-Name",
                false,
            ),
            (
                "CREATE DATABASE x",
                "42704",
                "FEHLER:  Tablespace »fast« existiert nicht",
                false,
            ),
            ("SET default_tablespace", "22023", "", false),
            ("CREATE COLLATION public.c", "22023", "", false),
            (
                "CREATE TABLE public.t",
                "42704",
                "FEHLER:  Sortierfolge »pg_catalog.de_DE« ...",
                false,
            ),
            ("CREATE FUNCTION public.f", "58P01", "", false),
            ("CREATE TABLE public.t", "0A000", "", false),
            ("COPY public.t", "53100", "", true),
            ("CREATE TEXT SEARCH DICTIONARY public.d", "F0000", "", false),
            (
                "SECURITY LABEL FOR anon ON COLUMN public.t.a",
                "22023",
                "",
                false,
            ),
            ("GRANT app TO bob", "42501", "", false),
            ("CREATE INDEX i ON public.t USING btree", "57014", "", false),
            ("REFRESH MATERIALIZED VIEW public.m", "42P01", "", true),
            ("REFRESH MATERIALIZED VIEW public.m", "22012", "", false),
            ("CREATE INDEX i ON public.t USING btree", "42P01", "", true),
            ("COPY public.t", "42883", "", true),
            (
                "CREATE SCHEMA x",
                "P0001",
                "ERROR:  no DDL without a ticket",
                true,
            ),
        ] {
            assert_eq!(
                code(statement, sqlstate, message, within),
                1,
                "{statement} {sqlstate}"
            );
        }
    }

    #[test]
    fn settings_are_the_server_s() {
        let failed = FailedStatement {
            statement: "ALTER ROLE bob SET gone TO".into(),
            sqlstate: "42704".into(),
            location: "find_option, guc.c:1210".into(),
            ..FailedStatement::default()
        };
        let error = failed.failure().error("roles and tablespaces");
        assert_eq!(error.exit().code(), 1);
        let words = "roles and tablespaces could not be tested: ALTER ROLE bob SET gone TO: ";
        assert_eq!(error.to_string(), words);
    }
}
