//! What a backup's roles and tablespaces demand of a server that is made for it.

use std::mem;

use backup_file::Reader;
use dump_text::{
    Event, ObjectKind, Part, PartScanner, Piece, PreambleFilter, Token, Verb, client_encoding,
    subject, tokens,
};
use job::Error;
use pg_text::PgText;
use store::Source;

/// Whom a server belongs to if nothing else is known.
const USUAL: &str = "postgres";

/// What a server is made with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Globals {
    /// The role that the server belongs to: the same as in the cluster that was dumped. It is the grantor of its
    /// memberships, and since PostgreSQL 16 no other superuser may be that.
    pub(crate) superuser: PgText,
    /// The encoding that they are written in: names of the whole cluster are in it.
    pub(crate) encoding: Option<String>,
    /// Their directories are not here: they are made elsewhere before the restore, which then leaves them as they are.
    pub(crate) tablespaces: Vec<PgText>,
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
        let mut entrance = PreambleFilter::default();
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
    encoding: Option<String>,
    roles: Vec<PgText>,
    superusers: Vec<PgText>,
    memberships: Vec<Membership>,
    tablespaces: Vec<PgText>,
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
        if self.encoding.is_none() {
            self.encoding = client_encoding(sql);
        }
        let Some(about) = subject(sql) else {
            self.memberships.extend(Membership::parse(sql));
            return Ok(());
        };
        let name = about.name.name;
        match (about.verb, about.kind) {
            (Verb::Create, ObjectKind::Role) => self.roles.push(name),
            (Verb::Create, ObjectKind::Tablespace) => self.tablespaces.push(name),
            (Verb::Alter, ObjectKind::Role) if makes_superuser(sql) => self.superusers.push(name),
            _ => {}
        }
        Ok(())
    }

    /// Whether a role has granted another that it may not grant as any role may, by its ADMIN OPTION: the role that the
    /// cluster belongs to needs none.
    fn grants_as_the_first(&self, name: &PgText) -> bool {
        let may = |role: &PgText| {
            let mut all = self.memberships.iter();
            all.any(|it| it.admin && it.role == *role && it.member == *name)
        };
        let mut granted = self.memberships.iter().filter(|it| it.grantor == *name);
        granted.any(|it| !may(&it.role))
    }

    fn globals(mut self) -> Globals {
        let mut superusers = mem::take(&mut self.superusers);
        superusers.sort_by_key(|name| (!self.grants_as_the_first(name), *name != USUAL));
        let superuser = superusers.into_iter().next();
        Globals {
            superuser: superuser.unwrap_or_else(|| USUAL.into()),
            encoding: self.encoding,
            tablespaces: self.tablespaces,
            any: !self.roles.is_empty(),
        }
    }
}

/// `GRANT role TO member WITH ADMIN OPTION … GRANTED BY grantor`
#[derive(Debug)]
struct Membership {
    role: PgText,
    member: PgText,
    admin: bool,
    grantor: PgText,
}

impl Membership {
    fn parse(statement: &[u8]) -> Option<Self> {
        let mut words = tokens(statement).map(|spanned| spanned.token);
        words.next().filter(|word| word.is("grant"))?;
        let role = name(words.next()?)?;
        words.next().filter(|word| word.is("to"))?;
        let member = name(words.next()?)?;
        let mut admin = false;
        words.find(|word| {
            admin |= word.is("admin");
            word.is("granted")
        })?;
        let grantor = name(words.nth(1)?)?;
        Some(Self {
            role,
            member,
            admin,
            grantor,
        })
    }
}

fn name(token: Token) -> Option<PgText> {
    match token {
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
    fn a_superuser_who_was_given_what_it_grants_is_not_the_first() {
        let dump = format!(
            "{ROLES}CREATE ROLE aaron;\nALTER ROLE aaron WITH SUPERUSER;\n\
             CREATE ROLE postgres;\nALTER ROLE postgres WITH SUPERUSER;\n\
             CREATE ROLE zoe;\nALTER ROLE zoe WITH SUPERUSER;\n\
             GRANT app TO aaron WITH ADMIN OPTION, INHERIT TRUE GRANTED BY zoe;\n\
             GRANT app TO postgres WITH ADMIN OPTION, INHERIT TRUE GRANTED BY aaron;\n\
             GRANT app TO x WITH INHERIT TRUE GRANTED BY postgres;\n"
        );
        assert_eq!(found(&dump).superuser, "zoe");
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
