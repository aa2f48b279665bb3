//! What is made sure of before anything is written.

use std::time::Duration;

use job::{Error, say};
use pg_client::{Conninfo, Row, Server, Version, quote_literal};

use crate::cli::Args;
use crate::pattern;

/// A cluster that can be dumped.
#[derive(Debug)]
pub(crate) struct Cluster {
    pub(crate) conninfo: Conninfo,
    pub(crate) server: Version,
    pub(crate) client: Version,
    /// The role to dump as, where settings of the server would make another one of whoever connects.
    pub(crate) role: Option<String>,
    /// The databases to be dumped, in pg_dumpall's order.
    pub(crate) databases: Vec<String>,
}

/// Finds out what the server is, whether this client can dump it, and which databases it has.
///
/// # Errors
/// The server is not there within the time, refuses us, is newer than the client; the role may not read
/// what is to be dumped.
pub(crate) fn cluster(args: &Args) -> Result<Cluster, Error> {
    let conninfo = match &args.dbname {
        Some(text) => Conninfo::parse(text)?,
        None => Conninfo::default(),
    };
    let excluded = Exclusion::new(&args.exclude_database)?;
    let client = conninfo.client_version("pg_dump")?;
    let answer = ask(&Server::new(conninfo.clone()), args.wait, &excluded.sql())?;
    let Some((first, rows)) = answer.split_first() else {
        return Err(Error::failed(
            "the server does not answer the first question",
        ));
    };
    let server = version(first)?;
    check_client(&client, &server)?;
    if !args.no_role_passwords && !is_true(first, 2) {
        return Err(no_passwords("permission denied for table pg_authid"));
    }
    Ok(Cluster {
        databases: excluded.databases(rows)?,
        role: first.get(3).cloned().flatten(),
        conninfo,
        server,
        client,
    })
}

/// The error of a role that may not read the other roles' passwords.
pub(crate) fn no_passwords(words: &str) -> Error {
    Error::failed(format!("cannot dump the roles' passwords: {words}")).hint(
        "on a managed server nobody may read them: use --no-role-passwords, and set them after a restore",
    )
}

/// Asks the server, waiting for it if it is starting. Connects as pg_dumpall does: to the database
/// that the conninfo names, else postgres, else template1.
///
/// A pooler is refused: what pg_dump sets when it begins may reach another session than its queries, and the dump has
/// intervals of another style, or names without their schema, with exit code 0.
fn ask(server: &Server, wait: Duration, sql: &str) -> Result<Vec<Row>, Error> {
    let databases = match server.conninfo().database() {
        Some(name) => vec![name],
        None => vec!["postgres", "template1"],
    };
    let ask = |name: &str| server.ask(Some(name), sql);
    if let Ok(answer) = ask(databases[0]) {
        return answer.of_the_server();
    }
    server.wait(wait)?;
    let refused = match ask(databases[0]) {
        Ok(answer) => return answer.of_the_server(),
        Err(refused) => refused,
    };
    // What the first one said is what a person looks for, if none helps.
    databases[1..]
        .iter()
        .find_map(|name| ask(name).ok())
        .ok_or(refused)?
        .of_the_server()
}

fn version(row: &Row) -> Result<Version, Error> {
    if let [Some(number), Some(text), ..] = row.as_slice()
        && let Ok(number) = number.parse()
    {
        let text = text.clone();
        return Ok(Version { number, text });
    }
    Err(Error::failed("the server says no version"))
}

fn is_true(row: &Row, column: usize) -> bool {
    matches!(row.get(column), Some(Some(text)) if text == "t")
}

/// pg_dump would refuse too, after pg_dumpall has written half a screen.
fn check_client(client: &Version, server: &Version) -> Result<(), Error> {
    if client.major() >= server.major() {
        return Ok(());
    }
    let major = server.major();
    Err(Error::failed(format!(
        "pg_dump {client} cannot dump a server that is newer: {server}"
    ))
    .hint(format!(
        "install the Debian package postgresql-client-{major}, and let PATH find its pg_dump first"
    )))
}

/// What `--exclude-database` leaves out.
#[derive(Debug)]
struct Exclusion<'a> {
    patterns: &'a [String],
    regexes: Vec<String>,
}

impl<'a> Exclusion<'a> {
    fn new(patterns: &'a [String]) -> Result<Self, Error> {
        let regexes = patterns.iter().map(|pattern| pattern::regex(pattern));
        Ok(Self {
            patterns,
            regexes: regexes.collect::<Result<_, _>>()?,
        })
    }

    /// The databases that are to be dumped, from what was answered to the second question.
    fn databases(&self, rows: &[Row]) -> Result<Vec<String>, Error> {
        let mut matched = vec![false; self.regexes.len()];
        let mut databases = Vec::new();
        for row in rows {
            let mut excluded = false;
            for (at, matched) in matched.iter_mut().enumerate() {
                if is_true(row, 3 + at) {
                    excluded = true;
                    *matched = true;
                }
            }
            // template0 too, even where it is marked to allow connections.
            let name = row.first().and_then(Option::as_deref).unwrap_or_default();
            if !excluded && is_true(row, 1) && name != "template0" {
                check_database(name, is_true(row, 2))?;
                databases.push(name.to_owned());
            }
        }
        for (pattern, _) in self
            .patterns
            .iter()
            .zip(matched)
            .filter(|(_, matched)| !matched)
        {
            say!("--exclude-database '{pattern}' matches no database");
        }
        Ok(databases)
    }

    /// All that has to be known, in one go. One row: version number, version, whether the role may read
    /// passwords, and the role to dump as, if that must be said (`ALTER DATABASE … SET role`; a role that was asked for
    /// with `PGOPTIONS` is kept). Then one row for each database, in the order of pg_dumpall's `dumpDatabases`: name,
    /// whether it would be dumped, whether the role may connect to it, and for each pattern whether
    /// it matches.
    fn sql(&self) -> String {
        let regexes = self.regexes.iter();
        // As in `processSQLNamePattern`: otherwise the "C" collation of the column says what \w is.
        let matches: String = regexes
            .map(|regex| {
                let regex = quote_literal(regex);
                format!(", datname OPERATOR(pg_catalog.~) {regex} COLLATE pg_catalog.default")
            })
            .collect();
        format!(
            "SET search_path = pg_catalog;
             SELECT current_setting('server_version_num'), current_setting('server_version'),
                    has_table_privilege({role}, 'pg_authid', 'SELECT'),
                    CASE WHEN {role} = session_user AND EXISTS ({ROLE_SETTINGS}) THEN session_user END;
             SELECT datname, datallowconn AND datconnlimit != -2,
                    has_database_privilege({role}, oid, 'CONNECT'){matches}
             FROM pg_database
             ORDER BY (datname <> 'template1'), datname",
            role = format_args!("CASE WHEN EXISTS ({ROLE_SETTINGS} AND said = 'role=' || current_setting('role')) THEN session_user ELSE current_user END")
        )
    }
}

/// What makes another role of this one when it connects.
const ROLE_SETTINGS: &str = "SELECT FROM pg_db_role_setting, unnest(setconfig) AS said
 WHERE said LIKE 'role=%' AND setrole IN (0, (SELECT oid FROM pg_roles WHERE rolname = session_user))";

/// Fails before the dump of the first database instead of at the last one.
fn check_database(name: &str, connect: bool) -> Result<(), Error> {
    let cannot = |why: &str| {
        Error::failed(format!("cannot dump database {name:?}: {why}"))
            .hint("let pgdump-gz leave it out with --exclude-database, if it is not wanted")
    };
    if !connect {
        return Err(cannot("the role has no CONNECT privilege on it"));
    }
    if name.contains(['\n', '\r']) {
        return Err(cannot(
            "its name has a line break in it, which pg_dump refuses",
        ));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn numbered(number: u32) -> Version {
        Version {
            number,
            text: number.to_string(),
        }
    }

    #[test]
    fn a_client_older_than_the_server_is_refused() {
        assert!(check_client(&numbered(150_001), &numbered(150_018)).is_ok());
        assert!(check_client(&numbered(180_006), &numbered(140_000)).is_ok());
        let error = check_client(&numbered(150_018), &numbered(180_000)).unwrap_err();
        assert!(error.hint_text().unwrap().contains("postgresql-client-18"));
    }

    #[test]
    fn names_that_cannot_be_dumped() {
        assert!(check_database("a b", true).is_ok());
        assert!(check_database("a\nb", true).is_err());
        assert!(check_database("a", false).is_err());
    }

    #[test]
    fn patterns_are_literals_for_the_server() {
        let patterns = ["o'clock".to_owned(), "a$".to_owned()];
        let exclusion = Exclusion::new(&patterns).unwrap();
        let sql = exclusion.sql();
        assert!(
            sql.contains("'^(o''clock)$' COLLATE pg_catalog.default"),
            "{sql}"
        );
        assert!(sql.contains(r"E'^(a\\$)$'"), "{sql}");
    }
}
