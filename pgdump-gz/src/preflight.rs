//! What is checked before anything is written.

use std::time::Duration;

use backup_file::ServerRole;
use job::{Error, say};
use pg_client::{Conninfo, Row, Server, SqlState, Version, quote_ident, quote_literal, sql};
use pg_text::PgText;

use crate::cli::Args;
use crate::interruption::Conflicts;
use crate::names::{self, Names};
use crate::{pattern, standby};

/// A cluster that can be dumped.
#[derive(Debug)]
pub(crate) struct Cluster {
    pub(crate) conninfo: Conninfo,
    pub(crate) server: Version,
    pub(crate) client: Version,
    /// The role to dump as, where settings of the server would make another one of whoever connects.
    pub(crate) role: Option<PgText>,
    /// The encoding that the globals are dumped in.
    pub(crate) encoding: String,
    /// The database that they are dumped in, where that must be said.
    pub(crate) leading: Option<PgText>,
    /// A database to ask questions in.
    pub(crate) maintenance: PgText,
    /// The databases to be dumped, in pg_dumpall's order.
    pub(crate) databases: Vec<Database>,
    /// Whether it is a primary or a standby; none if it cannot say.
    pub(crate) server_role: Option<ServerRole>,
    /// What explains the failure of a standby's dump.
    pub(crate) conflicts: Option<Conflicts>,
}

/// A database that is to be dumped.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Database {
    pub(crate) name: PgText,
    /// The encoding that it is dumped in.
    pub(crate) encoding: String,
}

/// Finds out what the server is, whether this client can dump it, and which databases it has.
///
/// # Errors
/// The server is not there within the time, refuses us, is newer than the client; the role may not read
/// what is to be dumped; it is a standby too far behind.
pub(crate) fn cluster(args: &Args) -> Result<Cluster, Error> {
    let conninfo = match &args.dbname {
        Some(text) => Conninfo::parse(text)?,
        None => Conninfo::default(),
    };
    let excluded = Exclusion::new(&args.exclude_database)?;
    let client = conninfo.client_version("pg_dump")?;
    let asked = Server::new(conninfo.clone());
    let (maintenance, answer) = ask(&asked, args.wait, &excluded.sql())?;
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
    let (shared, rows): (Vec<&Row>, Vec<&Row>) = rows.iter().partition(|row| row.len() == 1);
    let shared = shared.into_iter().flatten().flatten().cloned();
    let names = Names::new(&asked, maintenance.clone(), shared.collect());
    let encoding = text(first, 4);
    let mut databases = excluded.databases(&rows)?;
    let spoken = names.spoken(&encoding, None);
    // pg_dumpall asks about roles by their names, which must be text where it asks.
    let takes_all = |it: &&Database| names::takes_all(&it.encoding);
    let elsewhere = databases.iter().find(takes_all).map(|it| it.name.clone());
    let leading = elsewhere.filter(|_| spoken != encoding);
    for database in &mut databases {
        database.encoding = names.spoken(&database.encoding, Some(&database.name));
    }
    let is_standby = is_true(first, 5);
    let server_role = standby::role(&asked, &maintenance, is_standby, &server, args.max_lag)?;
    let conflicts = is_standby.then(|| Conflicts::counted(&asked, &maintenance));
    Ok(Cluster {
        server_role,
        conflicts,
        leading: leading.or_else(|| conninfo.database().cloned()),
        encoding: spoken,
        maintenance,
        databases,
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

/// Whether the server refuses to show the roles' passwords to whom they are dumped as.
pub(crate) fn are_passwords_denied(cluster: &Cluster) -> bool {
    let role = cluster.role.as_ref().map(quote_ident);
    let set_role = role.map_or_else(PgText::default, |role| sql("SET ROLE {};\n", &[&role]));
    // The privilege is checked before any row is read, and none is.
    let question = sql(
        "{}SELECT rolpassword FROM pg_catalog.pg_authid LIMIT 0",
        &[&set_role],
    );
    let server = Server::new(cluster.conninfo.clone());
    let answer = server.execute(Some(&cluster.maintenance), question);
    let refused = answer.err().and_then(|error| error.sqlstate());
    refused == Some(SqlState::INSUFFICIENT_PRIVILEGE)
}

/// Asks the server, waiting for it if it is starting. Connects as pg_dumpall does: to the database
/// that the conninfo names, else postgres, else template1; which one it is comes with the answer.
///
/// A pooler is refused: what pg_dump sets when it begins may reach another session than its queries, and the dump has
/// intervals of another style, or names without their schema, with exit code 0.
pub(crate) fn ask(
    server: &Server,
    wait: Duration,
    sql: &PgText,
) -> Result<(PgText, Vec<Row>), Error> {
    let databases: Vec<PgText> = match server.conninfo().database() {
        Some(name) => vec![name.clone()],
        None => vec!["postgres".into(), "template1".into()],
    };
    let ask = |name: &PgText| {
        let answer = server.ask(Some(name), sql)?;
        Ok::<_, pg_client::Error>(answer.of_the_server().map(|rows| (name.clone(), rows)))
    };
    if let Ok(answer) = ask(&databases[0]) {
        return Ok(answer?);
    }
    server.wait(wait)?;
    let refused = match ask(&databases[0]) {
        Ok(answer) => return Ok(answer?),
        Err(refused) => refused,
    };
    // If none helps, a person looks for what the first one said.
    let another = databases[1..].iter().find_map(|name| ask(name).ok());
    Ok(another.ok_or(refused)??)
}

pub(crate) fn version(row: &Row) -> Result<Version, Error> {
    if let [Some(number), Some(text), ..] = row.as_slice()
        && let Some(number) = number.parse()
    {
        let text = text.to_string();
        return Ok(Version { number, text });
    }
    Err(Error::failed("the server says no version"))
}

pub(crate) fn is_true(row: &Row, column: usize) -> bool {
    matches!(row.get(column), Some(Some(text)) if *text == "t")
}

pub(crate) fn text(row: &Row, column: usize) -> String {
    let text = row.get(column).and_then(Option::as_ref);
    text.map(PgText::to_string).unwrap_or_default()
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
    patterns: &'a [PgText],
    regexes: Vec<PgText>,
}

impl<'a> Exclusion<'a> {
    fn new(patterns: &'a [PgText]) -> Result<Self, Error> {
        let regexes = patterns.iter().map(pattern::regex);
        Ok(Self {
            patterns,
            regexes: regexes.collect::<Result<_, _>>()?,
        })
    }

    /// The databases that are to be dumped, from what was answered to the second question.
    fn databases(&self, rows: &[&Row]) -> Result<Vec<Database>, Error> {
        let mut matched = vec![false; self.regexes.len()];
        let mut databases = Vec::new();
        for row in rows {
            let mut excluded = false;
            for (at, matched) in matched.iter_mut().enumerate() {
                if is_true(row, 4 + at) {
                    excluded = true;
                    *matched = true;
                }
            }
            // template0 too, even where it is marked to allow connections.
            let name = row.first().cloned().flatten().unwrap_or_default();
            if !excluded && is_true(row, 1) && name != "template0" {
                check_database(&name, is_true(row, 2))?;
                let encoding = text(row, 3);
                databases.push(Database { name, encoding });
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
    /// passwords, the role to dump as, if that must be said (`ALTER DATABASE … SET role`; a role that was asked for
    /// with `PGOPTIONS` is kept), the database's encoding, and whether the server is in recovery. Then the names of roles and tablespaces, one a row. Then one
    /// row for each database, in the order of pg_dumpall's `dumpDatabases`: name,
    /// whether it would be dumped, whether the role may connect to it, its encoding, and for each pattern whether
    /// it matches.
    fn sql(&self) -> PgText {
        // As in `processSQLNamePattern`: otherwise the "C" collation of the column says what \w is.
        let matches = self.regexes.iter().map(|regex| {
            sql(
                ", datname OPERATOR(pg_catalog.~) {} COLLATE pg_catalog.default",
                &[&quote_literal(regex)],
            )
        });
        let template = format!(
            "SET search_path = pg_catalog;
             SELECT current_setting('server_version_num'), current_setting('server_version'),
                    has_table_privilege({role}, 'pg_authid', 'SELECT'),
                    CASE WHEN {role} = session_user AND EXISTS ({ROLE_SETTINGS}) THEN session_user END,
                    current_setting('server_encoding'),
                    pg_is_in_recovery();
             SELECT rolname FROM pg_roles UNION ALL SELECT spcname FROM pg_tablespace;
             SELECT datname, datallowconn AND datconnlimit != -2,
                    has_database_privilege({role}, oid, 'CONNECT'), pg_encoding_to_char(encoding){{}}
             FROM pg_database
             ORDER BY (datname <> 'template1'), datname",
            role = format_args!("CASE WHEN EXISTS ({ROLE_SETTINGS} AND said = 'role=' || current_setting('role')) THEN session_user ELSE current_user END")
        );
        sql(&template, &[&PgText::join(matches, "")])
    }
}

/// What makes another role of this one when it connects.
const ROLE_SETTINGS: &str = "SELECT FROM pg_db_role_setting, unnest(setconfig) AS said
 WHERE said LIKE 'role=%' AND setrole IN (0, (SELECT oid FROM pg_roles WHERE rolname = session_user))";

/// Fails before the dump of the first database instead of at the last one.
fn check_database(name: &PgText, connect: bool) -> Result<(), Error> {
    let cannot = |why: &str| {
        Error::failed(format!("cannot dump database {name:?}: {why}"))
            .hint("let pgdump-gz leave it out with --exclude-database, if it is not wanted")
    };
    if !connect {
        return Err(cannot("the role has no CONNECT privilege on it"));
    }
    if name
        .as_bytes()
        .iter()
        .any(|byte| matches!(byte, b'\n' | b'\r'))
    {
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
        assert!(check_database(&"a b".into(), true).is_ok());
        assert!(check_database(&"a\nb".into(), true).is_err());
        assert!(check_database(&"a".into(), false).is_err());
    }

    #[test]
    fn patterns_are_literals_for_the_server() {
        let patterns = ["o'clock".into(), "a$".into()];
        let exclusion = Exclusion::new(&patterns).unwrap();
        let sql = exclusion.sql().to_string();
        assert!(
            sql.contains("'^(o''clock)$' COLLATE pg_catalog.default"),
            "{sql}"
        );
        assert!(sql.contains(r"E'^(a\\$)$'"), "{sql}");
    }
}
