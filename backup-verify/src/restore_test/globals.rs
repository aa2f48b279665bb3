//! What a backup's roles and tablespaces demand of a server that is made for it.

use backup_file::Reader;
use dump_text::{Entrance, Event, Kind, Part, PartScanner, Piece, Token, Verb, subject, tokens};
use job::Error;
use store::Source;

/// Whom a server belongs to if nothing else is known.
const USUAL: &str = "postgres";

/// What a server is made with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Globals {
    /// The role that the server belongs to: the same as in the cluster that was dumped. It is the grantor of its
    /// memberships, and since PostgreSQL 16 no other superuser may be that.
    pub(crate) superuser: String,
    /// Their directories are not here: they are made elsewhere before the restore, which then leaves them as they are.
    pub(crate) tablespaces: Vec<String>,
    /// Whether there are any roles: a dump of one database has none.
    pub(crate) any: bool,
}

/// The first database begins: no more is read.
enum Stop {
    Here,
}

impl Globals {
    /// Reads a backup up to its first database.
    ///
    /// # Errors
    /// It cannot be read, or is not good.
    pub(crate) fn read(source: &Source, threads: usize) -> Result<Self, Error> {
        let mut reader = Reader::whole(source.reader()?, threads).sql_only();
        let mut entrance = Entrance::default();
        let mut scanner = PartScanner::new();
        let mut found = Found::default();
        let mut sink = |event: Event<'_>| found.see(event);
        while let Some(sql) = reader.next().map_err(|error| source.read_error(&error))? {
            if scanner.feed(entrance.pass(sql), &mut sink).is_err() {
                return Ok(found.globals());
            }
        }
        // That the rest is no global ends it too.
        let _ = scanner.feed(entrance.end(), &mut sink);
        Ok(found.globals())
    }
}

#[derive(Debug, Default)]
struct Found {
    roles: Vec<String>,
    superusers: Vec<String>,
    grantors: Vec<String>,
    tablespaces: Vec<String>,
}

impl Found {
    fn see(&mut self, event: Event<'_>) -> Result<(), Stop> {
        let sql = match event {
            Event::Begin(Part::Globals) | Event::Piece(Piece::Space(_) | Piece::Comment(_)) => {
                return Ok(());
            }
            Event::Piece(Piece::Statement(sql)) => sql,
            Event::Piece(Piece::Command(_)) => return Ok(()),
            // A database, or rows: no globals.
            _ => return Err(Stop::Here),
        };
        let Some(about) = subject(sql) else {
            self.grantors.extend(grantor(sql));
            return Ok(());
        };
        let name = about.name.name;
        match (about.verb, about.kind) {
            (Verb::Create, Kind::Role) => self.roles.push(name),
            (Verb::Create, Kind::Tablespace) => self.tablespaces.push(name),
            (Verb::Alter, Kind::Role) if makes_superuser(sql) => self.superusers.push(name),
            _ => {}
        }
        Ok(())
    }

    fn globals(self) -> Globals {
        let mut superusers = self.superusers;
        superusers.sort_by_key(|name| (!self.grantors.contains(name), name != USUAL));
        let superuser = superusers.into_iter().next();
        Globals {
            superuser: superuser.unwrap_or_else(|| USUAL.into()),
            tablespaces: self.tablespaces,
            any: !self.roles.is_empty(),
        }
    }
}

/// `GRANT role TO role … GRANTED BY role`
fn grantor(statement: &[u8]) -> Option<String> {
    let mut words = tokens(statement).map(|spanned| spanned.token);
    words.find(|word| word.is("granted"))?;
    match words.nth(1)? {
        Token::Word(name) | Token::Name(name) => Some(name),
        _ => None,
    }
}

/// `ALTER ROLE x WITH SUPERUSER …`
fn makes_superuser(statement: &[u8]) -> bool {
    tokens(statement).any(|word| word.token.is("superuser"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(dump: &str) -> Globals {
        let mut found = Found::default();
        let mut scanner = PartScanner::new();
        let _ = scanner.feed(dump.as_bytes(), &mut |event| found.see(event));
        found.globals()
    }

    const ROLES: &str = "--\n-- PostgreSQL database cluster dump\n--\n\n\\restrict abc\n\
        CREATE ROLE app;\nALTER ROLE app WITH NOSUPERUSER LOGIN;\n\
        CREATE ROLE \"hub \"\"1\"\"\";\nALTER ROLE \"hub \"\"1\"\"\" WITH SUPERUSER;\n\
        CREATE TABLESPACE \"fast disk\" OWNER app LOCATION '/x';\n";

    #[test]
    fn roles_and_tablespaces() {
        let globals = found(ROLES);
        assert_eq!(globals.superuser, "hub \"1\"");
        assert_eq!(globals.tablespaces, ["fast disk"]);
        assert!(globals.any);
        let more = format!("{ROLES}CREATE ROLE postgres;\nALTER ROLE postgres WITH SUPERUSER;\n");
        assert_eq!(found(&more).superuser, "postgres");
        let more =
            format!("{more}GRANT app TO x WITH INHERIT TRUE GRANTED BY \"hub \"\"1\"\"\";\n");
        assert_eq!(found(&more).superuser, "hub \"1\"");
        let more = format!("{ROLES}GRANT app TO x GRANTED BY app;\n");
        assert_eq!(found(&more).superuser, "hub \"1\"");
    }

    #[test]
    fn databases_are_not_looked_at() {
        let dump = format!(
            "{ROLES}--\n-- Database \"a\" dump\n--\n\nCREATE TABLESPACE other LOCATION '';\n"
        );
        assert_eq!(found(&dump).tablespaces, ["fast disk"]);
        let globals = found("CREATE TABLE t (a integer);\n");
        assert!(!globals.any);
        assert_eq!(globals.superuser, "postgres");
    }
}
